use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that is set when the user interrupts the program (Ctrl-C, or a request to end), which is answered in words.
/// For programs of which a run goes on where it stopped; to be called once.
///
/// # Errors
/// The system takes no handler, or there is one already.
pub fn stop_on_interrupt() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        eprintln!("stopping after this step; run the same command again to go on");
        flag.store(true, Ordering::Relaxed);
    })?;
    Ok(stop)
}
