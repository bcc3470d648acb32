//! The page at `/`: scripts, decoder and samples of `client/web`, embedded in the server.

mod assets;

use crate::error::ApiError;
use crate::health;
use crate::state::AppState;
use assets::{ASSETS, Asset, Assets};
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path};
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The page, and the assets that it names.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/", get(index)).route("/assets/{version}/{*path}", get(asset))
}

/// Everything comes from this server; scripts and styles only from files. The last word lets WebAssembly run.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const SECURITY: [(HeaderName, &str); 3] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];

/// `GET /`: the page for browsers; for others, such as curl, how to call the service.
async fn index(headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("text/html")) {
        return ([(VARY, "accept")], health::index(headers).await).into_response();
    }
    let page = &ASSETS.page;
    // The assets' names change with their content, so only the page itself is asked for anew.
    let caching = [(ETAG, page.tag.as_str()), (CACHE_CONTROL, "no-cache"), (VARY, "accept, accept-encoding")];
    if crate::etag::none_match(&headers, &page.tag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, body(page, &headers)).into_response()
}

/// `GET /assets/{version}/{path}`: a file of `client/web`.
async fn asset(
    path: Result<Path<(String, String)>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Assets { version, files, .. } = &*ASSETS;
    let found = path.ok().filter(|Path((named, _))| named == version);
    let Some(asset) = found.and_then(|Path((_, path))| files.get(path.as_str())) else {
        return Err(ApiError::NotFound(uri.path().to_owned()));
    };
    let caching = [(CACHE_CONTROL, "public, max-age=31536000, immutable"), (VARY, "accept-encoding")];
    Ok((caching, body(asset, &headers)).into_response())
}

fn body(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|accepted| accepted.to_str().ok());
    let kind = [(CONTENT_TYPE, asset.content_type)];
    match &asset.gzip {
        Some(gzip) if accepted.is_some_and(|accepted| accepted.contains("gzip")) => {
            (SECURITY, kind, [(CONTENT_ENCODING, "gzip")], gzip.clone()).into_response()
        }
        _ => (SECURITY, kind, asset.bytes.clone()).into_response(),
    }
}
