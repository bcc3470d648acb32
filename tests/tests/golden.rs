//! Golden streams of a frozen tiny model: symbols exactly, pixels within 1/255 (ARCHITECTURE.md, invariant 1).
//!
//! `BLESS=1 cargo test -p bottleneck-tests --test golden` writes them anew: see CONTRIBUTING.md.

use bottleneck_model::{Backend, Encoder, Image, Limits, Model, Quality, decode, symbols};
use bottleneck_proto::Container;
use std::path::PathBuf;

/// Width, height, quality.
const STREAMS: [(u32, u32, u16); 4] = [(1, 1, 32_768), (70, 45, 0), (97, 61, 65_535), (33, 600, 45_000)];

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn tiny() -> Vec<u8> {
    std::fs::read(data("tiny.safetensors")).unwrap()
}

/// Slopes, edges and texture.
fn picture(width: u32, height: u32) -> Image {
    let pixel = |x: u32, y: u32| {
        let texture = (x * x + 3 * y * y + x * y) % 29;
        let edge = if (x / 17 + y / 23).is_multiple_of(2) { 60 } else { 0 };
        [x * 90 / width + edge, y * 120 / height + texture, 80 + edge + texture].map(|v| v as u8)
    };
    let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Image { width, height, rgb }
}

/// FNV-1a over the little-endian symbols of all strips.
fn hash(symbols: &[Vec<i16>]) -> u64 {
    let bytes = symbols.iter().flatten().flat_map(|s| s.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn golden_streams_decode_to_the_same_symbols_and_pixels() {
    let model = Model::from_bytes(&tiny()).unwrap();
    let mut hashes = String::new();
    for (width, height, quality) in STREAMS {
        let name = format!("golden-{width}x{height}-{quality}");
        if std::env::var_os("BLESS").is_some() {
            let encoder = Encoder::from_bytes(&tiny(), Backend::Cpu).unwrap();
            let bytes = encoder.encode(&picture(width, height), Quality(quality)).unwrap();
            std::fs::write(data(&format!("{name}.bnk")), &bytes).unwrap();
            std::fs::write(
                data(&format!("{name}.rgb")),
                decode(&bytes, &model, &Limits::default()).unwrap().rgb,
            )
            .unwrap();
        }
        let bytes = std::fs::read(data(&format!("{name}.bnk"))).unwrap();
        let container = Container::parse(&bytes, &Limits::default()).unwrap();
        hashes += &format!("{name} {:016x}\n", hash(&symbols(&container, &model).unwrap()));

        let image = decode(&bytes, &model, &Limits::default()).unwrap();
        assert_eq!((image.width, image.height), (width, height));
        let expected = std::fs::read(data(&format!("{name}.rgb"))).unwrap();
        assert_eq!(image.rgb.len(), expected.len());
        let worst = image.rgb.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{name}: a pixel differs by {worst:?}");
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(data("golden.txt"), &hashes).unwrap();
    }
    assert_eq!(hashes, std::fs::read_to_string(data("golden.txt")).unwrap());
}

/// Without SIMD, and on one and on two threads: the same symbols; pixels within 1/255, and equal where only the
/// threads differ.
#[test]
fn golden_streams_decode_alike_on_every_path() {
    let best = Model::from_bytes(&tiny()).unwrap();
    let scalar = Model::from_bytes(&tiny()).unwrap().scalar();
    let pools = [1, 2].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    for (width, height, quality) in STREAMS {
        let bytes = std::fs::read(data(&format!("golden-{width}x{height}-{quality}.bnk"))).unwrap();
        let container = Container::parse(&bytes, &Limits::default()).unwrap();
        let expected = symbols(&container, &best).unwrap();
        assert_eq!(hash(&symbols(&container, &scalar).unwrap()), hash(&expected));
        let [one, two] =
            [0, 1].map(|i| pools[i].install(|| decode(&bytes, &best, &Limits::default()).unwrap()));
        assert!(one == two, "{width}×{height}: two threads give another picture than one");
        let plain = decode(&bytes, &scalar, &Limits::default()).unwrap();
        let worst = plain.rgb.iter().zip(&one.rgb).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{width}×{height}: without SIMD a pixel differs by {worst:?}");
    }
}

/// On the machine that made them the encoder need not give the same bytes (floats), but nearly as many.
#[test]
fn encodes_agree_in_size_with_the_golden_streams() {
    let encoder = Encoder::from_bytes(&tiny(), Backend::Cpu).unwrap();
    for (width, height, quality) in STREAMS {
        let golden =
            std::fs::metadata(data(&format!("golden-{width}x{height}-{quality}.bnk"))).unwrap().len();
        let bytes = encoder.encode(&picture(width, height), Quality(quality)).unwrap();
        let allowed = (golden / 1000).max(8);
        assert!((bytes.len() as u64).abs_diff(golden) <= allowed, "{} bytes, golden {golden}", bytes.len());
    }
}

/// Invariant 2: whatever the number of threads, which also decides how many rows of a wide picture go together.
#[test]
fn threads_equal_single() {
    let encoder = Encoder::from_bytes(&tiny(), Backend::Cpu).unwrap();
    for (width, height) in [(150, 700), (4200, 100)] {
        let image = picture(width, height);
        let with_threads = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| {
                let bytes = encoder.encode(&image, Quality(50_000)).unwrap();
                let back = decode(&bytes, encoder.model(), &Limits::default()).unwrap();
                (bytes, back)
            })
        };
        assert!(with_threads(1) == with_threads(3), "{width}×{height}");
    }
}
