use crate::codec::Codec;
use crate::error::ApiError;
use crate::etag;
use crate::job::Picture;
use crate::metrics::Stage;
use crate::openapi::{Binary, Busy, Form, Refused};
use crate::params::{EncodeParams, EncodeQuery, RateParam};
use crate::state::AppState;
use crate::upload::{self, Upload};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bottleneck_model::ingest::{self, Options};
use bottleneck_model::target::{Search, TargetSearch};
use bottleneck_model::{Metric, ModelId, Quality, Refinement, psnr};
use bottleneck_proto::http::{
    HEADER_BPP, HEADER_HEIGHT, HEADER_MODEL, HEADER_PSNR, HEADER_WIDTH, MEDIA_TYPE,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::time::timeout;
use tracing::{Instrument, Span, info_span};

/// A photograph in, its code out.
#[utoipa::path(post, path = "/v1/encode", tag = "encode",
    params(EncodeQuery),
    request_body(description = "A JPEG, PNG or WebP file", content(
        (Binary = "application/octet-stream"),
        (Binary = "image/jpeg"),
        (Binary = "image/png"),
        (Binary = "image/webp"),
        (Form = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "The code", content_type = MEDIA_TYPE, body = Binary, headers(
            ("etag" = String, description = "A hash of the code"),
            ("x-bottleneck-width" = String, description = "Pixels"),
            ("x-bottleneck-height" = String, description = "Pixels"),
            ("x-bottleneck-bpp" = String, description = "Bits of the code per pixel"),
            ("x-bottleneck-model" = String, description = "What decodes it"),
            ("x-bottleneck-psnr" = Option<String>, description = "dB over RGB, with measure=psnr"),
        )),
        (status = 400, response = Refused),
        (status = 401, response = Refused),
        (status = 408, response = Refused),
        (status = 413, response = Refused),
        (status = 415, response = Refused),
        (status = 422, response = Refused),
        (status = 429, response = Busy),
        (status = 500, response = Refused),
        (status = 503, response = Busy),
        (status = 504, response = Refused),
    ),
)]
pub(crate) async fn post(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let (head, mut body) = request.into_parts();
    let answer = receive_and_encode(&state, &head, &mut body).await;
    // A client that has stalled once is not waited for again.
    if !matches!(answer, Ok(_) | Err(ApiError::SlowUpload)) {
        upload::discard(&head.headers, &mut body).await;
    }
    answer
}

async fn receive_and_encode(state: &AppState, head: &Parts, body: &mut Body) -> Result<Response, ApiError> {
    state.check_open()?;
    let params = EncodeParams::parse(&head.uri)?;
    let models = state.models();
    let model = models.model(params.profile.as_deref())?;
    // Asked before the upload, to spare it; taken after, so that slow uploads hold no place.
    state.queue().check_room()?;
    let upload = receive(state, head, body).await?;
    encode(state, model.info.id, &model.codec, params, upload).await
}

/// Reads the upload.
pub(crate) async fn receive(state: &AppState, head: &Parts, body: &mut Body) -> Result<Upload, ApiError> {
    let start = Instant::now();
    let upload = Upload::read(state, &head.headers, body).instrument(info_span!("read")).await?;
    state.metrics().time(Stage::Read, start.elapsed());
    Ok(upload)
}

async fn encode(
    state: &AppState,
    model: ModelId,
    codec: &Arc<dyn Codec>,
    params: EncodeParams,
    upload: Upload,
) -> Result<Response, ApiError> {
    let upload_bytes = upload.bytes.len();
    let picture = decode(state, &params, upload, &|size| vec![size]).await?;
    let (width, height) = (picture.image.width, picture.image.height);
    let original = params.measure_psnr.then(|| picture.clone());
    let code = code(state, codec, &params, picture).await?;
    state.metrics().encoded(u64::from(width) * u64::from(height), upload_bytes, code.len());

    let bpp = code.len() as f64 * 8.0 / (f64::from(width) * f64::from(height));
    let headers = [
        (CONTENT_TYPE.as_str(), MEDIA_TYPE.to_owned()),
        (ETAG.as_str(), etag::of(&code)),
        (HEADER_WIDTH, width.to_string()),
        (HEADER_HEIGHT, height.to_string()),
        (HEADER_BPP, format!("{bpp:.4}")),
        (HEADER_MODEL, model.to_string()),
    ];
    let Some(original) = original else { return Ok((headers, code).into_response()) };
    let (code, psnr) = measure(state, codec.clone(), original, code).await?;
    Ok((headers, [(HEADER_PSNR, format!("{psnr:.2}"))], code).into_response())
}

/// Gives the upload a place by the size that its header claims, and decodes it on the blocking pool. `sizes`
/// tells of which sizes pictures will be made of it, and the place is for them all.
pub(crate) async fn decode(
    state: &AppState,
    params: &EncodeParams,
    upload: Upload,
    sizes: &(dyn Fn((u32, u32)) -> Vec<(u32, u32)> + Sync),
) -> Result<Arc<Picture>, ApiError> {
    decode_in_place(state, params, upload, sizes).instrument(info_span!("decode")).await
}

