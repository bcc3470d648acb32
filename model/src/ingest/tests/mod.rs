//! Every picture here is made by the tests themselves.

mod colours;
mod files;
mod refusals;

use super::{ErrorKind, Image, LoadError, Options, load};
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder};

/// Noise that compresses badly, so that cuts and flips hit picture data.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    std::iter::repeat_with(&mut next).take(len).collect()
}

#[derive(Default)]
struct Extras<'a> {
    icc: Option<&'a [u8]>,
    exif: Option<&'a [u8]>,
}

fn encode(
    mut encoder: impl ImageEncoder,
    raw: &[u8],
    size: (u32, u32),
    colour: ExtendedColorType,
    extras: Extras<'_>,
) {
    if let Some(icc) = extras.icc {
        encoder.set_icc_profile(icc.to_vec()).unwrap();
    }
    if let Some(exif) = extras.exif {
        encoder.set_exif_metadata(exif.to_vec()).unwrap();
    }
    encoder.write_image(raw, size.0, size.1, colour).unwrap();
}

fn png(raw: &[u8], size: (u32, u32), colour: ExtendedColorType, extras: Extras<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(PngEncoder::new(&mut bytes), raw, size, colour, extras);
    bytes
}

/// A 16-bit PNG.
fn png16(samples: &[u16], size: (u32, u32), colour: ExtendedColorType, extras: Extras<'_>) -> Vec<u8> {
    let raw: Vec<u8> = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    png(&raw, size, colour, extras)
}

fn jpeg(raw: &[u8], size: (u32, u32), colour: ExtendedColorType, extras: Extras<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(JpegEncoder::new_with_quality(&mut bytes, 100), raw, size, colour, extras);
    bytes
}

fn webp(raw: &[u8], size: (u32, u32), colour: ExtendedColorType, extras: Extras<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(WebPEncoder::new_lossless(&mut bytes), raw, size, colour, extras);
    bytes
}

fn plain(bytes: &[u8]) -> Image {
    load(bytes, &Options::default()).unwrap()
}

fn refused(bytes: &[u8]) -> LoadError {
    load(bytes, &Options::default()).unwrap_err()
}

/// A PNG chunk.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(kind);
    bytes.extend(data);
    let crc = bytes[4..].iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    bytes.extend((!crc).to_be_bytes());
    bytes
}

/// A RIFF chunk.
fn riff(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

fn webp_file(chunks: &[Vec<u8>]) -> Vec<u8> {
    riff(b"RIFF", &[b"WEBP".to_vec(), chunks.concat()].concat())
}

/// A VP8X chunk with these flags.
fn vp8x(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let mut data = vec![flags, 0, 0, 0];
    data.extend(&(width - 1).to_le_bytes()[..3]);
    data.extend(&(height - 1).to_le_bytes()[..3]);
    riff(b"VP8X", &data)
}

/// An EXIF block whose one entry is the orientation.
fn exif(orientation: u16, big_endian: bool) -> Vec<u8> {
    let two = |v: u16| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
    let four = |v: u32| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut bytes = if big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    bytes.extend(two(42));
    bytes.extend(four(8));
    bytes.extend(two(1));
    bytes.extend(two(0x0112));
    bytes.extend(two(3));
    bytes.extend(four(1));
    bytes.extend(two(orientation));
    bytes.extend(two(0));
    bytes.extend(four(0));
    bytes
}

/// A JPEG with this EXIF block in an APP1 segment written by hand.
fn jpeg_with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let length = u16::try_from(exif.len() + 8).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &length, b"Exif\0\0", exif, &jpeg[2..]].concat()
}
