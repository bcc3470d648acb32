//! Rate–distortion evaluation: this codec and installed peers on a folder of pictures, real file bytes,
//! pictures from each codec's own decoder.
//!
//! One way of averaging, always: PSNR for each picture, then the mean over pictures; bits per pixel for each
//! picture, then the mean over pictures. (Averaging the squared error first moves a BD-rate by several
//! percent; figures of the two kinds cannot be compared.)

pub mod anchors;
pub mod bd_rate;
pub mod codec;
pub mod metrics;
pub mod ms_ssim;
pub mod peers;
pub mod picture;
pub mod report;
pub mod svg;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use crate::Image;
use bd_rate::{Curve, CurveError};
use codec::{Codec, CodecError};
use metrics::{Blockiness, Metric, MetricError, Metrics, Reference};
use peers::{PeerError, Workbench};
use picture::PictureError;

/// Name of this codec in results.
pub const BOTTLENECK: &str = "bottleneck";

/// Smallest side of a picture that is evaluated, in pixels: below it headers outweigh the code, and there is
/// hardly a block border to judge.
pub const MIN_SIDE: u32 = 32;

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// Neither the codec nor a peer is to be evaluated.
    #[error("nothing to evaluate: neither this codec nor a peer that is installed")]
    NoCodec,
    /// Every picture is below [`MIN_SIDE`].
    #[error("no picture is large enough: each has a side below {MIN_SIDE} pixels")]
    TooSmall,
    /// A picture cannot be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A picture cannot be laid out for the peers.
    #[error("{picture}: {source}")]
    Workbench {
        /// File name of the picture.
        picture: String,
        /// Reason.
        source: PeerError,
    },
    /// A codec failed on a picture.
    #[error("{picture}, {codec} at {setting}: {source}")]
    Codec {
        /// File name of the picture.
        picture: String,
        /// Name of the codec.
        codec: String,
        /// Its setting.
        setting: f64,
        /// Reason.
        source: Box<CodecError>,
    },
    /// A decoded picture cannot be measured.
    #[error("{picture}, {codec} at {setting}: {source}")]
    Metric {
        /// File name of the picture.
        picture: String,
        /// Name of the codec.
        codec: String,
        /// Its setting.
        setting: f64,
        /// Reason.
        source: MetricError,
    },
}

/// One picture through one codec at one setting.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Name of the codec.
    pub codec: String,
    /// File name of the picture.
    pub picture: String,
    /// Quality, or what the codec has instead of it.
    pub setting: f64,
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// Size of the file.
    pub bytes: u64,
    /// Bits per pixel.
    pub bpp: f64,
    /// Figures of the decoded picture.
    pub metrics: Metrics,
    /// Block borders that the original has.
    pub original_blockiness: Option<Blockiness>,
}

/// A codec at one setting: means over the pictures.
#[derive(Clone, Debug, Serialize)]
pub struct MeanPoint {
    /// Quality, or what the codec has instead of it.
    pub setting: f64,
    /// Mean bits per pixel.
    pub bpp: f64,
    /// Mean PSNR-RGB in dB.
    pub psnr: f64,
    /// Mean MS-SSIM of the pictures large enough for it.
    pub ms_ssim: Option<f64>,
    /// Mean SSIMULACRA2.
    pub ssimulacra2: f64,
    /// Mean Butteraugli distance (3-norm), where it was asked for.
    pub butteraugli: Option<f64>,
    /// Mean [`Blockiness`] of the decoded pictures.
    pub blockiness: Option<Blockiness>,
}

/// All that was measured of one codec.
#[derive(Clone, Debug, Serialize)]
pub struct CodecResult {
    /// Name of the codec.
    pub codec: String,
    /// Version of the tool, or the model.
    pub version: String,
    /// What its settings are called.
    pub parameter: String,
    /// Means over the pictures for each setting, in the order asked for.
    pub means: Vec<MeanPoint>,
}

