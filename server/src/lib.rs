//! The Bottleneck HTTP service: photographs in, bottleneck codes out.
//!
//! The way of a request: the [`app`] router checks the query, the body is read against a memory
//! budget, a place in the queue is taken, the picture is decoded on the blocking pool, and the one
//! inference thread encodes it. Every stage is bounded; what does not fit is refused at once.
#![forbid(unsafe_code)]

mod codec;
mod encode;
mod error;
mod etag;
mod health;
mod inference;
mod models;
mod multipart;
mod page;
mod params;
mod request_log;
mod serve;
mod state;
mod upload;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

pub use codec::{Codec, ServedModel};
pub use serve::serve;
pub use state::{AppState, Config, StartError};

/// Every route of the service, for a socket ([`serve`]) or for a test without one.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/v1/encode", post(encode::post))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}/decoder", get(models::decoder))
        .merge(page::router())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn(request_log::layer))
        .with_state(state)
}
