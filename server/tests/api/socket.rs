use crate::common::{gated, model, plain, png, with};
use bottleneck_server::{AppState, Config, serve};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

async fn start(state: AppState) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(serve(listener, state, async move {
        let _ = stopped.await;
    }));
    (address, stop, serving)
}

/// Sends the head of a last upload with this much body to come.
async fn upload_head(address: SocketAddr, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/encode HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until the server closes.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_work_and_accepts_no_more() {
    let (state, gate) = gated(Config::default());
    let (address, stop, serving) = start(state.clone()).await;
    // A browser's spare connection must not hold the end up. First, so that it is surely accepted.
    let spare = TcpStream::connect(address).await.unwrap();
    let mut client = upload_head(address, png(20).len()).await;
    client.write_all(&png(20)).await.unwrap();
    let (gate, _) = gate.arrived().await;

    stop.send(()).unwrap();
    assert!(rest(spare).await.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!serving.is_finished());

    gate.open();
    let answer = rest(client).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_sees_the_413() {
    // More than socket buffers hold, so that the writes fail unless the server reads on.
    let length = 32 << 20;
    let config = Config { max_body_bytes: 1000, ..Config::default() };
    let (address, stop, serving) = start(with(config, |_| Ok(()))).await;
    let mut client = upload_head(address, length).await;
    client.write_all(&vec![0; length]).await.unwrap();
    let answer = rest(client).await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let (address, stop, serving) = start(plain()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let answers = String::from_utf8(rest(client).await).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_is_not_worked_for() {
    let (state, gate) = gated(Config { queue: 3, ..Config::default() });
    let (address, stop, serving) = start(state).await;
    let mut clients = Vec::new();
    for width in [20, 21, 22] {
        let mut client = upload_head(address, png(width).len()).await;
        client.write_all(&png(width)).await.unwrap();
        clients.push(client);
        // One after the other, so that the order in the queue is known.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (gate, width) = gate.arrived().await;
    assert_eq!(width, 20);
    drop(clients.remove(1));
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.open();
    let (gate, width) = gate.arrived().await;
    assert_eq!(width, 22, "the abandoned picture was encoded");
    gate.open();
    for client in clients {
        assert!(rest(client).await.starts_with(b"HTTP/1.1 200 OK"));
    }
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_left_but_a_slow_one_is_served() {
    // More than socket buffers hold.
    const LENGTH: usize = 32 << 20;
    let mut served = model("lite", |_| Ok(()));
    served.decoder = vec![7; LENGTH].into();
    let path = format!("/v1/models/{}/decoder", served.info.id);
    let config = Config { download_pause: Duration::from_secs(1), ..Config::default() };
    let (address, stop, serving) = start(AppState::new(vec![served], config).unwrap()).await;
    let ask = async || {
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client
    };

    let (idle, mut slow) = (ask().await, ask().await);
    let mut taken = 0;
    let mut buffer = vec![0; 512 << 10];
    // In all, many times the longest pause.
    loop {
        tokio::time::sleep(Duration::from_millis(40)).await;
        match slow.read(&mut buffer).await.unwrap() {
            0 => break,
            read => taken += read,
        }
    }
    assert!(taken > LENGTH, "only {taken} bytes came");

    // The end of the service waits for every connection: it would wait for ever for this one.
    stop.send(()).unwrap();
    serving.await.unwrap();
    let mut rest = Vec::new();
    // Broken off, by the end of the stream or by a reset.
    let _ = { idle }.read_to_end(&mut rest).await;
    assert!(rest.len() < LENGTH, "an answer that nobody took was sent whole");
}
