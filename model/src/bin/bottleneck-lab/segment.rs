//! `bottleneck-lab segment`: what is in a picture, from its code.

use anyhow::Context;
use bottleneck_model::lab::segment::{self, Input, Outcome, Progress, Settings};
use bottleneck_model::{evaluate::picture::write_png, train};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum SegmentCommand {
    /// Train heads on codes, on decoded pixels and with an encoder of their own, and compare them.
    Fit(FitArgs),
    /// Draw the classes of a code's picture.
    Apply(ApplyArgs),
}

#[derive(Args)]
pub(crate) struct FitArgs {
    /// Folder of CamVid, as SegNet lays it out: train.txt, train/NAME.jpg or .png, trainannot/NAME.png, and test.
    #[arg(long)]
    data: PathBuf,
    /// Folder to write weights and scores to.
    #[arg(long)]
    out: PathBuf,
    /// Heads to train, comma-separated: codes, pixels, joint.
    #[arg(long, value_delimiter = ',', default_value = "codes,pixels,joint", value_parser = input)]
    heads: Vec<Input>,
    /// The codec whose codes are understood: lite or base.
    #[arg(long, default_value = "lite")]
    profile: String,
    /// Passes over the training pictures.
    #[arg(long, default_value_t = 12)]
    epochs: usize,
    /// Pictures a step.
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 2e-3)]
    learning_rate: f64,
    /// Seed of weights and order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long)]
    workers: Option<usize>,
}

#[derive(Args)]
pub(crate) struct ApplyArgs {
    /// The code (.bnk).
    code: PathBuf,
    /// Weights of a head for codes.
    #[arg(long)]
    weights: PathBuf,
    /// Picture of the classes to write (PNG).
    #[arg(short, long)]
    out: PathBuf,
    /// Also write the classes laid over the decoded picture (PNG).
    #[arg(long)]
    overlay: Option<PathBuf>,
}

fn input(name: &str) -> Result<Input, String> {
    let found = Input::ALL.into_iter().find(|input| input.name() == name);
    found.ok_or_else(|| "allowed: codes, pixels, joint".into())
}

pub(crate) fn run(command: SegmentCommand) -> anyhow::Result<()> {
    match command {
        SegmentCommand::Fit(args) => fit(args),
        SegmentCommand::Apply(args) => apply(&args),
    }
}

fn fit(args: FitArgs) -> anyhow::Result<()> {
    train::ensure_environment().context("cannot start the training process")?;
    let settings = Settings {
        data: args.data,
        out: args.out,
        inputs: args.heads,
        profile: args.profile,
        epochs: args.epochs,
        batch: args.batch,
        learning_rate: args.learning_rate,
        seed: args.seed,
        workers: args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get())),
    };
    let outcomes = segment::fit(&settings, &mut |progress| print(&progress, settings.epochs))?;
    let path = settings.out.join("scores.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&outcomes)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", settings.out.display());
    Ok(())
}

fn print(progress: &Progress, epochs: usize) {
    match progress {
        Progress::Coded { training, seconds } => {
            println!("{training} codes to learn from, made in {seconds:.0} s")
        }
        Progress::Epoch { input, epoch, loss, seconds } => {
            println!(
                "{}: epoch {epoch}/{epochs}  {seconds:.0} s  cross-entropy {loss:.4} nats",
                input.name()
            );
        }
        Progress::Done(Outcome {
            input,
            parameters,
            kmac_per_pixel,
            synthesis_kmac_per_pixel,
            seconds,
            scores,
        }) => {
            println!(
                "{}: {parameters} parameters, {kmac_per_pixel:.2} kMAC/pixel (and {synthesis_kmac_per_pixel:.2} to decode \
                 pixels for it), {seconds:.0} s of training",
                input.name()
            );
            for (quality, score) in scores {
                let from = quality.map_or("original pixels".to_string(), |q| format!("codes at q {q}"));
                println!("  test, {from}: mIoU {:.4}, pixel accuracy {:.4}", score.miou, score.accuracy);
            }
        }
    }
}

fn apply(args: &ApplyArgs) -> anyhow::Result<()> {
    let read =
        |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (code, weights) = (read(&args.code)?, read(&args.weights)?);
    let (mask, overlay) = segment::apply(&code, &weights, args.overlay.is_some())?;
    write_png(&mask, &args.out)?;
    if let (Some(path), Some(picture)) = (&args.overlay, overlay) {
        write_png(&picture, path)?;
    }
    println!("wrote {}", args.out.display());
    Ok(())
}
