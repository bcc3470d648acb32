//! The Bottleneck HTTP service: photographs in, bottleneck codes out.
//!
//! The way of a request: the [`app`] router checks the query, the body is read against a memory
//! budget, a place in the queue is taken for the size that the picture's header claims, the picture is
//! decoded on the blocking pool, the inference thread runs the networks on batches of strips, and the
//! thread pool codes them. Every stage is bounded in memory and in time; what does not fit is refused at
//! once.
#![forbid(unsafe_code)]

mod access;
mod catalogue;
mod codec;
mod config;
mod encode;
mod error;
mod etag;
mod guard;
mod health;
mod images;
mod inference;
mod info;
mod job;
mod metrics;
mod models;
mod multipart;
mod openapi;
mod page;
mod params;
mod queue;
mod request_log;
mod self_test;
mod serve;
mod state;
mod store;
mod tls;
mod upload;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use tower::util::option_layer;
use utoipa_swagger_ui::SwaggerUi;

pub use access::{AccessConfig, ApiKey, KeyError, UrlKey};
pub use catalogue::ModelsError;
pub use codec::{Codec, Coding, ServedModel};
pub use config::{Config, ConfigError};
pub use metrics::metrics_app;
pub use openapi::description;
pub use serve::{serve, serve_over};
pub use state::{AppState, StartError};
pub use store::{StoreConfig, StorePlace, StorePlaceError};
pub use tls::{Tls, TlsError};

/// Every route of the service, for a socket ([`serve`]) or for a test without one.
pub fn app(state: AppState) -> Router {
    let guarded = Router::new()
        .route("/v1/encode", post(encode::post))
        .merge(images::router())
        .route_layer(middleware::from_fn_with_state(state.clone(), access::layer));
    Router::new()
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi::description()))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/info", get(info::get))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}/decoder", get(models::decoder))
        .merge(guarded)
        .merge(page::router())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(option_layer(state.cors()))
        .layer(middleware::from_fn_with_state(state.clone(), metrics::layer))
        .layer(middleware::from_fn(request_log::layer))
        .with_state(state)
}
