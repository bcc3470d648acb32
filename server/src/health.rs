use crate::error::ApiError;
use crate::openapi::Busy;
use crate::state::{AppState, Phase};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;

const UNCACHED_TEXT: [(HeaderName, &str); 2] =
    [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses(
    (status = 200, description = "It lives", body = String, content_type = "text/plain; charset=utf-8"),
))]
pub(crate) async fn healthz() -> impl IntoResponse {
    (UNCACHED_TEXT, "ok\n")
}

/// The models have passed their self-test, and the service takes pictures.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It takes pictures", body = String, content_type = "text/plain; charset=utf-8"),
    (status = 503, response = Busy),
))]
pub(crate) async fn readyz(State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    match state.phase() {
        Phase::Ready => {
            state.store().check().await?;
            Ok((UNCACHED_TEXT, "ready\n"))
        }
        Phase::Starting => Err(ApiError::Starting),
        Phase::Leaving | Phase::Draining => Err(ApiError::Draining),
        Phase::Failed(_) => Err(ApiError::Failed),
    }
}

/// `GET /`: what this is, and how to try it.
pub(crate) async fn index(headers: HeaderMap) -> impl IntoResponse {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
    let host = host.unwrap_or("127.0.0.1:8080");
    let text = format!(
        "Bottleneck turns photographs into bottleneck codes: small files that a client turns back into
the picture on the device that shows it.

Encode a photograph (q is 0 to 100, 75 by default):

    curl --data-binary @photo.jpg 'http://{host}/v1/encode?q=75' -o photo.bnk

The same from a form field, and with the PSNR measured (in the header x-bottleneck-psnr):

    curl -F image=@photo.jpg 'http://{host}/v1/encode?measure=psnr' -o photo.bnk -D -

Models, and the decoder of one:

    curl http://{host}/v1/models
    curl http://{host}/v1/models/ID/decoder -o model.bin

Health: /healthz and /readyz
"
    );
    (UNCACHED_TEXT, text)
}

/// A host that may be pasted into a shell.
fn is_plain(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
}
