//! The bandwidth benchmark: what a codec saves on anyone's pictures, against what people use today.
//!
//! Every byte is a real file's, every decoded picture comes from the codec's own decoder, every metric is taken on
//! 8-bit sRGB. [`compare`] measures, [`Report`] says it: HTML, Markdown and JSON, losses first.

mod browser;
mod crops;
mod link;
mod matching;
#[cfg(target_os = "linux")]
mod network;
mod report;
mod results;
mod savings;
mod smallest;
mod timing;

use std::path::{Path, PathBuf};

use bottleneck_model::Image;
use bottleneck_model::evaluate::codec::{Codec, CodecError};
use bottleneck_model::evaluate::metrics::{Metric, MetricError, Reference};
use bottleneck_model::evaluate::peers::{PeerError, Workbench};
use bottleneck_model::evaluate::{EvaluateError, MIN_SIDE, Point, measure, picture};
use rayon::prelude::*;

pub use browser::{BrowserError, measure as measure_browser};
pub use crops::{Crop, Wall};
pub use link::{FRAMING, HEAD_BYTES, LINKS, Link, Million, Prices, break_even, pictures_to_gain};
pub use matching::{Found, Match};
#[cfg(target_os = "linux")]
pub use network::{NetworkError, measure as measure_transfers};
pub use report::{BrowserTimes, Report, Setting, Transfer};
pub use results::{BdRateOf, Comparison, Contender, PictureResult, Series, Times, Unusable};
pub use savings::{Savings, Spread};
pub use smallest::{MatchError, smallest_as_good};
pub use timing::{Cost, Programs, TimingError};

