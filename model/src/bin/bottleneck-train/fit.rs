//! `bottleneck-train fit`: arguments, progress, and what is written at the end.

use crate::progress::Display;
use anyhow::Context;
use bottleneck_model::Architecture;
use bottleneck_model::train::{self, Method, Progress, Settings, Weights};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct FitArgs {
    /// Folder of photographs (JPEG, PNG, WebP); one in twenty is held out for validation, by name.
    #[arg(long)]
    data: PathBuf,
    /// Folder of the run: checkpoint and log. A run that lies there already is resumed.
    #[arg(long, default_value = "runs/lite")]
    run: PathBuf,
    /// Model file to write at the end (and after Ctrl-C).
    #[arg(long)]
    out: PathBuf,
    /// What to train: lite, base, tiny, or a JSON file of sizes: what `architecture` is in a run's
    /// checkpoint/state.json.
    #[arg(long, default_value = "lite")]
    profile: String,
    /// Start from the weights of a model file, or from `lite` or `base`, instead of from the transform start. Those of a smaller
    /// model are grown to the profile, so that it begins with the same pictures at the same rates.
    #[arg(long)]
    init: Option<String>,
    /// Start from random weights instead of from the transform start.
    #[arg(long, conflicts_with = "init")]
    random_start: bool,
    /// Steps in all.
    #[arg(long, default_value_t = 40_000)]
    steps: u64,
    /// Pictures a step.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Side of the random crops in pixels, a multiple of 64.
    #[arg(long, default_value_t = 192)]
    crop: usize,
    /// What makes steps of gradients: adamw or soap (Adam in the eigenbasis of the gradients' covariance).
    #[arg(long, default_value = "soap", value_parser = method)]
    optimiser: Method,
    /// Highest learning rate: 1e-3 unless told, 2e-4 with --init, so that what was learned is not shaken off.
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Learning rate at the end.
    #[arg(long, default_value_t = 1e-6)]
    final_rate: f64,
    /// Steps of linear warm-up.
    #[arg(long, default_value_t = 300)]
    warm_up: u64,
    /// Share of the run at the highest rate before the cosine decay begins.
    #[arg(long, default_value_t = 0.5)]
    hold: f64,
    /// Weight in the distortion of steps across patch borders that stand out: keeps a block grid from showing.
    #[arg(long, default_value_t = 0.15)]
    border: f64,
    /// Share, 0 up to less than 1, of structural dissimilarity in the distortion; the rest is squared error. More spends
    /// bits where eyes see best, and loses PSNR.
    #[arg(long, default_value_t = 0.7)]
    structure: f64,
    /// Decoupled weight decay.
    #[arg(long, default_value_t = 1e-4)]
    weight_decay: f64,
    /// Largest gradient norm.
    #[arg(long, default_value_t = 1.0)]
    clip: f64,
    /// Decay of the moving average of the weights.
    #[arg(long, default_value_t = 0.999)]
    average: f64,
    /// Seed of weights, crops and noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads, each with its share of the batch.
    #[arg(long)]
    workers: Option<usize>,
    /// Steps between two validations.
    #[arg(long, default_value_t = 2_000)]
    validate_every: u64,
    /// Where to train: cpu or cuda.
    #[arg(long, default_value = "cpu")]
    device: String,
}

fn method(name: &str) -> Result<Method, String> {
    match name {
        "adamw" => Ok(Method::AdamW),
        "soap" => Ok(Method::Soap),
        _ => Err("allowed: adamw, soap".into()),
    }
}

pub(crate) fn run(args: FitArgs) -> anyhow::Result<()> {
    if args.device == "cpu" {
        train::ensure_environment().context("cannot start the training process")?;
    }
    let settings = settings(&args)?;
    std::fs::create_dir_all(&args.run).with_context(|| format!("cannot create {}", args.run.display()))?;
    let log_path = args.run.join("log.jsonl");
    let mut log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("cannot write {}", log_path.display()))?;

    let stop = train::stop_on_interrupt()?;

    let mut display = Display::new(settings.steps);
    let (architecture, averaged) = train::fit(&settings, &stop, &mut |progress| {
        display.show(&progress);
        if let Progress::Validated { step, pixels, seconds, points } = &progress {
            let points: Vec<_> = points
                .iter()
                .map(|p| serde_json::json!({"position": p.position, "bpp": p.bpp, "psnr": p.psnr, "log_cost": p.log_cost, "log_objective": p.log_objective}))
                .collect();
            let line =
                serde_json::json!({"step": step, "pixels": pixels, "seconds": seconds, "points": points});
            if let Err(e) = writeln!(log, "{line}") {
                eprintln!("warning: cannot write the log: {e}");
            }
        }
    })?;
    drop(display);
    let exported = crate::export::calibrated(&architecture, &averaged, &args.data)?;
    std::fs::write(&args.out, exported.whole)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    println!("wrote {}", args.out.display());
    Ok(())
}

/// A built-in profile by name, or one of sizes in a file.
pub(crate) fn architecture(profile: &str) -> anyhow::Result<Architecture> {
    if let Some(architecture) = Architecture::named(profile) {
        return Ok(architecture);
    }
    if !profile.ends_with(".json") {
        anyhow::bail!("--profile is {profile}; allowed: lite, base, tiny, or a .json file of sizes");
    }
    let json = std::fs::read(profile).with_context(|| format!("cannot read {profile}"))?;
    serde_json::from_slice(&json).with_context(|| format!("{profile} does not hold the sizes of a model"))
}

fn settings(args: &FitArgs) -> anyhow::Result<Settings> {
    let device = match args.device.as_str() {
        "cpu" => candle_core::Device::Cpu,
        "cuda" => {
            candle_core::Device::new_cuda(0).context("cannot use a GPU (built with --features cuda?)")?
        }
        other => anyhow::bail!("--device is {other}; allowed: cpu, cuda"),
    };
    let architecture = architecture(&args.profile)?;
    let init = args.init.as_deref().map(|from| train::initial_weights(from, &device)).transpose()?;
    let workers = args.workers.unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        if device.is_cpu() { cores.min(args.batch) } else { 1 }
    });
    Ok(Settings {
        data: args.data.clone(),
        out: args.run.clone(),
        architecture,
        init,
        random_start: args.random_start,
        steps: args.steps,
        batch: args.batch,
        crop: args.crop,
        method: args.optimiser,
        learning_rate: args.learning_rate.unwrap_or(if args.init.is_some() { 2e-4 } else { 1e-3 }),
        final_rate: args.final_rate,
        warm_up: args.warm_up,
        hold: args.hold,
        weights: Weights { border: args.border, structure: args.structure },
        weight_decay: args.weight_decay,
        clip: args.clip,
        average: args.average,
        seed: args.seed,
        workers,
        validate_every: args.validate_every,
        device,
    })
}
