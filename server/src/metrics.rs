//! What is counted, and the page that Prometheus reads.

use crate::health;
use crate::state::AppState;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// The parts of a request's way that are timed.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    /// The upload, from its first byte to its last.
    Read,
    /// File to pixels.
    Decode,
    /// From decoded to the first strip in work.
    Queue,
    /// The networks, for a batch.
    Analysis,
    /// Entropy coding, for a strip.
    Entropy,
    /// Writing a code to the image store.
    Store,
    /// An image's code to WebP, JPEG or PNG.
    Transcode,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

/// Why a request was refused: goes with the response, to be counted on its way out.
#[derive(Clone, Copy)]
pub(crate) struct Rejection(pub(crate) &'static str);

pub(crate) struct Metrics {
    registry: Registry,
    stages: Family<StageLabel, Histogram>,
    batch: Histogram,
    queue_pictures: Gauge,
    queue_pixels: Gauge,
    responses: Family<StatusLabel, Counter>,
    rejected: Family<ReasonLabel, Counter>,
    upload_bytes: Counter,
    code_bytes: Counter,
    saved_bytes: Counter,
    pixels: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("bottleneck"),
            // 1 ms to 65 s.
            stages: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 17))),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 8)),
            queue_pictures: Gauge::default(),
            queue_pixels: Gauge::default(),
            responses: Family::default(),
            rejected: Family::default(),
            upload_bytes: Counter::default(),
            code_bytes: Counter::default(),
            saved_bytes: Counter::default(),
            pixels: Counter::default(),
        };
        let r = &mut metrics.registry;
        let stages = metrics.stages.clone();
        r.register_with_unit("stage", "Time that a stage of a request took", Unit::Seconds, stages);
        r.register("batch_strips", "Strips in a batch of the networks", metrics.batch.clone());
        r.register("queue_pictures", "Pictures waiting or in work", metrics.queue_pictures.clone());
        r.register("queue_pixels", "Padded pixels of those pictures", metrics.queue_pixels.clone());
        r.register("responses", "Answers by status", metrics.responses.clone());
        r.register("rejected", "Refused requests by reason", metrics.rejected.clone());
        let (upload, code) = (metrics.upload_bytes.clone(), metrics.code_bytes.clone());
        r.register_with_unit("upload", "Pictures that were encoded, as uploaded", Unit::Bytes, upload);
        r.register_with_unit("code", "Their codes", Unit::Bytes, code);
        let saved = "What the codes are smaller than their uploads, where they are";
        r.register_with_unit("saved", saved, Unit::Bytes, metrics.saved_bytes.clone());
        r.register("encoded_pixels", "Pixels of the pictures that were encoded", metrics.pixels.clone());
        metrics
    }

    pub(crate) fn time(&self, stage: Stage, took: Duration) {
        let stage = match stage {
            Stage::Read => "read",
            Stage::Decode => "decode",
            Stage::Queue => "queue",
            Stage::Analysis => "analysis",
            Stage::Entropy => "entropy",
            Stage::Store => "store",
            Stage::Transcode => "transcode",
        };
        self.stages.get_or_create(&StageLabel { stage }).observe(took.as_secs_f64());
    }

    pub(crate) fn batch(&self, strips: usize) {
        self.batch.observe(strips as f64);
    }

    pub(crate) fn encoded(&self, pixels: u64, upload_bytes: usize, code_bytes: usize) {
        self.pixels.inc_by(pixels);
        self.upload_bytes.inc_by(upload_bytes as u64);
        self.code_bytes.inc_by(code_bytes as u64);
        self.saved_bytes.inc_by(upload_bytes.saturating_sub(code_bytes) as u64);
    }

    fn answered(&self, response: &Response) {
        let status = response.status().as_u16();
        self.responses.get_or_create(&StatusLabel { status }).inc();
        if let Some(&Rejection(reason)) = response.extensions().get() {
            self.rejected.get_or_create(&ReasonLabel { reason }).inc();
        }
    }

    fn page(&self, queue_pictures: usize, queue_pixels: usize) -> Result<String, std::fmt::Error> {
        self.queue_pictures.set(queue_pictures as i64);
        self.queue_pixels.set(queue_pixels as i64);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Counts every answer.
pub(crate) async fn layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    state.metrics().answered(&response);
    response
}

/// `GET /metrics`, which is meant for a port of its own: it tells strangers more than they need. With it come
/// `/healthz` and `/readyz`, for those who ask without TLS.
pub fn metrics_app(state: AppState) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(state)
}

async fn page(State(state): State<AppState>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let queue = state.queue();
    match state.metrics().page(queue.held_pictures(), queue.held_pixels()) {
        Ok(text) => ([(CONTENT_TYPE, TYPE), (CACHE_CONTROL, "no-store")], text).into_response(),
        Err(error) => crate::error::ApiError::Internal(error.to_string()).into_response(),
    }
}
