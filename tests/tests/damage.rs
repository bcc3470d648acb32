//! Damaged streams: an error, or a picture of the header's size; never a panic, never more than the limits allow.

use bottleneck_model::{Backend, DecodeError, Encoder, Image, Limits, Model, Quality, decode};
use bottleneck_proto::{ContainerError, Header, reseal};
use proptest::prelude::*;
use std::sync::LazyLock;

static TINY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/data/tiny.safetensors"))
        .expect("the tiny model is there")
});
static MODEL: LazyLock<Model> = LazyLock::new(|| Model::from_bytes(&TINY).unwrap());

/// A small stream of two strips.
static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (width, height) = (20u32, 520u32);
    let rgb = (0..width * height * 3).map(|i| (i * i / 7 % 200) as u8).collect();
    let encoder = Encoder::from_bytes(&TINY, Backend::Cpu).unwrap();
    encoder.encode(&Image { width, height, rgb }, Quality(3000)).unwrap()
});

/// Small, so that a damaged size cannot make a test slow.
const LIMITS: Limits = Limits { max_pixels: 200_000, max_bytes: 1 << 20 };

/// Decodes; a picture that comes out must have the header's size.
fn decodes_or_fails(bytes: &[u8]) -> Result<(), DecodeError> {
    let image = decode(bytes, &MODEL, &LIMITS)?;
    let header = Header::peek(bytes).unwrap();
    assert_eq!((image.width, image.height), (header.width.into(), header.height.into()));
    assert_eq!(image.rgb.len() as u64, u64::from(image.width) * u64::from(image.height) * 3);
    Ok(())
}

#[test]
fn every_cut_is_an_error() {
    for end in 0..STREAM.len() {
        assert!(decodes_or_fails(&STREAM[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn every_resealed_cut_is_safe() {
    for end in 0..STREAM.len() {
        let mut cut = STREAM[..end].to_vec();
        reseal(&mut cut);
        let _ = decodes_or_fails(&cut);
    }
}

#[test]
fn every_flipped_bit_is_an_error() {
    let mut bytes = STREAM.clone();
    for bit in 0..8 * bytes.len() {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decodes_or_fails(&bytes).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_flipped_bit_is_safe_with_the_checksum_made_right() {
    for bit in 0..8 * STREAM.len() {
        let mut bytes = STREAM.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        reseal(&mut bytes);
        let _ = decodes_or_fails(&bytes);
    }
}

#[test]
fn appended_bytes_are_an_error_with_the_checksum_made_right() {
    let mut bytes = STREAM.clone();
    bytes.extend([0xa5; 16]);
    reseal(&mut bytes);
    assert!(matches!(decodes_or_fails(&bytes), Err(DecodeError::Damaged { strip: 1, .. })));
}

#[test]
fn a_stream_of_another_model_is_named() {
    let mut bytes = STREAM.clone();
    bytes[4..12].copy_from_slice(&[0xab; 8]);
    reseal(&mut bytes);
    let error = decodes_or_fails(&bytes).unwrap_err();
    assert!(matches!(error, DecodeError::UnknownModel { .. }));
    assert!(error.to_string().contains("abababababababab"), "{error}");
}

#[test]
fn a_huge_picture_is_refused_before_anything_is_allocated() {
    let mut bytes = STREAM.clone();
    bytes[12..16].copy_from_slice(&[0xff; 4]);
    reseal(&mut bytes);
    let error = decode(&bytes, &MODEL, &Limits::default()).unwrap_err();
    assert!(matches!(error, DecodeError::Container(ContainerError::TooManyPixels { .. })), "{error}");
}

#[test]
fn a_damaged_model_file_is_an_error() {
    for end in (0..TINY.len()).step_by(977) {
        assert!(Model::from_bytes(&TINY[..end]).is_err(), "cut at {end}");
    }
}

/// The texts of errors, which the browser's decoder must give too (tests/web/golden.test.mjs).
/// `BLESS=1 cargo test -p bottleneck-tests --test damage` writes them anew.
#[test]
fn damaged_streams_give_the_texts_that_browsers_give() {
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/data/golden-70x45-0.bnk")).unwrap();
    let mut damaged: Vec<Vec<u8>> = [0, 2, 21, 60].map(|end| golden[..end].to_vec()).into();
    // Magic, version, reserved flags, model, width, height, data; then the same behind the checksum.
    for (byte, value) in
        [(0, 0xff), (3, 0x8f), (3, 0xf1), (4, 0xab), (12, 0), (13, 0xff), (14, 0), (15, 4), (40, 0xff)]
    {
        let mut bytes = golden.clone();
        bytes[byte] = value;
        damaged.push(bytes.clone());
        reseal(&mut bytes);
        damaged.push(bytes);
    }
    for bytes in [&golden[..60], &[&golden[..], &[0xa5; 16]].concat()] {
        let mut bytes = bytes.to_vec();
        reseal(&mut bytes);
        damaged.push(bytes);
    }
    damaged.extend([b"\xff\xd8\xff\xe0".to_vec(), vec![0; LIMITS.max_bytes as usize + 1]]);

    let line = |bytes: &Vec<u8>| {
        let outcome = decode(bytes, &MODEL, &LIMITS).map_or_else(|e| e.to_string(), |_| "decodes".into());
        // The one stream that is too long to write down is all zeros.
        let hex: String = if bytes.len() > 4096 {
            format!("{}*00", bytes.len())
        } else {
            bytes.iter().map(|b| format!("{b:02x}")).collect()
        };
        format!("{hex}\t{outcome}\n")
    };
    let found: String = damaged.iter().map(line).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/damaged.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(path).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_strips_are_safe(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = STREAM[..26].to_vec();
        bytes[22..26].copy_from_slice(&(data.len() as u32 / 2).to_le_bytes());
        bytes.extend(data);
        reseal(&mut bytes);
        let _ = decodes_or_fails(&bytes);
    }
}
