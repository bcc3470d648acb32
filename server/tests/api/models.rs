use crate::common::{get, model, plain, png, post, send};
use axum::body::Body;
use axum::http::Request;
use bottleneck_proto::http::ModelInfo;
use bottleneck_server::{AppState, Config, ModelsError};

fn lite_and_base() -> AppState {
    AppState::new(vec![model("lite", |_| Ok(())), model("base", |_| Ok(()))], Config::default()).unwrap()
}

#[tokio::test]
async fn models_are_listed_with_the_default_first() {
    let answer = get(&lite_and_base(), "/v1/models").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let models: Vec<ModelInfo> = serde_json::from_slice(&answer.body).unwrap();
    let told: Vec<_> = models.iter().map(|model| (model.profile.as_str(), model.default)).collect();
    assert_eq!(told, [("lite", true), ("base", false)]);
    assert_eq!(models[0].id.to_string(), "6c6c6c6c6c6c6c6c");
    assert_eq!(models[0].decoder_bytes, 15);
    assert_eq!(models[0].kmac_per_pixel_decoder, 4.5);
}

#[tokio::test]
async fn the_profile_chooses_the_model() {
    let state = lite_and_base();
    for (query, id) in [
        ("", "6c6c6c6c6c6c6c6c"),
        ("?profile=base", "6262626262626262"),
        ("?profile=6262626262626262", "6262626262626262"),
    ] {
        assert_eq!(post(&state, query, png(20)).await.header("x-bottleneck-model"), id, "{query}");
    }
    assert!(
        post(&state, "?profile=huge", png(20))
            .await
            .problem(422)
            .contains("lite (6c6c6c6c6c6c6c6c), base (6262626262626262)")
    );
}

#[tokio::test]
async fn decoders_may_be_cached_for_ever() {
    let state = plain();
    let path = "/v1/models/6c6c6c6c6c6c6c6c/decoder";
    let whole = get(&state, path).await;
    assert_eq!((whole.status.as_u16(), whole.body.as_slice()), (200, b"decoder of lite".as_slice()));
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    assert_eq!(whole.header("cache-control"), "public, max-age=31536000, immutable");

    let conditional =
        |tag: &str| Request::get(path).header("if-none-match", tag).body(Body::empty()).unwrap();
    let unchanged = send(&state, conditional(whole.header("etag"))).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), whole.header("etag"));
    assert_eq!(unchanged.header("cache-control"), whole.header("cache-control"));
    assert_eq!(send(&state, conditional("\"another\"")).await.status, 200);
}

#[tokio::test]
async fn unknown_models_are_not_found() {
    let state = plain();
    for id in ["0000000000000000", "lite", "%ff"] {
        get(&state, &format!("/v1/models/{id}/decoder")).await.problem(404);
    }
}

#[tokio::test]
async fn the_default_is_chosen_by_name() {
    let config = Config { default_model: Some("base".to_owned()), ..Config::default() };
    let models = vec![model("lite", |_| Ok(())), model("base", |_| Ok(()))];
    let state = AppState::new(models, config).unwrap();
    assert_eq!(post(&state, "", png(20)).await.header("x-bottleneck-model"), "6262626262626262");
    let models: Vec<ModelInfo> = serde_json::from_slice(&get(&state, "/v1/models").await.body).unwrap();
    assert_eq!((models[0].profile.as_str(), models[0].default, models[1].default), ("base", true, false));
}

#[tokio::test]
async fn a_reload_keeps_the_old_models_if_the_new_ones_fail() {
    let state = plain();
    let decoder = "/v1/models/6c6c6c6c6c6c6c6c/decoder";
    let broken = model("novel", |_| panic!("not a number"));
    let error = state.reload(vec![model("base", |_| Ok(())), broken]).await.unwrap_err();
    assert!(error.to_string().contains("not a number"), "{error}");
    assert!(matches!(state.reload(vec![]).await.unwrap_err(), ModelsError::None));
    assert_eq!(post(&state, "", png(20)).await.header("x-bottleneck-model"), "6c6c6c6c6c6c6c6c");

    state.reload(vec![model("base", |_| Ok(()))]).await.unwrap();
    assert_eq!(post(&state, "", png(20)).await.header("x-bottleneck-model"), "6262626262626262");
    post(&state, "?profile=lite", png(20)).await.problem(422);
    // Codes made a moment ago must still open.
    assert_eq!(get(&state, decoder).await.status, 200);
}
