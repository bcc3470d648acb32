//! What uploads and fetches have in common: addresses, patience, and the words of servers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use bottleneck_proto::http::Problem;
use ureq::http::{HeaderMap, StatusCode, Uri, header};

use crate::UploadError;

/// Requests made before a busy server is given up: with what it asks for, some minutes.
pub(crate) const ATTEMPTS: u32 = 8;
/// Longest wait between two requests that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Longest error body that is read.
const PROBLEM_BYTES: u64 = 64 << 10;

pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("bottleneck/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(10)))
        // A large picture may wait in the server's queue and then take a while.
        .timeout_recv_response(Some(Duration::from_secs(300)))
        .timeout_per_read(Some(Duration::from_secs(300)))
        .timeout_per_write(Some(Duration::from_secs(60)))
        .build();
    config.into()
}

/// An `http://` address with a host.
pub(crate) fn parse(address: &str) -> Result<Uri, UploadError> {
    let unusable = || UploadError::Address { address: address.to_owned() };
    let uri: Uri = address.parse().map_err(|_| unusable())?;
    match uri.scheme_str() {
        Some("https") => Err(UploadError::Tls { address: address.to_owned() }),
        Some("http") if !uri.host().unwrap_or("").is_empty() => Ok(uri),
        _ => Err(unusable()),
    }
}

pub(crate) fn transport(url: &str, error: ureq::Error) -> UploadError {
    UploadError::Transport { url: url.to_owned(), source: Box::new(error) }
}

/// How long to wait before the next attempt, after `attempt` of them; `None` where it is time to give up.
pub(crate) fn wait(attempt: u32, headers: Option<&HeaderMap>) -> Option<Duration> {
    let asked = headers.and_then(retry_after);
    let wait = asked.unwrap_or(Duration::from_secs(1 << attempt.min(6))).mul_f64(jitter());
    (attempt < ATTEMPTS && wait <= LONGEST_WAIT).then_some(wait)
}

/// Spreads clients that were sent away at once: 1 to 1.25.
fn jitter() -> f64 {
    // The standard library's hash keys are random enough.
    1.0 + f64::from(RandomState::new().build_hasher().finish() as u16) / f64::from(u16::MAX) / 4.0
}

/// The wait in seconds; the date form of the header is not used by a Bottleneck server.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What an error answer says, safe to print: proxies answer with anything.
pub(crate) fn problem(body: &mut ureq::Body, status: StatusCode) -> String {
    let bytes = body.with_config().limit(PROBLEM_BYTES).read_to_vec().unwrap_or_default();
    let text = match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => problem.to_string(),
        Err(_) => status.to_string(),
    };
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_in_seconds() {
        let wait = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("3"), Some(Duration::from_secs(3)));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(wait("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
