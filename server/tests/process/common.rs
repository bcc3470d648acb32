use bottleneck_model::{ModelId, Quality};
use bottleneck_proto::{Container, write};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that is waited for, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny.safetensors")
}

/// The program with these arguments, which no settings of this machine's reach.
pub(crate) fn program<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bottleneck-server"));
    for (name, _) in std::env::vars().filter(|(name, _)| {
        name.starts_with("AWS_") || name.starts_with("BOTTLENECK_") || name.to_lowercase().ends_with("_proxy")
    }) {
        command.env_remove(name);
    }
    command.args(arguments).env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "secret");
    command
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    log: tempfile::NamedTempFile,
    /// Open, or the server could not print.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it with the tiny model on a free port.
    pub(crate) fn start(arguments: &[&str]) -> Server {
        Server::start_on("127.0.0.1:0", arguments)
    }

    pub(crate) fn start_on(listen: &str, arguments: &[&str]) -> Server {
        Server::start_with(&tiny_model(), listen, arguments)
    }

    pub(crate) fn start_with(model: &Path, listen: &str, arguments: &[&str]) -> Server {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut child = program(&["--listen", listen, "--model"])
            .arg(model)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let log_text = || std::fs::read_to_string(log.path()).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("{line}{}", log_text()));
        let url = format!("http://{}", address.split(' ').next().unwrap());
        Server { child, url, log, _stdout: stdout }
    }

    pub(crate) fn is_ready(&self) -> bool {
        get(&format!("{}/readyz", self.url)).is_ok_and(|answer| answer.status == 200)
    }

    pub(crate) fn ready(self) -> Server {
        until("the server is ready", || self.is_ready());
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Such as HUP.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the server has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, most often.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let end: Vec<_> = log.lines().rev().take(20).collect();
            eprintln!("log of {}, last line first:\n{}", self.url, end.join("\n"));
        }
    }
}

/// Waits for something that happens sooner or later.
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(PATIENCE)).build().into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = response?;
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    Ok(Answer { status: response.status().as_u16(), retry_after, body })
}

pub(crate) fn get(url: &str) -> Result<Answer, ureq::Error> {
    answer(agent().get(url).call())
}

pub(crate) fn delete(url: &str) -> Result<Answer, ureq::Error> {
    answer(agent().delete(url).call())
}

/// `POST /v1/images` of a code.
pub(crate) fn keep(server: &str, code: &[u8]) -> Result<Answer, ureq::Error> {
    let request = agent().post(format!("{server}/v1/images")).header("content-type", "image/vnd.bottleneck");
    answer(request.send(code))
}

/// A code of the tiny model that nobody can decode, of some `bytes`; another for every `seed`.
pub(crate) fn code(seed: u32, bytes: usize) -> Vec<u8> {
    let decoder = bottleneck_model::Model::from_bytes(&std::fs::read(tiny_model()).unwrap());
    code_of(decoder.unwrap().id(), seed, bytes)
}

pub(crate) fn code_of(model: ModelId, seed: u32, bytes: usize) -> Vec<u8> {
    let mut noise: Vec<u8> = (0..bytes as u32)
        .map(|i| (i.wrapping_add(seed).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 23) as u8)
        .collect();
    noise[..4].copy_from_slice(&seed.to_le_bytes());
    let container = Container {
        experimental: true,
        model,
        width: 8,
        height: 8,
        quality: Quality(0),
        strips: vec![&noise],
    };
    write(&container).unwrap()
}

pub(crate) fn id(code: &[u8]) -> String {
    hex::encode(Sha256::digest(code))
}

/// An address that nobody listens on. Somebody may, a moment later: callers try again then.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Says that a test is not run since a program is missing. Where all should be there, as in CI, it fails instead.
pub(crate) fn skip_without(program: &str, test: &str) {
    assert!(std::env::var_os("BOTTLENECK_SKIP_NOTHING").is_none(), "{test}: {program} is not installed");
    skip(test, &format!("{program} is not installed"));
}

/// Says that a test is not run, so that it is seen although it passes.
pub(crate) fn skip(test: &str, why: &str) {
    // Not through the macros, of which the output is kept from those who run the tests.
    let _ = writeln!(std::io::stderr(), "############ SKIPPED: {test}: {why} ############");
}
