use crate::error::ApiError;
use crate::etag;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bottleneck_proto::http::ModelInfo;

/// `GET /v1/models`: the models that this service encodes with, the default one first.
pub(crate) async fn list(State(state): State<AppState>) -> Json<Vec<ModelInfo>> {
    Json(state.models().iter().map(|model| model.info.clone()).collect())
}

/// `GET /v1/models/{id}/decoder`: the bytes that hash to the id.
pub(crate) async fn decoder(
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let named = |id: &str| state.models().iter().find(|model| model.info.id.to_string() == id);
    let Some(model) = id.ok().and_then(|Path(id)| named(&id)) else {
        return Err(ApiError::NotFound(uri.path().to_owned()));
    };
    let tag = etag::of(&model.decoder);
    let seen = etag::none_match(&headers, &tag);
    // The id is a hash of the bytes, so they can never change.
    let caching = [(ETAG, tag.as_str()), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    if seen {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, [(CONTENT_TYPE, "application/octet-stream")], model.decoder.clone()).into_response())
}
