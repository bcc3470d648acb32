//! Images that are kept. With the tiny model: codes must decode.

use crate::common::{Answer, get, png, post, post_to, send};
use axum::body::Body;
use axum::http::Request;
use bottleneck_model::{Backend, Encoder, ModelId};
use bottleneck_proto::Container;
use bottleneck_proto::http::{StoredImage, StoredImages};
use bottleneck_server::{AppState, Config, StoreConfig, StorePlace};
use std::path::Path;

pub(crate) fn tiny(config: Config) -> AppState {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny.safetensors");
    let encoder = Encoder::from_bytes(&std::fs::read(path).unwrap(), Backend::Cpu).unwrap();
    AppState::new(vec![encoder.into()], config).unwrap()
}

fn in_folder(folder: &Path) -> AppState {
    let store = StoreConfig { place: StorePlace::Folder(folder.to_owned()), ..StoreConfig::default() };
    tiny(Config { store, ..Config::default() })
}

fn images(answer: &Answer) -> Vec<StoredImage> {
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let StoredImages { images } = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.header("location"), images[0].url);
    images
}

async fn keep(state: &AppState, query: &str, body: impl Into<Body>) -> Vec<StoredImage> {
    images(&post_to(state, &format!("/v1/images{query}"), body).await)
}

/// Keeps a picture of `width` by 8 pixels.
async fn keep_one(state: &AppState, width: u32) -> StoredImage {
    keep(state, "", png(width)).await.remove(0)
}

async fn ask(state: &AppState, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(state, request.body(Body::empty()).unwrap()).await
}

fn size(file: &[u8]) -> (u32, u32) {
    let image = image::load_from_memory(file).unwrap();
    (image.width(), image.height())
}

#[tokio::test]
async fn what_is_kept_is_the_code_under_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not/there/yet");
    let state = in_folder(&root);
    let code = post(&state, "?q=30", png(40)).await.body;
    let image = keep(&state, "?q=30", png(40)).await.remove(0);
    assert_eq!((image.width, image.height, image.bytes), (40, 8, code.len() as u64));
    assert_eq!(image.url, format!("/v1/images/{}", image.id));

    let file = root.join(&image.id[..2]).join(format!("{}.bnk", image.id));
    assert_eq!(std::fs::read(&file).unwrap(), code);
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1, "nothing else is kept");
    let answer = get(&state, &format!("{}.bnk", image.url)).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, code.clone()));
    // Another server with the same store has it too, and the same picture is the same image.
    let other = in_folder(&root);
    assert_eq!(get(&other, &format!("{}.bnk", image.url)).await.body, code);
    assert_eq!(keep(&other, "?q=30", png(40)).await[0], image);
}

#[tokio::test]
async fn the_form_is_the_client_s_choice_or_the_address_s() {
    let state = tiny(Config::default());
    let url = keep_one(&state, 40).await.url;
    for (accept, media_type) in [
        ("image/vnd.bottleneck, image/webp", "image/vnd.bottleneck"),
        ("image/avif,image/webp,image/*,*/*;q=0.8", "image/webp"),
        ("*/*", "image/jpeg"),
        ("image/png", "image/png"),
    ] {
        let answer = ask(&state, "GET", &url, &[("accept", accept)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, media_type), "{accept}");
        assert_eq!(answer.header("vary"), "accept");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    for (extension, media_type) in
        [("bnk", "image/vnd.bottleneck"), ("webp", "image/webp"), ("jpg", "image/jpeg"), ("png", "image/png")]
    {
        let path = format!("{url}.{extension}");
        let answer = ask(&state, "GET", &path, &[("accept", "text/html")]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, media_type), "{path}");
        assert!(!answer.headers.contains_key("vary"));
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        if extension != "bnk" {
            assert_eq!(size(&answer.body), (40, 8), "{path}");
        }
        // The same again, made or from the cache, and its head alone.
        let head = ask(&state, "HEAD", &path, &[]).await;
        assert_eq!(head.header("etag"), answer.header("etag"));
        assert_eq!(head.header("content-length"), answer.body.len().to_string());
        assert!(head.body.is_empty());
    }
    let refused = ask(&state, "GET", &url, &[("accept", "text/html")]).await;
    assert!(refused.problem(406).contains("image/vnd.bottleneck"));
}

#[tokio::test]
async fn the_png_is_the_decoded_code() {
    let state = tiny(Config::default());
    let url = keep_one(&state, 40).await.url;
    let code = get(&state, &format!("{url}.bnk")).await.body;
    let id = Container::parse(&code, &bottleneck_model::Limits::default()).unwrap().model;
    let decoder = get(&state, &format!("/v1/models/{id}/decoder")).await.body;
    let model = bottleneck_model::Model::from_bytes(&decoder).unwrap();
    let picture = bottleneck_model::decode(&code, &model, &bottleneck_model::Limits::default()).unwrap();
    let shown = image::load_from_memory(&get(&state, &format!("{url}.png")).await.body).unwrap();
    assert_eq!(shown.to_rgb8().into_raw(), picture.rgb);
}

