use crate::common::{Answer, gated, png, post};
use bottleneck_server::{AppState, Config};
use std::time::Duration;
use tokio::task::JoinHandle;

fn post_later(state: &AppState, width: u32) -> JoinHandle<Answer> {
    let state = state.clone();
    tokio::spawn(async move { post(&state, "", png(width)).await })
}

#[tokio::test]
async fn a_full_queue_is_429_and_serves_on() {
    let (state, gate) = gated(Config { queue: 1, ..Config::default() });
    let first = post_later(&state, 20);
    let (gate, width) = gate.arrived().await;
    assert_eq!(width, 20);
    let refused = post(&state, "", png(21)).await;
    assert!(refused.problem(429).contains("queue"));
    assert_eq!(refused.header("retry-after"), "1");
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    gate.open();
    assert_eq!(post(&state, "", png(22)).await.status, 200);
}

#[tokio::test]
async fn a_client_that_went_away_gives_its_place_back() {
    let (state, gate) = gated(Config { queue: 2, ..Config::default() });
    let first = post_later(&state, 20);
    let (gate, _) = gate.arrived().await;
    let mut second = Box::pin(post(&state, "", png(21)));
    // Time enough to get its place.
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(waited.is_err(), "it waits behind the gate");
    post(&state, "", png(22)).await.problem(429);
    drop(second);
    let third = post_later(&state, 23);
    gate.open();
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(third.await.unwrap().status, 200);
    let (_gate, width) = gate.arrived().await;
    assert_eq!(width, 23, "the abandoned picture was encoded");
}

#[tokio::test]
async fn few_decoders_serve_many_requests() {
    let (state, gate) = gated(Config { decoders: 1, ..Config::default() });
    let requests: Vec<_> = (1..=10).map(|width| post_later(&state, width)).collect();
    for _ in 0..10 {
        gate.open();
    }
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn pixels_are_counted_as_well_as_pictures() {
    let (state, gate) =
        gated(Config { max_pixels: 64 * 64 * 3, queue_pixels: 64 * 64 * 3, ..Config::default() });
    let first = post_later(&state, 100);
    let (gate, _) = gate.arrived().await;
    // 100 pixels are two cells of the networks, and so are these.
    assert!(post(&state, "", png(65)).await.problem(429).contains("queue"));
    let third = post_later(&state, 60);
    gate.open();
    gate.open();
    for request in [first, third] {
        assert_eq!(request.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_huge_picture_does_not_hold_up_a_small_one() {
    let (state, gate) = gated(Config { batch: 1, ..Config::default() });
    let tall = image::RgbImage::new(4000, 512 * 3);
    let mut bytes = std::io::Cursor::new(Vec::new());
    tall.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let huge = tokio::spawn({
        let state = state.clone();
        async move { post(&state, "", bytes.into_inner()).await }
    });
    let (gate, _) = gate.arrived().await;
    let mut small = Box::pin(post(&state, "", png(21)));
    // Until it is in the queue.
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut small).await;
    assert!(waited.is_err());
    gate.open();
    let (gate, width) = gate.arrived().await;
    assert_eq!(width, 21, "after the first of three strips");
    (0..3).for_each(|_| gate.open());
    assert_eq!(small.await.status, 200);
    assert_eq!(huge.await.unwrap().status, 200);
}
