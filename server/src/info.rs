use crate::config::Config;
use crate::state::AppState;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// What `GET /info` answers: this service and its limits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Info {
    /// The program's name.
    name: &'static str,
    version: &'static str,
    /// Where the networks run: cpu or cuda.
    device: &'static str,
    limits: Limits,
}

/// Each is a flag and an environment variable of the server as well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Limits {
    connections: usize,
    /// Bytes of a request's body.
    max_body_bytes: usize,
    /// Bytes of upload held at once.
    upload_memory: usize,
    /// Pixels of a picture.
    max_pixels: u64,
    /// Pixels of a picture's longest side.
    max_dimension: u32,
    /// Pictures waiting or in work.
    queue: usize,
    /// Pixels of those pictures.
    queue_pixels: usize,
    /// Uploads decoded at once.
    decoders: usize,
    /// Strips in a batch.
    batch: usize,
    /// Pixels in a batch.
    batch_pixels: u64,
    /// Seconds without a byte of the upload.
    upload_pause: f64,
    /// Seconds for the upload.
    upload_timeout: f64,
    /// Seconds without a byte of the answer taken.
    download_pause: f64,
    /// Seconds to decode the upload.
    decode_timeout: f64,
    /// Seconds to wait for the networks.
    queue_timeout: f64,
    /// Seconds to encode.
    encode_timeout: f64,
    /// Highest effort.
    max_effort: u8,
    /// Seconds to refine a code.
    effort_time: f64,
    /// Seconds for an operation of the image store.
    store_timeout: f64,
    /// Bytes of transcoded images kept in memory.
    transcode_cache: u64,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Limits {
        let seconds = |duration: Duration| duration.as_secs_f64();
        Limits {
            connections: config.connections,
            max_body_bytes: config.max_body_bytes,
            upload_memory: config.upload_memory,
            max_pixels: config.max_pixels,
            max_dimension: config.max_dimension,
            queue: config.queue,
            queue_pixels: config.queue_pixels,
            decoders: config.decoders,
            batch: config.batch,
            batch_pixels: config.batch_pixels,
            upload_pause: seconds(config.upload_pause),
            upload_timeout: seconds(config.upload_timeout),
            download_pause: seconds(config.download_pause),
            decode_timeout: seconds(config.decode_timeout),
            queue_timeout: seconds(config.queue_timeout),
            encode_timeout: seconds(config.encode_timeout),
            max_effort: config.max_effort,
            effort_time: seconds(config.effort_time),
            store_timeout: seconds(config.store.timeout),
            transcode_cache: config.transcode_cache,
        }
    }
}

/// What this service is, and what it takes.
#[utoipa::path(get, path = "/info", tag = "health", responses((status = 200, body = Info)))]
pub(crate) async fn get(State(state): State<AppState>) -> Json<Info> {
    Json(Info {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        device: state.device(),
        limits: state.config().into(),
    })
}
