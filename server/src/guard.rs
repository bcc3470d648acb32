//! Panics of the codec become errors: they cost one request, not the service.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; a panic in it gives its message.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // A codec keeps nothing from one picture to the next, so none is left half-changed.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let owned = panic.downcast_ref::<String>().map(String::as_str);
        owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
    })
}
