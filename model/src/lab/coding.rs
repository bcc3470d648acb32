//! The bottleneck as a code: quantised, and entropy-coded with the codec's own coder.
//!
//! A uniform quantiser, and for each number of the bottleneck a static table of how often each of its values came up on
//! the training pictures: what the codec does with z. The counts are integers and are kept with the model, so
//! that what decodes on one machine decodes on every other.

use super::LabError;
use super::run::Trained;
use crate::entropy::{Decoder, Encoder, Table};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Units in the root mean square deviation of the numbers in the bottleneck.
const UNITS: f32 = 32.0;
/// Values are counted up to this many units from 0; what lies beyond is escaped.
const FARTHEST: i32 = 1500;
/// Coarsest quantiser, in units.
const COARSEST: u16 = 1024;

/// How often each value of each number came up in training, in steps of one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Codebook {
    /// The finest step.
    unit: f32,
    counts: Vec<Histogram>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Histogram {
    /// The value that the first count is of, in units.
    first: i32,
    counts: Vec<u32>,
}

impl Codebook {
    /// Counts `latents` (N, K).
    pub(crate) fn new(latents: &[f32], k: usize) -> Codebook {
        let n = (latents.len() / k) as f64;
        let mut variance = 0.0;
        for i in 0..k {
            let column = || latents[i..].iter().step_by(k).map(|&v| f64::from(v));
            let mean = column().sum::<f64>() / n;
            variance += column().map(|v| (v - mean).powi(2)).sum::<f64>() / n / k as f64;
        }
        // A bottleneck that says nothing still needs a step.
        let unit = (variance.sqrt() as f32 / UNITS).max(1e-6);
        let histogram = |i: usize| {
            let values = || latents[i..].iter().step_by(k).map(|&v| rounded(v / unit, FARTHEST));
            let (first, last) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
            let mut counts = vec![0; (last - first) as usize + 1];
            values().for_each(|value| counts[(value - first) as usize] += 1);
            Histogram { first, counts }
        };
        Codebook { unit, counts: (0..k).map(histogram).collect() }
    }

    /// Whether the tables of every step can be made, for `k` numbers; the error says why not.
    pub(super) fn check(&self, k: usize) -> Result<(), String> {
        if self.counts.len() != k {
            return Err(format!("it is of {} numbers, and the model has {k}", self.counts.len()));
        }
        if !(self.unit > 0.0 && self.unit.is_finite()) {
            return Err(format!("its unit is {}", self.unit));
        }
        let range = -FARTHEST..=FARTHEST;
        let sound = |h: &Histogram| {
            let last = h.first.saturating_add(h.counts.len().min(1 << 16) as i32) - 1;
            !h.counts.is_empty() && range.contains(&h.first) && range.contains(&last)
        };
        if !self.counts.iter().all(sound) {
            return Err(format!("its counts reach beyond ±{FARTHEST} units"));
        }
        Ok(())
    }

    /// Numbers in the bottleneck.
    fn k(&self) -> usize {
        self.counts.len()
    }

    /// One table for each number, for a quantiser of `step` units.
    fn tables(&self, step: u16) -> Vec<Table> {
        let coarse = |value: i32| (value + i32::from(step) / 2).div_euclid(i32::from(step));
        let table = |histogram: &Histogram| {
            let first = coarse(histogram.first);
            let last = coarse(histogram.first + histogram.counts.len() as i32 - 1);
            let mut counts = vec![0u64; (last - first) as usize + 1];
            for (value, &count) in (histogram.first..).zip(&histogram.counts) {
                counts[(coarse(value) - first) as usize] += u64::from(count);
            }
            Table::new(first as i16, &normalised(&counts), true).expect("counts that fill a table")
        };
        self.counts.iter().map(table).collect()
    }

    /// `latents` (N, K) as multiples of `step` units.
    pub(crate) fn quantise(&self, latents: &[f32], step: u16) -> Vec<i16> {
        let width = self.unit * f32::from(step);
        // Escapes reach that far beyond a table's ends.
        latents.iter().map(|&value| rounded(value / width, 16_000) as i16).collect()
    }

    /// The values in the middle of their cells.
    pub(crate) fn dequantise(&self, codes: &[i16], step: u16) -> Vec<f32> {
        codes.iter().map(|&code| f32::from(code) * self.unit * f32::from(step)).collect()
    }

    /// Entropy-codes what [`Codebook::quantise`] gave.
    pub(crate) fn code(&self, codes: &[i16], step: u16) -> Vec<u8> {
        let tables = self.tables(step);
        let mut coder = Encoder::default();
        codes.iter().enumerate().for_each(|(i, &code)| coder.put(code, &tables[i % tables.len()]));
        coder.finish()
    }

    /// The inverse, for `count` pictures; the error says what is wrong with the bytes.
    fn decode(&self, bytes: &[u8], count: usize, step: u16) -> Result<Vec<i16>, &'static str> {
        let tables = self.tables(step);
        let mut coder = Decoder::new(bytes);
        let codes = (0..count * self.k()).map(|i| coder.get(&tables[i % tables.len()]));
        let codes = codes.collect::<Result<_, _>>()?;
        coder.finish()?;
        Ok(codes)
    }
}

fn rounded(value: f32, farthest: i32) -> i32 {
    // A cast from float saturates, and maps NaN to 0.
    (value.round() as i32).clamp(-farthest, farthest)
}

