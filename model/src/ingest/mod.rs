//! Turns the bytes of a photograph into an [`Image`]: 8-bit sRGB, upright, opaque and without metadata.
//!
//! JPEG, PNG and WebP are read; the type is found from the bytes, never from a name. The size in the header
//! is checked before any pixel is allocated. What happens on the way:
//!
//! * the EXIF orientation is applied;
//! * an embedded ICC profile (RGB or grey) is converted to sRGB; one that cannot be read, or that describes
//!   other colours than the decoder gives (CMYK), counts as sRGB. PNG's gAMA, cHRM and cICP are not read;
//! * grey becomes RGB, and transparent pixels are mixed with [`Options::background`] in sRGB values, as
//!   browsers do;
//! * 16-bit samples are converted and mixed in 16 bits, then dithered to 8 by a fixed pattern;
//! * a picture that is cut short or damaged is an error, never a picture that is partly grey.

mod colour;
mod container;
mod decode;
mod dither;
mod error;
mod sniff;
#[cfg(test)]
mod tests;

use crate::Image;
pub use error::{ErrorKind, LoadError};
use image::DynamicImage;
pub use sniff::Format;

/// How to load a photograph, and what to refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The sRGB colour behind transparent pixels. White by default.
    pub background: [u8; 3],
    /// The frame of an animation, counted from 0. Only the first can be read: `Some(0)`. With `None`, the
    /// default, an animation is refused. A still picture is its own frame 0.
    pub frame: Option<u32>,
    /// The largest width times height, in pixels. 100 million by default.
    pub max_pixels: u64,
    /// The largest width and the largest height, in pixels. 65 535 by default.
    pub max_dimension: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { background: [255; 3], frame: None, max_pixels: 100_000_000, max_dimension: 65_535 }
    }
}

impl Options {
    fn check_size(&self, width: u32, height: u32) -> Result<(), LoadError> {
        if width > self.max_dimension || height > self.max_dimension {
            return Err(LoadError::SideTooLong { width, height, max_dimension: self.max_dimension });
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(LoadError::TooManyPixels { width, height, max_pixels: self.max_pixels });
        }
        Ok(())
    }

    fn check_frame(&self, format: Format, frames: u32) -> Result<(), LoadError> {
        match self.frame {
            None if frames > 1 => Err(LoadError::Animated { format, frames }),
            None | Some(0) => Ok(()),
            Some(asked) => Err(LoadError::NoSuchFrame { asked }),
        }
    }
}

/// Width and height that the photograph in `bytes` claims, before its orientation is applied. Nothing is
/// decoded.
///
/// # Errors
///
/// Those of [`load`], as far as they can be told without decoding: another type, truncation, a size above the
/// limits, and an animation.
pub fn size(bytes: &[u8], options: &Options) -> Result<(u32, u32), LoadError> {
    let format = sniff::sniff(bytes)?;
    let survey = container::survey(format, bytes, options)?;
    options.check_frame(format, survey.frames)?;
    Ok(survey.size)
}

/// Loads the photograph in `bytes`.
///
/// An 8-bit RGB picture is decoded straight into the buffer it is returned in, so that a JPEG of 24 million
/// pixels takes 72 MB; turning it by a quarter takes a second buffer for a moment, and a progressive JPEG
/// holds two bytes more a sample while it is decoded. Of an animation, frame 0 is the picture that a viewer
/// without animation shows.
///
/// # Errors
///
/// Refuses bytes of another type, damaged or truncated pictures, those above the limits in `options`, and
/// animations unless frame 0 is asked for; [`LoadError::kind`] says which of these it was.
pub fn load(bytes: &[u8], options: &Options) -> Result<Image, LoadError> {
    let format = sniff::sniff(bytes)?;
    let survey = container::survey(format, bytes, options)?;
    options.check_frame(format, survey.frames)?;
    // What follows the picture's end (a gain map, a second view, rubbish) is none of the decoder's business.
    let decoded = decode::decode(format, &bytes[..survey.end], options)?;

    let (width, height) = (decoded.pixels.width(), decoded.pixels.height());
    let rgb = colour::to_srgb8(decoded.pixels, decoded.profile.as_deref(), options.background)
        .map_err(|error| LoadError::damaged(format, error))?;
    let upright = image::RgbImage::from_raw(width, height, rgb)
        .map(|buffer| {
            let mut picture = DynamicImage::ImageRgb8(buffer);
            picture.apply_orientation(decoded.orientation);
            picture.into_rgb8()
        })
        .ok_or_else(|| LoadError::damaged(format, "the decoder gave fewer pixels than the header says"))?;
    Ok(Image { width: upright.width(), height: upright.height(), rgb: upright.into_raw() })
}

/// Reads a background colour: `white`, `black`, `rrggbb` or `#rrggbb` in hexadecimal, upper or lower case.
pub fn parse_background(text: &str) -> Option<[u8; 3]> {
    if text.eq_ignore_ascii_case("white") {
        return Some([255; 3]);
    }
    if text.eq_ignore_ascii_case("black") {
        return Some([0; 3]);
    }
    let hex = text.strip_prefix('#').unwrap_or(text);
    // from_str_radix would take a sign.
    if hex.len() != 6 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let [_, r, g, b] = u32::from_str_radix(hex, 16).ok()?.to_be_bytes();
    Some([r, g, b])
}
