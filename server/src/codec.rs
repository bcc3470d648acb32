use axum::body::Bytes;
use bottleneck_model::{
    Backend, DecodeError, EncodeError, Encoder, Image, Limits, Quality, Refinement, Strip, decode,
};
use bottleneck_proto::http::ModelInfo;
use std::sync::Arc;

/// Entropy coding of one strip, still to be run: gives the strip's bytes.
pub type Coding = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// What the service asks of a codec. [`Encoder`] is the real one; tests bring their own.
pub trait Codec: Send + Sync + 'static {
    /// Runs the networks on strips of any pictures, as one batch. What it gives, one for each strip, may be
    /// run in any order on any thread.
    fn analyse(self: Arc<Self>, strips: &[Strip<'_>]) -> Result<Vec<Coding>, EncodeError>;
    /// Puts the bytes of a picture's strips together to those of its `.bnk` file.
    fn assemble(
        &self,
        size: (u32, u32),
        quality: Quality,
        strips: &[Vec<u8>],
    ) -> Result<Vec<u8>, EncodeError>;
    /// Encodes a picture with more time for a better code: see [`Encoder::refine`].
    fn encode_refined(
        &self,
        image: &Image,
        quality: Quality,
        how: &Refinement<'_>,
    ) -> Result<Vec<u8>, EncodeError>;
    /// Decodes what [`Codec::assemble`] gave.
    fn decode(&self, code: &[u8]) -> Result<Image, DecodeError>;
    /// Where the networks run.
    fn device(&self) -> &'static str;
}

impl Codec for Encoder {
    fn analyse(self: Arc<Self>, strips: &[Strip<'_>]) -> Result<Vec<Coding>, EncodeError> {
        let latents = Encoder::analyse(&self, strips)?.into_iter();
        let coding = |latents| -> Coding {
            let encoder = self.clone();
            Box::new(move || encoder.code(&latents))
        };
        Ok(latents.map(coding).collect())
    }

    fn assemble(
        &self,
        (width, height): (u32, u32),
        quality: Quality,
        strips: &[Vec<u8>],
    ) -> Result<Vec<u8>, EncodeError> {
        Encoder::assemble(self, width, height, quality, strips)
    }

    fn encode_refined(
        &self,
        image: &Image,
        quality: Quality,
        how: &Refinement<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        Encoder::encode_refined(self, image, quality, how)
    }

    fn decode(&self, code: &[u8]) -> Result<Image, DecodeError> {
        // Our own stream: the upload's limits have been applied already.
        decode(code, self.model(), &Limits { max_pixels: u64::MAX, max_bytes: u64::MAX })
    }

    fn device(&self) -> &'static str {
        match self.backend() {
            Backend::Cpu => "cpu",
            Backend::Cuda => "cuda",
        }
    }
}

/// A model that the service encodes with, and the decoder that clients need for it.
#[derive(Clone)]
pub struct ServedModel {
    /// What `GET /v1/models` says of it; [`AppState::new`](crate::AppState::new) sets `default`.
    pub info: ModelInfo,
    /// What `GET /v1/models/{id}/decoder` sends.
    pub decoder: Bytes,
    /// Encodes for it.
    pub codec: Arc<dyn Codec>,
}

impl From<Encoder> for ServedModel {
    fn from(encoder: Encoder) -> Self {
        let model = encoder.model();
        let decoder = Bytes::copy_from_slice(model.decoder_bytes());
        let info = ModelInfo {
            id: model.id(),
            profile: model.profile().to_owned(),
            experimental: model.experimental(),
            decoder_bytes: decoder.len() as u64,
            kmac_per_pixel_decoder: model.costs().iter().map(|cost| cost.kmac_per_pixel).sum(),
            default: false,
        };
        ServedModel { info, decoder, codec: Arc::new(encoder) }
    }
}
