//! Fetches, from a server of a few lines that answers what it is told to.

mod common;
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::path::Path;

use bottleneck_client::{FetchError, FetchEvent, Limits, Model, UploadError, fetch, fetch_model};
use bottleneck_proto::ModelId;
use common::{Run, names, run};
use server::{FakeServer, Request, answer};
use tempfile::tempdir;

fn data(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)).unwrap()
}

/// A code of the tiny model, 70 by 45 pixels.
fn code() -> Vec<u8> {
    data("golden-70x45-0.bnk")
}

fn tiny() -> Model {
    Model::from_bytes(&data("tiny.safetensors")).unwrap()
}

fn whole() -> Vec<u8> {
    answer("200 OK", "etag: \"one\"\r\n", &code())
}

/// All that `tag` names is announced, and `bytes` of it come.
fn cut(tag: &str, bytes: usize) -> Vec<u8> {
    let mut cut = answer("200 OK", &format!("etag: {tag}\r\n"), &code());
    cut.truncate(cut.len() - code().len() + bytes);
    cut
}

fn rest(from: usize) -> Vec<u8> {
    let (code, last) = (code(), code().len() - 1);
    let headers = format!("etag: \"one\"\r\ncontent-range: bytes {from}-{last}/{}\r\n", code.len());
    answer("206 Partial Content", &headers, &code[from..])
}

fn busy(status: &str) -> Vec<u8> {
    answer(status, "retry-after: 0\r\n", b"")
}

fn url(server: &FakeServer) -> String {
    format!("{}/v1/images/ab?w=70", server.address)
}

fn heads(server: FakeServer) -> Vec<String> {
    let head = |request: Request| {
        assert!(request.body.is_empty(), "a fetch sends nothing");
        request.head
    };
    server.requests().into_iter().map(head).collect()
}

fn fetched(answers: Vec<Vec<u8>>) -> (Result<Vec<u8>, FetchError>, Vec<String>, Vec<FetchEvent>) {
    let server = FakeServer::new(answers);
    let mut events = Vec::new();
    let outcome = fetch(&url(&server), None, &Limits::default(), |event| events.push(event));
    (outcome, heads(server), events)
}

#[test]
fn a_code_is_asked_for_by_its_type() {
    let (outcome, heads, events) = fetched(vec![whole()]);
    assert_eq!(outcome.unwrap(), code());
    assert!(heads[0].starts_with("get /v1/images/ab?w=70 http/1.1\r\n"), "{}", heads[0]);
    assert!(
        heads[0].contains("accept: image/vnd.bottleneck\r\n") && !heads[0].contains("range"),
        "{}",
        heads[0]
    );
    let all = code().len() as u64;
    assert_eq!(events.last(), Some(&FetchEvent::Progress { bytes: all, total: Some(all) }));
}

#[test]
fn what_broke_off_goes_on_from_there() {
    // Between them a proxy has no server for a moment.
    let (outcome, heads, events) = fetched(vec![cut("\"one\"", 50), busy("502 Bad Gateway"), rest(50)]);
    assert_eq!(outcome.unwrap(), code());
    for head in &heads[1..] {
        assert!(head.contains("range: bytes=50-\r\n") && head.contains("if-range: \"one\"\r\n"), "{head}");
    }
    assert_eq!(events.iter().filter(|event| matches!(event, FetchEvent::Waiting(_))).count(), 2);
}

#[test]
fn what_changed_meanwhile_begins_anew() {
    // Whole in answer to a range; with a weak tag, which must not be mixed; and grown shorter.
    let anew = answer("200 OK", "etag: \"two\"\r\n", &code());
    let (outcome, _, _) = fetched(vec![cut("\"one\"", 50), anew]);
    assert_eq!(outcome.unwrap(), code());
    let (outcome, heads, _) = fetched(vec![cut("W/\"one\"", 50), whole()]);
    assert_eq!(outcome.unwrap(), code());
    assert!(!heads[1].contains("range"), "{}", heads[1]);
    let shorter = answer("416 Range Not Satisfiable", "content-range: bytes */40\r\n", b"");
    let (outcome, heads, _) = fetched(vec![cut("\"one\"", 50), shorter, whole()]);
    assert_eq!(outcome.unwrap(), code());
    assert!(!heads[2].contains("range"), "{}", heads[2]);
}

#[test]
fn a_busy_server_is_asked_again_but_not_for_ever() {
    let (outcome, ..) =
        fetched(vec![busy("429 Too Many Requests"), busy("503 Service Unavailable"), whole()]);
    assert_eq!(outcome.unwrap(), code());
    let (outcome, heads, _) = fetched(vec![busy("503 Service Unavailable"); 8]);
    assert!(matches!(outcome, Err(FetchError::Server(UploadError::Busy(_)))), "{outcome:?}");
    assert_eq!(heads.len(), 8);
}

