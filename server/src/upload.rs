use crate::error::ApiError;
use crate::multipart;
use crate::state::AppState;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

/// The bytes of an uploaded picture, counted against the service's upload memory while they are held.
pub(crate) struct Upload {
    pub(crate) bytes: Bytes,
    memory: OwnedSemaphorePermit,
}

impl Upload {
    /// Reads the picture out of a request: the body, or its multipart field `image`.
    pub(crate) async fn read(
        state: &AppState,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<Upload, ApiError> {
        let Upload { bytes, memory } = read_body(state, headers, body).await?;
        let bytes = match headers.get(CONTENT_TYPE) {
            Some(form) if multipart::is_form(form) => multipart::image(form, bytes).await?,
            _ => bytes,
        };
        if bytes.is_empty() {
            return Err(ApiError::EmptyBody);
        }
        Ok(Upload { bytes, memory })
    }
}

async fn read_body(state: &AppState, headers: &HeaderMap, body: &mut Body) -> Result<Upload, ApiError> {
    let config = state.config();
    let deadline = Instant::now() + config.upload_timeout;
    let allowed = config.max_body_bytes;
    let too_large = ApiError::BodyTooLarge { allowed };
    // A length that is announced is refused before it is sent; the count below trusts no one.
    if content_length(headers).is_some_and(|length| length > allowed as u64) {
        return Err(too_large);
    }
    let mut memory = reserve(state, 0)?;
    let mut bytes = Vec::new();
    loop {
        let now = Instant::now();
        // A timeout does not look at the clock while there is always more to read.
        if now >= deadline {
            return Err(ApiError::SlowUpload);
        }
        let patience = deadline.min(now + config.upload_pause);
        let frame = timeout_at(patience, body.frame()).await.map_err(|_| ApiError::SlowUpload)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| ApiError::BrokenUpload(error.to_string()))?;
        // What is not data is a trailer.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > allowed - bytes.len() {
            return Err(too_large);
        }
        memory.merge(reserve(state, data.len())?);
        bytes.extend_from_slice(&data);
    }
    Ok(Upload { bytes: bytes.into(), memory })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn reserve(state: &AppState, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let bytes = u32::try_from(bytes).map_err(|_| ApiError::UploadsFull)?;
    Arc::clone(state.uploads()).try_acquire_many_owned(bytes).map_err(|_| ApiError::UploadsFull)
}

/// Reads on for a while after a refusal. Many clients look for the answer only once they have sent
/// everything, and would see a connection reset in its place.
pub(crate) async fn discard(headers: &HeaderMap, body: &mut Body) {
    // Such a client does look first.
    if headers.contains_key(EXPECT) {
        return;
    }
    let to_the_end = async { while !body.is_end_stream() && matches!(body.frame().await, Some(Ok(_))) {} };
    // Running out of time is as good an end as any.
    let _ = timeout(Duration::from_secs(2), to_the_end).await;
}
