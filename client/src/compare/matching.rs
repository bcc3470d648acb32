//! Equal quality: the size at which a codec's file of a picture is as good as asked for.

use std::str::FromStr;

use bottleneck_model::evaluate::codec::Codec;
use bottleneck_model::evaluate::metrics::{Metric, Reference};
use bottleneck_model::evaluate::peers::{Peer, Workbench};
use bottleneck_model::evaluate::{EvaluateError, Point, measure};
use serde::{Serialize, Serializer};

/// Files that a search makes beyond those of the curve, at most, for each picture, codec and quality.
const STEPS: u32 = 4;

/// A quality at which codecs are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Match {
    /// A metric's value, the same for every picture.
    Value(Metric, f64),
    /// The SSIMULACRA2 of the picture's JPEG at this quality.
    Jpeg(f64),
}

impl Match {
    /// The metric that is matched.
    pub fn metric(self) -> Metric {
        match self {
            Match::Value(metric, _) => metric,
            Match::Jpeg(_) => Metric::Ssimulacra2,
        }
    }

    /// In words: "as good as JPEG at quality 75 (SSIMULACRA2)".
    pub fn words(self) -> String {
        match self {
            Match::Value(metric, value) => format!("{} {value}", metric.name()),
            Match::Jpeg(quality) => format!("as good as JPEG at quality {quality} (SSIMULACRA2)"),
        }
    }
}

impl std::fmt::Display for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Match::Value(metric, value) => write!(f, "{}={value}", metric.name()),
            Match::Jpeg(quality) => write!(f, "jpeg:{quality}"),
        }
    }
}

impl Serialize for Match {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Match {
    type Err = String;

    fn from_str(text: &str) -> Result<Match, String> {
        let usage = || format!("`{text}` is neither METRIC=VALUE, such as ssimulacra2=70, nor jpeg:QUALITY");
        let number = |text: &str| text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(usage);
        if let Some(quality) = text.strip_prefix("jpeg:") {
            let quality: f64 = number(quality)?;
            let known = (1.0..=100.0).contains(&quality) && quality.fract() == 0.0;
            return known.then_some(Match::Jpeg(quality)).ok_or("JPEG qualities are whole, 1 to 100".into());
        }
        let (name, value) = text.split_once('=').ok_or_else(usage)?;
        let metric = Metric::ALL.into_iter().find(|metric| metric.name() == name).ok_or_else(usage)?;
        Ok(Match::Value(metric, number(value)?))
    }
}

/// What a search for a quality found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// The codec reaches it.
    Size {
        /// Bytes at exactly this quality: between the two nearest files, interpolated in their logarithm.
        bytes: f64,
        /// Setting of the file that is nearest in quality.
        setting: f64,
        /// That file's bytes.
        file_bytes: u64,
    },
    /// Even the finest setting is not as good.
    TooCoarse,
    /// Even the smallest file is better.
    TooFine,
    /// The metric is not defined for the picture, or has no target there.
    Undefined,
}

impl Found {
    /// Bytes, where the codec reaches the quality.
    pub fn bytes(&self) -> Option<f64> {
        match self {
            Found::Size { bytes, .. } => Some(*bytes),
            _ => None,
        }
    }
}

/// The value that a picture's files are to reach; `None` where the metric is not defined for it.
///
/// # Errors
/// Failures of the JPEG encoder.
pub(super) fn target(
    wanted: Match,
    name: &str,
    bench: &Workbench<'_>,
    reference: &Reference<'_>,
) -> Result<Option<f64>, EvaluateError> {
    match wanted {
        Match::Value(_, value) => Ok(Some(value)),
        Match::Jpeg(quality) => {
            let codec = |source| EvaluateError::Codec {
                picture: name.into(),
                codec: "jpeg".into(),
                setting: quality,
                source: Box::new(source),
            };
            let jpeg = Peer::Jpeg.detect().map_err(|error| codec(error.into()))?;
            Ok(wanted.metric().of(&measure(name, bench, reference, &jpeg, quality)?.metrics))
        }
    }
}

