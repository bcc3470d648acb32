use crate::error::ApiError;
use bottleneck_model::Image;
use fast_image_resize::images::{Image as Target, ImageRef};
use fast_image_resize::{PixelType, Resizer};

/// The size of a picture at `width`, which never grows.
pub(crate) fn fitted((width, height): (u32, u32), wanted: u32) -> (u32, u32) {
    if wanted >= width {
        return (width, height);
    }
    let height = (f64::from(height) * f64::from(wanted) / f64::from(width)).round();
    (wanted, (height as u32).max(1))
}

/// A picture of `size`, by Lanczos' filter.
pub(crate) fn scaled(image: &Image, (width, height): (u32, u32)) -> Result<Image, ApiError> {
    let failed = |error: &dyn std::fmt::Display| ApiError::Internal(format!("cannot scale: {error}"));
    let source = ImageRef::new(image.width, image.height, &image.rgb, PixelType::U8x3);
    let source = source.map_err(|error| failed(&error))?;
    let mut target = Target::new(width, height, PixelType::U8x3);
    Resizer::new().resize(&source, &mut target, None).map_err(|error| failed(&error))?;
    Ok(Image { width, height, rgb: target.into_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_ratio_and_at_least_a_row() {
        assert_eq!(fitted((4000, 3000), 640), (640, 480));
        assert_eq!(fitted((640, 480), 640), (640, 480));
        assert_eq!(fitted((640, 480), 4000), (640, 480));
        assert_eq!(fitted((60_000, 3), 10), (10, 1));
    }

    #[test]
    fn a_flat_picture_stays_flat_and_halves_keep_their_sides() {
        let rgb = (0..64 * 8).flat_map(|i| if i % 64 < 32 { [10, 20, 30] } else { [200, 100, 50] }).collect();
        let half = scaled(&Image { width: 64, height: 8, rgb }, (32, 4)).unwrap();
        assert_eq!((half.width, half.height, half.rgb.len()), (32, 4, 32 * 4 * 3));
        assert_eq!((&half.rgb[..3], &half.rgb[31 * 3..32 * 3]), (&[10, 20, 30][..], &[200, 100, 50][..]));
    }
}
