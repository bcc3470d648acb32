//! End to end over a real socket: a photograph goes up, its code comes back, the client shows the picture.

use bottleneck_client::{Limits, Model, Server, decode, fetch};
use bottleneck_model::{Backend, Encoder, Image, Quality, ingest};
use bottleneck_proto::http::StoredImages;
use bottleneck_server::{AppState, Config, serve};
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;
use tokio::net::TcpListener;

/// A smooth picture with an edge.
fn photograph() -> RgbImage {
    RgbImage::from_fn(203, 131, |x, y| {
        let edge = if x > 100 { 70 } else { 0 };
        Rgb([(x / 2 + edge) as u8, (40 + y) as u8, (90 + (x + y) / 4) as u8])
    })
}

fn file(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    photograph().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn psnr(a: &Image, b: &Image) -> f64 {
    let squares = a.rgb.iter().zip(&b.rgb).map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2));
    10.0 * (65025.0 / (squares.sum::<f64>() / a.rgb.len() as f64)).log10()
}

/// A server with the embedded model on a free port; it ends with the runtime.
async fn start() -> String {
    let encoder = Encoder::lite(Backend::Cpu).unwrap();
    let state = AppState::new(vec![encoder.into()], Config::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, state.clone(), std::future::pending()));
    state.ready().await.unwrap();
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photograph_goes_up_and_its_picture_comes_back() {
    let url = start().await;
    tokio::task::spawn_blocking(move || {
        let server = Server::new(&url).unwrap();
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let upload = file(format);
            let quality = Quality::from_percent(90.0).unwrap();
            let code = server.encode(&upload, Some(90.0), &Limits::default(), |_| {}).unwrap();
            // The service, the library and the command line give the same bytes.
            let original = ingest::load(&upload, &ingest::Options::default()).unwrap();
            let local = Encoder::lite(Backend::Cpu).unwrap().encode(&original, quality).unwrap();
            assert_eq!(code, local);
            let picture = decode(&code, Model::lite(), &Limits::default()).unwrap();
            assert_eq!((picture.width, picture.height), (203, 131));
            assert!(psnr(&original, &picture) > 32.0, "{format:?}: {} dB", psnr(&original, &picture));
            assert!(code.len() < original.rgb.len() / 20, "{} bytes", code.len());
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_fetched_as_the_code_or_shown_as_a_file() {
    let url = start().await;
    tokio::task::spawn_blocking(move || {
        let upload = file(ImageFormat::Jpeg);
        let mut kept = ureq::post(format!("{url}/v1/images?widths=100")).send(&upload[..]).unwrap();
        let StoredImages { images } = serde_json::from_reader(kept.body_mut().as_reader()).unwrap();
        assert_eq!(images.iter().map(|image| image.width).collect::<Vec<_>>(), [203, 100]);
        for image in &images {
            let address = format!("{url}{}", image.url);
            let code = fetch(&address, None, &Limits::default(), |_| {}).unwrap();
            assert_eq!(code.len() as u64, image.bytes);
            let picture = decode(&code, Model::lite(), &Limits::default()).unwrap();
            assert_eq!((picture.width, picture.height), (image.width, image.height));
            for extension in ["webp", "jpg", "png"] {
                let mut answer = ureq::get(format!("{address}.{extension}")).call().unwrap();
                let shown = answer.body_mut().read_to_vec().unwrap();
                let shown = ingest::load(&shown, &ingest::Options::default()).unwrap();
                let psnr = psnr(&picture, &shown);
                assert!(psnr > 35.0, "{extension} is {psnr} dB from the picture that the code gives");
            }
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decoder_that_a_client_fetches_is_the_one_that_streams_name() {
    let url = start().await;
    tokio::task::spawn_blocking(move || {
        let id = Model::lite().id();
        let mut answer = ureq::get(format!("{url}/v1/models/{id}/decoder")).call().unwrap();
        let fetched = Model::from_bytes(&answer.body_mut().read_to_vec().unwrap()).unwrap();
        assert_eq!(fetched.id(), id);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_uploads_get_a_problem_that_says_what_is_wrong() {
    let url = start().await;
    tokio::task::spawn_blocking(move || {
        let jpeg = file(ImageFormat::Jpeg);
        let mut huge = file(ImageFormat::Png);
        huge[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        let cases: [(&str, &[u8], u16); 6] = [
            ("", b"", 400),
            ("", b"just some words", 415),
            ("", &jpeg[..jpeg.len() / 2], 400),
            ("?q=101", &jpeg, 422),
            ("?q=abc", &jpeg, 422),
            ("", b"BNK\x01aaaaaaaaaaaaaaaaaaaaaaa", 415),
        ];
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let post = |query: &str, body: &[u8]| {
            let mut answer = agent.post(format!("{url}/v1/encode{query}")).send(body).unwrap();
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
            (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
        };
        for (query, body, status) in cases {
            let (found, problem) = post(query, body);
            assert_eq!(found, status, "{query}: {problem}");
            assert!(problem.contains("detail"), "{problem}");
        }
        let (status, problem) = post("", &huge);
        assert!([400, 413, 422].contains(&status), "{status} {problem}");
    })
    .await
    .unwrap();
}