/// Searches the setting at which `codec` reaches `value`, from the points of its curve. Points that it makes are
/// added to them.
///
/// # Errors
/// Those of the codec.
pub(super) fn search(
    codec: &dyn Codec,
    (metric, value): (Metric, f64),
    points: &mut Vec<Point>,
    mut point_at: impl FnMut(f64) -> Result<Point, EvaluateError>,
) -> Result<Found, EvaluateError> {
    let scale = codec.scale();
    let wanted = metric.fidelity(value);
    let fidelity = |point: &Point| metric.of(&point.metrics).map(|value| metric.fidelity(value));
    // Progress from the coarsest setting to the finest, whichever of them is the larger number.
    let direction = (scale.finest - scale.coarsest).signum();
    let order = |points: &mut Vec<Point>| {
        points.sort_by(|a, b| (direction * a.setting).total_cmp(&(direction * b.setting)));
    };
    let bracket = |points: &[Point]| {
        let pair = points.windows(2).position(|pair| {
            let ends = (fidelity(&pair[0]), fidelity(&pair[1]));
            matches!(ends, (Some(low), Some(high)) if low <= wanted && wanted <= high)
        });
        pair.map(|at| (points[at].clone(), points[at + 1].clone()))
    };
    order(points);
    if points.iter().any(|point| fidelity(point).is_none()) {
        return Ok(Found::Undefined);
    }
    for end in [scale.coarsest, scale.finest] {
        let known = points.iter().any(|point| point.setting == end);
        let (first, last) = (&points[0], &points[points.len() - 1]);
        let needed = if end == scale.coarsest {
            fidelity(first).is_some_and(|low| low > wanted)
        } else {
            fidelity(last).is_some_and(|high| high < wanted)
        };
        if needed && !known {
            points.push(point_at(end)?);
            order(points);
        }
    }
    for step in 0..STEPS {
        let Some((low, high)) = bracket(points) else { break };
        let (from, to) = (fidelity(&low).unwrap_or(wanted), fidelity(&high).unwrap_or(wanted));
        if (wanted - from).min(to - wanted) <= tolerance(metric) {
            break;
        }
        // A secant, and a halving after it in case the curve is bent.
        let share = if step % 2 == 0 { (wanted - from) / (to - from) } else { 0.5 };
        let secant = low.setting + (high.setting - low.setting) * share;
        let rounded = (secant / scale.step).round() * scale.step;
        let inside = |x: f64| (x - low.setting) * direction > 0.0 && (high.setting - x) * direction > 0.0;
        let Some(setting) =
            Some(rounded).filter(|&x| inside(x)).or_else(|| scale.between(low.setting, high.setting))
        else {
            break;
        };
        points.push(point_at(setting)?);
        order(points);
    }
    let Some((low, high)) = bracket(points) else {
        let better = fidelity(&points[0]).is_some_and(|low| low > wanted);
        return Ok(if better { Found::TooFine } else { Found::TooCoarse });
    };
    let (from, to) = (fidelity(&low).unwrap_or(wanted), fidelity(&high).unwrap_or(wanted));
    let share = if to.is_finite() && to > from { (wanted - from) / (to - from) } else { 0.0 };
    let (a, b) = ((low.bytes as f64).ln(), (high.bytes as f64).ln());
    let nearest = if share <= 0.5 { &low } else { &high };
    Ok(Found::Size {
        bytes: (a + (b - a) * share).exp(),
        setting: nearest.setting,
        file_bytes: nearest.bytes,
    })
}

/// How near a file is near enough, in units of [`Metric::fidelity`]: some 0.1 % of the bytes.
pub(super) fn tolerance(metric: Metric) -> f64 {
    match metric {
        Metric::Psnr | Metric::MsSsim => 0.005,
        Metric::Ssimulacra2 => 0.03,
        Metric::Butteraugli => 0.001,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities_to_match_are_read_and_shown_alike() {
        for text in ["jpeg:75", "psnr=32.5", "ms-ssim=0.98", "ssimulacra2=70", "butteraugli=1.5"] {
            assert_eq!(text.parse::<Match>().unwrap().to_string(), text);
        }
        for text in ["jpeg:0", "jpeg:7.5", "jpeg:", "psnr", "vmaf=90", "psnr=NaN", ""] {
            assert!(text.parse::<Match>().is_err(), "{text}");
        }
    }
}