impl CodecResult {
    /// The means of a codec's points at each of its settings.
    pub fn new(codec: &dyn Codec, points: &[Point]) -> CodecResult {
        let mean = |setting| mean_point(points, codec.name(), setting);
        CodecResult {
            codec: codec.name().to_owned(),
            version: codec.version().to_owned(),
            parameter: codec.scale().parameter.to_owned(),
            means: codec.settings().into_iter().map(mean).collect(),
        }
    }

    /// Mean bits per pixel over the mean of a metric. Settings without loss have no place on it.
    ///
    /// # Errors
    /// Too few settings for which the metric is known.
    pub fn curve(&self, metric: Metric) -> Result<Curve, CurveError> {
        Curve::new(&self.points(metric))
    }

    /// What [`CodecResult::curve`] goes through: bits per pixel and the metric, which grows with fidelity.
    pub fn points(&self, metric: Metric) -> Vec<(f64, f64)> {
        let lossy = self.means.iter().filter(|mean| mean.psnr.is_finite());
        lossy.filter_map(|mean| Some((mean.bpp, metric.fidelity(mean.value(metric)?)))).collect()
    }
}

impl MeanPoint {
    /// The mean of one metric.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Psnr => Some(self.psnr),
            Metric::MsSsim => self.ms_ssim,
            Metric::Ssimulacra2 => Some(self.ssimulacra2),
            Metric::Butteraugli => self.butteraugli,
        }
    }
}

/// The outcome of [`evaluate`].
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// File names of the pictures evaluated.
    pub pictures: Vec<String>,
    /// File names of pictures left out for being smaller than [`MIN_SIDE`].
    pub too_small: Vec<String>,
    /// Mean [`Blockiness`] of the originals.
    pub original_blockiness: Option<Blockiness>,
    /// One for each codec; this codec, where asked for, first.
    pub codecs: Vec<CodecResult>,
    /// Every measurement, by picture, then codec, then setting.
    #[serde(skip)]
    pub points: Vec<Point>,
}

/// Runs every picture through the codecs. Pictures are held one at a time; what is done with one runs on all
/// threads of the rayon pool. `progress` is called before each picture with its index and name.
pub fn evaluate(
    pictures: &[PathBuf],
    codecs: &[&dyn Codec],
    progress: &mut dyn FnMut(usize, &str),
) -> Result<Evaluation, EvaluateError> {
    if codecs.is_empty() {
        return Err(EvaluateError::NoCodec);
    }
    let (mut names, mut too_small, mut points) = (Vec::new(), Vec::new(), Vec::new());
    for (index, path) in pictures.iter().enumerate() {
        let name = file_name(path);
        progress(index, &name);
        let image = picture::read_original(path)?;
        if image.width.min(image.height) < MIN_SIDE {
            too_small.push(name);
            continue;
        }
        points.extend(evaluate_picture(&name, &image, codecs)?);
        names.push(name);
    }
    if names.is_empty() {
        return Err(EvaluateError::TooSmall);
    }
    let results = codecs.iter().map(|codec| CodecResult::new(*codec, &points)).collect();
    let first = &points[0];
    let originals = points.iter().filter(|p| p.codec == first.codec && p.setting == first.setting);
    let original_blockiness = mean_blockiness(originals.map(|p| p.original_blockiness));
    Ok(Evaluation { pictures: names, too_small, original_blockiness, codecs: results, points })
}

fn evaluate_picture(name: &str, image: &Image, codecs: &[&dyn Codec]) -> Result<Vec<Point>, EvaluateError> {
    let bench = Workbench::new(image)
        .map_err(|source| EvaluateError::Workbench { picture: name.to_owned(), source })?;
    let reference = Reference::new(image).map_err(|source| EvaluateError::Metric {
        picture: name.to_owned(),
        codec: "original".to_owned(),
        setting: 0.0,
        source,
    })?;
    let jobs: Vec<(&dyn Codec, f64)> = codecs
        .iter()
        .flat_map(|&codec| codec.settings().into_iter().map(move |setting| (codec, setting)))
        .collect();
    jobs.par_iter().map(|&(codec, setting)| measure(name, &bench, &reference, codec, setting)).collect()
}

