use super::*;
use crate::pixels::test_picture;
use crate::{Backend, Image, Limits, Quality, decode};
use std::sync::atomic::AtomicUsize;

fn tiny() -> Encoder {
    Encoder::from_bytes(crate::TINY, Backend::Cpu).unwrap()
}

/// λ · D + bpp of the file, by the decoder that users have, times the pixels.
fn cost_in(metric: Metric, encoder: &Encoder, image: &Image, quality: Quality, file: &[u8]) -> f64 {
    let decoded = decode(file, encoder.model(), &Limits::default()).unwrap();
    let error: u64 = decoded.rgb.iter().zip(&image.rgb).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    let lambda = encoder.model().architecture.lambda_at(crate::quality::position(quality));
    let (width, height) = (image.width as usize, image.height as usize);
    let squares = (1.0 - metric.structure()) / 3.0 * error as f64;
    let structure = dissimilarity_of_bytes(&image.rgb, &decoded.rgb, width, height) * (width * height) as f64;
    let distortion = squares + metric.structure() * IN_SQUARES * structure;
    f64::from(lambda) * distortion + 8.0 * file.len() as f64
}

fn cost(encoder: &Encoder, image: &Image, quality: Quality, file: &[u8]) -> f64 {
    cost_in(Metric::default(), encoder, image, quality, file)
}

fn refined(encoder: &Encoder, image: &Image, quality: Quality, effort: u8) -> Vec<u8> {
    let how = Refinement { effort, ..Refinement::default() };
    encoder.encode_refined(image, quality, &how).unwrap()
}

#[test]
fn effort_lowers_the_cost() {
    let encoder = tiny();
    let image = test_picture(200, 130);
    for quality in [6_000, 30_000, 60_000].map(Quality) {
        let plain = encoder.encode(&image, quality).unwrap();
        for metric in [Metric::Psnr, Metric::Mixed, Metric::Ssimulacra2Proxy] {
            let how = Refinement { effort: 6, metric, ..Refinement::default() };
            let better = encoder.encode_refined(&image, quality, &how).unwrap();
            let [plain, better] =
                [&plain, &better].map(|file| cost_in(metric, &encoder, &image, quality, file));
            assert!(better < 0.999 * plain, "{plain} became {better} at {quality:?} for {metric:?}");
        }
    }
}

/// Three strips, and more columns than a tile has.
#[test]
fn strips_and_tiles_never_cost_more_together() {
    let encoder = tiny();
    for (w, h) in [(50, 1300), (900, 40), (17, 513), (1, 1)] {
        let image = test_picture(w, h);
        let quality = Quality(30_000);
        let plain = cost(&encoder, &image, quality, &encoder.encode(&image, quality).unwrap());
        let better = cost(&encoder, &image, quality, &refined(&encoder, &image, quality, 2));
        // Beside the bits, a file has whole bytes and words.
        let strips = f64::from(h.div_ceil(512));
        assert!(better <= plain + 64.0 * strips, "{plain} became {better} for {w}×{h}");
    }
}

#[test]
fn refining_is_reproducible() {
    let encoder = tiny();
    let image = test_picture(820, 60);
    let quality = Quality(40_000);
    assert_eq!(refined(&encoder, &image, quality, 2), refined(&encoder, &image, quality, 2));
    assert_eq!(refined(&encoder, &image, quality, 0), encoder.encode(&image, quality).unwrap());
}

#[test]
fn what_is_stopped_keeps_the_best_so_far() {
    let encoder = tiny();
    let image = test_picture(40, 1100);
    let quality = Quality(40_000);
    let stop = AtomicBool::new(false);
    let calls = AtomicUsize::new(0);
    let progress = |share: f64| {
        calls.fetch_add(1, Ordering::Relaxed);
        assert!((share - 1.0 / 3.0).abs() < 1e-9);
        stop.store(true, Ordering::Relaxed);
    };
    let how = Refinement { effort: 5, stop: Some(&stop), progress: Some(&progress), ..Refinement::default() };
    let stopped = encoder.encode_refined(&image, quality, &how).unwrap();
    assert_eq!(calls.into_inner(), 1);
    let plain = encoder.encode(&image, quality).unwrap();
    assert!(cost(&encoder, &image, quality, &stopped) < cost(&encoder, &image, quality, &plain));

    let how = Refinement { effort: 5, deadline: Some(Instant::now()), ..Refinement::default() };
    assert_eq!(encoder.encode_refined(&image, quality, &how).unwrap(), plain);
}
