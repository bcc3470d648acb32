use std::fmt;
use std::time::Duration;

use bottleneck_proto::http::MEDIA_TYPE;
use bottleneck_proto::{Container, ContainerError, Limits};
use ureq::http::{Response, StatusCode, header};

use crate::http::{agent, parse, problem, transport, wait};

/// Above this many bytes, the server may refuse before the picture is sent.
const ASK_FIRST_BYTES: usize = 1 << 20;

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
pub struct Server {
    agent: ureq::Agent,
    base: String,
    key: Option<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("Server").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Server {
    /// A server by its address, such as `http://127.0.0.1:8080`. Nothing is sent yet.
    pub fn new(address: &str) -> Result<Server, UploadError> {
        if parse(address)?.query().is_some() {
            return Err(UploadError::Address { address: address.to_owned() });
        }
        Ok(Server { agent: agent(), base: address.trim_end_matches('/').to_owned(), key: None })
    }

    /// Shows an API key with every request.
    pub fn with_key(self, key: Option<String>) -> Server {
        Server { key, ..self }
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
            let Some(wait) = wait(attempt, Some(answer.headers())) else {
                return Err(UploadError::Busy(said));
            };
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
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if image.len() > ASK_FIRST_BYTES {
            request = request.header(header::EXPECT, "100-continue");
        }
        request.send(image)
    }
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
}
