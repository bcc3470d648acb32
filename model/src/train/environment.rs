//! The environment that training on a CPU wants.

use crate::{WITHOUT_IDLE_THREADS, restart_with};

/// What the process must start with to train fast on a CPU. Candle's own thread pool spins between the workers'
/// operations: each worker computes alone (0.34 against 1.1 steps/s, on two cores busy with other work). And
/// glibc's allocator gives every large tensor back to the system: it shall keep them (4.3 against 4.9 steps/s).
const ENVIRONMENT: [(&str, &str); 5] = [
    WITHOUT_IDLE_THREADS,
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "17179869184"),
    ("MALLOC_TOP_PAD_", "268435456"),
];

/// Starts this program again, in its place and with the same arguments, in the environment that training on a CPU
/// wants; does nothing where it is set already. To be called before any thread is started.
///
/// # Errors
/// The program's own file cannot be found or started.
pub fn ensure_environment() -> std::io::Result<()> {
    restart_with(&ENVIRONMENT)
}
