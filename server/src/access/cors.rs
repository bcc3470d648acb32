use crate::config::ConfigError;
use axum::http::header::{
    ACCEPT, ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, LOCATION, RANGE, RETRY_AFTER,
};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use bottleneck_proto::http::{HEADER_BPP, HEADER_HEIGHT, HEADER_MODEL, HEADER_PSNR, HEADER_WIDTH};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

const OWN_HEADERS: [&str; 5] = [HEADER_WIDTH, HEADER_HEIGHT, HEADER_BPP, HEADER_MODEL, HEADER_PSNR];

/// Lets pages of these origins use the service; `None` where there are none.
pub(crate) fn layer(origins: &[String]) -> Result<Option<CorsLayer>, ConfigError> {
    if origins.is_empty() {
        return Ok(None);
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().map(|origin| parse(origin)).collect::<Result<Vec<_>, _>>()?)
    };
    let own = OWN_HEADERS.into_iter().map(HeaderName::from_static);
    let exposed =
        [ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RETRY_AFTER].into_iter().chain(own);
    Ok(Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            .allow_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, IF_RANGE, RANGE])
            .expose_headers(exposed.collect::<Vec<_>>())
            .max_age(Duration::from_secs(3600)),
    ))
}

/// Scheme, host and port, and nothing behind them: browsers compare texts.
fn parse(origin: &str) -> Result<HeaderValue, ConfigError> {
    let bare = |uri: &Uri| uri.scheme().is_some() && uri.authority().is_some() && uri.path() == "/";
    let value = origin.parse().ok().filter(bare).and_then(|_| HeaderValue::from_str(origin).ok());
    value.filter(|_| !origin.ends_with('/')).ok_or_else(|| ConfigError::Origin { found: origin.to_owned() })
}
