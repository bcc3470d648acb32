//! `bottleneck-train export`: the model files of a run, as it stands.

use anyhow::Context;
use bottleneck_model::train;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// Folder of the run.
    #[arg(long)]
    run: PathBuf,
    /// Model file to write: encoder and decoder in one.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder to write PROFILE.encoder.safetensors and PROFILE.decoder.safetensors to: what a build embeds.
    #[arg(long)]
    split: Option<PathBuf>,
}

pub(crate) fn run(args: ExportArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.out.is_some() || args.split.is_some(), "nothing to write: give --out or --split");
    let (architecture, averaged) = train::averaged(&args.run)?;
    let exported = train::export(&architecture, &averaged, true)?;
    if let Some(out) = &args.out {
        write(out, &exported.whole)?;
    }
    if let Some(folder) = &args.split {
        write(&folder.join(format!("{}.encoder.safetensors", architecture.profile)), &exported.encoder)?;
        write(&folder.join(format!("{}.decoder.safetensors", architecture.profile)), &exported.decoder)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {} ({} bytes)", path.display(), bytes.len());
    Ok(())
}
