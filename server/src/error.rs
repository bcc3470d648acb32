use crate::metrics::Rejection;
use crate::store::StoreFailure;
use axum::extract::OriginalUri;
use axum::http::header::{CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bottleneck_model::EncodeError;
use bottleneck_model::ModelId;
use bottleneck_model::ingest::{ErrorKind, LoadError};
use bottleneck_proto::ContainerError;
use bottleneck_proto::http::{PROBLEM_MEDIA_TYPE, Problem};
use std::sync::Arc;

/// Why a request is refused. Every one becomes a problem document (RFC 9457).
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("no such page: {0}")]
    NotFound(String),
    #[error("{method} is not allowed on {path}")]
    MethodNotAllowed { method: Method, path: String },
    #[error("{0}")]
    Parameter(String),
    #[error("the body is empty: send the bytes of a picture")]
    EmptyBody,
    #[error("the upload broke off: {0}")]
    BrokenUpload(String),
    #[error("multipart body: {0}")]
    Multipart(String),
    #[error("body: longer than the {allowed} bytes allowed")]
    BodyTooLarge { allowed: usize },
    #[error("the upload was too slow")]
    SlowUpload,
    #[error("{0}")]
    Picture(#[from] LoadError),
    #[error("{0}")]
    Size(EncodeError),
    #[error("target_size: the smallest code of this picture has {smallest} bytes, and {limit} are asked for")]
    TargetSize { limit: u64, smallest: usize },
    #[error("the queue is full: try again in {retry_after} s")]
    QueueFull { retry_after: u64 },
    #[error("too many uploads at once: try again shortly")]
    UploadsFull,
    #[error("the picture's turn did not come in time: try again in {retry_after} s")]
    QueueTimeout { retry_after: u64 },
    #[error("the service is starting")]
    Starting,
    #[error("the service is shutting down")]
    Draining,
    #[error("the service is out of order: see its log")]
    Failed,
    #[error("the picture was not decoded in time: send a smaller one")]
    DecodeTimeout,
    #[error("the picture was not encoded in time: send a smaller one")]
    EncodeTimeout,
    #[error("not a code that is kept here: {0}")]
    Code(#[from] ContainerError),
    #[error("the code was made by model {0}, which is not served here: GET /v1/models lists those that are")]
    UnknownModel(ModelId),
    #[error(
        "the image cannot be shown in any type that the header Accept names: there are image/vnd.bottleneck, image/webp, image/jpeg and image/png"
    )]
    NotAcceptable,
    #[error(
        "the image was made by model {0}, which this service does not have: only its code can be had, as .bnk"
    )]
    NoDecoder(ModelId),
    #[error(
        "the image has {width}×{height} pixels, and a WebP file at most {most} a side: ask for .jpg, or for fewer with ?w="
    )]
    WebPSide { width: u32, height: u32, most: u32 },
    #[error("range: the image has {size} bytes")]
    Range { size: u64 },
    #[error("the image is larger than this service decodes: {0}; its code can be had, as .bnk")]
    StoredCode(ContainerError),
    #[error("the code of this image does not decode: {0}; it can be had as it is, as .bnk")]
    Undecodable(String),
    #[error("this needs an API key: send it as `Authorization: Bearer KEY`")]
    NoKey,
    #[error("the API key is not one of this service's")]
    WrongKey,
    #[error("this address needs a signature, or the request an API key")]
    Unsigned,
    #[error("the signature is not that of this address")]
    WrongSignature,
    #[error("the signed address has expired")]
    Expired,
    #[error("the API key {key:?} is used too often: try again in {retry_after} s")]
    Rate { key: String, retry_after: u64 },
    /// Becomes [`ApiError::NotFound`] where the address is known.
    #[error("there is no such image")]
    ImageGone,
    /// The cause goes to the log.
    #[error("the image store does not answer as it should: try again in a while")]
    Store(#[from] StoreFailure),
    /// Of work that several requests waited for.
    #[error(transparent)]
    Shared(Arc<ApiError>),
    /// The text goes to the log; the client learns no internals.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<EncodeError> for ApiError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Size { .. } => ApiError::Size(error),
            other => ApiError::Internal(other.to_string()),
        }
    }
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::ImageGone => StatusCode::NOT_FOUND,
            ApiError::NotAcceptable | ApiError::NoDecoder(_) => StatusCode::NOT_ACCEPTABLE,
            ApiError::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            ApiError::Code(_) => StatusCode::BAD_REQUEST,
            ApiError::UnknownModel(_)
            | ApiError::WebPSide { .. }
            | ApiError::StoredCode(_)
            | ApiError::Undecodable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Shared(error) => error.status(),
            ApiError::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::EmptyBody | ApiError::BrokenUpload(_) | ApiError::Multipart(_) => {
                StatusCode::BAD_REQUEST
            }
            ApiError::Parameter(_) | ApiError::Size(_) | ApiError::TargetSize { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            ApiError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::SlowUpload => StatusCode::REQUEST_TIMEOUT,
            ApiError::Picture(error) => match error.kind() {
                ErrorKind::BadImage => StatusCode::BAD_REQUEST,
                ErrorKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                // 413 is for bytes; these are pixels, and options that do not fit the picture.
                ErrorKind::TooLarge | ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            },
            ApiError::NoKey | ApiError::WrongKey | ApiError::Unsigned => StatusCode::UNAUTHORIZED,
            ApiError::WrongSignature | ApiError::Expired => StatusCode::FORBIDDEN,
            ApiError::QueueFull { .. } | ApiError::UploadsFull | ApiError::Rate { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            ApiError::QueueTimeout { .. } | ApiError::Starting | ApiError::Draining | ApiError::Failed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ApiError::DecodeTimeout | ApiError::EncodeTimeout => StatusCode::GATEWAY_TIMEOUT,
            ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Names the refusal in the metrics.
    fn reason(&self) -> &'static str {
        match self {
            ApiError::NotFound(_) => "not_found",
            ApiError::MethodNotAllowed { .. } => "method_not_allowed",
            ApiError::Parameter(_) => "parameter",
            ApiError::EmptyBody => "empty_body",
            ApiError::BrokenUpload(_) => "broken_upload",
            ApiError::Multipart(_) => "multipart",
            ApiError::BodyTooLarge { .. } => "body_too_large",
            ApiError::SlowUpload => "slow_upload",
            ApiError::Picture(error) => match error.kind() {
                ErrorKind::BadImage => "bad_image",
                ErrorKind::Unsupported => "unsupported_type",
                ErrorKind::TooLarge => "too_many_pixels",
                ErrorKind::Invalid => "picture_options",
            },
            ApiError::Size(_) => "size",
            ApiError::TargetSize { .. } => "target_size",
            ApiError::QueueFull { .. } => "queue_full",
            ApiError::UploadsFull => "uploads_full",
            ApiError::QueueTimeout { .. } => "queue_timeout",
            ApiError::Starting => "starting",
            ApiError::Draining => "draining",
            ApiError::Failed => "failed",
            ApiError::DecodeTimeout => "decode_timeout",
            ApiError::EncodeTimeout => "encode_timeout",
            ApiError::Code(_) => "bad_code",
            ApiError::UnknownModel(_) => "unknown_model",
            ApiError::NotAcceptable => "not_acceptable",
            ApiError::NoDecoder(_) => "no_decoder",
            ApiError::WebPSide { .. } => "webp_side",
            ApiError::Range { .. } => "range",
            ApiError::StoredCode(_) => "too_many_pixels",
            ApiError::Undecodable(_) => "undecodable",
            ApiError::ImageGone => "not_found",
            ApiError::Store(_) => "store",
            ApiError::NoKey => "no_key",
            ApiError::WrongKey => "wrong_key",
            ApiError::Unsigned => "unsigned",
            ApiError::WrongSignature => "wrong_signature",
            ApiError::Expired => "expired",
            ApiError::Rate { .. } => "key_rate",
            ApiError::Shared(error) => error.reason(),
            ApiError::Internal(_) => "internal",
        }
    }

    fn retry_after(&self) -> Option<HeaderValue> {
        match self {
            ApiError::QueueFull { retry_after }
            | ApiError::QueueTimeout { retry_after }
            | ApiError::Rate { retry_after, .. } => Some((*retry_after).into()),
            ApiError::UploadsFull | ApiError::Starting => Some(1.into()),
            // Time for a load balancer to notice, or for a restart.
            ApiError::Draining | ApiError::Failed | ApiError::Store(_) => Some(5.into()),
            ApiError::Shared(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            ApiError::Shared(error) => error.response(),
            alone => alone.response(),
        }
    }
}

impl ApiError {
    fn response(&self) -> Response {
        let status = self.status();
        let detail = match self {
            ApiError::Internal(cause) => {
                tracing::error!(cause, "internal error");
                "internal error: see the service's log, by the x-request-id of this answer".to_owned()
            }
            ApiError::Store(failure) => {
                tracing::error!(cause = %failure, "the image store failed");
                self.to_string()
            }
            other => other.to_string(),
        };
        let title = status.canonical_reason().unwrap_or_default().to_owned();
        let problem = Problem { kind: "about:blank".to_owned(), title, status: status.as_u16(), detail };
        let headers = [(CONTENT_TYPE, PROBLEM_MEDIA_TYPE), (CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, serde_json::json!(problem).to_string()).into_response();
        response.extensions_mut().insert(Rejection(self.reason()));
        if let ApiError::Range { size } = self
            && let Ok(content_range) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            response.headers_mut().insert(CONTENT_RANGE, content_range);
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

pub(crate) async fn not_found(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::NotFound(uri.path().to_owned())
}

pub(crate) async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::MethodNotAllowed { method, path: uri.path().to_owned() }
}
