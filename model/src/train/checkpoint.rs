//! Training state on disk: four safetensors files and a small JSON, replaced as one folder.

use super::optimiser::{Optimiser, Slot, Slots};
use crate::architecture::Architecture;
use crate::nn::Parameters;
use candle_core::{Device, Tensor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
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

/// What a run of the codec must know to go on as if it had not stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) architecture: Architecture,
    pub(super) step: u64,
    pub(super) pixels: u64,
    pub(super) seconds: f64,
    pub(super) seed: u64,
}

/// The tensor files, and what of a slot goes into each.
#[allow(clippy::type_complexity)]
const PARTS: [(&str, fn(&Slot) -> &[f32]); 4] = [
    ("values", |slot| &slot.value),
    ("first", |slot| &slot.first),
    ("second", |slot| &slot.second),
    ("average", |slot| &slot.average),
];

/// Where a run's checkpoint lies.
pub(crate) fn folder(out: &Path) -> PathBuf {
    out.join("checkpoint")
}

/// Writes the whole state beside the last checkpoint, then takes its place.
pub(crate) fn save(out: &Path, optimiser: &Optimiser, state: &impl Serialize) -> Result<(), CheckpointError> {
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
    for (name, values) in PARTS {
        let path = fresh.join(format!("{name}.safetensors"));
        let tensors = optimiser
            .slots
            .iter()
            .map(|(k, slot)| {
                Ok((k.clone(), Tensor::from_slice(values(slot), slot.shape.as_slice(), &Device::Cpu)?))
            })
            .collect::<candle_core::Result<HashMap<String, Tensor>>>();
        tensors
            .and_then(|tensors| candle_core::safetensors::save(&tensors, &path))
            .map_err(|source| CheckpointError::Tensors { path, source })?;
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
pub(crate) fn load<S: DeserializeOwned>(out: &Path) -> Result<Option<(Slots, S)>, CheckpointError> {
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
    let state = serde_json::from_slice(&json).map_err(|source| CheckpointError::State { path, source })?;
    let read = |name: &str| -> Result<HashMap<String, Tensor>, CheckpointError> {
        let path = from.join(format!("{name}.safetensors"));
        candle_core::safetensors::load(&path, &Device::Cpu)
            .map_err(|source| CheckpointError::Tensors { path, source })
    };
    let flat = |tensors: &HashMap<String, Tensor>, name: &str| -> Result<Vec<f32>, CheckpointError> {
        crate::nn::parameter(tensors, name)
            .and_then(|t| t.flatten_all()?.to_vec1())
            .map_err(|source| CheckpointError::Tensors { path: from.clone(), source })
    };
    let [values, first, second, average] =
        [read(PARTS[0].0)?, read(PARTS[1].0)?, read(PARTS[2].0)?, read(PARTS[3].0)?];
    let mut slots = Slots::new();
    for (name, value) in &values {
        let mut slot = Slot::new(value.dims().to_vec(), flat(&values, name)?);
        slot.first = flat(&first, name)?;
        slot.second = flat(&second, name)?;
        slot.average = flat(&average, name)?;
        slots.insert(name.clone(), slot);
    }
    Ok(Some((slots, state)))
}

/// The architecture and the averaged weights of a run's checkpoint.
///
/// # Errors
/// A folder without a checkpoint, or with a damaged one.
pub fn averaged(out: &Path) -> Result<(Architecture, Parameters), CheckpointError> {
    match load::<State>(out)? {
        Some((slots, state)) => {
            let averaged = Optimiser { slots, step: state.step }.averaged(&Device::Cpu);
            Ok((
                state.architecture,
                averaged.map_err(|source| CheckpointError::Tensors { path: folder(out), source })?,
            ))
        }
        None => Err(CheckpointError::Missing { path: out.into() }),
    }
}
