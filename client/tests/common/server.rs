//! A server that says what it is told to say.
// Shared by several test crates, of which it is a private module.
#![allow(unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// What was asked; the head in lower case.
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// Answers one connection after the other, and gives what was asked.
pub struct FakeServer {
    pub address: String,
    thread: JoinHandle<Vec<Request>>,
}

impl FakeServer {
    pub fn new(answers: Vec<Vec<u8>>) -> FakeServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            answers.iter().map(|answer| serve(listener.accept().unwrap().0, answer)).collect()
        });
        FakeServer { address, thread }
    }

    pub fn requests(self) -> Vec<Request> {
        self.thread.join().unwrap()
    }
}

fn serve(mut stream: TcpStream, answer: &[u8]) -> Request {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the request ends in its head");
    }
    let head = head.to_lowercase();
    let length = head
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
    let mut body = Vec::new();
    let asks_first = head.contains("expect: 100-continue");
    // A server refuses what is too large before it is sent.
    if !(asks_first && answer.starts_with(b"HTTP/1.1 413")) {
        if asks_first {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
    }
    stream.write_all(answer).unwrap();
    Request { head, body }
}

/// An answer that is whole.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}
