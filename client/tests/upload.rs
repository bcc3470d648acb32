//! Uploads, to a server of a few lines that answers what it is told to.

mod common;
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use bottleneck_client::{Limits, Server, UploadError};
use bottleneck_proto::{Container, ModelId, Quality, write};
use common::{names, run, run_with};
use server::{FakeServer, answer};
use tempfile::tempdir;

fn problem(status: &str, headers: &str, title: &str, detail: &str) -> Vec<u8> {
    let code: u16 = status[..3].parse().unwrap();
    let body = serde_json::json!({ "type": "about:blank", "title": title, "status": code, "detail": detail });
    let headers = format!("content-type: application/problem+json\r\n{headers}");
    answer(status, &headers, body.to_string().as_bytes())
}

fn code() -> Vec<u8> {
    let strips = vec![&b"entropy-coded bytes"[..]];
    let model = ModelId([0xab; 8]);
    let container =
        Container { experimental: false, model, width: 20, height: 10, quality: Quality(0), strips };
    write(&container).unwrap()
}

fn good() -> Vec<u8> {
    answer("200 OK", "content-type: image/vnd.bottleneck\r\n", &code())
}

/// A file that begins like a PNG, which is all that this side looks at.
fn photo(folder: &Path) -> Vec<u8> {
    let bytes = [b"\x89PNG\r\n\x1a\n", &[7u8; 3000][..]].concat();
    fs::write(folder.join("photo.one.png"), &bytes).unwrap();
    bytes
}

#[test]
fn the_code_is_written_beside_the_picture() {
    let folder = tempdir().unwrap();
    let image = photo(folder.path());
    let server = FakeServer::new(vec![good()]);
    let run = run(folder.path(), &["upload", "photo.one.png", "--server", &server.address, "-q", "37.5"]);
    assert!(run.succeeded().text().starts_with("photo.one.bnk: 20×10, "), "{}", run.text());
    assert_eq!(names(folder.path()), ["photo.one.bnk", "photo.one.png"]);
    assert_eq!(fs::read(folder.path().join("photo.one.bnk")).unwrap(), code());
    let requests = server.requests();
    let head = &requests[0].head;
    assert!(head.starts_with("post /v1/encode?q=37.5 http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: image/png\r\n"), "{head}");
    assert!(head.contains("accept: image/vnd.bottleneck\r\n"), "{head}");
    assert_eq!(requests[0].body, image);
}

#[test]
fn the_key_is_shown() {
    let folder = tempdir().unwrap();
    photo(folder.path());
    let server = FakeServer::new(vec![good()]);
    run(folder.path(), &["upload", "photo.one.png", "--server", &server.address, "--key", "a-key"])
        .succeeded();
    assert!(server.requests()[0].head.contains("authorization: bearer a-key\r\n"));
    let client = Server::new("http://a").unwrap().with_key(Some("a-key".to_owned()));
    assert!(!format!("{client:?}").contains("a-key"));
}

#[test]
fn standard_input_and_output_serve_too() {
    let folder = tempdir().unwrap();
    let image = photo(folder.path());
    let server = FakeServer::new(vec![good()]);
    let address = format!("{}/behind/a/proxy/", server.address);
    let run = run_with(folder.path(), &["upload", "-", "--server", &address, "-o", "-"], &image);
    assert_eq!(run.succeeded().stdout, code());
    let requests = server.requests();
    assert!(
        requests[0].head.starts_with("post /behind/a/proxy/v1/encode http/1.1\r\n"),
        "{}",
        requests[0].head
    );
    assert_eq!(requests[0].body, image);
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let folder = tempdir().unwrap();
    photo(folder.path());
    fs::write(folder.path().join("out.bnk"), b"older").unwrap();
    let refusals = [
        (
            problem("422 Unprocessable Entity", "", "Limits", "too many\npixels\u{1b}[31m"),
            "too manypixels[31m",
        ),
        (problem("400 Bad Request", "", "Bad image", "cut short"), "400 Bad image: cut short"),
        (answer("502 Bad Gateway", "", b"<html>"), "502 Bad Gateway"),
        (answer("307 Temporary Redirect", "location: /elsewhere\r\n", b""), "307"),
        (answer("204 No Content", "", b""), "204"),
    ];
    for (answer, words) in refusals {
        let server = FakeServer::new(vec![answer]);
        let run =
            run(folder.path(), &["upload", "photo.one.png", "--server", &server.address, "-o", "out.bnk"]);
        run.failed(1, &["cannot upload photo.one.png", words]);
        server.requests();
    }
    assert_eq!(fs::read(folder.path().join("out.bnk")).unwrap(), b"older");
    assert_eq!(names(folder.path()), ["out.bnk", "photo.one.png"]);
}

#[test]
fn an_answer_that_is_no_code_is_not_kept() {
    let folder = tempdir().unwrap();
    photo(folder.path());
    let mut damaged = code();
    *damaged.last_mut().unwrap() ^= 1;
    let cut = &good()[..good().len() - 5];
    for (answer, words) in [
        (answer("200 OK", "", b"<html>Welcome to the hotel's network</html>"), "not a Bottleneck code"),
        (answer("200 OK", "", b""), "not a Bottleneck code"),
        (answer("200 OK", "", &damaged), "not a Bottleneck code"),
        (cut.to_vec(), "no complete answer from"),
    ] {
        let server = FakeServer::new(vec![answer]);
        let run = run(folder.path(), &["upload", "photo.one.png", "--server", &server.address]);
        run.failed(1, &[words]);
        server.requests();
    }
    assert_eq!(names(folder.path()), ["photo.one.png"]);
}

