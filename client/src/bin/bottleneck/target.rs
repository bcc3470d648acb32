//! Finds the quality whose code comes closest to a size, from below.

use bottleneck_model::Quality;

/// What a search for a size found.
#[derive(Debug, PartialEq)]
pub(crate) enum Search {
    /// The largest code found within the limit.
    Found(Vec<u8>),
    /// Even at quality 0 the code is larger.
    Unreachable {
        /// Bytes of the code at quality 0.
        smallest: usize,
    },
}

/// Looks for the largest code of at most `limit` bytes, and is content within 0.2 % of it.
///
/// Code sizes grow about exponentially with the quality, so a secant through their logarithms mostly
/// hits within a few trials; every other trial halves the range, which bounds their number by 34.
pub(crate) fn largest_within<E>(
    limit: u64,
    mut encode: impl FnMut(Quality) -> Result<Vec<u8>, E>,
) -> Result<Search, E> {
    let finest = encode(Quality(u16::MAX))?;
    if finest.len() as u64 <= limit {
        return Ok(Search::Found(finest));
    }
    let mut best = encode(Quality(0))?;
    if best.len() as u64 > limit {
        return Ok(Search::Unreachable { smallest: best.len() });
    }
    // Quality and bytes of the last code that fits, and of the first that does not.
    let mut low = (0, best.len());
    let mut high = (u16::MAX, finest.len());
    let mut halve = false;
    while high.0 - low.0 > 1 && limit - best.len() as u64 > limit / 500 {
        let share = if halve { 0.5 } else { ln_ratio(limit as usize, low.1) / ln_ratio(high.1, low.1) };
        halve = !halve;
        let step = (f64::from(high.0 - low.0) * share) as u16;
        let quality = (low.0 + step).clamp(low.0 + 1, high.0 - 1);
        let code = encode(Quality(quality))?;
        if code.len() as u64 > limit {
            high = (quality, code.len());
        } else {
            low = (quality, code.len());
            if code.len() > best.len() {
                best = code;
            }
        }
    }
    Ok(Search::Found(best))
}

fn ln_ratio(a: usize, b: usize) -> f64 {
    (a as f64 / b as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Searches among codes whose sizes `bytes` gives; returns the size found and the trials it took.
    fn search(limit: u64, bytes: impl Fn(f64) -> f64) -> (Search, u32) {
        let mut trials = 0;
        let found = largest_within::<Infallible>(limit, |quality| {
            trials += 1;
            Ok(vec![0; bytes(quality.percent()) as usize])
        });
        (found.unwrap(), trials)
    }

    fn size(search: &Search) -> usize {
        match search {
            Search::Found(code) => code.len(),
            Search::Unreachable { smallest } => panic!("unreachable below {smallest}"),
        }
    }

    #[test]
    fn a_usual_curve_takes_few_trials() {
        let curve = |q: f64| 2000.0 * (q / 22.0 + 0.2 * (q / 9.0).sin()).exp();
        for limit in [2500, 10_000, 31_415, 150_000] {
            let (found, trials) = search(limit, curve);
            let size = size(&found) as u64;
            assert!(size <= limit && limit - size <= limit / 500, "{size} for {limit}");
            assert!(trials <= 12, "{trials} trials for {limit}");
        }
    }

    #[test]
    fn steps_and_jumps_end_too() {
        let (found, trials) = search(50, |q| if q < 99.9 { 30.0 } else { 60.0 });
        assert_eq!(size(&found), 30);
        assert!(trials <= 36, "{trials} trials");
        let (found, trials) = search(1000, |q| if q < 0.1 { 40.0 } else { 1e6 });
        assert_eq!(size(&found), 40);
        assert!(trials <= 36, "{trials} trials");
    }

    #[test]
    fn a_curve_with_dips_stays_within_the_limit() {
        let (found, _) = search(5000, |q| 1000.0 + 100.0 * q + 300.0 * (q * 3.0).sin());
        assert!((4000..=5000).contains(&size(&found)));
    }

    #[test]
    fn the_ends_are_told() {
        assert_eq!(search(99, |q| 100.0 + q).0, Search::Unreachable { smallest: 100 });
        let (found, trials) = search(1 << 30, |q| 100.0 + q);
        assert_eq!((size(&found), trials), (200, 1));
        assert_eq!(size(&search(100, |q| 100.0 + q).0), 100);
    }
}
