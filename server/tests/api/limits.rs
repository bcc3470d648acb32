use crate::common::{gated, plain, png, post, post_form, send, with};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use bottleneck_server::Config;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A body of unknown length: `chunks` times the same bytes, then silence or the end.
struct Chunked {
    data: Bytes,
    chunks: usize,
    then_stall: bool,
}

impl HttpBody for Chunked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.chunks > 0 {
            self.chunks -= 1;
            Poll::Ready(Some(Ok(Frame::data(self.data.clone()))))
        } else if self.then_stall {
            Poll::Pending
        } else {
            Poll::Ready(None)
        }
    }
}

fn small() -> Config {
    Config { max_body_bytes: 1000, ..Config::default() }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_it_comes() {
    let state = with(small(), |_| Ok(()));
    assert!(post(&state, "", vec![0; 1001]).await.problem(413).contains("1000"));
    post_form(&state, "", &[("image", &[0; 1000])]).await.problem(413);

    let chunked =
        |chunks| Body::new(Chunked { data: Bytes::from_static(&[0; 100]), chunks, then_stall: false });
    post(&state, "", chunked(11)).await.problem(413);
    // At the limit it is only not a picture.
    post(&state, "", chunked(10)).await.problem(415);

    let announced = Request::post("/v1/encode").header("content-length", "1001").body(Body::empty());
    send(&state, announced.unwrap()).await.problem(413);
}

#[tokio::test]
async fn pixels_over_the_limit_are_422() {
    let pixels = with(Config { max_pixels: 159, ..Config::default() }, |_| Ok(()));
    post(&pixels, "", png(20)).await.problem(422);
    let side = with(Config { max_dimension: 19, ..Config::default() }, |_| Ok(()));
    post(&side, "", png(20)).await.problem(422);
    assert_eq!(post(&side, "", png(19)).await.status, 200);
}

#[tokio::test]
async fn an_upload_that_stalls_is_408() {
    let config = Config { upload_pause: Duration::from_millis(20), ..Config::default() };
    let state = with(config, |_| Ok(()));
    let data = Bytes::from(png(20));
    post(&state, "", Body::new(Chunked { data, chunks: 1, then_stall: true })).await.problem(408);
}

#[tokio::test]
async fn a_long_upload_is_408_though_it_never_pauses() {
    let config = Config { upload_timeout: Duration::from_millis(20), ..Config::default() };
    let state = with(config, |_| Ok(()));
    post(&state, "", Body::new(Chunked { data: Bytes::new(), chunks: usize::MAX, then_stall: true }))
        .await
        .problem(408);
}

#[tokio::test]
async fn an_encode_that_takes_too_long_is_504() {
    let (state, _gate) = gated(Config { encode_timeout: Duration::from_millis(200), ..Config::default() });
    assert!(post(&state, "", png(20)).await.problem(504).contains("encoded in time"));
}

#[tokio::test]
async fn a_turn_that_does_not_come_is_503() {
    let (state, gate) = gated(Config { queue_timeout: Duration::from_millis(200), ..Config::default() });
    let first = tokio::spawn({
        let state = state.clone();
        async move { post(&state, "", png(20)).await }
    });
    let (gate, _) = gate.arrived().await;
    let late = post(&state, "", png(21)).await;
    assert!(late.problem(503).contains("turn"));
    assert!(late.header("retry-after").parse::<u64>().unwrap() >= 1);
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
}

#[tokio::test]
async fn uploads_share_their_memory() {
    let state = with(Config { upload_memory: 1000, ..Config::default() }, |_| Ok(()));
    let answer = post(&state, "", vec![0; 1001]).await;
    assert!(answer.problem(429).contains("uploads"));
    assert_eq!(answer.header("retry-after"), "1");
    // What was taken has been given back.
    for _ in 0..20 {
        assert_eq!(post(&state, "", png(20)).await.status, 200);
    }
}

#[tokio::test]
async fn a_broken_upload_is_400() {
    struct Broken;
    impl HttpBody for Broken {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
        }
    }
    assert!(post(&plain(), "", Body::new(Broken)).await.problem(400).contains("broke off"));
}
