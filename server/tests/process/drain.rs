use crate::common::{Server, code, get, id, keep, until};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Readiness goes first, then the door is closed, then what is in work is finished, and then it ends.
#[test]
fn sigterm_fails_readiness_serves_on_and_finishes_what_is_in_work() {
    let mut server = Server::start(&["--store", "memory", "--drain-delay", "1"]).ready();
    // In work: an upload of which half has come.
    let code_in_work = code(1, 10_000);
    let (first, rest) = code_in_work.split_at(5_000);
    let mut upload = TcpStream::connect(server.address()).unwrap();
    let head = format!(
        "POST /v1/images HTTP/1.1\r\nhost: test\r\ncontent-type: image/vnd.bottleneck\r\ncontent-length: {}\r\n\r\n",
        code_in_work.len()
    );
    upload.write_all(head.as_bytes()).unwrap();
    upload.write_all(first).unwrap();
    // An answer on a connection that came later: this one has been accepted.
    assert!(server.is_ready());
    server.terminate();

    let mut seen_unready = false;
    let mut kept_meanwhile = 0;
    until("the door is closed", || match get(&format!("{}/readyz", server.url)) {
        Ok(answer) => {
            if answer.status == 503 {
                assert!(String::from_utf8_lossy(&answer.body).contains("shutting down"));
                seen_unready = true;
                // Who has not noticed yet is served still. The door may close between the two.
                if let Ok(answer) = keep(&server.url, &code(2, 100))
                    && answer.status == 201
                {
                    kept_meanwhile += 1;
                }
            }
            false
        }
        Err(_) => true,
    });
    assert!(seen_unready, "the door was closed before readiness failed");
    assert!(kept_meanwhile > 0, "nothing was taken although the door was open");

    upload.write_all(rest).unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 201 Created\r\n") && answer.contains(&id(&code_in_work)),
        "{answer}"
    );
    assert!(server.ended().success());
}
