//! Images in other forms than they are kept in: decoded, scaled and encoded anew when they are first asked for.

use super::accept::Format;
use super::scale::{fitted, scaled};
use crate::codec::Codec;
use crate::encode::{blocking, encode_once};
use crate::error::ApiError;
use crate::etag;
use crate::job::Picture;
use crate::metrics::Stage;
use crate::state::AppState;
use crate::store::ImageId;
use axum::body::Bytes;
use bottleneck_model::{DecodeError, Image};
use bottleneck_proto::Container;
use image::ExtendedColorType::Rgb8;
use image::ImageEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use moka::future::Cache;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// Of the WebP and JPEG files that are sent in place of codes.
const WEBP_QUALITY: f32 = 85.0;
const JPEG_QUALITY: u8 = 88;
/// Longest side that a WebP file can hold, in pixels.
const WEBP_MAX_SIDE: u32 = 16_383;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) id: ImageId,
    pub(super) format: Format,
    /// In pixels; the picture's own without.
    pub(super) width: Option<u32>,
    /// Whether the format is our choice, so that another will do.
    pub(super) negotiated: bool,
}

/// A file as it is sent.
pub(crate) struct Rendition {
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
    pub(super) tag: String,
}

/// Those made lately, within a bound in bytes.
pub(crate) struct Renditions(Cache<Wanted, Arc<Rendition>>);

impl Renditions {
    pub(crate) fn new(bytes: u64) -> Renditions {
        // What an entry takes beside its bytes.
        let weight = |_: &Wanted, rendition: &Arc<Rendition>| {
            u32::try_from(rendition.bytes.len() + 300).unwrap_or(u32::MAX)
        };
        Renditions(Cache::builder().weigher(weight).max_capacity(bytes).build())
    }
}

/// An image as it is wanted; `None` where there is no such image. Those who want the same at once wait for one.
pub(super) async fn get(state: &AppState, wanted: Wanted) -> Result<Option<Arc<Rendition>>, ApiError> {
    let cache = &state.renditions().0;
    if let Some(kept) = cache.get(&wanted).await {
        // It may have been deleted, by another server even.
        return Ok(state.store().size(&wanted.id).await?.map(|_| kept));
    }
    let made = cache.try_get_with(wanted, async { make(state, wanted).await.map(Arc::new) }).await;
    match made {
        Ok(rendition) => Ok(Some(rendition)),
        Err(error) if matches!(*error, ApiError::ImageGone) => Ok(None),
        Err(error) => Err(ApiError::Shared(error)),
    }
}

async fn make(state: &AppState, wanted: Wanted) -> Result<Rendition, ApiError> {
    let config = state.config();
    let late = || ApiError::QueueTimeout { retry_after: state.queue().retry_after() };
    // Bounds the pictures in memory, together with the uploads that are decoded.
    let turn = timeout(config.queue_timeout, state.decoders().clone().acquire_owned()).await;
    let turn = turn.map_err(|_| late())?.map_err(|closed| ApiError::Internal(closed.to_string()))?;
    let code = state.store().read(&wanted.id).await?.ok_or(ApiError::ImageGone)?;
    let limits = config.code_limits();
    // It was checked on its way in, but the limits may have been others.
    let header = Container::parse(&code, &limits).map_err(ApiError::StoredCode)?;
    let (size, quality) = ((u32::from(header.width), u32::from(header.height)), header.quality);
    let size = wanted.width.map_or(size, |width| fitted(size, width));
    let models = state.models();
    let codec = models.codec_of(header.model).ok_or(ApiError::NoDecoder(header.model))?;
    if wanted.format == Format::Code {
        // With the model that it was made with, while that is served.
        let name = header.model.to_string();
        let encoder = models.model(Some(&name)).or_else(|_| models.model(None))?.codec.clone();
        let place = Arc::new(state.queue().enter(size)?);
        let decoding = blocking(move || decode(&codec, &code, size));
        let image = timeout(config.decode_timeout, decoding).await.map_err(|_| ApiError::DecodeTimeout)??;
        drop(turn);
        let picture = Arc::new(Picture { image, place });
        let code = encode_once(state, &encoder, picture, quality).await?;
        return Ok(rendition(Format::Code, code));
    }
    let format = match wanted.format {
        Format::WebP if size.0.max(size.1) > WEBP_MAX_SIDE => match wanted.negotiated {
            true => Format::Jpeg,
            false => return Err(ApiError::WebPSide { width: size.0, height: size.1, most: WEBP_MAX_SIDE }),
        },
        other => other,
    };
    let start = Instant::now();
    let making = blocking(move || {
        let _turn = turn;
        Ok(rendition(format, file(format, &decode(&codec, &code, size)?)?))
    });
    // Decodes, and encodes: both have their time.
    let patience = config.decode_timeout + config.encode_timeout;
    let made = timeout(patience, making).await.map_err(|_| ApiError::DecodeTimeout)??;
    state.metrics().time(Stage::Transcode, start.elapsed());
    Ok(made)
}

fn rendition(format: Format, bytes: Vec<u8>) -> Rendition {
    Rendition { media_type: format.media_type(), tag: etag::of(&bytes), bytes: bytes.into() }
}

fn decode(codec: &Arc<dyn Codec>, code: &[u8], size: (u32, u32)) -> Result<Image, ApiError> {
    let image = codec.decode(code).map_err(|error: DecodeError| ApiError::Undecodable(error.to_string()))?;
    if (image.width, image.height) == size { Ok(image) } else { scaled(&image, size) }
}

fn file(format: Format, image: &Image) -> Result<Vec<u8>, ApiError> {
    let Image { width, height, rgb } = image;
    let mut bytes = Vec::new();
    let written = match format {
        Format::WebP => {
            let made = webp::Encoder::from_rgb(rgb, *width, *height).encode_simple(false, WEBP_QUALITY);
            let made = made.map_err(|error| ApiError::Internal(format!("cannot write WebP: {error:?}")))?;
            return Ok(made.to_vec());
        }
        Format::Png => PngEncoder::new(&mut bytes).write_image(rgb, *width, *height, Rgb8),
        _ => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).write_image(rgb, *width, *height, Rgb8),
    };
    written.map_err(|error| ApiError::Internal(format!("cannot write the picture: {error}")))?;
    Ok(bytes)
}
