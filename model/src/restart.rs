//! Some libraries read the environment once, at their start: a program that wants another one starts again.

/// Without the tensor library's own threads, which spin between its operations. Our threads have all cores busy
/// (refining one picture took 2.4 seconds of processor time for 4.0 with them).
pub const WITHOUT_IDLE_THREADS: (&str, &str) = ("CANDLE_NUM_THREADS", "1");

/// Starts this program again, in its place and with the same arguments, with these variables added to the environment,
/// unless the first of them is set already: then it, or whoever started it, has chosen.
///
/// # Errors
/// The program's own file cannot be found or started. Where it can, this does not return.
#[cfg(unix)]
pub fn restart_with(environment: &[(&str, &str)]) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    if environment.first().is_none_or(|(name, _)| std::env::var_os(name).is_some()) {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let arguments = std::env::args_os().skip(1);
    Err(std::process::Command::new(program).args(arguments).envs(environment.iter().copied()).exec())
}

/// Elsewhere a program cannot be replaced: it goes on as it is.
#[cfg(not(unix))]
pub fn restart_with(_: &[(&str, &str)]) -> std::io::Result<()> {
    Ok(())
}
