//! Crops of the same region at equal bytes, the worst pictures of the codec under test first.

use std::io::Cursor;

use bottleneck_model::Image;
use bottleneck_model::evaluate::codec::{Codec, CodecError};
use bottleneck_model::evaluate::peers::Workbench;
use bottleneck_model::evaluate::picture;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;

use super::matching::Found;
use super::results::{Comparison, PictureResult};
use super::{CompareError, Contestant};

/// Width and height of a crop, in pixels, where the picture has them.
const SIZE: (u32, u32) = (256, 192);

/// Files tried to meet a size.
const TRIALS: u32 = 10;

/// One picture of the wall.
#[derive(Clone, Debug, Serialize)]
pub struct Wall {
    /// File name.
    pub picture: String,
    /// Left, top, width and height of the region, in pixels.
    pub region: (u32, u32, u32, u32),
    /// Saving of the codec under test against the smallest of the others, at the first match, in percent.
    pub saving: f64,
    /// The original, then every codec.
    pub crops: Vec<Crop>,
}

/// A region of a picture, as one codec shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Crop {
    /// Name of the codec, or `original`.
    pub codec: String,
    /// Bytes of the whole file; `None` for the original.
    pub bytes: Option<u64>,
    /// The region as lossless WebP.
    #[serde(skip)]
    pub webp: Vec<u8>,
}

