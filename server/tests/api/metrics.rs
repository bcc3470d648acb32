use crate::common::{gated, png, post};
use axum::body::Body;
use axum::http::Request;
use bottleneck_server::{AppState, Config, metrics_app};
use http_body_util::BodyExt;
use tower::ServiceExt;

async fn page(state: &AppState) -> String {
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let response = metrics_app(state.clone()).oneshot(request).await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn requests_leave_their_figures() {
    let (state, gate) = gated(Config { queue: 1, ..Config::default() });
    let picture = png(100);
    let first = tokio::spawn({
        let (state, picture) = (state.clone(), picture.clone());
        async move { post(&state, "", picture).await }
    });
    let (gate, _) = gate.arrived().await;
    post(&state, "", png(10)).await.problem(429);
    post(&state, "?q=101", "").await.problem(422);
    let page_then = page(&state).await;
    for line in ["bottleneck_queue_pictures 1\n", "bottleneck_queue_pixels 8192\n"] {
        assert!(page_then.contains(line), "{line}\n{page_then}");
    }
    gate.open();
    let code = first.await.unwrap().body;
    let page = page(&state).await;
    for line in [
        "bottleneck_queue_pictures 0\n",
        "bottleneck_responses_total{status=\"200\"} 1\n",
        "bottleneck_responses_total{status=\"429\"} 1\n",
        "bottleneck_rejected_total{reason=\"queue_full\"} 1\n",
        "bottleneck_rejected_total{reason=\"parameter\"} 1\n",
        "bottleneck_encoded_pixels_total 800\n",
        "bottleneck_batch_strips_count 1\n",
        &format!("bottleneck_upload_bytes_total {}\n", picture.len()),
        &format!("bottleneck_code_bytes_total {}\n", code.len()),
        &format!("bottleneck_saved_bytes_total {}\n", picture.len() - code.len()),
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    for stage in ["read", "decode", "queue", "analysis", "entropy"] {
        let line = format!("bottleneck_stage_seconds_count{{stage=\"{stage}\"}} 1\n");
        assert!(page.contains(&line), "{line}\n{page}");
    }
}
