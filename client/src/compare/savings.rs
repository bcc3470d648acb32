//! What is saved at equal quality, and how sure that is.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

/// Samples of the bootstrap.
const SAMPLES: usize = 2000;

/// Bytes saved against another codec at equal quality, in percent of its bytes; negative where more are needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Savings {
    /// Codec under test.
    pub codec: String,
    /// Codec that it is compared with.
    pub against: String,
    /// Pictures on which both reach the quality.
    pub pictures: usize,
    /// Pictures on which the codec under test does not reach it.
    pub unreached: usize,
    /// Pictures on which the other does not reach it, though the codec under test does.
    pub unreached_by_other: usize,
    /// The spread over these pictures; `None` where there are none.
    pub spread: Option<Spread>,
}

/// How the saving is spread over the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Median, percent.
    pub median: f64,
    /// 10th percentile: nine pictures of ten save more.
    pub p10: f64,
    /// 90th percentile.
    pub p90: f64,
    /// Interval that holds the median of such pictures in 95 of 100 bootstrap samples.
    pub interval: (f64, f64),
    /// Of the sum of all bytes.
    pub total: f64,
}

impl Spread {
    /// From pairs of bytes, of the codec under test and of the other, one for each picture.
    pub fn of(pairs: &[(f64, f64)]) -> Option<Spread> {
        if pairs.is_empty() {
            return None;
        }
        let each: Vec<f64> = pairs.iter().map(|(ours, theirs)| 100.0 * (1.0 - ours / theirs)).collect();
        let sorted = sorted(each.clone());
        let (ours, theirs) = pairs.iter().fold((0.0, 0.0), |(a, b), pair| (a + pair.0, b + pair.1));
        Some(Spread {
            median: quantile(&sorted, 0.5),
            p10: quantile(&sorted, 0.1),
            p90: quantile(&sorted, 0.9),
            interval: bootstrap(&each),
            total: 100.0 * (1.0 - ours / theirs),
        })
    }
}

/// The 2.5th and 97.5th percentile of the medians of samples drawn with replacement (B. Efron, "Bootstrap methods:
/// another look at the jackknife", 1979). The seed is fixed, so that a report can be repeated.
fn bootstrap(values: &[f64]) -> (f64, f64) {
    let mut random = StdRng::seed_from_u64(0);
    let median = |_| {
        let sample = values.iter().map(|_| values[random.random_range(0..values.len())]).collect();
        quantile(&sorted(sample), 0.5)
    };
    let medians = sorted((0..SAMPLES).map(median).collect());
    (quantile(&medians, 0.025), quantile(&medians, 0.975))
}

pub(super) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// Quantile of ordered values, between them linearly (type 7 of R. J. Hyndman and Y. Fan, 1996).
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_known_savings_is_known() {
        // Savings of 0, 10, …, 100 percent of 200 bytes.
        let pairs: Vec<(f64, f64)> = (0..=10).map(|k| (200.0 - 20.0 * f64::from(k), 200.0)).collect();
        let spread = Spread::of(&pairs).unwrap();
        let rounded = [spread.median, spread.p10, spread.p90, spread.total].map(f64::round);
        assert_eq!(rounded, [50.0, 10.0, 90.0, 50.0]);
        assert!(spread.interval.0 < 40.0 && spread.interval.0 > 0.0, "{spread:?}");
        assert!(spread.interval.1 > 60.0 && spread.interval.1 < 100.0, "{spread:?}");
        assert_eq!(Spread::of(&pairs), Spread::of(&pairs));
    }

    #[test]
    fn one_picture_has_no_spread_and_none_has_no_figure() {
        let spread = Spread::of(&[(150.0, 100.0)]).unwrap();
        assert_eq!((spread.p10, spread.median, spread.p90), (-50.0, -50.0, -50.0));
        assert_eq!(spread.interval, (-50.0, -50.0));
        assert_eq!(Spread::of(&[]), None);
    }
}
