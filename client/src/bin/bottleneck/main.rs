//! `bottleneck`: encode, decode and inspect `.bnk` codes, have a server encode, and fetch what it keeps.
//!
//! Exit status: 0 success, 1 error, 2 wrong usage, 3 part of a batch failed.
#![forbid(unsafe_code)]

#[cfg(feature = "compare")]
mod compare;
mod decode;
#[cfg(feature = "encode")]
mod encode;
mod fetch;
mod files;
mod info;
mod models;
mod summary;
mod terminal;
mod upload;

use std::process::ExitCode;

use bottleneck_proto::Quality;
use clap::{Parser, Subcommand};

/// Learned image compression: pictures to .bnk codes and back.
#[derive(Parser)]
#[command(name = "bottleneck", version, max_term_width = 100)]
#[command(after_help = "`-` stands for standard input or output. Exit status: 0 success, 1 error, \
    2 wrong usage, 3 part of a batch failed.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "encode")]
    Encode(encode::Arguments),
    /// Encode a picture (not in this build: see its message)
    #[cfg(not(feature = "encode"))]
    #[command(disable_help_flag = true)]
    Encode {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _arguments: Vec<std::ffi::OsString>,
    },
    Decode(decode::Arguments),
    Info(info::Arguments),
    Upload(upload::Arguments),
    Fetch(fetch::Arguments),
    #[cfg(feature = "compare")]
    Compare(compare::Arguments),
    /// Compare with other codecs (not in this build: see its message)
    #[cfg(not(feature = "compare"))]
    #[command(disable_help_flag = true)]
    Compare {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _arguments: Vec<std::ffi::OsString>,
    },
}

/// Arguments that are well formed, but make no sense together: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// How a command that did not fail as a whole ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Some items of a batch failed; each was reported.
    Partial,
}

/// Reads a quality on the 0..=100 scale.
fn percent(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| Quality::from_percent(*value).is_some());
    value.ok_or_else(|| "allowed are numbers from 0 to 100".into())
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        #[cfg(feature = "encode")]
        Command::Encode(arguments) => encode::run(arguments),
        #[cfg(not(feature = "encode"))]
        Command::Encode { .. } => Err(anyhow::anyhow!(
            "this build has no encoder: build bottleneck-client with its feature `encode`, or have a \
             server encode (`bottleneck upload`)"
        )),
        Command::Decode(arguments) => decode::run(arguments),
        Command::Info(arguments) => info::run(arguments),
        Command::Upload(arguments) => upload::run(arguments),
        Command::Fetch(arguments) => fetch::run(arguments),
        #[cfg(feature = "compare")]
        Command::Compare(arguments) => compare::run(arguments),
        #[cfg(not(feature = "compare"))]
        Command::Compare { .. } => Err(anyhow::anyhow!(
            "this build has no benchmark: build bottleneck-client with its feature `compare`"
        )),
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::from(3),
        // Whoever closed our output (`… | head`) has what they wanted.
        Err(error) if terminal::is_closed_stdout(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::report(&error);
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}