async fn decode_in_place(
    state: &AppState,
    params: &EncodeParams,
    upload: Upload,
    sizes: &(dyn Fn((u32, u32)) -> Vec<(u32, u32)> + Sync),
) -> Result<Arc<Picture>, ApiError> {
    let config = state.config();
    let options = Options {
        background: params.background,
        frame: params.frame,
        max_pixels: config.max_pixels,
        max_dimension: config.max_dimension,
    };
    let survey = options.clone();
    // Walks the whole file: too long for this thread where it is large.
    let (size, upload) = blocking(move || Ok((ingest::size(&upload.bytes, &survey)?, upload))).await?;
    let place = Arc::new(state.queue().enter_all(&sizes(size))?);
    let decoder = timeout(config.queue_timeout, state.decoders().clone().acquire_owned()).await;
    let late = |_| ApiError::QueueTimeout { retry_after: state.queue().retry_after() };
    // The semaphore is never closed.
    let decoder = decoder.map_err(late)?.map_err(|closed| ApiError::Internal(closed.to_string()))?;
    let start = Instant::now();
    let decoding = blocking(move || {
        let _decoder = decoder;
        let image = ingest::load(&upload.bytes, &options)?;
        Ok(Arc::new(Picture { image, place }))
    });
    let picture = timeout(config.decode_timeout, decoding).await.map_err(|_| ApiError::DecodeTimeout)??;
    state.metrics().time(Stage::Decode, start.elapsed());
    Ok(picture)
}

/// Encodes at a quality, or to a size.
pub(crate) async fn code(
    state: &AppState,
    codec: &Arc<dyn Codec>,
    params: &EncodeParams,
    picture: Arc<Picture>,
) -> Result<Vec<u8>, ApiError> {
    let effort = params.effort.min(state.config().max_effort);
    match params.rate {
        RateParam::Quality(quality) if effort > 0 => refined(state, codec, picture, quality, effort).await,
        RateParam::Quality(quality) => encode_once(state, codec, picture, quality).await,
        RateParam::TargetSize(limit) => search(state, codec, picture, limit).await,
    }
}

pub(crate) async fn encode_once(
    state: &AppState,
    codec: &Arc<dyn Codec>,
    picture: Arc<Picture>,
    quality: Quality,
) -> Result<Vec<u8>, ApiError> {
    let span = info_span!("encode", quality = quality.percent());
    state.inference().encode(codec.clone(), picture, quality).instrument(span).await
}

/// Encodes with more time for a better code. Pictures are refined one after the other, on all cores, beside those
/// that are merely encoded.
async fn refined(
    state: &AppState,
    codec: &Arc<dyn Codec>,
    picture: Arc<Picture>,
    quality: Quality,
    effort: u8,
) -> Result<Vec<u8>, ApiError> {
    /// Ends the work when nobody waits for it any more.
    struct Waiting(Arc<AtomicBool>);
    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let config = state.config();
    let late = |_| ApiError::QueueTimeout { retry_after: state.queue().retry_after() };
    let turn = timeout(config.queue_timeout, state.refining().clone().acquire_owned()).await.map_err(late)?;
    // The semaphore is never closed.
    let turn = turn.map_err(|closed| ApiError::Internal(closed.to_string()))?;
    let (codec, limit) = (codec.clone(), config.effort_time);
    let stop = Arc::new(AtomicBool::new(false));
    let waiting = Waiting(stop.clone());
    let encoding = blocking(move || {
        let _turn = turn;
        let how = Refinement {
            effort,
            metric: Metric::default(),
            deadline: Instant::now().checked_add(limit),
            stop: Some(&stop),
            progress: None,
        };
        Ok(codec.encode_refined(&picture.image, quality, &how)?)
    });
    let span = info_span!("encode", quality = quality.percent(), effort);
    let code = timeout(config.encode_timeout, encoding).instrument(span).await;
    drop(waiting);
    code.map_err(|_| ApiError::EncodeTimeout)?
}

/// Encodes at one quality after the other, to the largest code of at most `limit` bytes.
async fn search(
    state: &AppState,
    codec: &Arc<dyn Codec>,
    picture: Arc<Picture>,
    limit: u64,
) -> Result<Vec<u8>, ApiError> {
    let config = state.config();
    let searching = async {
        let mut search = TargetSearch::new(limit);
        while let Some(quality) = search.next() {
            search.tell(encode_once(state, codec, picture.clone(), quality).await?);
        }
        match search.finish() {
            Search::Found(code) => Ok(code),
            Search::Unreachable { smallest } => Err(ApiError::TargetSize { limit, smallest }),
        }
    };
    let patience = config.queue_timeout + config.encode_timeout;
    timeout(patience, searching).await.map_err(|_| ApiError::EncodeTimeout)?
}

/// PSNR of the code over RGB, in dB. Gives the code back.
async fn measure(
    state: &AppState,
    codec: Arc<dyn Codec>,
    original: Arc<Picture>,
    code: Vec<u8>,
) -> Result<(Vec<u8>, f64), ApiError> {
    let measuring = blocking(move || {
        let decoded = codec.decode(&code);
        let decoded =
            decoded.map_err(|error| ApiError::Internal(format!("own code does not decode: {error}")))?;
        Ok((code, psnr(&original.image, &decoded)))
    });
    timeout(state.config().encode_timeout, measuring).await.map_err(|_| ApiError::EncodeTimeout)?
}

/// Runs `work` on the blocking pool.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let span = Span::current();
    // Fails only where the work panicked.
    let done = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    done.unwrap_or_else(|panic| Err(ApiError::Internal(panic.to_string())))
}