/// One picture, laid out on `bench`, through one codec at one setting.
///
/// # Errors
/// Those of the codec, and of the metrics.
pub fn measure(
    name: &str,
    bench: &Workbench<'_>,
    reference: &Reference<'_>,
    codec: &dyn Codec,
    setting: f64,
) -> Result<Point, EvaluateError> {
    let labels = || (name.to_owned(), codec.name().to_owned());
    let failed = |source| {
        let (picture, codec) = labels();
        EvaluateError::Codec { picture, codec, setting, source: Box::new(source) }
    };
    let file = codec.encode(bench, setting).map_err(failed)?;
    let decoded = codec.decode(bench, &file).map_err(failed)?;
    let metrics = reference.measure(&decoded).map_err(|source| {
        let (picture, codec) = labels();
        EvaluateError::Metric { picture, codec, setting, source }
    })?;
    let (picture, codec) = labels();
    let Image { width, height, .. } = *bench.image();
    let bytes = file.len() as u64;
    let bpp = bytes as f64 * 8.0 / (f64::from(width) * f64::from(height));
    let original_blockiness = reference.blockiness;
    Ok(Point { codec, picture, setting, width, height, bytes, bpp, metrics, original_blockiness })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn mean_point(points: &[Point], codec: &str, setting: f64) -> MeanPoint {
    let own = || points.iter().filter(move |p| p.codec == codec && p.setting == setting);
    let mean_of = |value: fn(&Point) -> f64| mean(own().map(value)).unwrap_or(f64::NAN);
    MeanPoint {
        setting,
        bpp: mean_of(|p| p.bpp),
        psnr: mean_of(|p| p.metrics.psnr),
        ms_ssim: mean(own().filter_map(|p| p.metrics.ms_ssim)),
        ssimulacra2: mean_of(|p| p.metrics.ssimulacra2),
        butteraugli: mean(own().filter_map(|p| p.metrics.butteraugli)),
        blockiness: mean_blockiness(own().map(|p| p.metrics.blockiness)),
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn mean_blockiness(values: impl Iterator<Item = Option<Blockiness>>) -> Option<Blockiness> {
    let known: Vec<Blockiness> = values.flatten().collect();
    let at_8 = mean(known.iter().map(|b| b.at_8))?;
    let at_16 = mean(known.iter().map(|b| b.at_16))?;
    Some(Blockiness { at_8, at_16 })
}

#[cfg(test)]
mod tests {
    use super::peers::{Peer, PeerTool};
    use super::*;

    fn point(picture: &str, bpp: f64, psnr: f64, ms_ssim: Option<f64>) -> Point {
        let blockiness = Some(Blockiness { at_8: psnr / 30.0, at_16: 1.0 });
        Point {
            codec: "x".into(),
            picture: picture.into(),
            setting: 5.0,
            width: 64,
            height: 64,
            bytes: 100,
            bpp,
            metrics: Metrics { psnr, ms_ssim, ssimulacra2: 2.0 * psnr, butteraugli: None, blockiness },
            original_blockiness: None,
        }
    }

    #[test]
    fn means_are_taken_over_pictures_of_each_pictures_figure() {
        let points = [point("a", 0.5, 30.0, Some(0.9)), point("b", 1.5, 36.0, None)];
        let mean = mean_point(&points, "x", 5.0);
        assert_eq!((mean.bpp, mean.psnr, mean.ms_ssim, mean.ssimulacra2), (1.0, 33.0, Some(0.9), 66.0));
        assert_eq!(mean.blockiness, Some(Blockiness { at_8: 1.1, at_16: 1.0 }));
        assert!(mean_point(&points, "x", 6.0).psnr.is_nan());
    }

    #[test]
    fn nothing_to_evaluate_and_no_large_picture_are_errors() {
        let error = evaluate(&[], &[], &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, EvaluateError::NoCodec));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.png");
        let image = Image { width: 31, height: 64, rgb: vec![0; 31 * 64 * 3] };
        picture::write_png(&image, &path).unwrap();
        let tool = PeerTool { peer: Peer::Jpeg, version: String::new() };
        let error = evaluate(&[path], &[&tool], &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, EvaluateError::TooSmall), "{error}");
    }
}
