//! Stores that fail.

use crate::common::{PATIENCE, Server, code, delete, get, id, keep, skip, until};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Asserts that the server answers as it must while its store fails, and that its log says why.
fn fails(server: &Server, cause: &str) {
    let failed = keep(&server.url, &code(99, 100_000)).unwrap();
    assert_eq!(failed.status, 503, "{}", String::from_utf8_lossy(&failed.body));
    assert_eq!(failed.retry_after.as_deref(), Some("5"));
    until("readiness fails", || get(&format!("{}/readyz", server.url)).unwrap().status == 503);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("the image store failed") && line.contains("writing"));
    assert!(line.is_some_and(|line| line.contains(cause)), "{log}");
}

/// An S3 service that does `answer` with every connection.
fn s3(answer: impl Fn(std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap())));
    format!("http://{address}")
}

fn on_s3(endpoint: &str) -> Server {
    waiting_for_s3(endpoint, 1)
}

fn waiting_for_s3(endpoint: &str, seconds: u64) -> Server {
    let timeout = seconds.to_string();
    Server::start(&["--store", "s3://images/a", "--s3-endpoint", endpoint, "--store-timeout", &timeout])
}

#[test]
fn an_s3_that_refuses_is_told() {
    let endpoint = s3(|mut stream| {
        let _ = stream.read(&mut [0; 100_000]);
        let _ = stream.write_all(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    // Long enough for all tries, of which the last one's answer is told.
    fails(&waiting_for_s3(&endpoint, 20), "503");
}

#[test]
fn an_s3_that_does_not_answer_is_not_waited_for_long() {
    // Connections are taken, and kept.
    let kept = std::sync::Mutex::new(Vec::new());
    let endpoint = s3(move |stream| kept.lock().unwrap().push(stream));
    let server = on_s3(&endpoint);
    let start = Instant::now();
    fails(&server, "");
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
}

#[test]
fn an_s3_that_is_not_there_is_told() {
    fails(&on_s3(&format!("http://{}", crate::common::free_address())), "");
}

/// A small file system of its own, which goes when this is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(place: &Path) -> Result<Mount, String> {
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(place).output();
        let output = output.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(Mount(place.to_owned())),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    fn remount(&self, options: &str) {
        let mount = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(mount.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_or_read_only_loses_nothing_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mount = match Mount::new(folder.path()) {
        Ok(mount) => mount,
        Err(why) => {
            return skip("a disk that is full or read-only", &format!("cannot mount a small one: {why}"));
        }
    };
    let server = Server::start(&["--store", folder.path().join("images").to_str().unwrap()]).ready();
    let mut kept = Vec::new();
    for seed in 0.. {
        let code = code(seed, 60_000);
        match keep(&server.url, &code).unwrap().status {
            201 => kept.push(code),
            status => {
                assert_eq!(status, 503);
                break;
            }
        }
    }
    assert!(kept.len() > 5, "{}", kept.len());
    let rest = std::fs::File::create(folder.path().join("rest")).unwrap();
    // Takes what is left, so that not even a probe fits.
    while (&rest).write_all(&[0; 512]).is_ok() {}
    drop(rest);
    fails(&server, "No space left");
    let url = |code: &[u8]| format!("{}/v1/images/{}.bnk", server.url, id(code));
    let all_there = |kept: &[Vec<u8>]| kept.iter().all(|code| get(&url(code)).unwrap().body == *code);
    assert!(all_there(&kept));

    mount.remount("ro");
    assert_eq!(keep(&server.url, &code(98, 100)).unwrap().status, 503);
    until("the log says read-only", || server.log().contains("Read-only file system"));
    assert!(all_there(&kept), "what cannot be written can be read");

    mount.remount("rw");
    assert_eq!(delete(&url(&kept.pop().unwrap()).replace(".bnk", "")).unwrap().status, 204);
    std::fs::remove_file(folder.path().join("rest")).unwrap();
    until("it is ready again", || server.is_ready());
    assert_eq!(keep(&server.url, &code(97, 1_000)).unwrap().status, 201);
    assert!(all_there(&kept));
}
