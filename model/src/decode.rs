use crate::{Image, Limits, Model};
use bottleneck_proto::ContainerError;

/// Takes a picture row by row, so that it need not be held whole.
pub trait RowSink {
    /// Called once, before any row.
    fn start(&mut self, width: u32, height: u32) -> std::io::Result<()>;
    /// `rgb` holds whole rows (a multiple of `width * 3` bytes), in order from the top.
    fn rows(&mut self, rgb: &[u8]) -> std::io::Result<()>;
}

/// Why a stream could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The container is damaged, or over a limit.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The stream was made by another model.
    #[error("this code was made by model {found}, which is not at hand (at hand: {known})")]
    UnknownModel {
        /// Model the stream names.
        found: bottleneck_proto::ModelId,
        /// Models that were offered.
        known: String,
    },
    /// The entropy-coded data of a strip is damaged.
    #[error("strip {strip}: {what}")]
    Damaged {
        /// Index of the strip, from 0.
        strip: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The row sink failed.
    #[error("cannot write the decoded rows: {0}")]
    Sink(#[from] std::io::Error),
}

/// Decodes a stream into a whole picture.
pub fn decode(_bytes: &[u8], _model: &Model, _limits: &Limits) -> Result<Image, DecodeError> {
    unimplemented!()
}

/// Decodes a stream strip by strip into `sink`, in memory bounded by the picture's width.
pub fn decode_rows(_bytes: &[u8], _model: &Model, _limits: &Limits, _sink: &mut dyn RowSink) -> Result<(), DecodeError> {
    unimplemented!()
}
