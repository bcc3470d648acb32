//! `bottleneck-lab`: autoencoders and their kin on digits, and what they tell of the codec.

mod code;
mod fit;
mod report;
mod segment;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "bottleneck-lab", version, about = "Autoencoders, VAEs and β-VAEs that explain the codec")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model on digits (IDX files) or on a folder of pictures.
    Fit(fit::FitArgs),
    /// Write one page about trained models, for a lecture.
    Report(report::ReportArgs),
    /// Encode digits into one file, and compare its size with contact sheets.
    Encode(code::EncodeArgs),
    /// Decode such a file to a contact sheet (PNG).
    Decode(code::DecodeArgs),
    /// Segmentation of street scenes from the codec's codes.
    #[command(subcommand)]
    Segment(segment::SegmentCommand),
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Fit(args) => fit::run(args),
        Command::Report(args) => report::run(&args),
        Command::Encode(args) => code::encode(&args),
        Command::Decode(args) => code::decode(&args),
        Command::Segment(command) => segment::run(command),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
