//! The smallest code that is as good as asked for.

use bottleneck_model::evaluate::EvaluateError;
use bottleneck_model::evaluate::metrics::{MetricError, Reference};
use bottleneck_model::evaluate::peers::{PeerError, Workbench};
use bottleneck_model::target::{Reach, smallest_reaching};
use bottleneck_model::{DecodeError, EncodeError, Image, Limits, Model, Quality, decode};

use super::matching::{Match, target, tolerance};

/// Why no code is as good as asked for.
#[derive(Debug, thiserror::Error)]
pub enum MatchError {
    /// The finest code is not.
    #[error("even at quality 100 its {metric} is {finest:.2}, and {wanted:.2} is asked for")]
    Unreachable {
        /// The metric.
        metric: &'static str,
        /// The value asked for.
        wanted: f64,
        /// The value at quality 100.
        finest: f64,
    },
    /// MS-SSIM of a picture that is too small for it.
    #[error("{0} is not defined for a picture as small as this: match another metric")]
    Undefined(&'static str),
    /// The JPEG to match cannot be made.
    #[error("cannot make the JPEG to match: {0}")]
    Target(#[from] EvaluateError),
    /// The picture cannot be laid out for the JPEG encoder.
    #[error(transparent)]
    Workbench(#[from] PeerError),
    /// A metric failed.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The picture cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The code cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Searches the lowest quality at which a code is as good as `wanted`, among codes that `encode` makes for `model`.
///
/// # Errors
/// Qualities that are not reached; failures on the way.
pub fn smallest_as_good(
    image: &Image,
    wanted: Match,
    model: &Model,
    mut encode: impl FnMut(Quality) -> Result<Vec<u8>, EncodeError>,
) -> Result<Vec<u8>, MatchError> {
    let metric = wanted.metric();
    let reference = Reference::for_metrics(image, &[metric])?;
    let undefined = || MatchError::Undefined(metric.name());
    let bench = Workbench::new(image)?;
    let value = target(wanted, "the picture", &bench, &reference)?.ok_or_else(undefined)?;
    let mut last = None;
    let reach = smallest_reaching(metric.fidelity(value), tolerance(metric), |quality| {
        let code = encode(quality)?;
        let decoded = decode(&code, model, &Limits::default())?;
        let found = metric.of(&reference.measure(&decoded)?).ok_or_else(undefined)?;
        last.get_or_insert(found);
        Ok::<_, MatchError>((code, metric.fidelity(found)))
    })?;
    match reach {
        Reach::Found(code) => Ok(code),
        Reach::Unreachable { finest } => {
            let finest = last.unwrap_or(finest);
            Err(MatchError::Unreachable { metric: metric.name(), wanted: value, finest })
        }
    }
}
