//! `bottleneck-train export`: the model files of a run, as it stands.

use anyhow::Context;
use bottleneck_model::train::{self, Exported, Parameters, Photos};
use bottleneck_model::{Architecture, Model};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// Folder of the run.
    #[arg(long)]
    run: PathBuf,
    /// Folder of the photographs that it was trained on: the coder's tables are counted on some of them.
    #[arg(long)]
    data: PathBuf,
    /// Model file to write: encoder and decoder in one.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder to write PROFILE.encoder.safetensors, PROFILE.decoder.safetensors and PROFILE.id to: what a build embeds.
    #[arg(long)]
    split: Option<PathBuf>,
}

pub(crate) fn run(args: ExportArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.out.is_some() || args.split.is_some(), "nothing to write: give --out or --split");
    let (architecture, averaged) = train::averaged(&args.run)?;
    let exported = calibrated(&architecture, &averaged, &args.data)?;
    if let Some(out) = &args.out {
        write(out, &exported.whole)?;
    }
    if let Some(folder) = &args.split {
        let id = Model::from_bytes(&exported.decoder)?.id().to_string() + "\n";
        let parts = [
            ("encoder.safetensors", &exported.encoder[..]),
            ("decoder.safetensors", &exported.decoder),
            ("id", id.as_bytes()),
        ];
        for (name, bytes) in parts {
            write(&folder.join(format!("{}.{name}", architecture.profile)), bytes)?;
        }
    }
    Ok(())
}

/// Photographs that the tables are counted on.
const CALIBRATION_PHOTOS: usize = 128;

/// The model files, with tables counted on training photographs.
pub(crate) fn calibrated(
    architecture: &Architecture,
    values: &Parameters,
    data: &Path,
) -> anyhow::Result<Exported> {
    let photos = Photos::load(data, 64)?;
    let stride = photos.training.len().div_ceil(CALIBRATION_PHOTOS);
    let some: Vec<_> = photos.training.iter().step_by(stride).collect();
    println!("counting the coder's tables on {} photographs", some.len());
    let plain = train::export(architecture, values, true, None)?;
    let calibration = train::calibrate(&plain, &some)?;
    Ok(train::export(architecture, values, true, Some(&calibration))?)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {} ({} bytes)", path.display(), bytes.len());
    Ok(())
}
