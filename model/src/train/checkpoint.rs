//! Training state on disk: four safetensors files and a small JSON, replaced as one folder.

use super::optimiser::Optimiser;
use crate::network::Architecture;
use crate::nn::Parameters;
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A tensor file is damaged.
    #[error("{path}: {source}")]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: candle_core::Error,
    },
    /// There is none.
    #[error("{path} holds no checkpoint yet")]
    Missing {
        /// The run's folder.
        path: PathBuf,
    },
    /// state.json is damaged.
    #[error("{path}: {source}")]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// What a run must know to go on as if it had not stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) architecture: Architecture,
    pub(super) step: u64,
    pub(super) pixels: u64,
    pub(super) seconds: f64,
    pub(super) seed: u64,
}

/// Where a run's checkpoint lies.
pub(super) fn folder(out: &Path) -> PathBuf {
    out.join("checkpoint")
}

/// Writes the whole state beside the last checkpoint, then takes its place.
pub(super) fn save(out: &Path, optimiser: &Optimiser, state: &State) -> Result<(), CheckpointError> {
    let target = folder(out);
    let fresh = out.join("checkpoint.new");
    let old = out.join("checkpoint.old");
    let file = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CheckpointError::File { path, source }
    };
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(file(&fresh))?;
    }
    std::fs::create_dir_all(&fresh).map_err(file(&fresh))?;
    let values: BTreeMap<String, Tensor> =
        optimiser.values.iter().map(|(k, v)| (k.clone(), v.as_tensor().clone())).collect();
    for (name, tensors) in [
        ("values", &values),
        ("first", &optimiser.first),
        ("second", &optimiser.second),
        ("average", &optimiser.average),
    ] {
        let path = fresh.join(format!("{name}.safetensors"));
        let tensors: HashMap<String, Tensor> = tensors.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        candle_core::safetensors::save(&tensors, &path).map_err(|source| CheckpointError::Tensors { path, source })?;
    }
    let path = fresh.join("state.json");
    let json = serde_json::to_vec_pretty(state).expect("plain data serialises");
    std::fs::write(&path, json).map_err(file(&path))?;
    if old.exists() {
        std::fs::remove_dir_all(&old).map_err(file(&old))?;
    }
    if target.exists() {
        std::fs::rename(&target, &old).map_err(file(&target))?;
    }
    std::fs::rename(&fresh, &target).map_err(file(&fresh))
}

/// Reads a checkpoint, or `None` where there is none yet.
pub(super) fn load(out: &Path, device: &Device) -> Result<Option<(Optimiser, State)>, CheckpointError> {
    let mut from = folder(out);
    if !from.exists() {
        // A crash between the two renames of `save` leaves the last one here.
        from = out.join("checkpoint.old");
        if !from.exists() {
            return Ok(None);
        }
    }
    let path = from.join("state.json");
    let json = std::fs::read(&path).map_err(|source| CheckpointError::File { path: path.clone(), source })?;
    let state: State = serde_json::from_slice(&json).map_err(|source| CheckpointError::State { path, source })?;
    let read = |name: &str| -> Result<BTreeMap<String, Tensor>, CheckpointError> {
        let path = from.join(format!("{name}.safetensors"));
        let tensors = candle_core::safetensors::load(&path, device)
            .map_err(|source| CheckpointError::Tensors { path, source })?;
        Ok(tensors.into_iter().collect())
    };
    let vars = read("values")?
        .into_iter()
        .map(|(k, v)| Ok((k, Var::from_tensor(&v)?)))
        .collect::<candle_core::Result<_>>()
        .map_err(|source| CheckpointError::Tensors { path: from.clone(), source })?;
    let optimiser = Optimiser {
        values: vars,
        first: read("first")?,
        second: read("second")?,
        average: read("average")?,
        step: state.step,
    };
    Ok(Some((optimiser, state)))
}

/// The architecture and the averaged weights of a run's checkpoint.
///
/// # Errors
/// A folder without a checkpoint, or with a damaged one.
pub fn averaged(out: &Path) -> Result<(Architecture, Parameters), CheckpointError> {
    match load(out, &Device::Cpu)? {
        Some((optimiser, state)) => Ok((state.architecture, optimiser.averaged())),
        None => Err(CheckpointError::Missing { path: out.into() }),
    }
}
