//! `bottleneck-lab fit`: arguments and progress.

use anyhow::Context;
use bottleneck_model::lab::{self, Kind, Likelihood, Progress, Settings};
use bottleneck_model::train;
use clap::Args;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct FitArgs {
    /// dense-ae, conv-ae, vae, conv-vae or beta-vae.
    #[arg(long, value_parser = kind)]
    model: Kind,
    /// Numbers in the bottleneck.
    #[arg(long)]
    bottleneck: usize,
    /// Folder of IDX files (MNIST, Fashion-MNIST; .gz too) or of pictures (JPEG, PNG, WebP).
    #[arg(long)]
    data: PathBuf,
    /// Folder of the run. A run that lies there is resumed.
    #[arg(long)]
    out: PathBuf,
    /// Weight of the KL term: 4 for beta-vae unless told, 1 for vae and conv-vae.
    #[arg(long)]
    beta: Option<f64>,
    /// Reconstruction term: bernoulli (of the VAEs unless told) or gaussian (of the autoencoders).
    #[arg(long)]
    likelihood: Option<String>,
    /// Standard deviation of the Gaussian likelihood, values 0..1.
    #[arg(long, default_value_t = 0.1)]
    deviation: f64,
    /// Widths of the fully connected layers before the bottleneck, comma-separated: 512,256 unless told, and 128 in
    /// the convolutional models.
    #[arg(long, value_delimiter = ',')]
    hidden: Vec<usize>,
    /// Side that the pictures of a folder are scaled to.
    #[arg(long, default_value_t = 28)]
    side: usize,
    /// Passes over the training pictures at most; the learning rate falls to its end with them.
    #[arg(long, default_value_t = 20)]
    epochs: u64,
    /// Pictures a step.
    #[arg(long, default_value_t = 256)]
    batch: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// Decoupled weight decay.
    #[arg(long, default_value_t = 0.01)]
    weight_decay: f64,
    /// Stop after this many epochs without a better validation loss.
    #[arg(long, default_value_t = 5)]
    patience: u64,
    /// Seed of weights, order and noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; a run is repeated exactly with the same number.
    #[arg(long)]
    workers: Option<usize>,
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let names = Kind::ALL.map(Kind::name).join(", ");
        format!("allowed: {names}")
    })
}

pub(crate) fn run(args: FitArgs) -> anyhow::Result<()> {
    train::ensure_environment().context("cannot start the training process")?;
    let settings = settings(&args)?;
    let stop = train::stop_on_interrupt()?;
    let run = lab::fit(&settings, &args.out, &stop, &mut |progress| print(&settings, &progress))?;
    let Some(run) = run else { return Ok(()) };
    let test = &run.test;
    println!(
        "test ({} pictures, weights of epoch {}, {:.0} s of training): MSE {:.5}",
        test.pictures, run.best, run.seconds, test.mse
    );
    if settings.kind.variational() {
        println!(
            "negative ELBO {:.2} nats = reconstruction ({}) {:.2} + KL {:.2} ({:.1} bits); {} of {} numbers active",
            test.negative_elbo(),
            likelihood_name(settings.likelihood),
            test.reconstruction,
            test.kl,
            test.kl_bits(),
            test.active,
            settings.bottleneck
        );
    } else {
        let name = likelihood_name(settings.likelihood);
        println!("reconstruction ({name}) {:.2} nats", test.reconstruction);
    }
    println!("wrote {}", args.out.display());
    Ok(())
}

fn likelihood_name(likelihood: Likelihood) -> &'static str {
    match likelihood {
        Likelihood::Bernoulli => "Bernoulli on grey values",
        Likelihood::Gaussian { .. } => "Gaussian",
    }
}

fn settings(args: &FitArgs) -> anyhow::Result<Settings> {
    let kind = args.model;
    let beta = match (args.beta, kind) {
        (Some(_), _) if !kind.variational() => {
            anyhow::bail!("--beta weighs the KL term, and {} has none: leave it out", kind.name())
        }
        (Some(beta), _) => beta,
        (None, Kind::BetaVae) => 4.0,
        (None, _) => 1.0,
    };
    let gaussian = Likelihood::Gaussian { deviation: args.deviation };
    let likelihood = match args.likelihood.as_deref() {
        Some("bernoulli") => Likelihood::Bernoulli,
        Some("gaussian") => gaussian,
        None if kind.variational() => Likelihood::Bernoulli,
        None => gaussian,
        Some(other) => anyhow::bail!("--likelihood is {other}; allowed: bernoulli, gaussian"),
    };
    let hidden = match (&args.hidden[..], kind) {
        ([], Kind::ConvAe | Kind::ConvVae) => vec![128],
        ([], _) => vec![512, 256],
        (hidden, _) => hidden.to_vec(),
    };
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
    Ok(Settings {
        kind,
        bottleneck: args.bottleneck,
        beta,
        likelihood,
        hidden,
        data: args.data.clone(),
        side: args.side,
        epochs: args.epochs,
        batch: args.batch,
        learning_rate: args.learning_rate,
        weight_decay: args.weight_decay,
        patience: args.patience,
        seed: args.seed,
        workers: args.workers.unwrap_or_else(cores),
    })
}

fn print(settings: &Settings, progress: &Progress) {
    let terminal = std::io::stderr().is_terminal();
    match progress {
        Progress::Data { counts: [training, validation, test], size: [height, width], parameters, from } => {
            println!(
                "{training} pictures of {width}×{height} to train on, {validation} held out, {test} to test on; \
                 {parameters} parameters; {from} of {} epochs done",
                settings.epochs
            );
        }
        Progress::Steps { epoch, steps: [done, all] } => {
            if terminal {
                eprint!("\repoch {epoch}: step {done}/{all} ");
                let _ = std::io::stderr().flush();
            }
        }
        Progress::Epoch(done) => {
            if terminal {
                eprint!("\r");
            }
            let (epoch, validation) = (done.epoch, &done.validation);
            print!("epoch {epoch}/{}  {:.0} s  ", settings.epochs, done.seconds);
            print!("reconstruction {:.3} nats", done.reconstruction);
            if settings.kind.variational() {
                print!("  KL {:.3} nats ({:.2} bits)", done.kl, done.kl / std::f64::consts::LN_2);
            }
            print!("  | held out: reconstruction {:.3}", validation.reconstruction);
            if settings.kind.variational() {
                print!("  KL {:.3}  negative ELBO {:.3}", validation.kl, validation.negative_elbo());
            }
            println!("  MSE {:.5}", validation.mse);
        }
        Progress::Stopped { best } => {
            println!("no better since epoch {best}: stopped early");
        }
    }
}
