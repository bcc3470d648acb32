//! Small files that claim huge pictures are refused before anything is allocated for them.

use bottleneck_model::{Backend, Encoder};
use bottleneck_server::{AppState, Config, serve};
use cap::Cap;
use image::{ImageFormat, RgbImage};
use std::alloc::System;
use std::io::Cursor;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What a refusal may allocate: buffers of both sides and of the test.
const ALLOWED: usize = 2 << 20;

fn file(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8, y as u8, 9])).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The header of `file` with `size` at `at`.
fn patched(mut file: Vec<u8>, at: usize, size: &[u8]) -> Vec<u8> {
    file[at..at + size.len()].copy_from_slice(size);
    file
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let jpeg = file(ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    let mut progressive = jpeg.clone();
    progressive[frame + 1] = 0xc2;
    let side = 64_250_u32;
    let webp = file(ImageFormat::WebP);
    assert_eq!(&webp[12..16], b"VP8L");
    let mut canvas =
        [b"RIFF", &[0; 4][..], b"WEBPVP8X", &[10, 0, 0, 0, 0, 0, 0, 0], &[0xff; 6], &webp[12..]].concat();
    let length = (canvas.len() as u32 - 8).to_le_bytes();
    canvas[4..8].copy_from_slice(&length);
    vec![
        ("PNG", patched(file(ImageFormat::Png), 16, &[side.to_be_bytes(), side.to_be_bytes()].concat())),
        ("JPEG", patched(jpeg, frame + 5, &[0xfa, 0xfa, 0xfa, 0xfa])),
        ("progressive JPEG", patched(progressive, frame + 5, &[0xfa, 0xfa, 0xfa, 0xfa])),
        ("WebP", patched(webp, 21, &(16_382_u32 | 16_382 << 14).to_le_bytes())),
        ("WebP canvas", canvas),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn decompression_bombs_allocate_nothing() {
    let encoder = Encoder::lite(Backend::Cpu).unwrap();
    let state = AppState::new(vec![encoder.into()], Config::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/encode", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, state.clone(), std::future::pending()));
    state.ready().await.unwrap();

    tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let post = |body: &[u8]| {
            let mut answer = agent.post(&url).send(body).unwrap();
            (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
        };
        // Pays for what is made once, and settles the peak that later ones are compared with.
        assert_eq!(post(b"no picture").0, 415);
        for (name, bomb) in bombs() {
            assert!(bomb.len() < 5000, "{name}");
            let held = ALLOCATOR.allocated();
            ALLOCATOR.set_limit(held + ALLOWED).unwrap();
            let (status, problem) = post(&bomb);
            ALLOCATOR.set_limit(usize::MAX).unwrap();
            assert_eq!(status, 422, "{name}: {problem}");
            assert!(
                problem.contains("too many pixels") || problem.contains("too long on a side"),
                "{problem}"
            );
        }
    })
    .await
    .unwrap();
}
