//! Who is let in, and who is not.

use crate::common::{Answer, png, post, send, with};
use crate::images::tiny;
use axum::body::Body;
use axum::http::Request;
use bottleneck_server::{AccessConfig, ApiKey, AppState, Config, ConfigError, StartError, UrlKey};
use std::time::{SystemTime, UNIX_EPOCH};

const YEAR: u64 = 31_536_000;

fn url_key(name: &str) -> UrlKey {
    format!("{name}:a secret of at least thirty-two bytes for {name}").parse().unwrap()
}

fn guarded(access: AccessConfig) -> AppState {
    tiny(Config { access, ..Config::default() })
}

fn two_keys() -> AccessConfig {
    AccessConfig {
        api_keys: vec![ApiKey::new("old", "first secret"), ApiKey::new("new", "second secret")],
        ..AccessConfig::default()
    }
}

async fn ask(state: &AppState, method: &str, path: &str, key: Option<&str>, body: Vec<u8>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    send(state, request.body(Body::from(body)).unwrap()).await
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn without_keys_everyone_may() {
    let state = guarded(AccessConfig::default());
    let kept = ask(&state, "POST", "/v1/images", None, png(20)).await;
    let url = kept.header("location");
    assert_eq!(ask(&state, "GET", url, None, vec![]).await.status, 200);
    assert_eq!(ask(&state, "DELETE", url, None, vec![]).await.status, 204);
}

#[tokio::test]
async fn with_keys_one_must_be_shown_to_encode_keep_and_delete() {
    let state = guarded(two_keys());
    for (method, path) in [("POST", "/v1/encode"), ("POST", "/v1/images"), ("DELETE", "/v1/images/a")] {
        let refused = ask(&state, method, path, None, png(20)).await;
        assert!(refused.problem(401).contains("Authorization"), "{method} {path}");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        for wrong in ["third secret", "first secre", "", "old", "first secret, second secret"] {
            ask(&state, method, path, Some(wrong), png(20)).await.problem(401);
        }
    }
    let basic = Request::post("/v1/encode").header("authorization", "Basic first secret");
    send(&state, basic.body(Body::from(png(20))).unwrap()).await.problem(401);
    // Both are good while keys are changed.
    for key in ["first secret", "second secret"] {
        assert_eq!(ask(&state, "POST", "/v1/encode", Some(key), png(20)).await.status, 200);
        let kept = ask(&state, "POST", "/v1/images", Some(key), png(20)).await;
        let url = kept.header("location");
        // Who knows an id may have the image: pages show it to everyone.
        assert_eq!(ask(&state, "GET", url, None, vec![]).await.status, 200);
        assert_eq!(ask(&state, "DELETE", url, Some(key), vec![]).await.status, 204);
    }
    for open in ["/healthz", "/v1/models", "/info", "/openapi.json"] {
        assert_eq!(ask(&state, "GET", open, None, vec![]).await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn a_key_that_asks_too_often_waits_and_no_other_does() {
    let state = guarded(AccessConfig { key_rate: 1.try_into().ok(), ..two_keys() });
    let encode = async |key| ask(&state, "POST", "/v1/encode", Some(key), png(20)).await;
    assert_eq!(encode("first secret").await.status, 200);
    // One a second, of which the first has been used: one of these must come too early.
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(encode("first secret").await);
    }
    let refused = answers.iter().find(|answer| answer.status == 429).expect("50 requests within a second");
    assert!(refused.problem(429).contains("\"old\""));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(encode("second secret").await.status, 200);
}

#[tokio::test]
async fn with_url_keys_an_image_needs_a_signature_or_an_api_key() {
    let url_keys = vec![url_key("2026a"), url_key("2026b")];
    let state = guarded(AccessConfig { url_keys: url_keys.clone(), ..two_keys() });
    let kept = ask(&state, "POST", "/v1/images", Some("first secret"), png(40)).await;
    let url = kept.header("location").to_owned();
    for path in [url.clone(), format!("{url}.bnk"), format!("{url}.webp?w=20")] {
        let get = async |path: &str, key| ask(&state, "GET", path, key, vec![]).await;
        get(&path, None).await.problem(401);
        get(&path, Some("wrong")).await.problem(401);
        let by_key = get(&path, Some("second secret")).await;
        assert_eq!(by_key.status, 200, "{path}");
        // No shared cache may hand it to those who have no key.
        assert_eq!(by_key.header("cache-control"), "private, max-age=31536000, immutable");
        for key in &url_keys {
            let signed = key.sign(&path, now() + 1000);
            let answer = get(&signed, None).await;
            assert_eq!((answer.status.as_u16(), &answer.body), (200, &by_key.body));
            let told = answer.header("cache-control").strip_prefix("public, max-age=").unwrap();
            let left: u64 = told.strip_suffix(", immutable").unwrap().parse().unwrap();
            assert!((900..=1000).contains(&left), "no cache may keep it longer than it holds: {left}");
            assert_eq!(ask(&state, "HEAD", &signed, None, vec![]).await.status, 200);
        }
        let long = url_keys[0].sign(&path, now() + 10 * YEAR);
        let answer = get(&long, None).await;
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");

        get(&url_keys[0].sign(&path, now() - 1), None).await.problem(403);
        get(&url_key("2025z").sign(&path, now() + 1000), None).await.problem(403);
        let wider =
            long.replace("w=20", "w=40").replace(".bnk", ".png").replace(&url, &(url.clone() + ".jpg"));
        get(&wider, None).await.problem(403);
        get(&format!("{long}0"), None).await.problem(403);
        get(&format!("{long}&w=7"), None).await.problem(403);
    }
    // A signature is for those who look.
    let signed = url_keys[0].sign(&url, now() + 1000);
    ask(&state, "DELETE", &signed, None, vec![]).await.problem(401);
}

#[tokio::test]
async fn other_origins_pages_are_told_only_if_they_are_named() {
    let answers = async |origins: &[&str], origin: &str| {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let access = AccessConfig { origins, ..two_keys() };
        let state = with(Config { access, ..Config::default() }, |_| Ok(()));
        let allowed = |answer: &Answer| {
            answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
        };
        let get = Request::get("/v1/models").header("origin", origin).body(Body::empty()).unwrap();
        let preflight = Request::options("/v1/images")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .body(Body::empty())
            .unwrap();
        [allowed(&send(&state, get).await), allowed(&send(&state, preflight).await)]
    };
    let some = |origin: &str| [Some(origin.to_owned()), Some(origin.to_owned())];
    let (shop, other) = ("https://shop.example", "https://other.example");
    assert_eq!(answers(&[], shop).await, [None, None]);
    assert_eq!(answers(&[shop], shop).await, some(shop));
    assert_eq!(answers(&[shop], other).await, [None, None]);
    assert_eq!(answers(&[shop, other], other).await, some(other));
    assert_eq!(answers(&["*"], other).await, some("*"));
}

#[tokio::test]
async fn origins_are_checked_at_the_start() {
    for wrong in ["example.org", "https://example.org/", "https://example.org/page", ""] {
        let access = AccessConfig { origins: vec![wrong.to_owned()], ..AccessConfig::default() };
        let model = crate::common::model("lite", |_| Ok(()));
        let error = AppState::new(vec![model], Config { access, ..Config::default() }).unwrap_err();
        assert!(matches!(error, StartError::Config(ConfigError::Origin { .. })), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_is_not_encoded() {
    let access = two_keys();
    let state = with(Config { access, ..Config::default() }, |image| {
        assert_eq!(image.width, crate::common::WARM_UP, "only the self-test may reach the codec");
        Ok(())
    });
    post(&state, "", png(20)).await.problem(401);
}
