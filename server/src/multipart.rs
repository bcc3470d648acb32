use crate::error::ApiError;
use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;

const FIELD: &str = "image";

pub(crate) fn is_form(content_type: &HeaderValue) -> bool {
    let media_type = content_type.as_bytes().split(|&b| b == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data")
}

/// The bytes of the field `image`. Every other field is refused: a quality sent as one would
/// otherwise be dropped in silence.
pub(crate) async fn image(content_type: &HeaderValue, body: Bytes) -> Result<Bytes, ApiError> {
    let mut request = Request::new(Body::from(body));
    request.headers_mut().insert(CONTENT_TYPE, content_type.clone());
    // The body has been measured already.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| ApiError::Multipart(error.body_text()))?;
    let damaged = |error: MultipartError| ApiError::Multipart(error.body_text());
    let mut image = None;
    while let Some(field) = form.next_field().await.map_err(damaged)? {
        match field.name() {
            Some(FIELD) if image.is_none() => image = Some(field.bytes().await.map_err(damaged)?),
            Some(FIELD) => return Err(ApiError::Multipart(format!("more than one field {FIELD:?}"))),
            _ => return Err(unexpected(&field)),
        }
    }
    image.ok_or_else(|| ApiError::Multipart(format!("the field {FIELD:?} is missing")))
}

fn unexpected(field: &Field<'_>) -> ApiError {
    let name = field.name().unwrap_or_default();
    ApiError::Multipart(format!(
        "unexpected field {name:?}: the picture goes into the field {FIELD:?}, parameters into the query"
    ))
}
