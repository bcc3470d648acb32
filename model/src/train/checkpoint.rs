//! Training state on disk: safetensors files of at most 16 MiB and a small JSON, replaced as one folder.

use super::optimiser::{Optimiser, Slot, Slots};
use super::soap::{Bases, Eigenbasis};
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

/// The sides of SOAP's bases in a name.
const LEFT: &str = "#left";
const RIGHT: &str = "#right";
/// SOAP's tensor files, and what of a basis goes into each.
#[allow(clippy::type_complexity)]
const BASES: [(&str, fn(&Eigenbasis) -> &[f32]); 2] =
    [("covariance", |basis| &basis.covariance), ("vectors", |basis| &basis.vectors)];

/// Numbers in one file: some less than 16 MiB of them.
const FILE: usize = 15 << 18;

/// Where a run's checkpoint lies.
pub(crate) fn folder(out: &Path) -> PathBuf {
    out.join("checkpoint")
}

/// Writes tensors as `part`.safetensors, `part`-1.safetensors and so on; nothing where there are none.
fn write<'a>(
    folder: &Path,
    part: &str,
    tensors: impl Iterator<Item = (String, Vec<usize>, &'a [f32])>,
) -> Result<(), CheckpointError> {
    let mut files: Vec<HashMap<String, Tensor>> = Vec::new();
    let mut room = 0;
    for (name, shape, values) in tensors {
        if files.is_empty() || room < values.len() {
            files.push(HashMap::new());
            room = FILE;
        }
        room = room.saturating_sub(values.len());
        let tensor = Tensor::from_slice(values, shape, &Device::Cpu)
            .map_err(|source| CheckpointError::Tensors { path: folder.into(), source })?;
        files.last_mut().expect("one was pushed").insert(name, tensor);
    }
    for (index, tensors) in files.iter().enumerate() {
        let path = file_of(folder, part, index);
        candle_core::safetensors::save(tensors, &path)
            .map_err(|source| CheckpointError::Tensors { path, source })?;
    }
    Ok(())
}

/// Reads what `write` wrote.
fn read(folder: &Path, part: &str) -> Result<HashMap<String, Tensor>, CheckpointError> {
    let mut tensors = HashMap::new();
    for path in (0..).map(|index| file_of(folder, part, index)).take_while(|path| path.exists()) {
        let more = candle_core::safetensors::load(&path, &Device::Cpu);
        tensors.extend(more.map_err(|source| CheckpointError::Tensors { path, source })?);
    }
    Ok(tensors)
}

fn file_of(folder: &Path, part: &str, index: usize) -> PathBuf {
    folder.join(if index == 0 {
        format!("{part}.safetensors")
    } else {
        format!("{part}-{index}.safetensors")
    })
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
    for (part, values) in PARTS {
        let slots = optimiser.slots.iter();
        write(&fresh, part, slots.map(|(name, slot)| (name.clone(), slot.shape.clone(), values(slot))))?;
    }
    for (part, values) in BASES {
        let sides = optimiser.slots.iter().filter_map(|(name, slot)| Some((name, slot.bases.as_ref()?)));
        let sides = sides.flat_map(|(name, bases)| {
            [(LEFT, &bases.left), (RIGHT, &bases.right)]
                .into_iter()
                .filter_map(move |(side, basis)| Some((format!("{name}{side}"), basis.as_ref()?)))
        });
        write(&fresh, part, sides.map(|(name, basis)| (name, vec![basis.size, basis.size], values(basis))))?;
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
    let flat = |tensors: &HashMap<String, Tensor>, name: &str| -> Result<Vec<f32>, CheckpointError> {
        crate::nn::parameter(tensors, name)
            .and_then(|t| t.flatten_all()?.to_vec1())
            .map_err(|source| CheckpointError::Tensors { path: from.clone(), source })
    };
    let [values, first, second, average] = [
        read(&from, PARTS[0].0)?,
        read(&from, PARTS[1].0)?,
        read(&from, PARTS[2].0)?,
        read(&from, PARTS[3].0)?,
    ];
    let [covariance, vectors] = [read(&from, BASES[0].0)?, read(&from, BASES[1].0)?];
    let basis = |name: String| -> Result<Option<Eigenbasis>, CheckpointError> {
        let Some(size) = vectors.get(&name).map(|vectors| vectors.dims()[0]) else { return Ok(None) };
        let (covariance, vectors) = (flat(&covariance, &name)?, flat(&vectors, &name)?);
        Ok(Some(Eigenbasis { size, covariance, vectors }))
    };
    let mut slots = Slots::new();
    for (name, value) in &values {
        let mut slot = Slot::new(value.dims().to_vec(), flat(&values, name)?);
        slot.first = flat(&first, name)?;
        slot.second = flat(&second, name)?;
        slot.average = flat(&average, name)?;
        let (left, right) = (basis(format!("{name}{LEFT}"))?, basis(format!("{name}{RIGHT}"))?);
        slot.bases = (left.is_some() || right.is_some()).then_some(Bases { left, right });
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
