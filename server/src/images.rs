//! Images that are kept: put into the store as codes, and given as what the client can show.

mod accept;
mod address;
mod rendition;
mod reply;
mod scale;
pub(crate) mod upload;

use crate::access::Grant;
use crate::error::ApiError;
use crate::openapi::{Binary, Busy, Refused};
use crate::params::{self, ImageQuery};
use crate::state::AppState;
use crate::store::ImageId;
use accept::Format;
use address::Address;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bottleneck_proto::http::MEDIA_TYPE;
use rendition::Wanted;
use reply::{Answer, Caching, Part};

pub(crate) use rendition::Renditions;

/// Codes up to this many bytes are read whole before they are sent; longer ones are sent as they are read.
const READ_WHOLE: u64 = 1 << 20;

pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/v1/images", post(upload::post))
        .route("/v1/images/{name}", get(image).delete(delete))
}

/// An image, in a form that the client can show. It never changes.
#[utoipa::path(get, path = "/v1/images/{name}", tag = "images",
    params(
        ("name" = String, Path, description = "The id: the form is chosen by the header Accept. Or the id with .bnk, .webp, .jpg or .png"),
        ImageQuery,
        ("accept" = Option<String>, Header, description = "The code is sent to those that name its type, WebP to those that name it, and JPEG or PNG to all others"),
        ("if-none-match" = Option<String>, Header, description = "Entity tags that the client has"),
        ("range" = Option<String>, Header, description = "Bytes asked for, one range"),
        ("if-range" = Option<String>, Header, description = "Entity tag of which the range is"),
    ),
    responses(
        (status = 200, description = "The image", body = Binary, content(
            (Binary = "image/vnd.bottleneck"), (Binary = "image/webp"), (Binary = "image/jpeg"), (Binary = "image/png"),
        ), headers(("etag" = String), ("cache-control" = String), ("accept-ranges" = String))),
        (status = 206, description = "Some of its bytes", headers(("etag" = String), ("content-range" = String))),
        (status = 304, description = "The client has it", headers(("etag" = String))),
        (status = 401, response = Refused),
        (status = 403, response = Refused),
        (status = 404, response = Refused),
        (status = 406, response = Refused),
        (status = 416, response = Refused),
        (status = 422, response = Refused),
        (status = 429, response = Busy),
        (status = 500, response = Refused),
        (status = 503, response = Busy),
        (status = 504, response = Refused),
    ),
)]
pub(crate) async fn image(
    State(state): State<AppState>,
    name: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    Extension(grant): Extension<Grant>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::NotFound(uri.path().to_owned());
    let Address { id, format } = Address::of(name).ok_or_else(unknown)?;
    let width = params::image_width(&uri)?;
    let negotiated = format.is_none();
    let format = match format {
        Some(format) => format,
        None => accept::chosen(&headers).ok_or(ApiError::NotAcceptable)?,
    };
    let caching = Caching { grant, negotiated };
    if format == Format::Code && width.is_none() {
        return code(&state, id, &method, &headers, &caching).await?.ok_or_else(unknown);
    }
    let wanted = Wanted { id, format, width, negotiated };
    let rendition = rendition::get(&state, wanted).await?.ok_or_else(unknown)?;
    let size = rendition.bytes.len() as u64;
    let answer = caching.answer(rendition.media_type, &rendition.tag);
    Ok(match reply::part(&method, &headers, &rendition.tag).of(size)? {
        Part::Unchanged => answer.unchanged(),
        Part::Whole => answer.whole(size, rendition.bytes.clone().into()),
        Part::Some(range) => {
            let bytes = rendition.bytes.slice(range.start as usize..range.end as usize);
            answer.some(range, size, bytes.into())
        }
    })
}

/// The code as it is stored; `None` where it is not.
async fn code(
    state: &AppState,
    id: ImageId,
    method: &Method,
    headers: &HeaderMap,
    caching: &Caching,
) -> Result<Option<Response>, ApiError> {
    let (store, tag) = (state.store(), id.tag());
    let answer = caching.answer(MEDIA_TYPE, &tag);
    let asked = reply::part(method, headers, &tag);
    if asked.is_whole() && method != Method::HEAD {
        return whole(state, id, answer).await;
    }
    let Some(size) = store.size(&id).await? else { return Ok(None) };
    Ok(Some(match asked.of(size)? {
        Part::Unchanged => answer.unchanged(),
        Part::Whole if method == Method::HEAD => answer.whole(size, Body::empty()),
        Part::Whole => return whole(state, id, answer).await,
        Part::Some(range) => match store.read_range(&id, range.clone()).await? {
            Some(bytes) => answer.some(range, size, bytes.into()),
            None => return Ok(None),
        },
    }))
}

async fn whole(state: &AppState, id: ImageId, answer: Answer) -> Result<Option<Response>, ApiError> {
    let Some(found) = state.store().get(&id).await? else { return Ok(None) };
    let size = found.meta.size;
    let body = if size <= READ_WHOLE {
        state.store().bytes(found).await?.into()
    } else {
        Body::from_stream(found.into_stream())
    };
    Ok(Some(answer.whole(size, body)))
}

/// Forgets an image. Copies that others hold are theirs.
#[utoipa::path(delete, path = "/v1/images/{name}", tag = "images",
    params(("name" = String, Path, description = "The id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, response = Refused),
        (status = 404, response = Refused),
        (status = 429, response = Busy),
        (status = 503, response = Busy),
    ),
)]
pub(crate) async fn delete(
    State(state): State<AppState>,
    name: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::NotFound(uri.path().to_owned());
    // An extension names a form of an image, and forms are not kept.
    let address = Address::of(name).filter(|address| address.format.is_none()).ok_or_else(unknown)?;
    match state.store().delete(&address.id).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(unknown()),
    }
}
