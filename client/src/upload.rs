use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use bottleneck_proto::http::{MEDIA_TYPE, Problem};
use bottleneck_proto::{Container, ContainerError, Limits};
use ureq::http::{HeaderMap, Response, StatusCode, header};

/// Requests made before a busy server is given up: with what it asks for, some minutes.
const ATTEMPTS: u32 = 8;
/// Longest wait between two requests that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Above this many bytes, the server may refuse before the picture is sent.
const ASK_FIRST_BYTES: usize = 1 << 20;
/// Longest error body that is read.
const PROBLEM_BYTES: u64 = 64 << 10;

/// Why a server gave no code for a picture.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The address is none that this client can speak to.
    #[error("{address} is not a server address such as http://127.0.0.1:8080")]
    Address {
        /// What was given.
        address: String,
    },
    /// The address asks for TLS.
    #[error(
        "{address}: this client speaks plain http only: use the server's http:// address, or a local \
         proxy that speaks TLS to it"
    )]
    Tls {
        /// What was given.
        address: String,
    },
    /// No answer came, or not the whole of it.
    #[error("no complete answer from {url}")]
    Transport {
        /// What was asked.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// The server was busy until the last attempt, or asked for too long a wait.
    #[error("the server is busy, try later ({0})")]
    Busy(String),
    /// The server refused the picture.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The answer's body is not a stream that this client would decode.
    #[error("the server's answer is not a Bottleneck code")]
    NotACode(#[from] ContainerError),
}

/// A Bottleneck server, reached over plain HTTP.
#[derive(Debug)]
pub struct Server {
    agent: ureq::Agent,
    base: String,
}

impl Server {
    /// A server by its address, such as `http://127.0.0.1:8080`. Nothing is sent yet.
    pub fn new(address: &str) -> Result<Server, UploadError> {
        let unusable = || UploadError::Address { address: address.to_owned() };
        let uri: ureq::http::Uri = address.parse().map_err(|_| unusable())?;
        match uri.scheme_str() {
            Some("https") => return Err(UploadError::Tls { address: address.to_owned() }),
            Some("http") if uri.query().is_none() && !uri.host().unwrap_or("").is_empty() => {}
            _ => return Err(unusable()),
        }
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
        Ok(Server { agent: config.into(), base: address.trim_end_matches('/').to_owned() })
    }

    /// Has the server encode an image file's bytes, and checks that the answer is a stream within
    /// `limits`. `quality` is on the 0..=100 scale; without one the server's default holds.
    ///
    /// A busy server (429, 503) is asked again, a few times, after the wait that it names; `waiting`
    /// is told of every wait.
    pub fn encode(
        &self,
        image: &[u8],
        quality: Option<f64>,
        limits: &Limits,
        mut waiting: impl FnMut(Duration),
    ) -> Result<Vec<u8>, UploadError> {
        let mut url = format!("{}/v1/encode", self.base);
        if let Some(quality) = quality {
            url += &format!("?q={quality}");
        }
        let mut attempt = 1;
        loop {
            let mut answer = self.post(&url, image).map_err(|error| transport(&url, error))?;
            let status = answer.status();
            if status == StatusCode::OK {
                let body = answer.body_mut().with_config().limit(limits.max_bytes);
                let code = body.read_to_vec().map_err(|error| transport(&url, error))?;
                Container::parse(&code, limits)?;
                return Ok(code);
            }
            let said = problem(answer.body_mut(), status);
            if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                return Err(UploadError::Refused(said));
            }
            let wait =
                retry_after(answer.headers()).unwrap_or(Duration::from_secs(1 << attempt)).mul_f64(jitter());
            if attempt == ATTEMPTS || wait > LONGEST_WAIT {
                return Err(UploadError::Busy(said));
            }
            waiting(wait);
            std::thread::sleep(wait);
            attempt += 1;
        }
    }

    fn post(&self, url: &str, image: &[u8]) -> Result<Response<ureq::Body>, ureq::Error> {
        let content_type =
            image::guess_format(image).map_or("application/octet-stream", |f| f.to_mime_type());
        let mut request = self
            .agent
            .post(url)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, MEDIA_TYPE);
        if image.len() > ASK_FIRST_BYTES {
            request = request.header(header::EXPECT, "100-continue");
        }
        request.send(image)
    }
}

fn transport(url: &str, error: ureq::Error) -> UploadError {
    UploadError::Transport { url: url.to_owned(), source: Box::new(error) }
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
fn problem(body: &mut ureq::Body, status: StatusCode) -> String {
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
    fn addresses() {
        for good in ["http://localhost:8080", "http://127.0.0.1/", "http://[::1]:80/pictures/"] {
            assert!(Server::new(good).is_ok(), "{good}");
        }
        assert!(matches!(Server::new("https://example.org"), Err(UploadError::Tls { .. })));
        for bad in ["localhost:8080", "ftp://example.org", "http://", "/v1", "", "http://a/?b=c"] {
            assert!(matches!(Server::new(bad), Err(UploadError::Address { .. })), "{bad}");
        }
    }

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
