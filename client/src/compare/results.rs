//! What a comparison found, and what follows from it by arithmetic.

use std::path::PathBuf;

use bottleneck_model::evaluate::bd_rate::{BdRate, PSNR_WINDOW, bd_rate};
use bottleneck_model::evaluate::metrics::Metric;
use bottleneck_model::evaluate::{CodecResult, Point};
use serde::Serialize;

use super::crops::Wall;
use super::matching::{Found, Match};
use super::savings::{Savings, Spread, quantile, sorted};
use super::timing::Cost;
use super::{Contestant, Options};

/// A codec that took part.
#[derive(Clone, Debug, Serialize)]
pub struct Contender {
    /// Its name.
    pub name: String,
    /// Version of the tools, or the model.
    pub version: String,
    /// What its settings are called.
    pub parameter: String,
    /// Whether it is under test.
    pub ours: bool,
    /// Bytes that a browser loads once, before its first picture.
    pub download: u64,
}

/// One codec on one picture.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// Name of the codec.
    pub codec: String,
    /// The curve.
    pub points: Vec<Point>,
    /// What each match found.
    pub found: Vec<Found>,
    /// Why the codec has neither; `None` where it has.
    pub failure: Option<String>,
}

/// One picture.
#[derive(Clone, Debug, Serialize)]
pub struct PictureResult {
    #[serde(skip)]
    pub(super) path: PathBuf,
    /// File name.
    pub name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Whether it looks like text or graphics.
    pub graphic: bool,
    /// Value to reach for each match; `None` where the metric is not defined for the picture.
    pub targets: Vec<Option<f64>>,
    /// One for each codec, in their order.
    pub series: Vec<Series>,
}

impl PictureResult {
    /// Pixels.
    pub fn pixels(&self) -> f64 {
        f64::from(self.width) * f64::from(self.height)
    }

    pub(super) fn bytes(&self, codec: &str, at: usize) -> Option<f64> {
        self.series.iter().find(|series| series.codec == codec)?.found[at].bytes()
    }
}

/// A picture that could not be compared.
#[derive(Clone, Debug, Serialize)]
pub struct Unusable {
    /// File name.
    pub picture: String,
    /// Why.
    pub reason: String,
}

/// Time and memory of a codec's programs on one picture.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// Name of the codec.
    pub codec: String,
    /// File name of the picture.
    pub picture: String,
    /// Its pixels.
    pub pixels: f64,
    /// Encoding.
    pub encode: Cost,
    /// Decoding.
    pub decode: Cost,
}

/// The BD-rate of one codec against another.
#[derive(Clone, Debug, Serialize)]
pub struct BdRateOf {
    /// Codec under test.
    pub codec: String,
    /// Codec that it is compared with.
    pub against: String,
    /// Metric that is held equal.
    pub metric: Metric,
    /// The figure; `None` where the curves have no quality in common.
    pub rate: Option<BdRate>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Who took part.
    pub contenders: Vec<Contender>,
    /// Metrics of the curves.
    pub metrics: Vec<Metric>,
    /// Qualities at which sizes are compared.
    pub matches: Vec<Match>,
    /// Means over the pictures that no codec failed on.
    pub curves: Vec<CodecResult>,
    /// Every pair, for every metric.
    pub bd_rates: Vec<BdRateOf>,
    /// For every match, every pair.
    pub savings: Vec<Vec<Savings>>,
    /// Time and memory.
    pub times: Vec<Times>,
    /// Every picture.
    pub pictures: Vec<PictureResult>,
    /// Pictures that could not be compared.
    pub unusable: Vec<Unusable>,
    /// Crops at equal bytes.
    pub walls: Vec<Wall>,
}

