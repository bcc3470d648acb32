//! `bottleneck-train`: train the codec on photographs, and measure it.

mod evaluate;
mod export;
mod fit;
mod progress;
mod speed;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "bottleneck-train", version, about = "Train and measure the Bottleneck codec")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a codec on a folder of photographs.
    Fit(fit::FitArgs),
    /// Write the model files of a run as it stands.
    Export(export::ExportArgs),
    /// Measure rate and distortion on a folder of pictures.
    Evaluate(evaluate::EvaluateArgs),
    /// Time the stages of a decode against the machine's matrix product.
    Speed(speed::SpeedArgs),
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Fit(args) => fit::run(args),
        Command::Export(args) => export::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Speed(args) => speed::run(args),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
