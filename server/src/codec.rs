use axum::body::Bytes;
use bottleneck_model::{DecodeError, EncodeError, Encoder, Image, Limits, Quality, decode};
use bottleneck_proto::http::ModelInfo;
use std::sync::Arc;

/// What the service asks of a codec. [`Encoder`] is the real one; tests bring their own.
pub trait Codec: Send + Sync + 'static {
    /// Encodes a picture to the bytes of a `.bnk` file.
    fn encode(&self, image: &Image, quality: Quality) -> Result<Vec<u8>, EncodeError>;
    /// Decodes what [`Codec::encode`] wrote.
    fn decode(&self, code: &[u8]) -> Result<Image, DecodeError>;
}

impl Codec for Encoder {
    fn encode(&self, image: &Image, quality: Quality) -> Result<Vec<u8>, EncodeError> {
        Encoder::encode(self, image, quality)
    }

    fn decode(&self, code: &[u8]) -> Result<Image, DecodeError> {
        // Our own stream: the upload's limits have been applied already.
        decode(code, self.model(), &Limits { max_pixels: u64::MAX, max_bytes: u64::MAX })
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