#[test]
fn refusals_and_what_is_no_code_are_told_at_once() {
    for (status, body) in
        [("404 Not Found", &b""[..]), ("401 Unauthorized", b""), ("301 Moved Permanently", b"")]
    {
        let (outcome, ..) = fetched(vec![answer(status, "", body)]);
        assert!(
            matches!(outcome, Err(FetchError::Server(UploadError::Refused(said))) if said.contains(&status[..3]))
        );
    }
    let (outcome, ..) = fetched(vec![answer("200 OK", "", b"<html>")]);
    assert!(matches!(outcome, Err(FetchError::NotACode { .. })));
    let server = FakeServer::new(vec![whole()]);
    let limits = Limits { max_bytes: 100, ..Limits::default() };
    let outcome = fetch(&url(&server), None, &limits, |_| {});
    assert!(matches!(outcome, Err(FetchError::TooLong { allowed: 100, .. })));
    assert!(matches!(
        fetch("https://a/b", None, &limits, |_| {}),
        Err(FetchError::Server(UploadError::Tls { .. }))
    ));
    assert!(matches!(
        fetch("a/b", None, &limits, |_| {}),
        Err(FetchError::Server(UploadError::Address { .. }))
    ));
}

#[test]
fn a_model_is_verified_by_its_id() {
    let (tiny, lite) = (tiny(), Model::lite());
    let bytes = tiny.decoder_bytes();
    let of = |bytes: &[u8], id: ModelId| {
        let server = FakeServer::new(vec![answer("200 OK", "", bytes)]);
        let outcome = fetch_model(&url(&server), id, |_| {}).map(|model| model.id());
        (outcome, heads(server).remove(0))
    };
    let (outcome, head) = of(bytes, tiny.id());
    assert_eq!(outcome.unwrap(), tiny.id());
    assert!(head.starts_with(&format!("get /v1/models/{}/decoder http/1.1", tiny.id())), "{head}");
    assert!(
        matches!(of(bytes, lite.id()).0, Err(FetchError::OtherModel { found, .. }) if found == tiny.id())
    );
    assert!(matches!(of(&bytes[..1000], tiny.id()).0, Err(FetchError::NotAModel { .. })));
}

#[test]
fn a_key_is_shown_to_the_server_that_the_address_names_and_nobody_else() {
    let server = FakeServer::new(vec![cut("\"one\"", 50), rest(50)]);
    let outcome = fetch(&url(&server), Some("a-key"), &Limits::default(), |_| {});
    assert_eq!(outcome.unwrap(), code());
    assert!(heads(server).iter().all(|head| head.contains("authorization: bearer a-key\r\n")));
    let (_, heads, _) = fetched(vec![whole()]);
    assert!(!heads[0].contains("authorization"));
}

fn fetch_to(folder: &Path, answers: Vec<Vec<u8>>, output: &str, more: &[&str]) -> Run {
    let server = FakeServer::new(answers);
    let run = run(folder, &[&["fetch", &url(&server), "-o", output], more].concat());
    heads(server);
    run
}

#[test]
fn the_command_writes_the_code_or_its_picture() {
    let folder = tempdir().unwrap();
    let bnk = fetch_to(folder.path(), vec![whole()], "out.bnk", &["--json"]);
    let told: serde_json::Value = serde_json::from_str(bnk.succeeded().text()).unwrap();
    assert_eq!((&told["file"], &told["width"], &told["bytes"]), (&"out.bnk".into(), &70.into(), &142.into()));
    assert_eq!(fs::read(folder.path().join("out.bnk")).unwrap(), code());

    // The model is not at hand, so that the server is asked for it too.
    let tiny = tiny();
    let decoder = answer("200 OK", "", tiny.decoder_bytes());
    let ppm = fetch_to(folder.path(), vec![whole(), decoder], "out.ppm", &[]);
    assert!(ppm.succeeded().text().starts_with("out.ppm: 70×45, 142 bytes"), "{}", ppm.text());
    let picture = fs::read(folder.path().join("out.ppm")).unwrap();
    let expected = data("golden-70x45-0.rgb");
    let worst =
        picture[picture.len() - expected.len()..].iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(1), "{worst:?}");
    let tiny_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny.safetensors");
    let model = ["--model", tiny_path.to_str().unwrap()];
    for output in ["out.png", "out.jpg", "out.webp"] {
        fetch_to(folder.path(), vec![whole()], output, &model).succeeded();
        let shown = image::open(folder.path().join(output)).unwrap();
        assert_eq!((shown.width(), shown.height()), (70, 45), "{output}");
    }
    let stdout = fetch_to(folder.path(), vec![whole()], "-", &model);
    assert!(stdout.succeeded().stdout.starts_with(b"\x89PNG"));
}

#[test]
fn the_command_leaves_nothing_where_it_fails() {
    let folder = tempdir().unwrap();
    let refused = answer("404 Not Found", "", b"");
    fetch_to(folder.path(), vec![refused.clone()], "out.png", &[])
        .failed(1, &["cannot fetch http://", "404"]);
    fetch_to(folder.path(), vec![whole(), refused], "out.png", &[])
        .failed(1, &["which is not at hand", "404"]);
    fetch_to(folder.path(), vec![whole()], "out.png", &["--max-pixels", "100"]).failed(1, &["pixels"]);
    assert!(names(folder.path()).is_empty());
    run(folder.path(), &["fetch", "http://127.0.0.1:1/a", "-o", "out.gif"]).failed(2, &[".bnk .png"]);
    run(folder.path(), &["fetch", "http://127.0.0.1:1/a", "-o", "-", "--json"]).failed(2, &["--json"]);
    run(folder.path(), &["fetch", "https://127.0.0.1/a", "-o", "out.png"]).failed(1, &["plain http"]);
    assert!(names(folder.path()).is_empty());
}
