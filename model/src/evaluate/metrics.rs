//! What is measured on a decoded picture.

use butteraugli::{ButteraugliParams, ButteraugliReference};
use fast_ssim2::{PixelDescriptor, PixelSlice, Ssimulacra2Reference};
use serde::Serialize;

use super::ms_ssim::ms_ssim;
use crate::{Image, psnr};

/// Why a picture could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// The decoded picture has another size.
    #[error("the decoded picture has {found} pixels where the original has {expected}", expected = size(.expected), found = size(.found))]
    Size {
        /// Width and height of the original.
        expected: (u32, u32),
        /// Width and height of the decoded picture.
        found: (u32, u32),
    },
    /// SSIMULACRA2 refused the picture.
    #[error("SSIMULACRA2: {0}")]
    Ssimulacra2(String),
    /// Butteraugli refused the picture.
    #[error("Butteraugli: {0}")]
    Butteraugli(String),
}

/// A figure of merit of a decoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// PSNR over R, G and B, in dB.
    Psnr,
    /// MS-SSIM over R, G and B, 0 to 1.
    MsSsim,
    /// SSIMULACRA2, up to 100.
    Ssimulacra2,
    /// Butteraugli distance, 3-norm, 0 where nothing differs: the less the better.
    Butteraugli,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 4] = [Metric::Psnr, Metric::MsSsim, Metric::Ssimulacra2, Metric::Butteraugli];

    /// Name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Psnr => "psnr",
            Metric::MsSsim => "ms-ssim",
            Metric::Ssimulacra2 => "ssimulacra2",
            Metric::Butteraugli => "butteraugli",
        }
    }

    /// Name in texts, with its unit.
    pub fn label(self) -> &'static str {
        match self {
            Metric::Psnr => "PSNR-RGB (dB)",
            Metric::MsSsim => "MS-SSIM (dB)",
            Metric::Ssimulacra2 => "SSIMULACRA2",
            Metric::Butteraugli => "−Butteraugli (3-norm)",
        }
    }

    /// Its value for a picture, where it is known.
    pub fn of(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Metric::Psnr => Some(metrics.psnr),
            Metric::MsSsim => metrics.ms_ssim,
            Metric::Ssimulacra2 => Some(metrics.ssimulacra2),
            Metric::Butteraugli => metrics.butteraugli,
        }
    }

    /// The value as a number that grows with fidelity, and that a curve can be drawn over: MS-SSIM as
    /// −10·log₁₀(1 − x), since most of it happens above 0.9; Butteraugli negated.
    pub fn fidelity(self, value: f64) -> f64 {
        match self {
            Metric::Psnr | Metric::Ssimulacra2 => value,
            Metric::MsSsim => -10.0 * (1.0 - value).log10(),
            Metric::Butteraugli => -value,
        }
    }
}

fn size((width, height): &(u32, u32)) -> String {
    format!("{width}×{height}")
}

/// How visible the borders of a block grid are: see [`blockiness`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Blockiness {
    /// Mean step across borders at multiples of 8 pixels over the mean step elsewhere. 1 is invisible.
    pub at_8: f64,
    /// The same across borders at multiples of 16 pixels.
    pub at_16: f64,
}

/// Figures of one decoded picture.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metrics {
    /// PSNR in dB over R, G and B together; infinite where nothing differs.
    pub psnr: f64,
    /// MS-SSIM over R, G and B, 0 to 1; `None` for pictures too small for its five scales.
    pub ms_ssim: Option<f64>,
    /// SSIMULACRA2: 100 is identical, 90 hardly distinguishable, 50 medium quality.
    pub ssimulacra2: f64,
    /// Butteraugli distance, 3-norm at 80 cd/m²; `None` unless [`Reference::for_metrics`] asked for it.
    pub butteraugli: Option<f64>,
    /// Visibility of block borders; `None` where a picture is flat or tiny.
    pub blockiness: Option<Blockiness>,
}

/// An original, with what the metrics can work out of it once.
pub struct Reference<'a> {
    image: &'a Image,
    ssimulacra2: Ssimulacra2Reference,
    butteraugli: Option<ButteraugliReference>,
    /// Block borders that the original already has.
    pub blockiness: Option<Blockiness>,
}

