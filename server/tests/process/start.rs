use crate::common::{Server, get, keep, program};
use std::io::Write;
use std::process::Output;

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What `new-key` prints: the key, and its line.
fn new_key(name: &str) -> (String, String) {
    let output = run(&["new-key", name]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let value = |line: usize| text.lines().nth(line).unwrap().split(": ").nth(1).unwrap().to_owned();
    (value(0), value(1))
}

#[test]
fn beyond_loopback_it_needs_keys_or_a_clear_word() {
    for everywhere in ["0.0.0.0:0", "[::]:0"] {
        let message = refused(&["--listen", everywhere]);
        // Some machines have no IPv6.
        assert!(message.contains("--allow-anonymous") || message.contains("cannot listen"), "{message}");
    }
    let message = refused(&["--listen", "0.0.0.0:0"]);
    assert!(message.contains("--api-keys") && message.contains("--allow-anonymous"), "{message}");

    let keys = file(&new_key("shop").1);
    for flags in [&["--allow-anonymous"][..], &["--api-keys", keys.path().to_str().unwrap()]] {
        let server = Server::start_on("0.0.0.0:0", &[&["--store", "memory"], flags].concat());
        let port = server.address().port();
        let health = run(&["health", "--listen", &format!("0.0.0.0:{port}")]);
        // Alive, whether it is ready by now or not.
        let answer = get(&format!("http://127.0.0.1:{port}/healthz")).unwrap();
        assert_eq!(answer.status, 200, "{health:?}");
    }
}

#[test]
fn keys_that_cannot_be_read_end_the_start_and_are_not_shown() {
    let secret = "0123456789abcdef0123456789abcdefXYZ";
    for (flag, text, words) in [
        ("--api-keys", format!("# keys\nshop:{secret}\n"), "line 2"),
        ("--api-keys", "\n# none\n".to_owned(), "no key"),
        ("--url-keys", format!("{secret}\n"), "line 1"),
        ("--url-keys", "a:tooshort\n".to_owned(), "shorter"),
    ] {
        let keys = file(&text);
        let message = refused(&["--listen", "127.0.0.1:0", flag, keys.path().to_str().unwrap()]);
        assert!(message.contains(words) && !message.contains(secret), "{message}");
    }
    assert!(refused(&["--api-keys", "/no/such/file"]).contains("/no/such/file"));
    assert!(refused(&["--tls-cert", "/a.pem"]).contains("--tls-key"));
    assert!(
        refused(&["--tls-cert", "/a.pem", "--tls-key", "/b.pem", "--listen", "127.0.0.1:0"])
            .contains("/a.pem")
    );
    assert!(refused(&["--store", "ftp://a"]).contains("s3://BUCKET/PREFIX"));
    assert!(refused(&["new-key", "a b"]).contains("NAME"));
}

/// Whole, from the key that is made to the image that is had with a signed address; and what the log keeps of it.
#[test]
fn keys_and_signatures_work_and_stay_out_of_the_log() {
    let (key, line) = new_key("shop");
    let secret = "a secret that is long enough to sign addresses with";
    let (api_keys, url_keys) = (file(&line), file(&format!("2026:{secret}\n")));
    let (api_keys, url_keys) = (api_keys.path().to_str().unwrap(), url_keys.path().to_str().unwrap());
    let server =
        Server::start(&["--store", "memory", "--api-keys", api_keys, "--url-keys", url_keys]).ready();

    let code = crate::common::code(1, 100);
    assert_eq!(keep(&server.url, &code).unwrap().status, 401);
    let kept = ureq::post(format!("{}/v1/images", server.url))
        .header("content-type", "image/vnd.bottleneck")
        .header("authorization", format!("Bearer {key}"))
        .send(&code[..]);
    assert_eq!(kept.unwrap().status(), 201);
    let path = format!("/v1/images/{}.bnk", crate::common::id(&code));
    assert_eq!(get(&format!("{}{path}", server.url)).unwrap().status, 401);
    let signed = String::from_utf8(run(&["sign", "--url-keys", url_keys, &path]).stdout).unwrap();
    let signed = signed.trim();
    assert_eq!(get(&format!("{}{signed}", server.url)).unwrap().body, code);

    let (log, signature) = (server.log(), signed.split("signature=").nth(1).unwrap());
    assert!(log.contains(&path), "{log}");
    for secret in [&key, secret, signature, line.split(':').nth(1).unwrap()] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_build_without_cuda_says_so_and_auto_takes_the_processor() {
    let message = refused(&["--listen", "127.0.0.1:0", "--device", "cuda"]);
    assert!(message.contains("feature `cuda`") && message.contains("--device cpu"), "{message}");
    assert!(refused(&["--device", "tpu"]).contains("auto"));
    for device in ["cpu", "auto"] {
        let server = Server::start(&["--store", "memory", "--device", device]).ready();
        let info = get(&format!("{}/info", server.url)).unwrap().body;
        assert!(String::from_utf8_lossy(&info).contains("\"device\":\"cpu\""));
    }
}
