use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bottleneck_model::{DecodeError, EncodeError, Image, Quality, Refinement, Strip};
use bottleneck_proto::ModelId;
use bottleneck_proto::http::{ModelInfo, Problem};
use bottleneck_server::{AppState, Codec, Coding, Config, ServedModel, app};
use http_body_util::BodyExt;
use std::io::Cursor;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use tower::ServiceExt;

/// Side of the picture that the self-test encodes.
pub(crate) const WARM_UP: u32 = 64;

type Hook = Box<dyn Fn(&Image) -> Result<(), EncodeError> + Send + Sync>;

/// Writes size, quality and first pixel; reads them back as a flat picture.
pub(crate) struct FakeCodec {
    hook: Hook,
}

impl Codec for FakeCodec {
    fn analyse(self: Arc<Self>, strips: &[Strip<'_>]) -> Result<Vec<Coding>, EncodeError> {
        let coding = |strip: &Strip<'_>| -> Result<Coding, EncodeError> {
            (self.hook)(strip.image())?;
            let first = strip.image().rgb[..3].to_vec();
            Ok(Box::new(move || first))
        };
        strips.iter().map(coding).collect()
    }

    fn assemble(
        &self,
        (width, height): (u32, u32),
        quality: Quality,
        strips: &[Vec<u8>],
    ) -> Result<Vec<u8>, EncodeError> {
        let mut code = Vec::new();
        code.extend(width.to_le_bytes());
        code.extend(height.to_le_bytes());
        code.extend(quality.0.to_le_bytes());
        code.extend(&strips[0]);
        Ok(code)
    }

    fn encode_refined(
        &self,
        image: &Image,
        quality: Quality,
        how: &Refinement<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        (self.hook)(image)?;
        let mut code = self.assemble((image.width, image.height), quality, &[image.rgb[..3].to_vec()])?;
        code.push(how.effort);
        Ok(code)
    }

    fn decode(&self, code: &[u8]) -> Result<Image, DecodeError> {
        let side = |at: usize| u32::from_le_bytes(code[at..at + 4].try_into().unwrap());
        let (width, height) = (side(0), side(4));
        Ok(Image { width, height, rgb: code[10..13].repeat((width * height) as usize) })
    }

    fn device(&self) -> &'static str {
        "none"
    }
}

pub(crate) fn model(
    profile: &str,
    hook: impl Fn(&Image) -> Result<(), EncodeError> + Send + Sync + 'static,
) -> ServedModel {
    let decoder = Bytes::from(format!("decoder of {profile}"));
    ServedModel {
        info: ModelInfo {
            id: ModelId([profile.as_bytes()[0]; 8]),
            profile: profile.to_owned(),
            experimental: true,
            decoder_bytes: decoder.len() as u64,
            kmac_per_pixel_decoder: 4.5,
            default: false,
        },
        decoder,
        codec: Arc::new(FakeCodec { hook: Box::new(hook) }),
    }
}

/// A service that encodes whatever it gets.
pub(crate) fn plain() -> AppState {
    with(Config::default(), |_| Ok(()))
}

/// A service whose codec calls `hook` before it encodes.
pub(crate) fn with(
    config: Config,
    hook: impl Fn(&Image) -> Result<(), EncodeError> + Send + Sync + 'static,
) -> AppState {
    AppState::new(vec![model("lite", hook)], config).unwrap()
}

/// The test's side of a codec that stops at every picture but the self-test's.
pub(crate) struct Gate {
    arrived: Receiver<u32>,
    open: Sender<()>,
}

impl Gate {
    /// Waits until a picture is in the codec, and gives its width.
    pub(crate) async fn arrived(self) -> (Gate, u32) {
        tokio::task::spawn_blocking(move || {
            let width = self.arrived.recv().unwrap();
            (self, width)
        })
        .await
        .unwrap()
    }

    /// Lets one picture through.
    pub(crate) fn open(&self) {
        self.open.send(()).unwrap();
    }
}

pub(crate) fn gated(config: Config) -> (AppState, Gate) {
    let (arriving, arrived) = channel();
    let (open, opened) = channel();
    let opened = Mutex::new(opened);
    let state = with(config, move |image| {
        if image.width != WARM_UP {
            // Fails once the test is over.
            let _ = arriving.send(image.width);
            let _ = opened.lock().unwrap().recv();
        }
        Ok(())
    });
    (state, Gate { arrived, open })
}

/// A picture with content, `width` by 8 pixels.
pub(crate) fn png(width: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(width, 8, |x, y| image::Rgb([x as u8, y as u8, 200]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }

    /// Checks that this is a well-formed problem of `status`, and gives its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        assert!(!self.header("x-request-id").is_empty());
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, status);
        assert_eq!(problem.title, self.status.canonical_reason().unwrap());
        assert!(!problem.kind.is_empty() && !problem.detail.is_empty());
        problem.detail
    }
}

pub(crate) async fn send(state: &AppState, request: Request<Body>) -> Answer {
    let response = app(state.clone()).oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: head.status, headers: head.headers, body }
}

pub(crate) async fn get(state: &AppState, path: &str) -> Answer {
    send(state, Request::get(path).body(Body::empty()).unwrap()).await
}

/// `POST /v1/encode` with `query` (from its `?` on) and a raw body.
pub(crate) async fn post(state: &AppState, query: &str, body: impl Into<Body>) -> Answer {
    post_to(state, &format!("/v1/encode{query}"), body).await
}

pub(crate) async fn post_to(state: &AppState, path: &str, body: impl Into<Body>) -> Answer {
    send(state, Request::post(path).body(body.into()).unwrap()).await
}

/// `POST /v1/encode` with a form of these fields.
pub(crate) async fn post_form(state: &AppState, query: &str, fields: &[(&str, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(b"--XX--\r\n");
    let request = Request::post(format!("/v1/encode{query}"))
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(body.into());
    send(state, request.unwrap()).await
}
