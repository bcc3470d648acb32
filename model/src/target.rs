//! Finds the quality whose code comes closest to a size, from below, or to a fidelity, from above.

use crate::Quality;

/// What a search for a size found.
#[derive(Debug, PartialEq)]
pub enum Search {
    /// The largest code found within the limit.
    Found(Vec<u8>),
    /// Even at quality 0 the code is larger.
    Unreachable {
        /// Bytes of the code at quality 0.
        smallest: usize,
    },
}

/// A search for the largest code of at most `limit` bytes, content within 0.2 % of it. It says what quality to
/// try, and is told the code, until it has nothing to try any more.
///
/// Code sizes grow about exponentially with the quality, so a secant through their logarithms mostly
/// hits within a few trials; every other trial halves the range, which bounds their number by 34.
#[derive(Debug)]
pub struct TargetSearch {
    limit: u64,
    /// The largest code so far that fits.
    best: Option<Vec<u8>>,
    /// Quality and bytes of the last code that fits.
    low: Option<(u16, usize)>,
    /// Quality and bytes of the first code that does not.
    high: Option<(u16, usize)>,
    halve: bool,
    next: Option<Quality>,
}

impl TargetSearch {
    /// A search that has tried nothing yet.
    pub fn new(limit: u64) -> TargetSearch {
        TargetSearch { limit, best: None, low: None, high: None, halve: false, next: Some(Quality(u16::MAX)) }
    }

    /// The quality to try next; none where the search has ended.
    pub fn next(&self) -> Option<Quality> {
        self.next
    }

    /// Takes the code at the quality that was to be tried.
    pub fn tell(&mut self, code: Vec<u8>) {
        let Some(Quality(quality)) = self.next else { return };
        let found = (quality, code.len());
        if code.len() as u64 > self.limit {
            self.high = Some(found);
        } else {
            self.low = Some(found);
            if self.best.as_ref().is_none_or(|best| code.len() > best.len()) {
                self.best = Some(code);
            }
        }
        self.next = self.choose();
    }

    fn choose(&mut self) -> Option<Quality> {
        let (low, high) = match (self.low, self.high) {
            // Even the smallest is too large.
            (None, Some((0, _))) => return None,
            (None, _) => return Some(Quality(0)),
            // Even the finest fits.
            (_, None) => return None,
            (Some(low), Some(high)) => (low, high),
        };
        let best = self.best.as_ref().map_or(0, Vec::len) as u64;
        if high.0 - low.0 <= 1 || self.limit - best <= self.limit / 500 {
            return None;
        }
        let share =
            if self.halve { 0.5 } else { ln_ratio(self.limit as usize, low.1) / ln_ratio(high.1, low.1) };
        self.halve = !self.halve;
        let step = (f64::from(high.0 - low.0) * share) as u16;
        Some(Quality((low.0 + step).clamp(low.0 + 1, high.0 - 1)))
    }

    /// What was found so far: all there is, once nothing is left to try.
    pub fn finish(self) -> Search {
        match self.best {
            Some(best) => Search::Found(best),
            None => Search::Unreachable { smallest: self.high.map_or(0, |(_, bytes)| bytes) },
        }
    }
}

/// Runs a [`TargetSearch`] with codes from `encode`.
///
/// # Errors
/// Those of `encode`.
pub fn largest_within<E>(
    limit: u64,
    mut encode: impl FnMut(Quality) -> Result<Vec<u8>, E>,
) -> Result<Search, E> {
    let mut search = TargetSearch::new(limit);
    while let Some(quality) = search.next() {
        search.tell(encode(quality)?);
    }
    Ok(search.finish())
}

/// What a search for a fidelity found.
#[derive(Debug, PartialEq)]
pub enum Reach {
    /// The smallest code found that is good enough.
    Found(Vec<u8>),
    /// Even quality 100 is not.
    Unreachable {
        /// Its fidelity.
        finest: f64,
    },
}

/// The code of the lowest quality whose fidelity is at least `wanted`, or above it by at most `tolerance`. `encode`
/// gives a code and its fidelity, which grows with the quality but for small dips.
///
/// # Errors
/// Those of `encode`.
pub fn smallest_reaching<E>(
    wanted: f64,
    tolerance: f64,
    mut encode: impl FnMut(Quality) -> Result<(Vec<u8>, f64), E>,
) -> Result<Reach, E> {
    let (mut code, finest) = encode(Quality(u16::MAX))?;
    if finest < wanted {
        return Ok(Reach::Unreachable { finest });
    }
    let (smallest, coarsest) = encode(Quality(0))?;
    if coarsest >= wanted {
        return Ok(Reach::Found(smallest));
    }
    let (mut low, mut high) = ((0u16, coarsest), (u16::MAX, finest));
    let mut halve = false;
    while high.0 - low.0 > 1 && high.1 - wanted > tolerance {
        // A little above the secant, so that what it meets is good enough.
        let secant = (wanted + tolerance / 2.0 - low.1) / (high.1 - low.1);
        let share = if halve { 0.5 } else { secant };
        halve = !halve;
        let step = (f64::from(high.0 - low.0) * share) as u16;
        let tried = (low.0 + step).clamp(low.0 + 1, high.0 - 1);
        let (found, fidelity) = encode(Quality(tried))?;
        if fidelity >= wanted {
            (high, code) = ((tried, fidelity), found);
        } else {
            low = (tried, fidelity);
        }
    }
    Ok(Reach::Found(code))
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
    fn the_smallest_code_that_is_good_enough_is_found() {
        let fidelity = |q: f64| 20.0 + 12.0 * (1.0 + q / 10.0).ln() + 0.2 * (q / 7.0).sin();
        for wanted in [21.0, 33.3, 47.0] {
            let mut trials = 0;
            let reach = smallest_reaching::<Infallible>(wanted, 0.05, |quality| {
                trials += 1;
                Ok((vec![0; quality.0 as usize], fidelity(quality.percent())))
            });
            let Ok(Reach::Found(code)) = reach else { panic!("{reach:?}") };
            let reached = fidelity(Quality(code.len() as u16).percent());
            assert!(reached >= wanted && reached <= wanted + 0.05, "{reached} for {wanted}");
            assert!(trials <= 14, "{trials} trials for {wanted}");
        }
        let at =
            |wanted| smallest_reaching::<Infallible>(wanted, 0.05, |q| Ok((vec![], fidelity(q.percent()))));
        assert!(matches!(at(60.0), Ok(Reach::Unreachable { finest }) if finest < 60.0));
        assert_eq!(at(10.0), Ok(Reach::Found(vec![])));
    }

    #[test]
    fn the_ends_are_told() {
        assert_eq!(search(99, |q| 100.0 + q).0, Search::Unreachable { smallest: 100 });
        let (found, trials) = search(1 << 30, |q| 100.0 + q);
        assert_eq!((size(&found), trials), (200, 1));
        assert_eq!(size(&search(100, |q| 100.0 + q).0), 100);
    }
}