impl Comparison {
    pub(super) fn new(
        contestants: &[Contestant],
        options: &Options,
        pictures: Vec<PictureResult>,
        unusable: Vec<Unusable>,
    ) -> Comparison {
        let whole = |picture: &&PictureResult| picture.series.iter().all(|series| series.failure.is_none());
        let points: Vec<Point> = pictures
            .iter()
            .filter(whole)
            .flat_map(|picture| picture.series.iter().flat_map(|series| series.points.clone()))
            .collect();
        let curves: Vec<CodecResult> =
            contestants.iter().map(|contestant| CodecResult::new(&*contestant.codec, &points)).collect();
        let contenders = contestants.iter().map(|contestant| Contender {
            name: contestant.codec.name().into(),
            version: contestant.codec.version().into(),
            parameter: contestant.codec.scale().parameter.into(),
            ours: contestant.ours,
            download: contestant.download,
        });
        let mut results = Comparison {
            contenders: contenders.collect(),
            metrics: options.metrics.clone(),
            matches: options.matches.clone(),
            curves,
            bd_rates: Vec::new(),
            savings: Vec::new(),
            times: Vec::new(),
            pictures,
            unusable,
            walls: Vec::new(),
        };
        let pairs = results.pairs();
        let of = |metric| {
            let results = &results;
            pairs.iter().map(move |(codec, against)| BdRateOf {
                codec: codec.clone(),
                against: against.clone(),
                metric,
                rate: results.bd_rate(codec, against, metric),
            })
        };
        let bd_rates = options.metrics.iter().flat_map(|&metric| of(metric)).collect();
        let of_match = |at| pairs.iter().map(|(a, b)| results.savings_of(a, b, at, |_| true)).collect();
        let savings = (0..options.matches.len()).map(of_match).collect();
        (results.bd_rates, results.savings) = (bd_rates, savings);
        results
    }

    /// Names of each codec under test with each that is not.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let of = |ours: bool| self.contenders.iter().filter(move |c| c.ours == ours).map(|c| c.name.clone());
        of(true).flat_map(|a| of(false).map(move |b| (a.clone(), b))).collect()
    }

    fn bd_rate(&self, codec: &str, against: &str, metric: Metric) -> Option<BdRate> {
        let curve = |name: &str| self.curves.iter().find(|curve| curve.codec == name)?.curve(metric).ok();
        let window = (metric == Metric::Psnr).then_some(PSNR_WINDOW);
        bd_rate(&curve(codec)?, &curve(against)?, window)
    }

    /// The saving of one codec against another at the match with index `at`, over the pictures that `which` takes.
    pub fn savings_of(
        &self,
        codec: &str,
        against: &str,
        at: usize,
        which: impl Fn(&PictureResult) -> bool,
    ) -> Savings {
        let (mut pairs, mut unreached, mut unreached_by_other) = (Vec::new(), 0, 0);
        for picture in self.pictures.iter().filter(|picture| which(picture)) {
            match (picture.bytes(codec, at), picture.bytes(against, at)) {
                (Some(ours), Some(theirs)) => pairs.push((ours, theirs)),
                (Some(_), None) => unreached_by_other += 1,
                (None, _) => unreached += 1,
            }
        }
        Savings {
            codec: codec.into(),
            against: against.into(),
            pictures: pairs.len(),
            unreached,
            unreached_by_other,
            spread: Spread::of(&pairs),
        }
    }

    /// Pictures that a codec failed on.
    pub fn failures(&self) -> impl Iterator<Item = (&PictureResult, &Series)> {
        let all = self.pictures.iter().flat_map(|p| p.series.iter().map(move |series| (p, series)));
        all.filter(|(_, series)| series.failure.is_some())
    }

    /// Mean bytes of a codec at the first match, over the pictures on which all codecs reach it.
    pub fn mean_bytes(&self, codec: &str) -> Option<f64> {
        mean(self.reached().filter_map(|picture| picture.bytes(codec, 0)))
    }

    /// Mean pixels of these pictures.
    pub fn mean_pixels(&self) -> Option<f64> {
        mean(self.reached().map(PictureResult::pixels))
    }

    fn reached(&self) -> impl Iterator<Item = &PictureResult> {
        let all = |p: &&PictureResult| p.series.iter().all(|series| series.found[0].bytes().is_some());
        self.pictures.iter().filter(all)
    }

    /// Median over the timed pictures of a figure of one codec, per pixel.
    pub fn per_pixel(&self, codec: &str, figure: impl Fn(&Times) -> f64) -> Option<f64> {
        let own = self.times.iter().filter(|times| times.codec == codec);
        let figures: Vec<f64> = own.map(|times| figure(times) / times.pixels).collect();
        (!figures.is_empty()).then(|| quantile(&sorted(figures), 0.5))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
