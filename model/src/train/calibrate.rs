//! Residual tables from what the networks really predict.
//!
//! Training prices a residual as a Gaussian of the predicted scale. What residuals of one scale level look like
//! on real pictures has heavier tails and a sharper peak; as the coder's tables are free, they follow the counts.

use super::export::{ExportError, Exported, gaussian, residual_reach};
use crate::decode::{Symbol, each_symbol};
use crate::scale::LEVELS;
use crate::{Backend, EncodeError, Encoder, Image, Limits, Quality};
use bottleneck_proto::Container;
use rayon::prelude::*;

/// Pseudo-counts that the Gaussian has in every level: rare symbols keep a sensible probability.
const PRIOR: f64 = 300.0;
/// Codes of each picture, spread over the rate scale.
const QUALITIES: usize = 3;

/// How often each residual occurred: for each level −reach..=reach, then all beyond.
pub struct Calibration {
    counts: Vec<Vec<f64>>,
}

/// Encodes `photos` with the model as exported and counts its residuals.
///
/// # Errors
/// A model that cannot be loaded, a picture that cannot be encoded.
pub fn calibrate(exported: &Exported, photos: &[&Image]) -> Result<Calibration, ExportError> {
    let encoder = Encoder::from_bytes(&exported.whole, Backend::Cpu)?;
    let parts = photos
        .par_iter()
        .enumerate()
        .map(|(index, photo)| count(&encoder, photo, index))
        .collect::<Result<Vec<_>, EncodeError>>()
        .map_err(|e| ExportError::Calibration(e.to_string()))?;
    let mut counts = empty();
    for part in parts {
        for (sum, part) in counts.iter_mut().zip(part) {
            sum.iter_mut().zip(part).for_each(|(sum, n)| *sum += n);
        }
    }
    Ok(Calibration { counts })
}

fn empty() -> Vec<Vec<f64>> {
    (0..LEVELS).map(|level| vec![0.0; 2 * residual_reach(level) as usize + 2]).collect()
}

fn count(encoder: &Encoder, photo: &Image, index: usize) -> Result<Vec<Vec<f64>>, EncodeError> {
    let mut counts = empty();
    for k in 0..QUALITIES {
        // A golden-ratio sequence covers the rate scale evenly over all pictures.
        let position = ((index * QUALITIES + k) as f64 * 0.618_034).fract();
        let bytes = encoder.encode(photo, Quality((position * 65_535.0) as u16))?;
        let unlimited = Limits { max_pixels: u64::MAX, max_bytes: u64::MAX };
        let container = Container::parse(&bytes, &unlimited).expect("the encoder's own container");
        each_symbol(&container, encoder.model(), |_, value, symbol| {
            let Symbol::Residual(level) = symbol else { return };
            let counts = &mut counts[usize::from(level)];
            let reach = (counts.len() / 2 - 1) as i16;
            if value.abs() > reach {
                *counts.last_mut().expect("has an escape") += 2.0;
            } else {
                // The distribution is symmetric: each residual counts for its negative as well.
                counts[(value + reach) as usize] += 1.0;
                counts[(reach - value) as usize] += 1.0;
            }
        })
        .expect("the encoder's own stream");
    }
    Ok(counts)
}

impl Calibration {
    /// Probabilities of one level's symbols, the escape last.
    pub(super) fn probabilities(&self, level: usize) -> Vec<f64> {
        let prior = gaussian(level);
        self.counts[level].iter().zip(prior).map(|(n, p)| n / 2.0 + PRIOR * p).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{export, initial_weights};

    #[test]
    fn counted_tables_make_the_counted_pictures_smaller() {
        let whole = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/tiny.safetensors");
        let (architecture, values) = initial_weights(whole, &candle_core::Device::Cpu).unwrap();
        let picture = crate::pixels::test_picture(256, 256);
        let plain = export(&architecture, &values, true, None).unwrap();
        let calibration = calibrate(&plain, &[&picture; 4]).unwrap();
        let counted = export(&architecture, &values, true, Some(&calibration)).unwrap();
        let size = |exported: &Exported| {
            let encoder = Encoder::from_bytes(&exported.whole, Backend::Cpu).unwrap();
            let sizes = [9_000, 30_000, 60_000].map(|q| encoder.encode(&picture, Quality(q)).unwrap().len());
            sizes.iter().sum::<usize>()
        };
        assert!(size(&counted) < size(&plain), "{} is not below {}", size(&counted), size(&plain));
    }

    /// What `--init` reads back exports to the same file: nothing drifts from session to session.
    #[test]
    fn a_model_file_survives_reading_and_writing() {
        let whole = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/tiny.safetensors");
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.safetensors");
        let again = |from: &str| {
            let (architecture, values) = initial_weights(from, &candle_core::Device::Cpu).unwrap();
            export(&architecture, &values, true, None).unwrap().whole
        };
        let once = again(whole);
        std::fs::write(&copy, &once).unwrap();
        assert!(again(copy.to_str().unwrap()) == once);
    }
}
