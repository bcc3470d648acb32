use crate::common::{gated, get, model, plain, png, post, send, with};
use axum::body::Body;
use axum::http::Request;
use bottleneck_proto::ModelId;
use bottleneck_server::{AppState, Config, ConfigError, ModelsError, StartError};
use std::sync::Mutex;
use std::sync::mpsc::channel;

#[tokio::test]
async fn ready_only_after_the_warm_up() {
    let (open, opened) = channel();
    let opened = Mutex::new(opened);
    let state = with(Config::default(), move |_| {
        opened.lock().unwrap().recv().unwrap();
        Ok(())
    });
    assert_eq!(get(&state, "/healthz").await.status, 200);
    let early = get(&state, "/readyz").await;
    early.problem(503);
    assert_eq!(early.header("retry-after"), "1");
    open.send(()).unwrap();
    state.ready().await.unwrap();
    assert_eq!(get(&state, "/readyz").await.status, 200);
}

#[tokio::test]
async fn a_failed_warm_up_is_reported() {
    let state = with(Config::default(), |_| panic!("no such instruction"));
    let error = state.ready().await.unwrap_err();
    assert!(error.to_string().contains("self-test") && error.to_string().contains("no such instruction"));
    get(&state, "/readyz").await.problem(503);
}

#[tokio::test]
async fn draining_fails_readiness_and_refuses_pictures() {
    let state = plain();
    state.ready().await.unwrap();
    state.drain();
    for answer in [get(&state, "/readyz").await, post(&state, "", png(20)).await] {
        assert!(answer.problem(503).contains("shutting down"));
        assert_eq!(answer.header("retry-after"), "5");
    }
    assert_eq!(get(&state, "/healthz").await.status, 200);
}

#[tokio::test]
async fn draining_during_the_warm_up_stays_draining() {
    let (state, _gate) = gated(Config::default());
    state.drain();
    state.ready().await.unwrap();
    get(&state, "/readyz").await.problem(503);
}

#[test]
fn a_service_that_cannot_work_is_not_started() {
    let none = AppState::new(vec![], Config::default()).unwrap_err();
    assert!(matches!(none, StartError::Models(ModelsError::None)));
    let twins = AppState::new(vec![model("lite", |_| Ok(())), model("lite", |_| Ok(()))], Config::default());
    assert!(matches!(twins.unwrap_err(), StartError::Models(ModelsError::Twice(ModelId([b'l', ..])))));
    let unknown = Config { default_model: Some("best".to_owned()), ..Config::default() };
    let unknown = AppState::new(vec![model("lite", |_| Ok(()))], unknown).unwrap_err();
    assert!(unknown.to_string().contains("lite (6c6c6c6c6c6c6c6c)"), "{unknown}");
    let refused = |config| match AppState::new(vec![model("lite", |_| Ok(()))], config).unwrap_err() {
        StartError::Config(error) => error,
        other => panic!("{other}"),
    };
    let closed = refused(Config { queue: 0, ..Config::default() });
    assert!(matches!(closed, ConfigError::Range { name: "queue", .. }));
    let small = refused(Config { queue_pixels: 1000, max_pixels: 1001, ..Config::default() });
    assert!(matches!(small, ConfigError::QueueBelowPicture { queue_pixels: 1000, max_pixels: 1001 }));
}

#[tokio::test]
async fn the_front_page_says_how_to_try_it() {
    let page = |host: &'static str| async move {
        let request = Request::get("/").header("host", host).body(Body::empty()).unwrap();
        String::from_utf8(send(&plain(), request).await.body).unwrap()
    };
    assert!(page("example.org:81").await.contains("'http://example.org:81/v1/encode?q=75'"));
    assert!(page("x';rm").await.contains("'http://127.0.0.1:8080/v1/encode?q=75'"));
}

#[tokio::test]
async fn info_tells_every_limit() {
    let answer = get(&with(Config { queue: 7, ..Config::default() }, |_| Ok(())), "/info").await;
    let info: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(info["name"], "bottleneck-server");
    assert_eq!(info["device"], "none");
    assert_eq!(info["limits"]["queue"], 7);
    assert_eq!(info["limits"]["upload_pause"], 15.0);
    assert_eq!(info["limits"]["download_pause"], 60.0);
    // As many as `Config` has fields.
    assert_eq!(info["limits"].as_object().unwrap().len(), 20);
}

#[tokio::test]
async fn wrong_paths_and_methods_are_problems() {
    let state = plain();
    assert!(get(&state, "/v2/encode").await.problem(404).contains("/v2/encode"));
    let answer = get(&state, "/v1/encode").await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), "POST");
    let request = Request::delete("/v1/models").body(Body::empty()).unwrap();
    send(&state, request).await.problem(405);
}

#[tokio::test]
async fn request_ids_are_echoed_or_made() {
    let state = plain();
    let id_for = |sent: &'static str| {
        let state = state.clone();
        async move {
            let request = Request::get("/healthz").header("x-request-id", sent).body(Body::empty()).unwrap();
            send(&state, request).await.header("x-request-id").to_owned()
        }
    };
    assert_eq!(id_for("upload_7.a-B").await, "upload_7.a-B");
    for wrong in ["", "a b", "a\"b", "0123456789012345678901234567890123456789012345678901234567890123456789"]
    {
        assert_eq!(id_for(wrong).await.len(), 16, "{wrong:?}");
    }
    let made = [get(&state, "/").await, get(&state, "/").await];
    assert_ne!(made[0].header("x-request-id"), made[1].header("x-request-id"));
}