impl<'a> Reference<'a> {
    /// Prepares an original.
    pub fn new(image: &'a Image) -> Result<Reference<'a>, MetricError> {
        let ssimulacra2 = Ssimulacra2Reference::new(&srgb(image)?).map_err(ssimulacra2_error)?;
        Ok(Reference { image, ssimulacra2, butteraugli: None, blockiness: blockiness(image) })
    }

    /// Prepares an original for these metrics. Butteraugli, which takes several times longer than the others together,
    /// is measured only where it is one of them.
    ///
    /// # Errors
    /// Pictures with a side below 8 pixels.
    pub fn for_metrics(image: &'a Image, metrics: &[Metric]) -> Result<Reference<'a>, MetricError> {
        let reference = Reference::new(image)?;
        if metrics.contains(&Metric::Butteraugli) { reference.with_butteraugli() } else { Ok(reference) }
    }

    fn with_butteraugli(mut self) -> Result<Reference<'a>, MetricError> {
        let Image { width, height, rgb } = self.image;
        let (size, how) = ((*width as usize, *height as usize), ButteraugliParams::default());
        self.butteraugli =
            Some(ButteraugliReference::new(rgb, size.0, size.1, how).map_err(butteraugli_error)?);
        Ok(self)
    }

    /// Measures a decoded picture against the original.
    pub fn measure(&self, decoded: &Image) -> Result<Metrics, MetricError> {
        let (expected, found) = ((self.image.width, self.image.height), (decoded.width, decoded.height));
        if expected != found {
            return Err(MetricError::Size { expected, found });
        }
        Ok(Metrics {
            psnr: psnr(self.image, decoded),
            ms_ssim: ms_ssim(self.image, decoded),
            ssimulacra2: self.ssimulacra2.compare(&srgb(decoded)?).map_err(ssimulacra2_error)?,
            butteraugli: match &self.butteraugli {
                Some(reference) => Some(reference.compare(&decoded.rgb).map_err(butteraugli_error)?.pnorm_3),
                None => None,
            },
            blockiness: blockiness(decoded),
        })
    }
}

fn srgb(image: &Image) -> Result<PixelSlice<'_>, MetricError> {
    let stride = image.width as usize * 3;
    PixelSlice::new(&image.rgb, image.width, image.height, stride, PixelDescriptor::RGB8_SRGB)
        .map(PixelSlice::erase)
        .map_err(ssimulacra2_error)
}

fn butteraugli_error(error: impl std::fmt::Display) -> MetricError {
    MetricError::Butteraugli(error.to_string())
}

fn ssimulacra2_error(error: impl std::fmt::Display) -> MetricError {
    MetricError::Ssimulacra2(error.to_string())
}

/// Mean absolute luma step (BT.601) across the columns and rows at multiples of 8, and of 16, over the mean
/// step between all other neighbours. `None` where the others do not differ at all, or where there is no
/// border at 16.
pub fn blockiness(image: &Image) -> Option<Blockiness> {
    let (width, height) = (image.width as usize, image.height as usize);
    let luma: Vec<f32> = image
        .rgb
        .chunks_exact(3)
        .map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]))
        .collect();
    // Sums and counts of steps: at multiples of 16, at other multiples of 8, elsewhere.
    let mut steps = [(0.0f64, 0u64); 3];
    let mut add = |position: usize, sum: f64, count: usize| {
        let class =
            if position.is_multiple_of(16) { 0 } else { 1 + usize::from(!position.is_multiple_of(8)) };
        steps[class].0 += sum;
        steps[class].1 += count as u64;
    };
    for row in luma.chunks_exact(width) {
        for (x, pair) in row.windows(2).enumerate() {
            add(x + 1, f64::from((pair[1] - pair[0]).abs()), 1);
        }
    }
    for y in 1..height {
        let (above, below) = (&luma[(y - 1) * width..y * width], &luma[y * width..(y + 1) * width]);
        let sum = above.iter().zip(below).map(|(a, b)| f64::from((b - a).abs())).sum();
        add(y, sum, width);
    }
    let [at_16, at_8_only, elsewhere] = steps;
    let at_8 = (at_16.0 + at_8_only.0, at_16.1 + at_8_only.1);
    if at_16.1 == 0 || elsewhere.0 == 0.0 {
        return None;
    }
    let mean = |(sum, count): (f64, u64)| sum / count as f64;
    Some(Blockiness { at_8: mean(at_8) / mean(elsewhere), at_16: mean(at_16) / mean(elsewhere) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Image {
        let rgb = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| [value(x, y); 3])
            .collect();
        Image { width, height, rgb }
    }

    #[test]
    fn blockiness_of_a_ramp_is_one_and_of_blocks_is_the_ratio_of_steps() {
        let ramp = blockiness(&picture(64, 64, |x, y| (x + y) as u8)).unwrap();
        assert!((ramp.at_8 - 1.0).abs() < 1e-5 && (ramp.at_16 - 1.0).abs() < 1e-5, "{ramp:?}");
        // Steps of 1 everywhere, of 3 at multiples of 16.
        let blocks = picture(64, 64, |x, y| (x + y + 2 * (x / 16) + 2 * (y / 16)) as u8);
        let blocks = blockiness(&blocks).unwrap();
        assert!((blocks.at_16 - 3.0).abs() < 1e-5, "{blocks:?}");
        // Each direction of 64 has borders at 8, 16, …, 56: three of them with step 3, four with step 1.
        assert!((blocks.at_8 - 13.0 / 7.0).abs() < 1e-5, "{blocks:?}");
    }

    #[test]
    fn blockiness_of_flat_or_tiny_pictures_is_undefined() {
        assert_eq!(blockiness(&picture(64, 64, |_, _| 7)), None);
        assert_eq!(blockiness(&picture(16, 16, |x, _| x as u8)), None);
    }

    #[test]
    fn an_identical_picture_has_perfect_figures_and_another_size_is_refused() {
        let original = picture(192, 176, |x, y| (x * y % 251) as u8);
        let reference = Reference::new(&original).unwrap().with_butteraugli().unwrap();
        let metrics = reference.measure(&original).unwrap();
        assert_eq!(metrics.psnr, f64::INFINITY);
        assert!((metrics.ms_ssim.unwrap() - 1.0).abs() < 1e-6);
        assert!((metrics.ssimulacra2 - 100.0).abs() < 1e-6);
        assert_eq!(metrics.butteraugli, Some(0.0));
        let error = reference.measure(&picture(176, 192, |_, _| 0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the decoded picture has 176×192 pixels where the original has 192×176"
        );
    }
}
