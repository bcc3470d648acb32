//! Who may ask for what: API keys, signed addresses, and a rate for each key.

pub(crate) mod cors;
mod keys;
mod signed;

use crate::error::ApiError;
use crate::state::AppState;
use crate::upload;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sha2::{Digest, Sha256};
use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};

pub use keys::{ApiKey, KeyError, UrlKey};

/// Who may use the service. By default everyone may.
#[derive(Clone, Debug, Default)]
pub struct AccessConfig {
    /// Keys of which a client must show one to encode, to keep and to delete; with none, everyone may.
    pub api_keys: Vec<ApiKey>,
    /// Requests a second that each key may make, and as many at once.
    pub key_rate: Option<NonZeroU32>,
    /// Keys that sign the addresses of images; with none, everyone may get an image whose id they know.
    pub url_keys: Vec<UrlKey>,
    /// Origins of pages that may use the service from a browser, or `*`; with none, only its own.
    pub origins: Vec<String>,
}

/// Why a request was let in, which says who may keep the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Everyone would have been.
    Open,
    /// By an API key.
    Key,
    /// By a signed address, which holds for so many seconds more.
    Signed { left: u64 },
}

pub(crate) struct Access {
    keys: Vec<(ApiKey, Option<DefaultDirectRateLimiter>)>,
    url_keys: Vec<UrlKey>,
}

impl Access {
    pub(crate) fn new(config: &AccessConfig) -> Access {
        let limiter = || Some(RateLimiter::direct(Quota::per_second(config.key_rate?)));
        let keys = config.api_keys.iter().map(|key| (key.clone(), limiter())).collect();
        Access { keys, url_keys: config.url_keys.clone() }
    }

    fn admit(&self, request: &Request) -> Result<Grant, ApiError> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            if self.url_keys.is_empty() {
                return Ok(Grant::Open);
            }
            if let Some(signature) = signed::Signature::of(request.uri())? {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |now| now.as_secs());
                return Ok(Grant::Signed { left: signature.verify(&self.url_keys, now)? });
            }
            if self.keys.is_empty() {
                return Err(ApiError::Unsigned);
            }
        } else if self.keys.is_empty() {
            return Ok(Grant::Open);
        }
        self.by_key(request.headers())
    }

    fn by_key(&self, headers: &HeaderMap) -> Result<Grant, ApiError> {
        let shown = bearer(headers).ok_or(ApiError::NoKey)?;
        let hash = <[u8; 32]>::from(Sha256::digest(shown));
        // How long the comparison of hashes takes tells nothing of the keys.
        let (key, limiter) = self.keys.iter().find(|(key, _)| key.hash == hash).ok_or(ApiError::WrongKey)?;
        if let Some(limiter) = limiter {
            limiter.check().map_err(|not_until| {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                ApiError::Rate { key: key.name.clone(), retry_after: wait.as_secs() + 1 }
            })?;
        }
        Ok(Grant::Key)
    }
}

/// The key in `Authorization: Bearer KEY`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

/// Lets in who may, and refuses all others before anything is read.
pub(crate) async fn layer(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    match state.access().admit(&request) {
        Ok(grant) => {
            request.extensions_mut().insert(grant);
            next.run(request).await
        }
        Err(refusal) => {
            let (head, mut body) = request.into_parts();
            upload::discard(&head.headers, &mut body).await;
            refusal.into_response()
        }
    }
}
