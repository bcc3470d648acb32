use crate::common::{Answer, get, plain, send};
use axum::body::Body;
use axum::http::Request;

/// What a browser asks with.
async fn browse(path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path).header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&plain(), request.body(Body::empty()).unwrap()).await
}

/// The path of everything that the page loads.
fn assets(page: &str) -> Vec<&str> {
    let quoted = page.split('"').filter(|text| text.starts_with("/assets/"));
    quoted.collect()
}

#[tokio::test]
async fn browsers_get_the_page_under_a_strict_policy() {
    let answer = browse("/", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"), "{policy}");
    assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
    let again = browse("/", &[("if-none-match", answer.header("etag"))]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
}

#[tokio::test]
async fn everything_that_the_page_names_is_served_for_ever() {
    let page = String::from_utf8(browse("/", &[]).await.body).unwrap();
    let assets = assets(&page);
    assert!(assets.len() >= 6, "{assets:?}");
    for path in assets {
        let answer = get(&plain(), path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_ne!(answer.header("content-type"), "application/octet-stream", "{path}");
    }
}

#[tokio::test]
async fn the_decoder_is_sent_compressed_and_is_small() {
    let page = String::from_utf8(browse("/", &[]).await.body).unwrap();
    let script = assets(&page).into_iter().find(|path| path.ends_with("/page/main.js")).unwrap();
    let module = script.replace("page/main.js", "wasm/bottleneck_web_bg.wasm");
    let plain = browse(&module, &[]).await;
    assert_eq!(plain.header("content-type"), "application/wasm");
    assert_eq!(&plain.body[..4], b"\0asm");
    let compressed = browse(&module, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(compressed.header("content-encoding"), "gzip");
    assert_eq!(compressed.header("vary"), "accept-encoding");
    assert!(compressed.body.len() <= 250_000, "{} bytes", compressed.body.len());
}

#[tokio::test]
async fn other_versions_and_files_are_not_found() {
    let page = String::from_utf8(browse("/", &[]).await.body).unwrap();
    let version = assets(&page)[0].split('/').nth(2).unwrap().to_owned();
    for path in ["/assets/0/page/main.js", &format!("/assets/{version}/page/none.js"), "/assets"] {
        get(&plain(), path).await.problem(404);
    }
}
