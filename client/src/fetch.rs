use std::io::Read;
use std::time::Duration;

use bottleneck_model::{Model, WeightsError};
use bottleneck_proto::http::MEDIA_TYPE;
use bottleneck_proto::{Container, ContainerError, Limits, ModelId};
use ureq::http::{HeaderMap, Response, StatusCode, header};

use crate::UploadError;
use crate::http::{agent, parse, problem, transport, wait};

/// Longest decoder that is fetched, in bytes.
const DECODER_BYTES: u64 = 256 << 20;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server could not be asked, or said no.
    #[error(transparent)]
    Server(#[from] UploadError),
    /// More bytes than are wanted.
    #[error("{url} has more than the {allowed} bytes allowed")]
    TooLong {
        /// What was asked for.
        url: String,
        /// Bytes allowed.
        allowed: u64,
    },
    /// The answer is not a stream that this client would decode.
    #[error("{url} is not a Bottleneck code")]
    NotACode {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        source: ContainerError,
    },
    /// The answer is not a model.
    #[error("{url} is not a model")]
    NotAModel {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        source: WeightsError,
    },
    /// The answer is another model than the one that was asked for.
    #[error("{url} is the model {found}")]
    OtherModel {
        /// What was asked for.
        url: String,
        /// What came.
        found: ModelId,
    },
}

/// What happens while something is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// More has come: bytes so far, and in all where the server says so.
    Progress {
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        total: Option<u64>,
    },
    /// The server is busy or out of reach: it is asked again after this.
    Waiting(Duration),
}

/// Fetches a code, such as one that a server keeps (`http://HOST/v1/images/ID`), and checks that it is one within
/// `limits`. `key` is an API key, which few servers ask for here.
///
/// What breaks off is asked for again, from where it stopped if it has not changed meanwhile; a busy server after
/// the wait that it names. `told` hears of it.
///
/// # Errors
/// Addresses that are none, servers that refuse or stay out of reach, and what is no code.
pub fn fetch(
    url: &str,
    key: Option<&str>,
    limits: &Limits,
    told: impl FnMut(FetchEvent),
) -> Result<Vec<u8>, FetchError> {
    let code = fetch_bytes(url, key, MEDIA_TYPE, limits.max_bytes, told)?;
    Container::parse(&code, limits).map_err(|source| FetchError::NotACode { url: url.to_owned(), source })?;
    Ok(code)
}

/// Fetches the decoder of a model from the server that a code came from, and verifies it by its id.
///
/// # Errors
/// As [`fetch`], and what is not that model.
pub fn fetch_model(code_url: &str, id: ModelId, told: impl FnMut(FetchEvent)) -> Result<Model, FetchError> {
    let address = parse(code_url)?;
    let host = address.authority().map_or("", |authority| authority.as_str());
    let url = format!("http://{host}/v1/models/{id}/decoder");
    let bytes = fetch_bytes(&url, None, "application/octet-stream", DECODER_BYTES, told)?;
    let model =
        Model::from_bytes(&bytes).map_err(|source| FetchError::NotAModel { url: url.clone(), source })?;
    if model.id() == id { Ok(model) } else { Err(FetchError::OtherModel { url, found: model.id() }) }
}

fn fetch_bytes(
    url: &str,
    key: Option<&str>,
    accept: &str,
    allowed: u64,
    mut told: impl FnMut(FetchEvent),
) -> Result<Vec<u8>, FetchError> {
    parse(url)?;
    let agent = agent();
    let mut part = Part::default();
    // Those since something came last.
    let mut attempt = 1;
    loop {
        let before = part.bytes.len();
        let mut request = agent.get(url).header(header::ACCEPT, accept);
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if let (1.., Some(tag)) = (before, &part.tag) {
            request = request.header(header::RANGE, format!("bytes={before}-")).header(header::IF_RANGE, tag);
        }
        let (failure, asked) = match request.call() {
            Ok(mut answer) if part.begin(&answer) => match part.read(&mut answer, allowed, &mut told) {
                Ok(()) if part.bytes.len() as u64 > allowed => {
                    return Err(FetchError::TooLong { url: url.to_owned(), allowed });
                }
                Ok(()) => return Ok(part.bytes),
                Err(error) => (transport(url, error.into()), None),
            },
            Ok(mut answer) => {
                let (status, headers) = (answer.status(), answer.headers().clone());
                let said = problem(answer.body_mut(), status);
                match status {
                    // What is there has become shorter, so it is another thing: from the start.
                    StatusCode::RANGE_NOT_SATISFIABLE if before > 0 => {
                        part = Part::default();
                        (UploadError::Refused(said), None)
                    }
                    StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT => (UploadError::Busy(said), Some(headers)),
                    _ => return Err(UploadError::Refused(said).into()),
                }
            }
            Err(error) => (transport(url, error), None),
        };
        if part.bytes.len() > before {
            attempt = 1;
        }
        let Some(wait) = wait(attempt, asked.as_ref()) else { return Err(failure.into()) };
        told(FetchEvent::Waiting(wait));
        std::thread::sleep(wait);
        attempt += 1;
    }
}

/// What has come so far.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    /// Strong entity tag of what the bytes are of.
    tag: Option<String>,
    total: Option<u64>,
}

impl Part {
    /// Whether the answer goes on with what is there, or begins anew.
    fn begin(&mut self, answer: &Response<ureq::Body>) -> bool {
        let headers = answer.headers();
        match answer.status() {
            StatusCode::OK => {
                let tag = text(headers, header::ETAG).filter(|tag| tag.starts_with('"'));
                let total = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
                *self = Part { bytes: vec![], tag: tag.map(str::to_owned), total };
                true
            }
            StatusCode::PARTIAL_CONTENT => {
                let from = format!("bytes {}-", self.bytes.len());
                text(headers, header::CONTENT_RANGE).is_some_and(|range| range.starts_with(&from))
            }
            _ => false,
        }
    }

    /// Reads to the end, or to the first byte over what is allowed.
    fn read(
        &mut self,
        answer: &mut Response<ureq::Body>,
        allowed: u64,
        told: &mut impl FnMut(FetchEvent),
    ) -> std::io::Result<()> {
        let mut reader = answer.body_mut().as_reader();
        let mut chunk = vec![0; 64 << 10];
        while self.bytes.len() as u64 <= allowed {
            let read = reader.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            self.bytes.extend_from_slice(&chunk[..read]);
            told(FetchEvent::Progress { bytes: self.bytes.len() as u64, total: self.total });
        }
        Ok(())
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
