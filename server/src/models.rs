use crate::error::ApiError;
use crate::etag;
use crate::openapi::{Binary, Refused};
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bottleneck_proto::http::ModelInfo;

/// The models that this service encodes with, the default one first.
#[utoipa::path(get, path = "/v1/models", tag = "models", responses((status = 200, body = Vec<ModelInfo>)))]
pub(crate) async fn list(State(state): State<AppState>) -> Json<Vec<ModelInfo>> {
    Json(state.models().models().iter().map(|model| model.info.clone()).collect())
}

/// What a client needs to decode a model's streams: the bytes that hash to the id, which never change.
#[utoipa::path(get, path = "/v1/models/{id}/decoder", tag = "models",
    params(
        ("id" = String, Path, description = "As in a stream's header"),
        ("if-none-match" = Option<String>, Header, description = "Entity tags that the client has"),
    ),
    responses(
        (status = 200, description = "Weights and tables", content_type = "application/octet-stream",
            body = Binary, headers(("etag" = String), ("cache-control" = String))),
        (status = 304, description = "The client has them", headers(("etag" = String))),
        (status = 404, response = Refused),
    ),
)]
pub(crate) async fn decoder(
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let models = state.models();
    let Some(decoder) = id.ok().and_then(|Path(id)| models.decoder(&id)) else {
        return Err(ApiError::NotFound(uri.path().to_owned()));
    };
    let tag = etag::of(decoder);
    let seen = etag::none_match(&headers, &tag);
    // The id is a hash of the bytes, so they can never change.
    let caching = [(ETAG, tag.as_str()), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    if seen {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, [(CONTENT_TYPE, "application/octet-stream")], decoder.clone()).into_response())
}
