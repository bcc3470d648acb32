//! Time to picture: transfer and decoding together, for every codec over every link.

use serde::Serialize;

use super::Setting;
use crate::compare::link::{LINKS, break_even, pictures_to_gain};
use crate::compare::results::Comparison;

/// What a visitor waits for with one codec.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Waiting {
    pub(super) codec: String,
    /// Whether the decoder is the browser's; otherwise it is the codec's own program on one core.
    pub(super) in_browser: bool,
    /// Mean bytes at the first match.
    pub(super) bytes: f64,
    /// Seconds of decoding a picture of mean size.
    pub(super) decode: f64,
    /// Seconds until the picture is seen, for each of the links.
    pub(super) seconds: Vec<f64>,
    /// The same for the first picture, with the decoder to load.
    pub(super) first_seconds: Vec<f64>,
    /// For codecs under test, against each other codec.
    pub(super) against: Vec<Against>,
}

/// One codec under test against one that is not.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Against {
    pub(super) codec: String,
    /// Pictures until the decoder's bytes are earned back.
    pub(super) pictures_to_gain: Option<u64>,
    pub(super) race: Race,
}

/// On which links who is sooner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Race {
    /// The codec under test on every link.
    Always,
    /// The other on every link.
    Never,
    /// The codec under test below this rate in Mbit/s.
    Below(f64),
    /// The codec under test above this rate: its file is larger, and its decoder quicker.
    Above(f64),
}

/// With the programs' decoders, and with the browser's where it was measured.
pub(super) fn all(results: &Comparison, setting: &Setting) -> Vec<Waiting> {
    let mut all = of(results, false, |codec| results.per_pixel(codec, |times| times.decode.one_core));
    if let Some(browser) = &setting.browser {
        let decode = |codec: &str| browser.decode.iter().find(|(name, _)| name == codec).map(|(_, s)| *s);
        all.extend(of(results, true, decode));
    }
    all
}

fn of(results: &Comparison, in_browser: bool, per_pixel: impl Fn(&str) -> Option<f64>) -> Vec<Waiting> {
    let Some(pixels) = results.mean_pixels() else { return Vec::new() };
    let known = |name: &str| Some((results.mean_bytes(name)?, per_pixel(name)? * pixels));
    let mut all = Vec::new();
    for contender in &results.contenders {
        let Some((bytes, decode)) = known(&contender.name) else { continue };
        let others = results.contenders.iter().filter(|other| contender.ours && !other.ours);
        let against = others.filter_map(|other| {
            let theirs = known(&other.name)?;
            Some(Against {
                codec: other.name.clone(),
                pictures_to_gain: pictures_to_gain(contender.download as f64, bytes, theirs.0),
                race: race((bytes, decode), theirs),
            })
        });
        all.push(Waiting {
            codec: contender.name.clone(),
            in_browser,
            bytes,
            decode,
            seconds: LINKS.iter().map(|link| link.transfer(bytes) + decode).collect(),
            first_seconds: LINKS
                .iter()
                .map(|link| {
                    let once = contender.download as f64;
                    let load = if once > 0.0 { link.transfer(once) } else { 0.0 };
                    load + link.transfer(bytes) + decode
                })
                .collect(),
            against: against.collect(),
        });
    }
    all
}

fn race(ours: (f64, f64), theirs: (f64, f64)) -> Race {
    match break_even(ours, theirs) {
        Some(rate) if ours.0 < theirs.0 => Race::Below(rate),
        Some(rate) => Race::Above(rate),
        None if ours.0 <= theirs.0 && ours.1 <= theirs.1 => Race::Always,
        None => Race::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_file_wins_on_slow_links_and_the_quicker_decoder_on_fast_ones() {
        assert!(matches!(race((10.0, 2.0), (20.0, 1.0)), Race::Below(_)));
        assert!(matches!(race((20.0, 1.0), (10.0, 2.0)), Race::Above(_)));
        assert_eq!(race((10.0, 1.0), (20.0, 2.0)), Race::Always);
        assert_eq!(race((20.0, 2.0), (10.0, 1.0)), Race::Never);
    }
}