#[tokio::test]
async fn widths_are_encoded_at_once_from_the_photograph() {
    let state = tiny(Config::default());
    let kept = keep(&state, "?widths=25,50,300,25&q=80", png(100)).await;
    let sizes: Vec<_> = kept.iter().map(|image| (image.width, image.height)).collect();
    assert_eq!(sizes, [(100, 8), (50, 4), (25, 2)]);
    for image in &kept {
        let shown = get(&state, &format!("{}.png", image.url)).await;
        assert_eq!(size(&shown.body), (image.width, image.height));
    }
    for wrong in ["?widths=", "?widths=0", "?widths=a", "?widths=70000", "?measure=psnr", "?width=3"] {
        post_to(&state, &format!("/v1/images{wrong}"), png(20)).await.problem(422);
    }
    let many = vec!["10"; 17].join(",");
    post_to(&state, &format!("/v1/images?widths={many}"), png(20)).await.problem(422);
}

#[tokio::test]
async fn narrower_forms_are_made_when_they_are_asked_for() {
    let state = tiny(Config::default());
    let image = keep_one(&state, 100).await;
    for (query, expected) in [("?w=50", (50, 4)), ("?w=100", (100, 8)), ("?w=5000", (100, 8))] {
        for extension in ["webp", "jpg", "png"] {
            let answer = get(&state, &format!("{}.{extension}{query}", image.url)).await;
            assert_eq!(size(&answer.body), expected, "{extension}{query}");
        }
        let code = get(&state, &format!("{}.bnk{query}", image.url)).await;
        assert_eq!(code.header("content-type"), "image/vnd.bottleneck");
        let header = Container::parse(&code.body, &bottleneck_model::Limits::default()).unwrap();
        assert_eq!((u32::from(header.width), u32::from(header.height)), expected, "{query}");
        assert_eq!(get(&state, &format!("{}.bnk{query}", image.url)).await.body, code.body);
    }
    for wrong in ["?w=0", "?w=a", "?w=65536", "?h=3", "?w=3&w=4", "?expires=-1", "?signature=4"] {
        get(&state, &format!("{}.bnk{wrong}", image.url)).await.problem(422);
    }
}

#[tokio::test]
async fn conditions_and_ranges_hold_for_every_form() {
    let state = tiny(Config::default());
    let url = keep_one(&state, 64).await.url;
    for extension in ["bnk", "webp", "jpg", "png"] {
        let path = format!("{url}.{extension}");
        let whole = get(&state, &path).await;
        let (tag, length) = (whole.header("etag"), whole.body.len());
        assert!(tag.starts_with('"'), "a strong tag: {tag}");
        assert_eq!(whole.header("accept-ranges"), "bytes");
        assert_eq!(whole.header("content-length"), length.to_string());

        let unchanged = ask(&state, "GET", &path, &[("if-none-match", tag), ("range", "bytes=0-1")]).await;
        assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
        assert_eq!(unchanged.header("etag"), tag);

        let middle = ask(&state, "GET", &path, &[("range", "bytes=5-20"), ("if-range", tag)]).await;
        assert_eq!((middle.status.as_u16(), &middle.body[..]), (206, &whole.body[5..21]));
        assert_eq!(middle.header("content-range"), format!("bytes 5-20/{length}"));
        assert_eq!(middle.header("content-length"), "16");
        assert_eq!(middle.header("etag"), tag);
        let last = ask(&state, "GET", &path, &[("range", "bytes=-3")]).await;
        assert_eq!((last.status.as_u16(), &last.body[..]), (206, &whole.body[length - 3..]));

        let changed = ask(&state, "GET", &path, &[("range", "bytes=5-20"), ("if-range", "\"other\"")]).await;
        assert_eq!((changed.status.as_u16(), &changed.body), (200, &whole.body));
        let several = ask(&state, "GET", &path, &[("range", "bytes=0-1,4-5")]).await;
        assert_eq!((several.status.as_u16(), &several.body), (200, &whole.body));
        let beyond = ask(&state, "GET", &path, &[("range", &format!("bytes={length}-"))]).await;
        beyond.problem(416);
        assert_eq!(beyond.header("content-range"), format!("bytes */{length}"));
    }
}

#[tokio::test]
async fn deleted_images_are_gone_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let (state, other) = (in_folder(folder.path()), in_folder(folder.path()));
    let url = keep_one(&state, 40).await.url;
    let (webp, code) = (format!("{url}.webp"), format!("{url}.bnk"));
    // Into the cache of the server that is not told.
    assert_eq!(get(&other, &webp).await.status, 200);
    ask(&state, "DELETE", &webp, &[]).await.problem(404);
    let deleted = ask(&state, "DELETE", &url, &[]).await;
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
    for server in [&state, &other] {
        for path in [&url, &webp, &code] {
            get(server, path).await.problem(404);
            assert_eq!(ask(server, "HEAD", path, &[]).await.status, 404);
        }
        ask(server, "GET", &code, &[("range", "bytes=0-3")]).await.problem(404);
        ask(server, "DELETE", &url, &[]).await.problem(404);
    }
}

