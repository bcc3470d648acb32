//! Pictures, and how their bytes become the networks' values.

/// An 8-bit sRGB picture, row after row, three bytes a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 3` bytes: R, G, B of each pixel, rows top to bottom.
    pub rgb: Vec<u8>,
}

/// 0..=255 → −1..=1.
#[cfg(feature = "nn")]
pub(crate) fn to_network(value: u8) -> f32 {
    f32::from(value) / 127.5 - 1.0
}

/// −1..=1 → 0..=255, rounded and clamped.
#[inline(always)]
pub(crate) fn from_network(value: f32) -> u8 {
    // A float of this magnitude has the integer in its lowest bits; `max` maps NaN to 0, as `clamp` does not.
    const INTEGERS: f32 = 8_388_608.0;
    #[expect(clippy::manual_clamp)]
    let byte = (value * 127.5 + 127.5).max(0.0).min(255.0);
    (byte + INTEGERS).to_bits() as u8
}

/// A picture with slopes, edges and texture, the same on every machine.
#[cfg(all(test, feature = "nn"))]
pub(crate) fn test_picture(width: u32, height: u32) -> Image {
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let texture = (x * x + 3 * y * y + x * y) % 29;
            let edge = if (x / 37 + y / 23) % 2 == 0 { 60 } else { 0 };
            rgb.extend(
                [x * 90 / width + edge, y * 120 / height + texture, 80 + edge + texture].map(|v| v as u8),
            );
        }
    }
    Image { width, height, rgb }
}

#[cfg(all(test, feature = "nn"))]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip() {
        for v in 0..=255 {
            assert_eq!(from_network(to_network(v)), v);
        }
    }
}