#[test]
fn a_busy_server_is_asked_again() {
    let folder = tempdir().unwrap();
    let image = photo(folder.path());
    let busy = |status: &str| problem(status, "retry-after: 0\r\n", "Busy", "the queue is full");

    let server =
        FakeServer::new(vec![busy("429 Too Many Requests"), busy("503 Service Unavailable"), good()]);
    let mut waits = Vec::new();
    let client = Server::new(&server.address).unwrap();
    let answer = client.encode(&image, None, &Limits::default(), |wait| waits.push(wait));
    assert_eq!(answer.unwrap(), code());
    assert_eq!(waits, [Duration::ZERO; 2]);
    assert!(server.requests().iter().all(|request| request.body == image));

    let server = FakeServer::new(vec![busy("429 Too Many Requests"); 8]);
    let run = run(folder.path(), &["upload", "photo.one.png", "--server", &server.address]);
    run.failed(1, &["busy", "the queue is full"]);
    assert_eq!(server.requests().len(), 8);
}

#[test]
fn a_wait_without_end_is_not_kept() {
    let answers = vec![problem("503 Service Unavailable", "retry-after: 86400\r\n", "Closed", "")];
    let server = FakeServer::new(answers);
    let client = Server::new(&server.address).unwrap();
    let error = client.encode(b"picture", None, &Limits::default(), |_| panic!("no wait")).unwrap_err();
    assert!(matches!(error, UploadError::Busy(_)), "{error}");
    server.requests();
}

#[test]
fn a_large_picture_is_sent_after_the_server_agreed() {
    let image = vec![7; 3 << 20];
    let server =
        FakeServer::new(vec![good(), problem("413 Payload Too Large", "", "Too large", "allowed 1 MiB")]);
    let client = Server::new(&server.address).unwrap();
    let encode = || client.encode(&image, None, &Limits::default(), |_| ());
    assert_eq!(encode().unwrap(), code());
    assert!(encode().unwrap_err().to_string().contains("allowed 1 MiB"));
    let requests = server.requests();
    assert_eq!(requests[0].body, image);
    assert!(requests[1].body.is_empty());
}

#[test]
fn an_answer_over_the_limit_is_not_read() {
    let server = FakeServer::new(vec![answer("200 OK", "", &vec![7; 5000])]);
    let limits = Limits { max_bytes: 1000, ..Limits::default() };
    let answer = Server::new(&server.address).unwrap().encode(b"picture", None, &limits, |_| ());
    assert!(matches!(answer, Err(UploadError::Transport { .. })));
    server.requests();
}

#[test]
fn servers_out_of_reach_are_told() {
    let folder = tempdir().unwrap();
    photo(folder.path());
    // Bound and let go: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let upload = |server: &str| run(folder.path(), &["upload", "photo.one.png", "--server", server]);
    upload(&format!("http://127.0.0.1:{port}")).failed(1, &["no complete answer from http://127.0.0.1"]);
    upload("https://example.org").failed(1, &["https://example.org", "plain http"]);
    upload("example.org").failed(1, &["example.org is not a server address"]);
    assert_eq!(names(folder.path()), ["photo.one.png"]);
}

#[test]
fn a_batch_goes_on_where_it_stopped() {
    let folder = tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("in/deep")).unwrap();
    for name in ["in/a.png", "in/deep/b.png", "in/c.png"] {
        photo(folder.path());
        fs::rename(folder.path().join("photo.one.png"), folder.path().join(name)).unwrap();
    }
    let upload = |server: &FakeServer, more: &[&str]| {
        let arguments = ["upload", "in", "--server", &server.address, "-j", "1", "-o", "out"];
        run(folder.path(), &[&arguments, more].concat())
    };
    // The second picture is refused, after a wait for the first.
    let busy = problem("429 Too Many Requests", "retry-after: 0\r\n", "Busy", "the queue is full");
    let refusal = problem("400 Bad Request", "", "Bad image", "cut short");
    let server = FakeServer::new(vec![busy, good(), refusal, good()]);
    let first = upload(&server, &[]);
    assert_eq!(first.status, 3, "{}", first.stderr);
    assert_eq!(first.text().lines().count(), 2);
    assert!(first.stderr.contains("cannot upload in/c.png: the server refused: 400 Bad image: cut short"));
    assert_eq!(server.requests().len(), 4);

    // Only that one is sent again.
    let server = FakeServer::new(vec![good()]);
    let second = upload(&server, &["--json"]);
    let lines: Vec<serde_json::Value> =
        second.succeeded().text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["kept"] == true).count(), 2);
    assert_eq!(server.requests().len(), 1);
    for name in ["out/a.bnk", "out/deep/b.bnk", "out/c.bnk"] {
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), code(), "{name}");
    }
    // Another quality is another code.
    let server = FakeServer::new(vec![good(); 3]);
    upload(&server, &["-q", "50"]).succeeded();
    assert_eq!(server.requests().len(), 3);
}
