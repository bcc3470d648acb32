use super::{Format, LoadError, Options};
use image::codecs::{png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, RgbImage};
use std::io::{Cursor, ErrorKind};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

/// What a decoder may take besides the picture: metadata, tables, rows.
const EXTRA_BYTES: u64 = 64 << 20;

pub(super) struct Decoded {
    /// The samples as they are in the file: grey or RGB, with or without alpha, 8 or 16 bits.
    pub(super) pixels: DynamicImage,
    /// The embedded ICC profile, if it describes these samples.
    pub(super) profile: Option<Vec<u8>>,
    pub(super) orientation: Orientation,
}

pub(super) fn decode(format: Format, bytes: &[u8], options: &Options) -> Result<Decoded, LoadError> {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(options.max_dimension);
    limits.max_image_height = Some(options.max_dimension);
    // Eight bytes a pixel is 16-bit RGBA.
    limits.max_alloc = Some(options.max_pixels.saturating_mul(8).saturating_add(EXTRA_BYTES));

    let refuse = |error| refusal(format, bytes.len(), error);
    match format {
        Format::Jpeg => jpeg(bytes),
        Format::Png => {
            through(PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(refuse)?).map_err(refuse)
        }
        Format::WebP => {
            let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(refuse)?;
            decoder.set_limits(limits).map_err(refuse)?;
            through(decoder).map_err(refuse)
        }
    }
}

/// Decodes without `image`'s own JPEG decoder, which lets damaged pixel data pass and paints the rest grey,
/// and copies the input. Oddities between the headers are borne with, as every viewer does.
fn jpeg(bytes: &[u8]) -> Result<Decoded, LoadError> {
    let damaged = |error: DecodeErrors| match error {
        DecodeErrors::Unsupported(what) => {
            LoadError::Variant { format: Format::Jpeg, reason: format!("{what:?}") }
        }
        DecodeErrors::ExhaustedData => LoadError::Truncated {
            format: Format::Jpeg,
            found: bytes.len(),
            inside: "inside the picture data",
        },
        error => LoadError::damaged(Format::Jpeg, format!("{error:?}")),
    };
    // The sizes were checked already.
    let options = DecoderOptions::default().set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options.set_strict_mode(false));
    decoder.decode_headers().map_err(damaged)?;

    let inside = decoder.input_colorspace();
    // CMYK comes out as RGB, which its profile does not describe.
    let profile = if matches!(inside, Some(ColorSpace::CMYK | ColorSpace::YCCK)) {
        None
    } else {
        decoder.icc_profile()
    };
    let orientation = orientation(decoder.exif().map(Vec::as_slice));
    let grey = inside == Some(ColorSpace::Luma);
    let outside = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.set_strict_mode(true).jpeg_set_out_colorspace(outside));

    let broken = || LoadError::damaged(Format::Jpeg, "its header does not say how large it is");
    let (width, height) = decoder.dimensions().ok_or_else(broken)?;
    let (width, height) =
        (u32::try_from(width).map_err(|_| broken())?, u32::try_from(height).map_err(|_| broken())?);
    let mut samples = vec![0; decoder.output_buffer_size().ok_or_else(broken)?];
    decoder.decode_into(&mut samples).map_err(damaged)?;
    let pixels = if grey {
        GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8)
    };
    Ok(Decoded { pixels: pixels.ok_or_else(broken)?, profile, orientation })
}

fn through(mut decoder: impl ImageDecoder) -> Result<Decoded, ImageError> {
    // Metadata that cannot be read is not there: the picture matters.
    let profile = decoder.icc_profile().unwrap_or_default();
    let orientation = orientation(decoder.exif_metadata().unwrap_or_default().as_deref());
    Ok(Decoded { pixels: DynamicImage::from_decoder(decoder)?, profile, orientation })
}

fn orientation(exif: Option<&[u8]>) -> Orientation {
    // Some programs write JPEG's prefix into WebP and PNG too.
    exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))
        .and_then(Orientation::from_exif_chunk)
        .unwrap_or(Orientation::NoTransforms)
}

fn refusal(format: Format, found: usize, error: ImageError) -> LoadError {
    match error {
        ImageError::Limits(_) => LoadError::TooMuchMemory { format },
        ImageError::Unsupported(error) => LoadError::Variant { format, reason: error.to_string() },
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            LoadError::Truncated { format, found, inside: "inside the picture data" }
        }
        error => LoadError::damaged(format, error),
    }
}
