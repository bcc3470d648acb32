use crate::{Image, LayerCost, Model, Quality, WeightsError};

/// Where the analysis transform runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// This machine's processor.
    Cpu,
    /// The first NVIDIA GPU (feature `cuda`).
    Cuda,
}

/// Why a picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A side is 0 or above 65535.
    #[error("a picture of {width}×{height} cannot be encoded: each side must be 1 to 65535 pixels")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// The tensor library failed.
    #[error("inference failed: {0}")]
    Inference(#[from] candle_core::Error),
}

/// An encoder: analysis networks in candle, and the decoder it writes for.
pub struct Encoder {}

impl Encoder {
    /// Reads a whole model file (safetensors): encoder and decoder.
    pub fn from_bytes(_bytes: &[u8], _backend: Backend) -> Result<Encoder, WeightsError> {
        Err(WeightsError::Stub)
    }
    /// The lite model embedded in this build.
    pub fn lite(_backend: Backend) -> Result<Encoder, WeightsError> {
        Err(WeightsError::Stub)
    }
    /// The decoder that this encoder writes for.
    pub fn model(&self) -> &Model {
        unimplemented!()
    }
    /// Cost of every encoder network.
    pub fn costs(&self) -> Vec<LayerCost> {
        unimplemented!()
    }
    /// Encodes a picture to the bytes of a `.bnk` file.
    pub fn encode(&self, _image: &Image, _quality: Quality) -> Result<Vec<u8>, EncodeError> {
        unimplemented!()
    }
}
