//! Three servers on one S3 store behind haproxy. Needs haproxy, and moto_server (of the Python package moto).

use crate::common::{
    PATIENCE, Server, code_of, free_address, get, id, keep, skip_without, tiny_model, until,
};
use std::fmt::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const UPLOADS: usize = 240;
const CLIENTS: usize = 4;

/// A process, killed when dropped.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Starts a helper that listens on a free address, and waits until it does.
fn listening(start: impl Fn(SocketAddr) -> Command) -> (Helper, SocketAddr) {
    // Someone else may have taken the address meanwhile.
    for _ in 0..5 {
        let address = free_address();
        let mut child = start(address).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).is_ok() {
                return (Helper(child), address);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    panic!("a helper does not start");
}

fn s3() -> (Helper, String) {
    let (helper, address) = listening(|address| {
        let mut moto = Command::new("moto_server");
        moto.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        moto
    });
    let endpoint = format!("http://{address}");
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    agent.put(format!("{endpoint}/images")).send_empty().unwrap();
    (helper, endpoint)
}

fn haproxy(servers: &[&Server], folder: &std::path::Path) -> (Helper, String) {
    let config = folder.join("haproxy.cfg");
    let (helper, address) = listening(|address| {
        let mut text = format!(
            "defaults\n mode http\n timeout connect 2s\n timeout client 60s\n timeout server 60s\n timeout check 5s\n \
             option redispatch\n retries 3\n retry-on conn-failure empty-response\n\
             frontend all\n bind {address}\n default_backend servers\n\
             backend servers\n balance roundrobin\n option httpchk GET /readyz\n\
             \x20default-server check inter 200ms fall 1 rise 1\n"
        );
        for (i, server) in servers.iter().enumerate() {
            writeln!(text, " server s{i} {}", server.address()).unwrap();
        }
        std::fs::write(&config, text).unwrap();
        let mut haproxy = Command::new("haproxy");
        haproxy.arg("-db").arg("-f").arg(&config);
        haproxy
    });
    (helper, format!("http://{address}"))
}

fn taken(server: &Server) -> usize {
    server.log().lines().filter(|line| line.contains("/v1/images") && line.contains("status=201")).count()
}

#[test]
fn one_is_killed_and_one_is_drained_and_no_request_is_lost() {
    for program in ["haproxy", "moto_server"] {
        if !has(program) {
            return skip_without(program, "replicas behind haproxy on one S3 store");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (_s3, endpoint) = s3();
    let start = || {
        let store = ["--store", "s3://images/pictures", "--s3-endpoint", &endpoint];
        Server::start(&[&store[..], &["--drain-delay", "1"]].concat())
    };
    let (mut killed, mut drained, stays) = (start().ready(), start().ready(), start().ready());
    let (_haproxy, url) = haproxy(&[&killed, &drained, &stays], folder.path());
    until("haproxy has found a server", || {
        get(&format!("{url}/readyz")).is_ok_and(|answer| answer.status == 200)
    });

    let model = bottleneck_model::Model::from_bytes(&std::fs::read(tiny_model()).unwrap()).unwrap().id();
    let (next, done, retries) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let ids = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= UPLOADS {
                        return;
                    }
                    let code = code_of(model, seed as u32, 2_000);
                    // As every client should: what can pass is tried again.
                    until("an image is kept", || match keep(&url, &code) {
                        Ok(answer) if answer.status == 201 => true,
                        Ok(answer) => {
                            assert!([502, 503, 504].contains(&answer.status), "{answer:?}");
                            retries.fetch_add(1, Ordering::Relaxed);
                            false
                        }
                        Err(_) => {
                            retries.fetch_add(1, Ordering::Relaxed);
                            false
                        }
                    });
                    until("it can be had", || {
                        let found = get(&format!("{url}/v1/images/{}.bnk", id(&code)));
                        found.is_ok_and(|answer| {
                            assert_ne!(answer.status, 404, "an image is lost");
                            answer.status == 200 && answer.body == code
                        })
                    });
                    ids.lock().unwrap().push(id(&code));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until("a third is done", || done.load(Ordering::Relaxed) >= UPLOADS / 3);
        killed.kill();
        until("two thirds are done", || done.load(Ordering::Relaxed) >= UPLOADS * 2 / 3);
        drained.terminate();
        assert!(drained.ended().success());
    });
    let ids = ids.into_inner().unwrap();
    assert_eq!(ids.len(), UPLOADS);
    for id in &ids {
        assert_eq!(get(&format!("{url}/v1/images/{id}.bnk")).unwrap().status, 200);
    }
    let spread = [&killed, &drained, &stays].map(taken);
    assert!(spread.iter().all(|taken| *taken >= UPLOADS / 20), "{spread:?}");
    eprintln!("uploads by server: {spread:?}; tried again: {}", retries.into_inner());
}
