//! Decoding as a page sees it: a headless browser decodes real files, this codec's by its WebAssembly decoder.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bottleneck_model::evaluate::peers::Workbench;
use bottleneck_model::evaluate::picture;
use serde::{Deserialize, Serialize};

use super::matching::Found;
use super::report::BrowserTimes;
use super::results::Comparison;
use super::savings::{quantile, sorted};
use super::{CompareError, Contestant};

/// Longest time that the browser may take, its start included.
const PATIENCE: Duration = Duration::from_secs(180);

const PAGE: &str = include_str!("browser.html");
const GLUE: &str = include_str!("../../web/wasm/bottleneck_web.js");
const MODULE: &[u8] = include_bytes!("../../web/wasm/bottleneck_web_bg.wasm");

/// Why a browser could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// It does not start, or the connection to it failed.
    #[error("the browser cannot be measured: {0}")]
    Failed(#[from] io::Error),
    /// Its answer is none.
    #[error("the browser's answer is not understood: {0}")]
    Answer(#[from] serde_json::Error),
    /// A picture cannot be encoded for it.
    #[error(transparent)]
    Picture(#[from] CompareError),
}

/// One file to decode.
struct Task {
    codec: String,
    pixels: f64,
    file: Vec<u8>,
    /// The model of a code; none for what the browser decodes itself.
    model: Option<(String, Vec<u8>)>,
}

/// What the page is told of a task.
#[derive(Serialize)]
struct Told<'a> {
    model: Option<&'a str>,
}

/// What the page answers: milliseconds for each task, the median of several; none for what it cannot show.
#[derive(Deserialize)]
struct Answer {
    milliseconds: Vec<Option<f64>>,
}

/// Decodes the files of up to `count` pictures at the first match in the browser `program` (Chromium or Chrome).
///
/// # Errors
/// A browser that does not start or does not answer.
pub fn measure(
    program: &Path,
    results: &Comparison,
    contestants: &[Contestant],
    count: usize,
) -> Result<BrowserTimes, BrowserError> {
    let version = Command::new(program).arg("--version").output()?;
    let browser = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let tasks = tasks(results, contestants, count)?;
    let milliseconds = answer(program, &tasks)?.milliseconds;
    let mut decode = Vec::new();
    for contestant in contestants {
        let name = contestant.codec.name();
        let own = tasks.iter().zip(&milliseconds).filter(|(task, _)| task.codec == name);
        let per_pixel: Option<Vec<f64>> = own.map(|(task, ms)| ms.map(|ms| ms / 1e3 / task.pixels)).collect();
        if let Some(per_pixel) = per_pixel.filter(|all| !all.is_empty()) {
            decode.push((name.to_owned(), quantile(&sorted(per_pixel), 0.5)));
        }
    }
    Ok(BrowserTimes { browser, decode })
}

fn tasks(results: &Comparison, contestants: &[Contestant], count: usize) -> Result<Vec<Task>, CompareError> {
    let mut tasks = Vec::new();
    for measured in super::spread(results, count) {
        let Ok(image) = picture::read_original(&measured.path) else { continue };
        let bench = Workbench::new(&image)?;
        for (contestant, series) in contestants.iter().zip(&measured.series) {
            let Found::Size { setting, .. } = series.found[0] else { continue };
            let codec = contestant.codec.name();
            let file = contestant.codec.encode(&bench, setting).map_err(|source| CompareError::Crop {
                picture: measured.name.clone(),
                codec: codec.into(),
                source: Box::new(source),
            })?;
            let model = contestant.model.clone();
            tasks.push(Task { codec: codec.into(), pixels: measured.pixels(), file, model });
        }
    }
    Ok(tasks)
}

/// Serves page and files to a browser until it sends its answer.
fn answer(program: &Path, tasks: &[Task]) -> Result<Answer, BrowserError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let profile = tempfile::Builder::new().prefix("bottleneck-browser-").tempdir()?;
    let url = format!("http://{}/", listener.local_addr()?);
    // A sandbox needs privileges that containers lack; the page is our own.
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server"];
    let child = Command::new(program)
        .args(arguments)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let _ended = Ended(child);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match listener.accept() {
            Ok((connection, _)) => {
                connection.set_nonblocking(false)?;
                connection.set_read_timeout(Some(Duration::from_secs(10)))?;
                // A connection that the browser gives up is no matter: it asks again.
                if let Ok(Some(body)) = serve(connection, tasks) {
                    return Ok(serde_json::from_slice(&body)?);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer within three minutes").into())
}

/// A child that is ended with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers one request; returns what the page posted.
fn serve(mut connection: TcpStream, tasks: &[Task]) -> io::Result<Option<Vec<u8>>> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut head = String::new();
    reader.read_line(&mut head)?;
    let mut length = 0u64;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let line = line.to_ascii_lowercase();
        length = line.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap_or(0));
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    if head.starts_with("POST ") {
        let mut body = Vec::new();
        reader.take(length.min(1 << 20)).read_to_end(&mut body)?;
        reply(&mut connection, "text/plain", b"")?;
        return Ok(Some(body));
    }
    let part = |prefix: &str| tasks.get(path.strip_prefix(prefix)?.parse::<usize>().ok()?);
    let told: Vec<_> = tasks.iter().map(|task| Told { model: task.model.as_ref().map(|m| &*m.0) }).collect();
    if path == "/" {
        reply(&mut connection, "text/html; charset=utf-8", PAGE.as_bytes())?;
    } else if path == "/tasks" {
        reply(&mut connection, "application/json", &serde_json::to_vec(&told)?)?;
    } else if path == "/bottleneck_web.js" {
        reply(&mut connection, "text/javascript", GLUE.as_bytes())?;
    } else if path == "/bottleneck_web_bg.wasm" {
        reply(&mut connection, "application/wasm", MODULE)?;
    } else if let Some(task) = part("/file/") {
        reply(&mut connection, "application/octet-stream", &task.file)?;
    } else if let Some((_, model)) = part("/model/").and_then(|task| task.model.as_ref()) {
        reply(&mut connection, "application/octet-stream", model)?;
    } else {
        connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    }
    Ok(None)
}

fn reply(connection: &mut TcpStream, kind: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)
}