/// A codec that takes part.
pub struct Contestant {
    /// The codec.
    pub codec: Box<dyn Codec>,
    /// Its programs, to be timed; none where it has none.
    pub programs: Option<Programs>,
    /// Whether it is the one under test: it is compared with all that are not.
    pub ours: bool,
    /// Bytes that a browser which lacks the decoder loads once.
    pub download: u64,
    /// Id and decoder file of the model that a browser needs; none for what browsers decode themselves.
    pub model: Option<(String, Vec<u8>)>,
}

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Options {
    /// Metrics that curves are drawn over, and BD-rates are taken.
    pub metrics: Vec<Metric>,
    /// Qualities at which sizes are compared; the first is the one that times and crops are taken at.
    pub matches: Vec<Match>,
    /// Pictures to time the programs on.
    pub timed: usize,
    /// Pictures to show crops of.
    pub crops: usize,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// No codec under test, or none to compare it with.
    #[error("a comparison needs this codec and another: name both in --codecs, and install what is missing")]
    NoCodec,
    /// No quality to compare at.
    #[error("a comparison needs a quality to compare at: give --match")]
    NoMatch,
    /// No picture could be read.
    #[error("none of the {0} pictures can be compared; the first: {1}")]
    NoPicture(usize, String),
    /// The picture cannot be laid out for the peers.
    #[error(transparent)]
    Workbench(#[from] PeerError),
    /// A metric failed on an original.
    #[error("{picture}: {source}")]
    Metric {
        /// File name of the picture.
        picture: String,
        /// Reason.
        source: MetricError,
    },
    /// The target of the match cannot be found.
    #[error("cannot find the quality to match: {0}")]
    Target(EvaluateError),
    /// A program could not be timed.
    #[error("cannot time {codec}: {source}")]
    Timing {
        /// Name of the codec.
        codec: String,
        /// Reason.
        source: TimingError,
    },
    /// A codec failed on a picture that it had taken before.
    #[error("{picture}, {codec}: {source}")]
    Crop {
        /// File name of the picture.
        picture: String,
        /// Name of the codec.
        codec: String,
        /// Reason.
        source: Box<CodecError>,
    },
}

/// Measures all contestants on all pictures. Pictures that cannot be read, are too small, or are refused by a codec
/// are named in the results. `progress` is called with what is being done.
///
/// # Errors
/// Contestants or options that allow no comparison; no picture at all; failures of programs.
pub fn compare(
    pictures: &[PathBuf],
    contestants: &[Contestant],
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Comparison, CompareError> {
    if !contestants.iter().any(|c| c.ours) || contestants.iter().all(|c| c.ours) {
        return Err(CompareError::NoCodec);
    }
    if options.matches.is_empty() {
        return Err(CompareError::NoMatch);
    }
    let (mut measured, mut unusable) = (Vec::new(), Vec::new());
    for (index, path) in pictures.iter().enumerate() {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        progress(&format!("{} of {} pictures: {name}", index + 1, pictures.len()));
        let reason = match picture::read_original(path) {
            Ok(image) if image.width.min(image.height) < MIN_SIDE => {
                format!("too small: {}×{}, and a side below {MIN_SIDE} pixels", image.width, image.height)
            }
            Ok(image) => {
                measured.push(measure_picture(path, name, &image, contestants, options)?);
                continue;
            }
            Err(error) => error.to_string(),
        };
        unusable.push(Unusable { picture: name, reason });
    }
    if measured.is_empty() {
        let first = unusable.first().map_or("there are none".into(), |unusable| unusable.reason.clone());
        return Err(CompareError::NoPicture(pictures.len(), first));
    }
    let mut results = Comparison::new(contestants, options, measured, unusable);
    results.times = time(&results, contestants, options.timed, progress)?;
    results.walls = crops::walls(&results, contestants, options.crops, progress)?;
    Ok(results)
}

fn measure_picture(
    path: &Path,
    name: String,
    image: &Image,
    contestants: &[Contestant],
    options: &Options,
) -> Result<PictureResult, CompareError> {
    let bench = Workbench::new(image)?;
    let wanted = options.matches.iter().map(|wanted| wanted.metric());
    let metrics: Vec<Metric> = options.metrics.iter().copied().chain(wanted).collect();
    let reference = Reference::for_metrics(image, &metrics)
        .map_err(|source| CompareError::Metric { picture: name.clone(), source })?;
    let targets: Vec<Option<f64>> = options
        .matches
        .iter()
        .map(|&wanted| matching::target(wanted, &name, &bench, &reference))
        .collect::<Result<_, _>>()
        .map_err(CompareError::Target)?;
    let of_codec = |contestant: &Contestant| {
        let codec = &*contestant.codec;
        let point_at = |setting| measure(&name, &bench, &reference, codec, setting);
        let all = || -> Result<(Vec<Point>, Vec<Found>), EvaluateError> {
            let settings = codec.settings();
            let points: Vec<Point> = settings.par_iter().map(|&s| point_at(s)).collect::<Result<_, _>>()?;
            let mut searched = points.clone();
            let search = |(wanted, target): (&Match, &Option<f64>)| match target {
                Some(value) => matching::search(codec, (wanted.metric(), *value), &mut searched, point_at),
                None => Ok(Found::Undefined),
            };
            let found = options.matches.iter().zip(&targets).map(search).collect::<Result<_, _>>()?;
            Ok((points, found))
        };
        match all() {
            Ok((points, found)) => Series { codec: codec.name().into(), points, found, failure: None },
            Err(error) => Series {
                codec: codec.name().into(),
                points: Vec::new(),
                found: vec![Found::Undefined; options.matches.len()],
                failure: Some(error.to_string()),
            },
        }
    };
    let series = contestants.par_iter().map(of_codec).collect();
    let (width, height) = (image.width, image.height);
    Ok(PictureResult { path: path.into(), name, width, height, graphic: is_graphic(image), targets, series })
}

/// Whether a picture looks like text or graphics: two neighbours of five are exactly equal, which noise prevents
/// in photographs.
fn is_graphic(image: &Image) -> bool {
    let row = image.width as usize * 3;
    let mut equal = 0u64;
    for row in image.rgb.chunks_exact(row) {
        equal += row.chunks_exact(3).zip(row.chunks_exact(3).skip(1)).filter(|(a, b)| a == b).count() as u64;
    }
    equal * 5 > u64::from(image.height) * u64::from(image.width - 1) * 2
}

/// Up to `count` pictures on which all codecs reach the first match, spread over the whole.
fn spread(results: &Comparison, count: usize) -> Vec<&PictureResult> {
    let reached =
        |picture: &&PictureResult| picture.series.iter().all(|series| series.found[0].bytes().is_some());
    let fit: Vec<&PictureResult> = results.pictures.iter().filter(reached).collect();
    let count = count.min(fit.len());
    (0..count).map(|at| fit[at * fit.len() / count]).collect()
}

/// Times the programs on pictures spread over the whole, at the first match, where all codecs reach it.
fn time(
    results: &Comparison,
    contestants: &[Contestant],
    count: usize,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Times>, CompareError> {
    let chosen = spread(results, count);
    let mut times = Vec::new();
    for (at, picture) in chosen.iter().enumerate() {
        progress(&format!("timing {} of {}: {}", at + 1, chosen.len(), picture.name));
        let Ok(image) = picture::read_original(&picture.path) else { continue };
        let bench = Workbench::new(&image)?;
        for (contestant, series) in contestants.iter().zip(&picture.series) {
            let (Some(programs), Found::Size { setting, .. }) = (&contestant.programs, &series.found[0])
            else {
                continue;
            };
            let timed = programs.time(&bench, *setting);
            let codec = series.codec.clone();
            let (encode, decode) =
                timed.map_err(|source| CompareError::Timing { codec: codec.clone(), source })?;
            times.push(Times {
                codec,
                picture: picture.name.clone(),
                pixels: picture.pixels(),
                encode,
                decode,
            });
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests;
