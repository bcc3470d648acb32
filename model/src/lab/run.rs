//! The folder of a run: `run.json`, `weights.safetensors` and `codebook.json`, beside the checkpoint.

use super::coding::{self, Codebook};
use super::loss::logistic;
use super::model::Autoencoder;
use super::test_metrics::TestMetrics;
use super::{Epoch, LabError, Settings};
use crate::nn::Parameters;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub(super) const RUN: &str = "run.json";
pub(super) const WEIGHTS: &str = "weights.safetensors";
pub(super) const CODEBOOK: &str = "codebook.json";

/// Pictures that are computed at a time.
const BATCH: usize = 250;

/// What a finished run tells of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// What it was told.
    pub settings: Settings,
    /// Size of its pictures, rows and columns.
    pub size: [usize; 2],
    /// Weights and biases.
    pub parameters: usize,
    /// Every epoch.
    pub history: Vec<Epoch>,
    /// The epoch whose weights are kept, from 1.
    pub best: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// On the test pictures.
    pub test: TestMetrics,
}

/// A trained model.
pub struct Trained {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What it tells of itself.
    pub(crate) run: Run,
    pub(super) model: Autoencoder,
    pub(super) parameters: Parameters,
    pub(crate) codebook: Codebook,
    /// Over weights and codebook.
    pub(super) hash: [u8; 32],
}

impl Trained {
    /// What the run tells of itself.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Pixels of a picture.
    pub fn size(&self) -> usize {
        self.run.size[0] * self.run.size[1]
    }

    /// The bottleneck of each picture of `pixels` (N, H, W), or its mean: (N, K).
    pub(crate) fn encode(&self, pixels: &[u8]) -> Result<Vec<f32>, LabError> {
        encode(&self.model, &self.parameters, self.run.size, pixels)
    }

    /// The pictures that `latents` (N, K) are decoded to: (N, H, W).
    pub(crate) fn decode(&self, latents: &[f32]) -> Result<Vec<u8>, LabError> {
        let k = self.run.settings.bottleneck;
        let mut pixels = Vec::with_capacity(latents.len() / k * self.size());
        for part in latents.chunks(BATCH * k) {
            let z = Tensor::from_slice(part, (part.len() / k, k), &Device::Cpu)?;
            let values = logistic(&self.model.decode(&self.parameters, &z)?)?;
            let values = values.flatten_all()?.to_vec1::<f32>()?;
            pixels.extend(values.into_iter().map(|v| (v * 255.0).round() as u8));
        }
        Ok(pixels)
    }
}

/// The bottleneck of each picture of `pixels` (N, H, W), or its mean: (N, K).
pub(super) fn encode(
    model: &Autoencoder,
    parameters: &Parameters,
    [h, w]: [usize; 2],
    pixels: &[u8],
) -> Result<Vec<f32>, LabError> {
    let mut latents = Vec::new();
    for part in pixels.chunks(BATCH * h * w) {
        let values: Vec<f32> = part.iter().map(|&v| f32::from(v) / 255.0).collect();
        let x = Tensor::from_vec(values, (part.len() / (h * w), h, w, 1), &Device::Cpu)?;
        latents.extend(model.encode(parameters, &x)?.mean.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(latents)
}

/// Opens the finished run in `folder`.
///
/// # Errors
/// A folder without one, or with a damaged one.
pub fn load(folder: &Path) -> Result<Trained, LabError> {
    let path = folder.join(RUN);
    if !path.exists() {
        return Err(LabError::Settings(format!(
            "{} holds no finished run: train one with `bottleneck-lab fit --out {}`",
            folder.display(),
            folder.display()
        )));
    }
    let json = std::fs::read(&path).map_err(LabError::file(&path))?;
    let run: Run = serde_json::from_slice(&json)
        .map_err(|e| LabError::Damaged { path: path.clone(), what: e.to_string() })?;
    let model = Autoencoder::new(&run.settings, run.size[0], run.size[1])?;
    let path = folder.join(WEIGHTS);
    let damaged = |what: String| LabError::Damaged { path: path.clone(), what };
    let weights = std::fs::read(&path).map_err(LabError::file(&path))?;
    let parameters =
        candle_core::safetensors::load_buffer(&weights, &Device::Cpu).map_err(|e| damaged(e.to_string()))?;
    for (name, shape) in model.shapes() {
        match parameters.get(&name) {
            Some(tensor) if tensor.dims() == shape => {}
            Some(tensor) => {
                return Err(damaged(format!("{name} is {:?} instead of {shape:?}", tensor.dims())));
            }
            None => return Err(damaged(format!("{name} is missing"))),
        }
    }
    let path = folder.join(CODEBOOK);
    let json = std::fs::read(&path).map_err(LabError::file(&path))?;
    let codebook: Codebook = serde_json::from_slice(&json)
        .map_err(|e| LabError::Damaged { path: path.clone(), what: e.to_string() })?;
    codebook.check(run.settings.bottleneck).map_err(|what| LabError::Damaged { path: path.clone(), what })?;
    let hash = coding::hash(&weights, &json);
    Ok(Trained { folder: folder.into(), run, model, parameters, codebook, hash })
}
