//! What can go wrong in the lab.

use crate::evaluate::peers::PeerError;
use crate::evaluate::picture::PictureError;
use crate::train::CheckpointError;
use std::path::PathBuf;

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file or folder cannot be read or written.
    #[error("cannot use {path}", path = path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An IDX file is damaged, or not one.
    #[error("{path} is no usable IDX file: {what}", path = path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The data cannot be trained on.
    #[error("{path} cannot be used: {what}", path = path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A picture of a folder cannot be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// Another codec could not be run.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The settings contradict each other, the data or the run.
    #[error("{0}")]
    Settings(String),
    /// A file of a run is damaged.
    #[error("{path} is damaged: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file of codes cannot be decoded.
    #[error("this file of codes cannot be decoded: {0}")]
    Code(String),
    /// State could not be kept or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The gradient is no number any more.
    #[error("the gradient is {norm} at step {step}: lower --learning-rate, and start in a fresh folder")]
    Diverged {
        /// Step that failed.
        step: u64,
        /// The gradient's norm.
        norm: f64,
    },
    /// The tensor library failed.
    #[error("the tensor library failed")]
    Tensor(#[from] candle_core::Error),
}

impl LabError {
    /// For `map_err` on file operations.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> LabError {
        let path = path.into();
        move |source| LabError::File { path, source }
    }
}
