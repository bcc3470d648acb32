use crate::common::{Answer, gated, png, post};
use bottleneck_server::{AppState, Config};
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
    tokio::select! {
        biased;
        _ = &mut second => unreachable!("it would wait behind the gate"),
        // Polled once, it has its place.
        () = std::future::ready(()) => {}
    }
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
async fn few_decoded_pictures_at_a_time_serve_many_requests() {
    let (state, gate) = gated(Config { pictures: 1, ..Config::default() });
    let requests: Vec<_> = (1..=10).map(|width| post_later(&state, width)).collect();
    for _ in 0..10 {
        gate.open();
    }
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
}
