//! Rate–distortion evaluation: this codec and installed peers on a folder of pictures, real file bytes,
//! pictures from each codec's own decoder.
//!
//! One way of averaging, always: PSNR for each picture, then the mean over pictures; bits per pixel for each
//! picture, then the mean over pictures. (Averaging the squared error first moves a BD-rate by several
//! percent; figures of the two kinds cannot be compared.)

pub mod anchors;
pub mod bd_rate;
pub mod metrics;
pub mod ms_ssim;
pub mod peers;
pub mod picture;
pub mod report;
pub(crate) mod svg;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use crate::{DecodeError, EncodeError, Encoder, Image, Limits, Model, Quality, Refinement};
use bd_rate::{Curve, CurveError};
use metrics::{Blockiness, MetricError, Metrics, Reference};
use peers::{Peer, PeerError, PeerTool, Workbench};
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
    /// This codec cannot encode a picture.
    #[error("{picture}: encoding at quality {quality}: {source}")]
    Encode {
        /// File name of the picture.
        picture: String,
        /// Quality, 0 to 100.
        quality: f64,
        /// Reason.
        source: EncodeError,
    },
    /// This codec cannot decode what it encoded.
    #[error("{picture}: decoding quality {quality}: {source}")]
    Decode {
        /// File name of the picture.
        picture: String,
        /// Quality, 0 to 100.
        quality: f64,
        /// Reason.
        source: DecodeError,
    },
    /// A peer failed on a picture.
    #[error("{picture}: {source}")]
    Peer {
        /// File name of the picture.
        picture: String,
        /// Reason.
        source: PeerError,
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

/// This codec as a subject of evaluation.
pub struct Bottleneck {
    /// Encoder, and by its model the decoder.
    pub encoder: Encoder,
    /// Qualities to encode at.
    pub qualities: Vec<Quality>,
    /// Effort to encode with, 0 to 9.
    pub effort: u8,
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
    /// Mean bits per pixel over mean PSNR-RGB. Settings without loss have no place on it.
    pub fn psnr_curve(&self) -> Result<Curve, CurveError> {
        self.curve(|mean| mean.psnr)
    }

    /// Mean bits per pixel over mean SSIMULACRA2.
    pub fn ssimulacra2_curve(&self) -> Result<Curve, CurveError> {
        self.curve(|mean| mean.ssimulacra2)
    }

    fn curve(&self, quality: impl Fn(&MeanPoint) -> f64) -> Result<Curve, CurveError> {
        let lossy = self.means.iter().filter(|mean| mean.psnr.is_finite());
        Curve::new(&lossy.map(|mean| (mean.bpp, quality(mean))).collect::<Vec<_>>())
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

/// Runs every picture through this codec (where given) and the peers. Pictures are held one at a time; what is
/// done with one runs on all threads of the rayon pool. `progress` is called before each picture with its index
/// and name.
pub fn evaluate(
    pictures: &[PathBuf],
    bottleneck: Option<&Bottleneck>,
    peers: &[PeerTool],
    progress: &mut dyn FnMut(usize, &str),
) -> Result<Evaluation, EvaluateError> {
    let subjects = subjects(bottleneck, peers);
    if subjects.is_empty() {
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
        points.extend(evaluate_picture(&name, &image, bottleneck, peers)?);
        names.push(name);
    }
    if names.is_empty() {
        return Err(EvaluateError::TooSmall);
    }
    let codecs = subjects
        .into_iter()
        .map(|(codec, version, parameter, settings)| {
            let means = settings.into_iter().map(|setting| mean_point(&points, &codec, setting)).collect();
            CodecResult { codec, version, parameter, means }
        })
        .collect();
    let first = &points[0];
    let originals = points.iter().filter(|p| p.codec == first.codec && p.setting == first.setting);
    let original_blockiness = mean_blockiness(originals.map(|p| p.original_blockiness));
    Ok(Evaluation { pictures: names, too_small, original_blockiness, codecs, points })
}

/// Name, version, parameter and settings of each codec.
fn subjects(bottleneck: Option<&Bottleneck>, peers: &[PeerTool]) -> Vec<(String, String, String, Vec<f64>)> {
    let ours = bottleneck.map(|b| {
        let (model, effort) = (b.encoder.model(), b.effort);
        let version = format!("profile {}, model {}, effort {effort}", model.profile(), model.id());
        let settings = b.qualities.iter().map(|&quality| percent(quality)).collect();
        (BOTTLENECK.to_owned(), version, "quality".to_owned(), settings)
    });
    let peers = peers.iter().map(|tool| {
        let peer = tool.peer;
        (peer.name().to_owned(), tool.version.clone(), peer.parameter().to_owned(), peer.settings().to_vec())
    });
    ours.into_iter().chain(peers).collect()
}

/// One file to make, where a peer makes it, to decode and to measure.
enum Job<'a> {
    Stream { model: &'a Model, quality: f64, bytes: Vec<u8> },
    Peer { bench: &'a Workbench, peer: Peer, setting: f64 },
}

fn evaluate_picture(
    name: &str,
    image: &Image,
    bottleneck: Option<&Bottleneck>,
    peers: &[PeerTool],
) -> Result<Vec<Point>, EvaluateError> {
    let picture = || name.to_owned();
    let peer_error = |source| EvaluateError::Peer { picture: picture(), source };
    let metric_error = |codec: &str, setting, source| EvaluateError::Metric {
        picture: picture(),
        codec: codec.to_owned(),
        setting,
        source,
    };

    let mut jobs = Vec::new();
    if let Some(Bottleneck { encoder, qualities, effort }) = bottleneck {
        let how = Refinement { effort: *effort, ..Refinement::default() };
        for &quality in qualities {
            let encoded = encoder.encode_refined(image, quality, &how);
            let quality = percent(quality);
            let bytes =
                encoded.map_err(|source| EvaluateError::Encode { picture: picture(), quality, source })?;
            jobs.push(Job::Stream { model: encoder.model(), quality, bytes });
        }
    }
    let bench = if peers.is_empty() { None } else { Some(Workbench::new(image).map_err(peer_error)?) };
    if let Some(bench) = &bench {
        for &PeerTool { peer, .. } in peers {
            jobs.extend(peer.settings().iter().map(|&setting| Job::Peer { bench, peer, setting }));
        }
    }

    let reference = Reference::new(image).map_err(|source| metric_error("original", 0.0, source))?;
    let run = |job: &Job<'_>| {
        let (codec, setting, bytes, decoded) = match *job {
            Job::Stream { model, quality, ref bytes } => {
                let decoded = crate::decode(bytes, model, &Limits::default())
                    .map_err(|source| EvaluateError::Decode { picture: picture(), quality, source })?;
                (BOTTLENECK, quality, bytes.len() as u64, decoded)
            }
            Job::Peer { bench, peer, setting } => {
                let (bytes, decoded) = bench.run(peer, setting).map_err(peer_error)?;
                (peer.name(), setting, bytes, decoded)
            }
        };
        let metrics = reference.measure(&decoded).map_err(|source| metric_error(codec, setting, source))?;
        Ok(Point {
            codec: codec.to_owned(),
            picture: picture(),
            setting,
            width: image.width,
            height: image.height,
            bytes,
            bpp: bytes as f64 * 8.0 / (f64::from(image.width) * f64::from(image.height)),
            metrics,
            original_blockiness: reference.blockiness,
        })
    };
    jobs.par_iter().map(run).collect()
}

/// Quality as the user gave it, without the last digits of its 16-bit form.
fn percent(quality: Quality) -> f64 {
    (quality.percent() * 100.0).round() / 100.0
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
            metrics: Metrics { psnr, ms_ssim, ssimulacra2: 2.0 * psnr, blockiness },
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
    fn qualities_keep_the_users_digits() {
        for q in [0.0, 10.0, 37.5, 55.25, 100.0] {
            assert_eq!(percent(Quality::from_percent(q).unwrap()), q);
        }
    }

    #[test]
    fn nothing_to_evaluate_and_no_large_picture_are_errors() {
        let error = evaluate(&[], None, &[], &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, EvaluateError::NoCodec));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.png");
        let image = Image { width: 31, height: 64, rgb: vec![0; 31 * 64 * 3] };
        picture::write_png(&image, &path).unwrap();
        let tool = PeerTool { peer: Peer::Jpeg, version: String::new() };
        let error = evaluate(&[path], None, &[tool], &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, EvaluateError::TooSmall), "{error}");
    }
}
