use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tracing::{Instrument, info_span};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names every request, and logs one line for each. The query and the picture stay out of the log.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = info_span!("request", id = id.to_str().unwrap_or_default());
    let bytes_in = Arc::new(AtomicU64::new(0));
    let mut line = Line {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        bytes_in: bytes_in.clone(),
        start: Instant::now(),
        answer: None,
    };
    let request = request.map(|body| {
        Body::new(body.map_frame(move |frame| {
            bytes_in.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
            frame
        }))
    });
    async move {
        let mut response = next.run(request).await;
        line.answered(&response);
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

/// The client's own id, where it can stand in a log line, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |id: &&HeaderValue| {
        (1..=64).contains(&id.len())
            && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    headers.get(REQUEST_ID).filter(plain).cloned().unwrap_or_else(|| {
        // Ids must differ, not be secret: the standard library's hash keys will do.
        let id = format!("{:016x}", RandomState::new().build_hasher().finish());
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Logs when dropped, so that a request whose client went away leaves its line too.
struct Line {
    method: Method,
    path: String,
    bytes_in: Arc<AtomicU64>,
    start: Instant,
    answer: Option<(u16, Option<u64>)>,
}

impl Line {
    fn answered(&mut self, response: &Response) {
        self.answer = Some((response.status().as_u16(), response.body().size_hint().exact()));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Line { method, path, .. } = self;
        let bytes_in = self.bytes_in.load(Ordering::Relaxed);
        let ms = self.start.elapsed().as_secs_f64() * 1e3;
        match self.answer {
            Some((status, bytes_out)) => {
                tracing::info!(%method, path, status, bytes_in, bytes_out, ms, "answered");
            }
            None => tracing::info!(%method, path, bytes_in, ms, "the client went away"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use std::io::Write;
    use std::sync::Mutex;
    use tower::ServiceExt;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn one_line_for_each_request_even_an_abandoned_one() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let app = Router::new()
            .route("/echo", post(|body: Bytes| async move { body }))
            .route("/never", post(std::future::pending::<()>))
            .layer(from_fn(layer));
        let ask = |uri| {
            let request = Request::post(uri).header("x-request-id", "a-1").body(Body::from("12345"));
            app.clone().oneshot(request.unwrap())
        };
        ask("/echo?key=secret").await.unwrap();
        tokio::select! {
            biased;
            _ = ask("/never?key=secret") => unreachable!(),
            () = std::future::ready(()) => {}
        }

        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{log}");
        assert!(!log.contains("secret") && !log.contains("12345"), "{log}");
        let [answered, abandoned] = [&lines[0]["fields"], &lines[1]["fields"]];
        assert_eq!(answered["message"], "answered");
        assert_eq!(answered["method"], "POST");
        assert_eq!(answered["path"], "/echo");
        assert_eq!(answered["status"], 200);
        assert_eq!((&answered["bytes_in"], &answered["bytes_out"]), (&5.into(), &5.into()));
        assert!(answered["ms"].is_f64());
        assert_eq!(abandoned["message"], "the client went away");
        assert!(lines.iter().all(|line| line["span"]["id"] == "a-1"), "{log}");
    }
}
