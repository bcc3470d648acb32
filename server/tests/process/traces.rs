use crate::common::{PATIENCE, Server, until};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a collector of OpenTelemetry traces has been sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Collector {
    /// Takes OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>) until the process ends.
    fn start() -> (Collector, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Collector::default();
        let taking = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                taking.take(stream.unwrap());
            }
        });
        (collector, url)
    }

    /// One request; the connection is closed behind it.
    fn take(&self, stream: TcpStream) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("POST /v1/traces "), "{line}");
        while !line.trim().is_empty() {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let header = line.to_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if let Some(value) = header.strip_prefix("content-type:") {
                assert_eq!(value.trim(), "application/x-protobuf");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        reader.get_mut().write_all(answer).unwrap();
        self.0.lock().unwrap().push(ExportTraceServiceRequest::decode(&body[..]).unwrap());
    }

    fn spans(&self) -> Vec<Span> {
        let sent = self.0.lock().unwrap();
        let resources = sent.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }
}

/// A picture of two strips, so that there is more than one of some spans.
fn png() -> Vec<u8> {
    let image = image::RgbImage::from_fn(40, 600, |x, y| image::Rgb([x as u8, y as u8, 90]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_collector_gets_every_stage_of_a_request_in_one_trace() {
    let (collector, url) = Collector::start();
    let mut server = Server::start(&["--store", "memory", "--otlp", &url]).ready();
    let answer = ureq::post(format!("{}/v1/encode?q=40", server.url))
        .header("x-request-id", "traced-7")
        .send(&png()[..])
        .unwrap();
    assert_eq!(answer.status(), 200);
    // What is held is sent before the end.
    server.terminate();
    assert!(server.ended().success(), "{}", server.log());
    until("the spans have come", || collector.spans().iter().any(|span| span.name == "entropy"));

    let sent = collector.0.lock().unwrap().clone();
    let resource = format!("{:?}", sent[0].resource_spans[0].resource);
    assert!(resource.contains("service.name") && resource.contains("bottleneck-server"), "{resource}");

    let spans = collector.spans();
    let is_ours = |span: &&Span| {
        span.name == "request"
            && span.attributes.iter().any(|field| format!("{field:?}").contains("traced-7"))
    };
    let request = spans.iter().find(is_ours).expect("a span of the request, with its id");
    let ours: Vec<_> = spans.iter().filter(|span| span.trace_id == request.trace_id).collect();
    let by_id: HashMap<_, _> = ours.iter().map(|span| (span.span_id.clone(), *span)).collect();
    let count = |name: &str| ours.iter().filter(|span| span.name == name).count();
    for (name, times, parent) in [
        ("request", 1, None),
        ("read", 1, Some("request")),
        ("decode", 1, Some("request")),
        ("encode", 1, Some("request")),
        ("analysis", 2, Some("encode")),
        ("entropy", 2, Some("encode")),
    ] {
        assert_eq!(count(name), times, "{name}: {ours:#?}");
        for span in ours.iter().filter(|span| span.name == name) {
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
            assert_eq!(by_id.get(&span.parent_span_id).map(|span| &span.name[..]), parent, "{name}");
        }
    }
}
