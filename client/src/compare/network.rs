//! Transfers between two network namespaces, to hold the arithmetic of [`Link::transfer`] against.
//!
//! Server and client are joined by a veth pair. `tc tbf` limits the rate of the server's end; a relay beside the
//! client holds every byte back for half a round trip in each direction, since not every kernel can delay.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use super::link::{HEAD_BYTES, Link};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// Bytes that may pass at once: two full frames. With one, what a timer is late is lost, and a fast link becomes a
/// quarter slower than its rate; more would be a gift to small files.
const BURST: u32 = 2 * 1514;

/// Why transfers could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A program is missing.
    #[error("`{program}` does not start ({source}): install iproute2")]
    Missing {
        /// The program.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A program failed, for want of privileges most likely.
    #[error("`{program}` failed: {said} (network namespaces need root)")]
    Failed {
        /// The program and its arguments.
        program: String,
        /// What it said.
        said: String,
    },
    /// A namespace or a connection failed.
    #[error("the transfer failed: {0}")]
    Transfer(#[from] io::Error),
}

/// Two namespaces, which go when this is dropped.
struct Namespaces {
    server: String,
    client: String,
}

impl Namespaces {
    fn new(link: &Link) -> Result<Namespaces, NetworkError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("bnk{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let both = Namespaces { server: format!("{tag}s"), client: format!("{tag}c") };
        let (server, client) = (both.server.as_str(), both.client.as_str());
        tool(&["ip", "netns", "add", server])?;
        tool(&["ip", "netns", "add", client])?;
        tool(&[
            "ip", "-n", server, "link", "add", "bnk0", "type", "veth", "peer", "name", "bnk0", "netns",
            client,
        ])?;
        for (namespace, address) in [(server, SERVER), (client, CLIENT)] {
            tool(&["ip", "-n", namespace, "address", "add", &format!("{address}/24"), "dev", "bnk0"])?;
            tool(&["ip", "-n", namespace, "link", "set", "bnk0", "up"])?;
            tool(&["ip", "-n", namespace, "link", "set", "lo", "up"])?;
        }
        let rate = format!("{:.0}bit", link.megabits * 1e6);
        let (burst, limit) = (BURST.to_string(), "4000000");
        let shape =
            ["qdisc", "add", "dev", "bnk0", "root", "tbf", "rate", &rate, "burst", &burst, "limit", limit];
        tool(&[&["tc", "-n", server], &shape[..]].concat())?;
        Ok(both)
    }

    /// Runs something in a thread of its own whose sockets are in a namespace.
    fn inside<T: Send + 'static>(
        name: &str,
        run: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> std::thread::JoinHandle<io::Result<T>> {
        let path = format!("/run/netns/{name}");
        std::thread::spawn(move || {
            setns(std::fs::File::open(path)?, CloneFlags::CLONE_NEWNET)?;
            run()
        })
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [&self.server, &self.client] {
            // One that was not made cannot be deleted, which is no matter.
            let _ = tool(&["ip", "netns", "delete", name]);
        }
    }
}

fn tool(words: &[&str]) -> Result<(), NetworkError> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .map_err(|source| NetworkError::Missing { program: words[0].into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(NetworkError::Failed { program: words.join(" "), said })
}

/// Seconds that files of these sizes take over a link, each from its request to its last byte, on a connection that
/// is open: the median of several.
///
/// # Errors
/// Missing programs or privileges; connections that fail.
pub fn measure(link: &Link, sizes: &[u64]) -> Result<Vec<f64>, NetworkError> {
    let namespaces = Namespaces::new(link)?;
    let (bound, address) = mpsc::channel();
    let server = Namespaces::inside(&namespaces.server, move || {
        let listener = TcpListener::bind((SERVER, 0))?;
        let _ = bound.send(listener.local_addr()?);
        serve(listener.accept()?.0)
    });
    let address = address.recv().map_err(|_| io::Error::other("the namespace cannot be entered"))?;
    let half = Duration::from_secs_f64(link.round_trip_ms / 2e3);
    let sizes = sizes.to_vec();
    // Where a transfer takes milliseconds, whatever else the machine does weighs more.
    let count = if link.round_trip_ms < 50.0 { 15 } else { 3 };
    let client = Namespaces::inside(&namespaces.client, move || {
        let mut connection = relay(address, half)?;
        // The window opens on the largest before anything is timed.
        fetch(&mut connection, sizes.iter().copied().max().unwrap_or(0))?;
        let timed = |size: &u64| -> io::Result<f64> {
            let mut runs =
                (0..count).map(|_| fetch(&mut connection, *size)).collect::<io::Result<Vec<_>>>()?;
            runs.sort_by(f64::total_cmp);
            Ok(runs[count / 2])
        };
        sizes.iter().map(timed).collect::<io::Result<Vec<f64>>>()
    });
    let joined = |what| move |_| io::Error::other(format!("the {what} panicked"));
    let seconds = client.join().map_err(joined("client"))??;
    server.join().map_err(joined("server"))??;
    Ok(seconds)
}

/// Answers `GET /BYTES` with a head of [`HEAD_BYTES`] and so many bytes, until the connection is closed.
fn serve(connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut requests = BufReader::new(connection.try_clone()?).lines();
    let mut answers = connection;
    while let Some(line) = requests.next().transpose()? {
        let asked = line.strip_prefix("GET /").and_then(|rest| rest.split(' ').next());
        let Some(size) = asked.and_then(|size| size.parse::<usize>().ok()) else { continue };
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nX-Pad: ");
        while answer.len() + 4 < HEAD_BYTES as usize {
            answer.push('-');
        }
        answer.push_str("\r\n\r\n");
        let mut answer = answer.into_bytes();
        answer.resize(HEAD_BYTES as usize + size, 0x5a);
        answers.write_all(&answer)?;
    }
    Ok(())
}

fn fetch(connection: &mut TcpStream, size: u64) -> io::Result<f64> {
    let begun = Instant::now();
    connection.write_all(format!("GET /{size} HTTP/1.1\r\nHost: picture\r\n\r\n").as_bytes())?;
    let wanted = size + HEAD_BYTES as u64;
    let mut buffer = [0; 1 << 16];
    let mut got = 0;
    while got < wanted {
        match connection.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => got += count as u64,
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// A connection to `server` on which everything is `delay` late in either direction. Its threads inherit the
/// namespace, and end with the connection.
fn relay(server: SocketAddr, delay: Duration) -> io::Result<TcpStream> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (near, far) = (listener.accept()?.0, TcpStream::connect(server)?);
    for stream in [&client, &near, &far] {
        stream.set_nodelay(true)?;
    }
    for (mut from, mut to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let (late, due) = mpsc::channel::<(Instant, Vec<u8>)>();
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 14];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if late.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                    break;
                }
            }
        });
        std::thread::spawn(move || {
            for (when, bytes) in due {
                std::thread::sleep(when.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::super::link::LINKS;
    use super::*;

    /// Whether a measurement can be made; where not, it is said.
    fn measured(link: &Link, sizes: &[u64]) -> Option<Vec<f64>> {
        match measure(link, sizes) {
            Ok(seconds) => Some(seconds),
            Err(NetworkError::Transfer(error)) => panic!("{error}"),
            Err(error) => {
                let missing = matches!(error, NetworkError::Missing { .. });
                let must = std::env::var_os("BOTTLENECK_SKIP_NOTHING").is_some();
                assert!(!(missing && must), "{error}");
                // Not through the macros, of which the output is kept from those who run the tests.
                let _ = writeln!(
                    io::stderr(),
                    "############ SKIPPED: link model against transfers: {error} ############"
                );
                None
            }
        }
    }

    #[test]
    fn the_arithmetic_agrees_with_transfers_within_ten_percent() {
        let cases =
            [[20_000, 60_000], [20_000, 200_000], [20_000, 600_000], [20_000, 600_000], [20_000, 600_000]];
        for (link, sizes) in LINKS.iter().zip(cases) {
            // What is held against the arithmetic is a property of the link; a machine that is busy elsewhere at
            // the wrong moment gets two more chances.
            let mut offs = Vec::new();
            for _ in 0..3 {
                let Some(seconds) = measured(link, &sizes) else { return };
                let off = |(&size, seconds): (&u64, &f64)| seconds / link.transfer(size as f64) - 1.0;
                offs = sizes.iter().zip(&seconds).map(off).collect();
                if offs.iter().all(|off| off.abs() < 0.1) {
                    break;
                }
            }
            assert!(offs.iter().all(|off| off.abs() < 0.1), "{}: {offs:?}", link.name);
        }
    }
}