/// The wall: the pictures on which the first codec under test saves least against the best of the others.
pub(super) fn walls(
    results: &Comparison,
    contestants: &[Contestant],
    count: usize,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Wall>, CompareError> {
    let Some(ours) = contestants.iter().position(|contestant| contestant.ours) else { return Ok(Vec::new()) };
    let mut worst: Vec<(f64, &PictureResult)> = results
        .pictures
        .iter()
        .filter_map(|picture| Some((saving(picture, results, ours)?, picture)))
        .collect();
    worst.sort_by(|a, b| a.0.total_cmp(&b.0));
    worst.truncate(count);
    let mut walls = Vec::new();
    for (saving, picture) in worst {
        progress(&format!("crops of {}", picture.name));
        let Ok(image) = picture::read_original(&picture.path) else { continue };
        let bench = Workbench::new(&image)?;
        let failed = |codec: &dyn Codec| {
            let (picture, codec) = (picture.name.clone(), codec.name().to_owned());
            move |source| CompareError::Crop {
                picture: picture.clone(),
                codec: codec.clone(),
                source: Box::new(source),
            }
        };
        let Found::Size { setting, .. } = picture.series[ours].found[0] else { continue };
        let codec = &*contestants[ours].codec;
        let file = codec.encode(&bench, setting).map_err(failed(codec))?;
        let decoded = codec.decode(&bench, &file).map_err(failed(codec))?;
        let mut shown = vec![(codec.name(), file.len() as u64, decoded)];
        for contestant in contestants {
            let other = &*contestant.codec;
            if other.name() == codec.name() {
                continue;
            }
            let found = within(other, &bench, file.len()).map_err(failed(other))?;
            shown.extend(found.map(|(bytes, image)| (other.name(), bytes, image)));
        }
        let region = worst_region(&image, &shown.iter().map(|(_, _, image)| image).collect::<Vec<_>>());
        let crop =
            |name: &str, bytes, image: &Image| Crop { codec: name.into(), bytes, webp: cut(image, region) };
        let mut crops = vec![crop("original", None, &image)];
        crops.extend(shown.iter().map(|(name, bytes, image)| crop(name, Some(*bytes), image)));
        walls.push(Wall { picture: picture.name.clone(), region, saving, crops });
    }
    Ok(walls)
}

/// Percent saved against the smallest file of the others; `None` where there is nothing to compare.
fn saving(picture: &PictureResult, results: &Comparison, ours: usize) -> Option<f64> {
    let bytes = picture.series[ours].found[0].bytes()?;
    let others = results.contenders.iter().zip(&picture.series).filter(|(contender, _)| !contender.ours);
    let least = others.filter_map(|(_, series)| series.found[0].bytes()).fold(f64::INFINITY, f64::min);
    least.is_finite().then(|| 100.0 * (1.0 - bytes / least))
}

/// The largest file of at most `limit` bytes that a bisection over the settings finds, and what it shows; `None`
/// where even the smallest is larger.
fn within(
    codec: &dyn Codec,
    bench: &Workbench<'_>,
    limit: usize,
) -> Result<Option<(u64, Image)>, CodecError> {
    let scale = codec.scale();
    let (mut low, mut high) = (scale.coarsest, scale.finest);
    let smallest = codec.encode(bench, low)?;
    if smallest.len() > limit {
        return Ok(None);
    }
    let mut best = smallest;
    for _ in 0..TRIALS {
        let Some(setting) = scale.between(low, high) else { break };
        let file = codec.encode(bench, setting)?;
        if file.len() > limit {
            high = setting;
        } else {
            low = setting;
            if file.len() > best.len() {
                best = file;
            }
        }
        if limit - best.len() <= limit / 100 {
            break;
        }
    }
    let image = codec.decode(bench, &best)?;
    Ok(Some((best.len() as u64, image)))
}

/// The region where the first picture's squared error exceeds that of the best of the others most.
fn worst_region(original: &Image, shown: &[&Image]) -> (u32, u32, u32, u32) {
    const CELL: u32 = 32;
    let (width, height) = (SIZE.0.min(original.width), SIZE.1.min(original.height));
    let error = |image: &Image, left: u32, top: u32| -> f64 {
        let mut sum = 0u64;
        for y in top..top + height {
            let from = (y as usize * original.width as usize + left as usize) * 3;
            let range = from..from + width as usize * 3;
            let pairs = original.rgb[range.clone()].iter().zip(&image.rgb[range]);
            sum += pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum::<u64>();
        }
        sum as f64
    };
    let corners = |side: u32, size: u32| (0..=side - size).step_by(CELL as usize);
    let corners = corners(original.height, height)
        .flat_map(|top| corners(original.width, width).map(move |left| (left, top)));
    let excess = |&(left, top): &(u32, u32)| {
        let others = shown[1..].iter().map(|image| error(image, left, top)).fold(f64::INFINITY, f64::min);
        let ours = error(shown[0], left, top);
        if others.is_finite() { ours - others } else { ours }
    };
    let worst = corners.max_by(|a, b| excess(a).total_cmp(&excess(b))).unwrap_or((0, 0));
    (worst.0, worst.1, width, height)
}

fn cut(image: &Image, (left, top, width, height): (u32, u32, u32, u32)) -> Vec<u8> {
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in top..top + height {
        let from = (y as usize * image.width as usize + left as usize) * 3;
        rgb.extend_from_slice(&image.rgb[from..from + width as usize * 3]);
    }
    let mut bytes = Cursor::new(Vec::new());
    WebPEncoder::new_lossless(&mut bytes)
        .write_image(&rgb, width, height, ExtendedColorType::Rgb8)
        .expect("writing to memory cannot fail, and WebP takes sides up to 16383");
    bytes.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_where_the_codec_under_test_is_worse_than_the_others() {
        let original = Image { width: 600, height: 400, rgb: vec![100; 600 * 400 * 3] };
        let spoiled = |left: u32, top: u32| {
            let mut image = original.clone();
            for y in top..top + 20 {
                let from = ((y * 600 + left) * 3) as usize;
                image.rgb[from..from + 60].fill(200);
            }
            image
        };
        let (ours, theirs) = (spoiled(500, 300), spoiled(20, 20));
        let (left, top, width, height) = worst_region(&original, &[&ours, &theirs]);
        assert_eq!((width, height), SIZE);
        assert!(left + width >= 520 && left <= 500 && top <= 300 && top + height >= 320, "{left} {top}");
        let cropped = image::load_from_memory(&cut(&ours, (500, 300, 20, 20))).unwrap().into_rgb8();
        assert!(cropped.into_raw().iter().all(|&sample| sample == 200));
    }
}
