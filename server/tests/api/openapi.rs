use crate::common::{get, plain};
use bottleneck_server::description;
use std::path::Path;

/// The checked-in description is the code's. After a change to the routes, run this test with
/// `BOTTLENECK_UPDATE=1`, and look at the difference.
#[tokio::test]
async fn the_description_is_the_one_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let found = description().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("BOTTLENECK_UPDATE").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == found, "server/openapi.json is not what the code gives: BOTTLENECK_UPDATE=1 writes it");
    let served = get(&plain(), "/openapi.json").await;
    assert_eq!(served.header("content-type"), "application/json");
    let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&served.body), json(found.as_bytes()));
}

#[tokio::test]
async fn the_docs_are_served_without_a_network() {
    let state = plain();
    let page = String::from_utf8(get(&state, "/docs/").await.body).unwrap();
    assert!(page.contains("swagger-ui") && !page.contains("https://"), "{page}");
    assert_eq!(get(&state, "/docs/swagger-ui-bundle.js").await.status, 200);
}