#[tokio::test]
async fn addresses_that_are_none_are_not_found() {
    let state = tiny(Config::default());
    let id = keep_one(&state, 40).await.id;
    let (upper, none) = (id.to_uppercase(), "0".repeat(64));
    let paths = [&upper, &none, &id[1..], &format!("{id}.gif"), &format!("{id}."), "a", "%ff", "..%2fprobe"];
    for path in paths {
        get(&state, &format!("/v1/images/{path}")).await.problem(404);
    }
    ask(&state, "PUT", &format!("/v1/images/{id}"), &[]).await.problem(405);
}

#[tokio::test]
async fn a_code_is_kept_as_it_comes_if_it_is_one_of_ours() {
    let state = tiny(Config::default());
    let keep_code = async |body: Vec<u8>, query: &str| {
        let request = Request::post(format!("/v1/images{query}"))
            .header("content-type", "image/vnd.bottleneck; charset=binary")
            .body(Body::from(body));
        send(&state, request.unwrap()).await
    };
    let code = post(&state, "?q=10", png(33)).await.body;
    let image = images(&keep_code(code.clone(), "").await).remove(0);
    assert_eq!((image.width, image.height), (33, 8));
    assert_eq!(get(&state, &format!("{}.bnk", image.url)).await.body, code);

    let mut damaged = code.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(keep_code(damaged, "").await.problem(400).contains("checksum"));
    keep_code(png(20), "").await.problem(400);
    keep_code(vec![], "").await.problem(400);
    keep_code(code.clone(), "?q=3").await.problem(422);
    let mut stranger = Container::parse(&code, &bottleneck_model::Limits::default()).unwrap();
    stranger.model = ModelId([7; 8]);
    let stranger = bottleneck_proto::write(&stranger).unwrap();
    assert!(keep_code(stranger, "").await.problem(422).contains("0707070707070707"));
    // Without its type it is a picture of an unknown kind.
    post_to(&state, "/v1/images", code).await.problem(415);
}

#[tokio::test]
async fn a_large_code_is_sent_as_it_is_read_and_one_that_does_not_decode_only_so() {
    let folder = tempfile::tempdir().unwrap();
    let state = in_folder(folder.path());
    let small = post(&state, "", png(20)).await.body;
    let mut container = Container::parse(&small, &bottleneck_model::Limits::default()).unwrap();
    let noise: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    container.strips = vec![&noise];
    let code = bottleneck_proto::write(&container).unwrap();
    let request = Request::post("/v1/images").header("content-type", "image/vnd.bottleneck");
    let url = images(&send(&state, request.body(code.clone().into()).unwrap()).await).remove(0).url;

    let whole = get(&state, &format!("{url}.bnk")).await;
    assert_eq!(whole.header("content-length"), code.len().to_string());
    assert!(whole.body == code);
    let last = ask(&state, "GET", &format!("{url}.bnk"), &[("range", "bytes=2999000-")]).await;
    assert!(last.status == 206 && last.body == code[2_999_000..]);
    assert!(get(&state, &format!("{url}.jpg")).await.problem(422).contains(".bnk"));
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_readiness_tells() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("images");
    let state = in_folder(&root);
    state.ready().await.unwrap();
    let url = keep_one(&state, 40).await.url;
    // Root may write to read-only folders, so that a file must stand in the way.
    std::fs::rename(&root, folder.path().join("away")).unwrap();
    std::fs::write(&root, b"").unwrap();
    let failures = [
        post_to(&state, "/v1/images", png(20)).await,
        get(&state, &format!("{url}.bnk")).await,
        get(&state, &format!("{url}.jpg")).await,
        ask(&state, "DELETE", &url, &[]).await,
        get(&state, "/readyz").await,
    ];
    for failure in failures {
        let detail = failure.problem(503);
        assert!(!detail.contains(folder.path().to_str().unwrap()), "{detail}");
        assert_eq!(failure.header("retry-after"), "5");
    }
    assert_eq!(post(&state, "", png(20)).await.status, 200, "encoding needs no store");

    std::fs::remove_file(&root).unwrap();
    std::fs::rename(folder.path().join("away"), &root).unwrap();
    assert_eq!(get(&state, &format!("{url}.bnk")).await.status, 200, "what was kept is there");
}

#[tokio::test]
async fn codes_of_replaced_models_are_still_shown() {
    let state = tiny(Config::default());
    let url = keep_one(&state, 40).await.url;
    state.reload(vec![Encoder::lite(Backend::Cpu).unwrap().into()]).await.unwrap();
    assert_eq!(size(&get(&state, &format!("{url}.jpg")).await.body), (40, 8));
    assert_eq!(get(&state, &format!("{url}.bnk?w=20")).await.status, 200);
    let unknown = tiny(Config::default());
    assert_eq!(get(&unknown, &format!("{url}.jpg")).await.status, 404);
}