/// Counts that sum to 2^16, none of them 0, and the escape's of 1 behind them.
fn normalised(counts: &[u64]) -> Vec<u16> {
    let total: u64 = counts.iter().sum::<u64>().max(1);
    let spare = (1 << 16) - counts.len() as u64 - 1;
    let mut shares: Vec<u64> = counts.iter().map(|count| 1 + count * spare / total).collect();
    let rest = (1 << 16) - 1 - shares.iter().sum::<u64>();
    let largest = (0..shares.len()).max_by_key(|&i| shares[i]).expect("a histogram is not empty");
    shares[largest] += rest;
    shares.into_iter().map(|share| share as u16).chain([1]).collect()
}

const MAGIC: [u8; 4] = *b"BNL1";
const HEADER: usize = 18;
/// Most pictures of a file.
const MOST: u32 = 1 << 20;

/// Pictures `pixels` (N, height, width) as one file: magic `BNL1`, 8 bytes of the model's name, the quantiser's step
/// in units (u16), the number of pictures (u32, both little-endian), and one entropy-coded run of all codes.
///
/// # Errors
/// A step that is not 1 to 1024, no pictures or more than 2^20, pixels that are no whole pictures.
pub fn encode(trained: &Trained, pixels: &[u8], step: u16) -> Result<Vec<u8>, LabError> {
    let count = pixels.len() / trained.size();
    if !(1..=COARSEST).contains(&step) {
        return Err(LabError::Settings(format!("--step is {step}; it must be 1 to {COARSEST}")));
    }
    if count == 0 || count > MOST as usize || !pixels.len().is_multiple_of(trained.size()) {
        return Err(LabError::Settings(format!(
            "{} bytes are no 1 to {MOST} pictures of {} pixels",
            pixels.len(),
            trained.size()
        )));
    }
    let codes = trained.codebook.quantise(&trained.encode(pixels)?, step);
    let mut file = MAGIC.to_vec();
    file.extend(name(trained));
    file.extend(step.to_le_bytes());
    file.extend((count as u32).to_le_bytes());
    file.extend(trained.codebook.code(&codes, step));
    Ok(file)
}

/// The pictures of a file that [`encode`] made: (N, height, width).
///
/// # Errors
/// A damaged file, or one of another model.
pub fn decode(trained: &Trained, file: &[u8]) -> Result<Vec<u8>, LabError> {
    let bad = |what: String| Err(LabError::Code(what));
    let Some((header, data)) = file.split_at_checked(HEADER) else {
        return bad(format!("it has {} bytes, fewer than its header", file.len()));
    };
    if header[..4] != MAGIC {
        return bad("it does not begin with BNL1".into());
    }
    if header[4..12] != name(trained) {
        return bad(format!("it was made by another model than {}", trained.folder.display()));
    }
    let step = u16::from_le_bytes([header[12], header[13]]);
    let count = u32::from_le_bytes([header[14], header[15], header[16], header[17]]);
    if !(1..=COARSEST).contains(&step) || !(1..=MOST).contains(&count) {
        return bad(format!("its header says {count} pictures in steps of {step}"));
    }
    match trained.codebook.decode(data, count as usize, step) {
        Ok(codes) => trained.decode(&trained.codebook.dequantise(&codes, step)),
        Err(what) => bad(what.into()),
    }
}

/// What a file calls its model: the beginning of a hash over codebook and weights.
fn name(trained: &Trained) -> [u8; 8] {
    trained.hash[..8].try_into().expect("a hash has 32 bytes")
}

/// Hash of a run's files.
pub(super) fn hash(weights: &[u8], codebook: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(Sha256::digest(weights)).chain_update(codebook).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn latents(seed: u64, n: usize) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        // Three numbers of very different spread; the last one never moves.
        (0..n).flat_map(|_| [rng.random_range(-8.0..8.0), rng.random_range(-0.1..0.1), 0.5]).collect()
    }

    #[test]
    fn codes_come_back_at_every_step_and_cost_what_they_inform() {
        let book = Codebook::new(&latents(1, 2000), 3);
        let seen = latents(2, 500);
        for step in [1, 3, 16, 100, COARSEST] {
            let codes = book.quantise(&seen, step);
            let bytes = book.code(&codes, step);
            assert_eq!(book.decode(&bytes, 500, step).unwrap(), codes);
            let width = book.unit * f32::from(step);
            let back = book.dequantise(&codes, step);
            assert!(back.iter().zip(&seen).all(|(a, b)| (a - b).abs() <= 0.5001 * width), "{step}");
            // Uniform over 16, in cells of `width`: log2(16 / width) bits a value, and hardly more for the rest.
            let bits = bytes.len() as f32 * 8.0 / 500.0;
            let least = (16.0 / width).log2().max(0.0);
            let narrow = (0.2 / width).log2().max(0.0);
            assert!(bits < least + narrow + 1.5 && bits > 0.9 * least - 0.2, "{step}: {bits} for {least}");
        }
    }

    #[test]
    fn values_that_training_never_saw_are_escaped() {
        let book = Codebook::new(&latents(1, 100), 3);
        let far = [1e9, -1e9, f32::NAN, 40.0, -3.0, 0.0];
        for step in [1, 50] {
            let codes = book.quantise(&far, step);
            assert_eq!(book.decode(&book.code(&codes, step), 2, step).unwrap(), codes);
        }
    }

    #[test]
    fn bytes_that_were_cut_or_changed_never_panic() {
        let book = Codebook::new(&latents(1, 300), 3);
        let codes = book.quantise(&latents(3, 50), 4);
        let bytes = book.code(&codes, 4);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x55;
            assert_ne!(book.decode(&changed, 50, 4).ok(), Some(codes.clone()));
            let _ = book.decode(&bytes[..at], 50, 4);
        }
        assert!(book.decode(&[&bytes[..], &[7; 40]].concat(), 50, 4).is_err());
    }
}
