//! `bottleneck-server health`: a container image needs no curl.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server that listens on `listen` for `/readyz`.
pub(crate) fn is_ready(listen: &str) -> Result<()> {
    let addresses = listen.to_socket_addrs().with_context(|| format!("{listen} is no address and port"))?;
    let line = addresses.map(reachable).map(ask).reduce(Result::or).context("the address has no host")?;
    let line = line.with_context(|| format!("no answer from {listen}"))?;
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => bail!("not ready: {}", line.trim()),
    }
}

/// A server that listens everywhere is asked on this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let local =
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(local);
    }
    address
}

/// The first line of the answer.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}
