//! Time and memory of whole programs: what a user of each codec's command waits for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bottleneck_model::evaluate::peers::{Peer, Threads, Workbench};
use serde::Serialize;

use super::savings::{quantile, sorted};

/// Runs of a program, of which the median counts.
const RUNS: usize = 3;

/// A codec's programs.
#[derive(Clone, Debug)]
pub enum Programs {
    /// Those of a peer.
    Peer(Peer),
    /// `bottleneck`, with the arguments that choose the model.
    Bottleneck {
        /// The program.
        program: PathBuf,
        /// Arguments of `encode`.
        encode: Vec<String>,
        /// Arguments of `decode`.
        decode: Vec<String>,
    },
}

/// Why a program could not be timed.
#[derive(Debug, thiserror::Error)]
pub enum TimingError {
    /// It does not start.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Its name.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It ran and failed.
    #[error("{program} failed with {status}")]
    Failed {
        /// Its name.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
    },
}

/// What a program takes for one picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Processor seconds with one thread, the start of the process included.
    pub one_core: f64,
    /// Seconds that pass, with as many threads as the program likes.
    pub all_cores: f64,
    /// Most memory that it held, in bytes, with one thread; `None` where the system does not tell.
    pub memory: Option<u64>,
}

impl Programs {
    fn encoder(&self, bench: &Workbench<'_>, setting: f64, coded: &Path, threads: Threads) -> Command {
        match self {
            Programs::Peer(peer) => bench.encoder(*peer, setting, coded, threads),
            Programs::Bottleneck { program, encode, .. } => {
                let mut command = ours(program, threads);
                command.args(["encode", "-q", &setting.to_string()]).args(encode).arg(bench.png()).arg(coded);
                command
            }
        }
    }

    fn decoder(&self, coded: &Path, decoded: &Path, threads: Threads) -> Command {
        match self {
            Programs::Peer(peer) => peer.decoder(coded, decoded, threads),
            Programs::Bottleneck { program, decode, .. } => {
                let mut command = ours(program, threads);
                command.arg("decode").args(decode).arg(coded).arg(decoded);
                command
            }
        }
    }

    /// The code's file extension, and the decoded picture's: PPM, which costs next to nothing to write; `avifdec`
    /// has Y4M instead, without the conversion to RGB.
    fn extensions(&self) -> (&'static str, &'static str) {
        match self {
            Programs::Peer(Peer::Avif) => ("avif", "y4m"),
            Programs::Peer(peer) => (peer.extension(), "ppm"),
            Programs::Bottleneck { .. } => ("bnk", "ppm"),
        }
    }

    /// Times encoding the picture, and decoding what comes out.
    ///
    /// # Errors
    /// Programs that do not start, or fail.
    pub fn time(&self, bench: &Workbench<'_>, setting: f64) -> Result<(Cost, Cost), TimingError> {
        let (coded, decoded) = self.extensions();
        let (coded, decoded) = (bench.file(coded), bench.file(decoded));
        let encode = cost(|threads| self.encoder(bench, setting, &coded, threads))?;
        let decode = cost(|threads| self.decoder(&coded, &decoded, threads))?;
        Ok((encode, decode))
    }
}

fn ours(program: &Path, threads: Threads) -> Command {
    let mut command = Command::new(program);
    if threads == Threads::One {
        command.env("RAYON_NUM_THREADS", "1");
    }
    command
}

fn cost(command: impl Fn(Threads) -> Command) -> Result<Cost, TimingError> {
    let median = |runs: Vec<f64>| quantile(&sorted(runs), 0.5);
    let one: Result<Vec<_>, _> = (0..RUNS).map(|_| processor_seconds(command(Threads::One))).collect();
    let all: Result<Vec<_>, _> = (0..RUNS).map(|_| wall_seconds(command(Threads::All))).collect();
    let memory = peak_memory(command(Threads::One))?;
    Ok(Cost { one_core: median(one?), all_cores: median(all?), memory })
}

fn start(command: &mut Command) -> Result<std::process::Child, TimingError> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|source| TimingError::Start { program: name(command), source })
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn ended(command: &Command, status: std::process::ExitStatus) -> Result<(), TimingError> {
    if status.success() { Ok(()) } else { Err(TimingError::Failed { program: name(command), status }) }
}

fn wall_seconds(mut command: Command) -> Result<f64, TimingError> {
    let begun = Instant::now();
    let mut child = start(&mut command)?;
    let status = child.wait().map_err(|source| TimingError::Start { program: name(&command), source })?;
    ended(&command, status)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Processor time, by what the system counts of children that have ended. No other may run beside it.
#[cfg(unix)]
fn processor_seconds(command: Command) -> Result<f64, TimingError> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let spent = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(io::Error::from);
        usage.map(|usage| (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
    };
    let program = name(&command);
    let failed = |source| TimingError::Start { program: program.clone(), source };
    let before = spent().map_err(failed)?;
    wall_seconds(command)?;
    Ok(spent().map_err(failed)? - before)
}

/// With one thread, the time that passes is nearly that of the processor.
#[cfg(not(unix))]
fn processor_seconds(command: Command) -> Result<f64, TimingError> {
    wall_seconds(command)
}

/// The peak of the resident memory (`VmHWM` of proc(5)), read every millisecond while the program runs. What the
/// system says of an ended child would count the memory of this process, from which the child was started.
fn peak_memory(mut command: Command) -> Result<Option<u64>, TimingError> {
    let mut child = start(&mut command)?;
    let path = format!("/proc/{}/status", child.id());
    let mut peak = None;
    let status = loop {
        let failed = |source| TimingError::Start { program: name(&command), source };
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        // A child that has just begun may still show its parent's memory: the last reading counts, not the largest.
        peak = kilobytes.map(|kilobytes| kilobytes * 1024).or(peak);
        std::thread::sleep(Duration::from_millis(1));
    };
    ended(&command, status)?;
    Ok(peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_program_that_waits_passes_time_and_spends_none() {
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("0.3");
            command
        };
        assert!(wall_seconds(sleep()).unwrap() >= 0.3);
        assert!(processor_seconds(sleep()).unwrap() < 0.3);
        if cfg!(target_os = "linux") {
            let memory = peak_memory(sleep()).unwrap().unwrap();
            assert!((100 << 10..64 << 20).contains(&memory), "{memory}");
        }
    }

    #[test]
    fn programs_that_fail_or_are_missing_are_named() {
        let error = wall_seconds(Command::new("false")).unwrap_err().to_string();
        assert!(error.starts_with("false failed with"), "{error}");
        let error = wall_seconds(Command::new("no-such-program")).unwrap_err().to_string();
        assert!(error.starts_with("cannot start no-such-program"), "{error}");
    }
}
