//! `bottleneck-lab encode` and `decode`: digits as files of coded bottlenecks.

use anyhow::Context;
use bottleneck_model::lab::{self, Pictures};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct EncodeArgs {
    /// Folder of a finished run.
    run: PathBuf,
    /// File to write.
    out: PathBuf,
    /// Folder of the pictures: the first of its test set are encoded. The one of the run unless told.
    #[arg(long)]
    data: Option<PathBuf>,
    /// How many pictures.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Step of the quantiser, in 32nds of the spread of the bottleneck: 1 is finest, 1024 coarsest.
    #[arg(long, default_value_t = 32)]
    step: u16,
}

#[derive(Args)]
pub(crate) struct DecodeArgs {
    /// Folder of the run that made the file.
    run: PathBuf,
    /// File of codes.
    file: PathBuf,
    /// Contact sheet to write.
    #[arg(short, long)]
    out: PathBuf,
}

pub(crate) fn encode(args: &EncodeArgs) -> anyhow::Result<()> {
    let trained = lab::load(&args.run)?;
    let settings = &trained.run().settings;
    let data = Pictures::load(args.data.as_deref().unwrap_or(&settings.data), settings.side)?;
    let all = data.count(&data.test);
    anyhow::ensure!(
        (1..=all).contains(&args.count),
        "--count is {}; the test set has {all} pictures",
        args.count
    );
    anyhow::ensure!(
        [data.height, data.width] == trained.run().size,
        "the pictures are of another size than those that the model learned from"
    );
    let pixels = &data.test.pixels[..args.count * data.size()];
    let file = lab::encode(&trained, pixels, args.step)?;
    std::fs::write(&args.out, &file).with_context(|| format!("cannot write {}", args.out.display()))?;
    // What the file gives back, not what went into it.
    let decoded = lab::decode(&trained, &file)?;
    let mse = lab::mse(pixels, &decoded);
    let (others, notes) = lab::sizes(pixels, trained.run().size, mse)?;
    let name = format!("{}, {} numbers", settings.kind.name(), settings.bottleneck);
    let ours = lab::Size { name, bytes: file.len() as u64, mse };
    println!("{:34} {:>10} {:>14} {:>9}", "", "bytes", "bytes/picture", "MSE");
    for size in std::iter::once(&ours).chain(&others) {
        let each = size.bytes as f64 / args.count as f64;
        println!("{:34} {:>10} {each:>14.2} {:>9.5}", size.name, size.bytes, size.mse);
    }
    notes.iter().for_each(|note| eprintln!("{note}"));
    Ok(())
}

pub(crate) fn decode(args: &DecodeArgs) -> anyhow::Result<()> {
    let trained = lab::load(&args.run)?;
    let file = std::fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let pixels = lab::decode(&trained, &file).with_context(|| args.file.display().to_string())?;
    let sheet = lab::contact_sheet(&pixels, trained.run().size)?;
    std::fs::write(&args.out, sheet).with_context(|| format!("cannot write {}", args.out.display()))?;
    println!("{} pictures in {}", pixels.len() / trained.size(), args.out.display());
    Ok(())
}
