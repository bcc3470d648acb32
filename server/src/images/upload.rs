use super::scale::{fitted, scaled};
use crate::codec::Codec;
use crate::encode::{self, blocking};
use crate::error::ApiError;
use crate::job::Picture;
use crate::metrics::Stage;
use crate::openapi::{Binary, Busy, Form, Refused};
use crate::params::{StoreParams, StoreQuery};
use crate::state::AppState;
use crate::upload::{self, Upload};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bottleneck_model::ModelId;
use bottleneck_proto::Container;
use bottleneck_proto::http::{MEDIA_TYPE, StoredImage, StoredImages};
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::time::Instant;

/// Keeps a photograph as its code, and nothing else of it; or keeps a code.
#[utoipa::path(post, path = "/v1/images", tag = "images",
    params(StoreQuery),
    request_body(description = "A JPEG, PNG or WebP file, or a code", content(
        (Binary = "application/octet-stream"),
        (Binary = "image/jpeg"),
        (Binary = "image/png"),
        (Binary = "image/webp"),
        (Binary = "image/vnd.bottleneck"),
        (Form = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "It is kept", body = StoredImages, headers(
            ("location" = String, description = "The image, at the picture's own width"),
        )),
        (status = 400, response = Refused),
        (status = 401, response = Refused),
        (status = 408, response = Refused),
        (status = 413, response = Refused),
        (status = 415, response = Refused),
        (status = 422, response = Refused),
        (status = 429, response = Busy),
        (status = 500, response = Refused),
        (status = 503, response = Busy),
        (status = 504, response = Refused),
    ),
)]
pub(crate) async fn post(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let (head, mut body) = request.into_parts();
    let answer = receive(&state, &head, &mut body).await;
    // A client that has stalled once is not waited for again.
    if !matches!(answer, Ok(_) | Err(ApiError::SlowUpload)) {
        upload::discard(&head.headers, &mut body).await;
    }
    let images = answer?;
    let location = images.images.first().map(|image| image.url.clone()).unwrap_or_default();
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(images)).into_response())
}

async fn receive(state: &AppState, head: &Parts, body: &mut Body) -> Result<StoredImages, ApiError> {
    state.check_open()?;
    let images = if is_code(&head.headers) {
        if head.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(ApiError::Parameter("a code is kept as it is: it takes no parameters".to_owned()));
        }
        let upload = encode::receive(state, head, body).await?;
        vec![keep_code(state, upload).await?]
    } else {
        let params = StoreParams::parse(&head.uri)?;
        let models = state.models();
        let model = models.model(params.encode.profile.as_deref())?;
        state.queue().check_room()?;
        let upload = encode::receive(state, head, body).await?;
        keep_photograph(state, model.info.id, &model.codec, params, upload).await?
    };
    Ok(StoredImages { images })
}

fn is_code(headers: &HeaderMap) -> bool {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    named.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

async fn keep_code(state: &AppState, upload: Upload) -> Result<StoredImage, ApiError> {
    let code = upload.bytes.clone();
    let header = Container::parse(&code, &state.config().code_limits())?;
    // Nobody could be shown anything else than the code itself.
    if state.models().codec_of(header.model).is_none() {
        return Err(ApiError::UnknownModel(header.model));
    }
    let (model, size) = (header.model, (u32::from(header.width), u32::from(header.height)));
    keep(state, model, size, code).await
}

/// Encodes a photograph at its own width and at each that is asked for and narrower, and keeps the codes.
async fn keep_photograph(
    state: &AppState,
    model: ModelId,
    codec: &Arc<dyn Codec>,
    params: StoreParams,
    upload: Upload,
) -> Result<Vec<StoredImage>, ApiError> {
    let upload_bytes = upload.bytes.len();
    let narrower = |size: (u32, u32)| {
        let narrower = params.widths.iter().filter(|width| **width < size.0);
        std::iter::once(size).chain(narrower.map(|width| fitted(size, *width))).collect::<Vec<_>>()
    };
    let picture = encode::decode(state, &params.encode, upload, &narrower).await?;
    let sizes = narrower((picture.image.width, picture.image.height));
    let pictures = if sizes.len() == 1 {
        vec![picture]
    } else {
        blocking(move || {
            let narrow = |size: &(u32, u32)| {
                Ok(Arc::new(Picture { image: scaled(&picture.image, *size)?, place: picture.place.clone() }))
            };
            let narrow: Vec<_> = sizes[1..].iter().map(narrow).collect::<Result<_, ApiError>>()?;
            Ok(std::iter::once(picture.clone()).chain(narrow).collect())
        })
        .await?
    };
    let keeping = pictures.into_iter().map(async |picture| {
        let size = (picture.image.width, picture.image.height);
        let code = encode::code(state, codec, &params.encode, picture).await?;
        state.metrics().encoded(u64::from(size.0) * u64::from(size.1), upload_bytes, code.len());
        keep(state, model, size, code.into()).await
    });
    try_join_all(keeping).await
}

async fn keep(
    state: &AppState,
    model: ModelId,
    (width, height): (u32, u32),
    code: Bytes,
) -> Result<StoredImage, ApiError> {
    let (bytes, start) = (code.len() as u64, Instant::now());
    let id = state.store().put(code).await?.to_string();
    state.metrics().time(Stage::Store, start.elapsed());
    Ok(StoredImage { url: format!("/v1/images/{id}"), id, width, height, bytes, model })
}
