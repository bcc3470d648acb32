//! Training of the heads: the same pictures, steps, rates and loss for each.

use super::super::LabError;
use super::super::fit::learning_rate;
use super::camvid::{self, CLASSES, Scene, VOID};
use super::head::{Head, cross_entropy};
use super::score::{Confusion, Score};
use super::{Input, Trained, latents, write};
use crate::nn::{Parameters, ops, parameter};
use crate::train::optimiser::{self, Gradients, Method, Optimiser, Rates, Slot};
use crate::train::workers::Workers;
use crate::{Backend, Encoder, Image, Limits, Quality, decode};
use bottleneck_proto::Container;
use candle_core::{Device, Tensor};
use half::f16;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::path::PathBuf;
use std::time::Instant;

/// Qualities that are tested, and learned from.
pub(super) const QUALITIES: [f64; 3] = [75.0, 50.0, 25.0];
/// Decay of the moving average of the weights, which is tested and kept.
const AVERAGE: f64 = 0.99;

/// What a training is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of the pictures and labels.
    pub data: PathBuf,
    /// Folder to write the heads to, `<input>.safetensors`.
    pub out: PathBuf,
    /// The heads to train, in this order.
    pub inputs: Vec<Input>,
    /// The codec: lite or base.
    pub profile: String,
    /// Passes over the training pictures.
    pub epochs: usize,
    /// Pictures a step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Seed of weights and order.
    pub seed: u64,
    /// Threads, each with its share of a batch.
    pub workers: usize,
}

/// What a training tells while it goes on.
#[derive(Debug)]
pub enum Progress {
    /// The pictures are coded.
    Coded {
        /// Codes to learn from.
        training: usize,
        /// Seconds that it took.
        seconds: f64,
    },
    /// An epoch is done.
    Epoch {
        /// Of this head.
        input: Input,
        /// From 1.
        epoch: usize,
        /// Mean weighted cross-entropy, nats a pixel.
        loss: f64,
        /// Seconds of this head's training.
        seconds: f64,
    },
    /// A head is done.
    Done(Outcome),
}

/// A trained head, measured on the test pictures.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// What it sees.
    pub input: Input,
    /// Weights and biases.
    pub parameters: usize,
    /// Multiply–accumulates for each pixel of the picture, in thousands; the encoder's of [`Input::Joint`] included.
    pub kmac_per_pixel: f64,
    /// What must run before it and not for codes: the codec's synthesis, for [`Input::Pixels`].
    pub synthesis_kmac_per_pixel: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Quality of the codes, or none for original pixels, and the score there.
    pub scores: Vec<(Option<f64>, Score)>,
}

/// A training picture, coded.
struct Example {
    /// ŷ (H/16, W/16, C).
    latents: Vec<f16>,
    decoded: Image,
    original: Image,
    /// (H/4, W/4).
    labels: Vec<u8>,
    position: f32,
}

/// Trains the heads; each is written when it is done.
///
/// # Errors
/// Missing or damaged pictures and labels, pictures of different sizes, settings that cannot work.
pub fn fit(settings: &Settings, report: &mut dyn FnMut(Progress)) -> Result<Vec<Outcome>, LabError> {
    if settings.epochs == 0 || settings.batch == 0 || settings.workers == 0 || settings.inputs.is_empty() {
        let what = "--epochs, --batch and --workers must be 1 or more, and --heads must name one";
        return Err(LabError::Settings(what.into()));
    }
    let encoder = match settings.profile.as_str() {
        "lite" => Encoder::lite(Backend::Cpu),
        "base" => Encoder::base(Backend::Cpu),
        other => return Err(LabError::Settings(format!("--profile is {other}; allowed: lite, base"))),
    };
    let encoder = encoder.expect("the embedded models are read by a test");
    std::fs::create_dir_all(&settings.out).map_err(LabError::file(&settings.out))?;
    let begun = Instant::now();
    let examples = examples(settings, &encoder)?;
    report(Progress::Coded { training: examples.len(), seconds: begun.elapsed().as_secs_f64() });
    let weights = class_weights(&examples);
    let mut outcomes = vec![];
    for &input in &settings.inputs {
        let (trained, seconds) = train(settings, &encoder, input, &examples, &weights, report)?;
        write(&settings.out.join(format!("{}.safetensors", input.name())), &trained, encoder.model())?;
        let synthesis = encoder.model().costs().into_iter().find(|cost| cost.network == "synthesis");
        let outcome = Outcome {
            input,
            parameters: trained.head.parameter_count(),
            kmac_per_pixel: trained.head.kmac_per_pixel(),
            synthesis_kmac_per_pixel: match input {
                Input::Pixels => synthesis.map_or(0.0, |cost| cost.kmac_per_pixel),
                Input::Codes | Input::Joint => 0.0,
            },
            seconds,
            scores: test(settings, &encoder, &trained)?,
        };
        report(Progress::Done(outcome.clone()));
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Encodes a picture, and reads its code: ŷ and the decoded picture.
fn coded(encoder: &Encoder, image: &Image, quality: Quality) -> Result<(crate::plain::Map, Image), LabError> {
    let failed = |what: String| LabError::Code(what);
    let bytes = encoder.encode(image, quality).map_err(|e| failed(e.to_string()))?;
    let limits = Limits::default();
    let container = Container::parse(&bytes, &limits).map_err(|e| failed(e.to_string()))?;
    let decoded = decode(&bytes, encoder.model(), &limits).map_err(|e| failed(e.to_string()))?;
    Ok((latents(&container, encoder.model())?, decoded))
}

fn quality(percent: f64) -> Quality {
    Quality::from_percent(percent).expect("0 to 100")
}

/// Every training picture at the first quality and one of the others, one of the two mirrored.
fn examples(settings: &Settings, encoder: &Encoder) -> Result<Vec<Example>, LabError> {
    let names = camvid::names(&settings.data, "train")?;
    let pairs: Vec<Vec<Example>> = names
        .par_iter()
        .enumerate()
        .map(|(index, name)| {
            let scene = camvid::scene(&settings.data, "train", name)?;
            let mirrored = scene.mirrored();
            let other = QUALITIES[1 + index % 2];
            // Neither way round shall stand for a quality.
            let (own, of_mirror) =
                if index / 2 % 2 == 0 { (QUALITIES[0], other) } else { (other, QUALITIES[0]) };
            Ok(vec![example(encoder, &scene, own)?, example(encoder, &mirrored, of_mirror)?])
        })
        .collect::<Result<_, LabError>>()?;
    let examples: Vec<Example> = pairs.into_iter().flatten().collect();
    let size = |example: &Example| (example.original.width, example.original.height);
    if examples.iter().any(|example| size(example) != size(&examples[0])) {
        let what = "its pictures are of different sizes: scale them to one".into();
        return Err(LabError::Data { path: settings.data.clone(), what });
    }
    Ok(examples)
}

fn example(encoder: &Encoder, scene: &Scene, percent: f64) -> Result<Example, LabError> {
    let quality = quality(percent);
    let (y_hat, decoded) = coded(encoder, &scene.image, quality)?;
    Ok(Example {
        labels: scene.coarse(4 * y_hat.dims.h, 4 * y_hat.dims.w),
        latents: y_hat.data.iter().map(|&v| f16::from_f32(v)).collect(),
        decoded,
        original: scene.image.clone(),
        position: crate::quality::position(quality),
    })
}

/// By the square root of how rare a class is: between no balance and that of median frequency (Eigen & Fergus 2015).
fn class_weights(examples: &[Example]) -> Vec<f32> {
    let mut counts = [0u64; CLASSES.len() + 1];
    examples.iter().flat_map(|e| &e.labels).for_each(|&label| counts[usize::from(label)] += 1);
    let mut there: Vec<u64> = counts[..CLASSES.len()].iter().copied().filter(|&count| count > 0).collect();
    there.sort_unstable();
    let median = there.get(there.len() / 2).map_or(1.0, |&count| count as f32);
    let weight = |&count: &u64| (median / (count as f32).max(1.0)).sqrt().min(4.0);
    counts[..CLASSES.len()].iter().map(weight).chain([0.0]).collect()
}

/// Pixels as values −1..1, (1, H, W, 3), sides padded to multiples of 16.
fn pixels(image: &Image) -> candle_core::Result<Tensor> {
    let (h, w) = (image.height as usize, image.width as usize);
    let values: Vec<f32> = image.rgb.iter().map(|&v| crate::pixels::to_network(v)).collect();
    let x = Tensor::from_vec(values, (1, h, w, 3), &Device::Cpu)?;
    x.pad_with_same(1, 0, h.next_multiple_of(16) - h)?.pad_with_same(2, 0, w.next_multiple_of(16) - w)
}

/// What a head sees of a picture, not normalised.
fn input_of(input: Input, example: &Example, channels: usize) -> candle_core::Result<Tensor> {
    match input {
        Input::Codes => {
            let (h, w) = (example.original.height.div_ceil(16), example.original.width.div_ceil(16));
            let values: Vec<f32> = example.latents.iter().map(|v| v.to_f32()).collect();
            Tensor::from_vec(values, (1, h as usize, w as usize, channels), &Device::Cpu)
        }
        Input::Pixels => ops::unshuffle(&pixels(&example.decoded)?, 16),
        Input::Joint => pixels(&example.original),
    }
}

/// Mean 0 and deviation 1 in every channel, by what training found.
pub(super) fn normalised(parameters: &Parameters, x: &Tensor) -> candle_core::Result<Tensor> {
    x.broadcast_sub(parameter(parameters, "input.mean")?)?
        .broadcast_div(parameter(parameters, "input.deviation")?)
}

/// Mean and deviation of the channels over some of the pictures.
fn moments(input: Input, examples: &[Example], channels: usize) -> candle_core::Result<Parameters> {
    let some: Vec<Tensor> = examples
        .iter()
        .step_by(examples.len().div_ceil(40))
        .map(|example| input_of(input, example, channels)?.flatten(0, 2))
        .collect::<candle_core::Result<_>>()?;
    let all = Tensor::cat(&some, 0)?;
    let mean = all.mean(0)?;
    let deviation = (all.broadcast_sub(&mean)?.sqr()?.mean(0)? + 1e-6)?.sqrt()?;
    Ok([("input.mean".into(), mean), ("input.deviation".into(), deviation)].into())
}

fn train(
    settings: &Settings,
    encoder: &Encoder,
    input: Input,
    examples: &[Example],
    weights: &[f32],
    report: &mut dyn FnMut(Progress),
) -> Result<(Trained, f64), LabError> {
    let channels = encoder.model().architecture.y;
    let head = Head::new(input, channels);
    let moments = moments(input, examples, channels)?;
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let values = head.initial(&mut rng).into_iter();
    let slots = values.map(|(name, (shape, data))| (name, Slot::new(shape, data))).collect();
    let mut optimiser = Optimiser { slots, step: 0 };
    let workers = Workers::new(settings.workers.min(settings.batch)).map_err(LabError::Settings)?;
    let batch = settings.batch.min(examples.len());
    // Two codes of every picture: a pass over half of them is a pass over the pictures.
    let steps = (examples.len() / 2 / batch).max(1);
    let begun = Instant::now();
    for epoch in 0..settings.epochs {
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.shuffle(&mut rng);
        let mut sum = 0.0;
        for step in 0..steps {
            let chosen = &order[step * batch..][..batch];
            let variables = optimiser.variables(&Device::Cpu)?;
            let share = batch.div_ceil(workers.count());
            let parts: Vec<&[usize]> = chosen.chunks(share).collect();
            let found = workers.each(|worker| -> candle_core::Result<(Gradients, f64)> {
                let Some(part) = parts.get(worker) else { return Ok((Gradients::new(), 0.0)) };
                let chosen: Vec<&Example> = part.iter().map(|&index| &examples[index]).collect();
                let x = chosen.iter().map(|e| normalised(&moments, &input_of(input, e, channels)?));
                let x = Tensor::cat(&x.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
                let positions: Vec<f32> = chosen.iter().map(|e| e.position).collect();
                let labels: Vec<u8> = chosen.iter().flat_map(|e| &e.labels).copied().collect();
                let loss = loss(&head.run(&variables, &x, &positions)?, &labels, weights)?;
                let scaled = (&loss * (workers.count() * part.len()) as f64)? / batch as f64;
                let nats = f64::from(loss.to_scalar::<f32>()?) * part.len() as f64;
                Ok((optimiser::gradients(&scaled?, &variables)?, nats))
            });
            let found = found.into_iter().collect::<candle_core::Result<Vec<_>>>()?;
            sum += found.iter().map(|(_, nats)| nats).sum::<f64>() / batch as f64;
            let gradients: Vec<Gradients> = found.into_iter().map(|(gradients, _)| gradients).collect();
            let share = (epoch * steps + step) as f64 / (settings.epochs * steps) as f64;
            let rates = Rates {
                method: Method::AdamW,
                learning: learning_rate(settings.learning_rate, share),
                weight_decay: 0.02,
                clip: 1.0,
                average: AVERAGE,
            };
            let norm = optimiser.step(&gradients, &rates)?;
            if !norm.is_finite() {
                return Err(LabError::Diverged { step: optimiser.step, norm });
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        report(Progress::Epoch { input, epoch: epoch + 1, loss: sum / steps as f64, seconds });
    }
    let mut parameters = optimiser.averaged(&Device::Cpu)?;
    parameters.extend(moments);
    Ok((Trained { head, parameters }, begun.elapsed().as_secs_f64()))
}

/// Weighted cross-entropy with the labels at a quarter of the resolution.
fn loss(logits: &Tensor, labels: &[u8], weights: &[f32]) -> candle_core::Result<Tensor> {
    let n = labels.len();
    let targets: Vec<u32> = labels.iter().map(|&l| if l == VOID { 0 } else { u32::from(l) }).collect();
    let of: Vec<f32> = labels.iter().map(|&label| weights[usize::from(label)]).collect();
    let targets = Tensor::from_vec(targets, n, logits.device())?;
    cross_entropy(logits, &targets, &Tensor::from_vec(of, n, logits.device())?)
}

/// On the test pictures, from codes at every quality; from the originals for a head with an encoder of its own.
fn test(
    settings: &Settings,
    encoder: &Encoder,
    trained: &Trained,
) -> Result<Vec<(Option<f64>, Score)>, LabError> {
    let names = camvid::names(&settings.data, "test")?;
    let qualities: Vec<Option<f64>> = match trained.head.input {
        Input::Joint => vec![None],
        Input::Codes | Input::Pixels => QUALITIES.into_iter().map(Some).collect(),
    };
    let score = |percent: Option<f64>| {
        let confusions = names.par_iter().map(|name| {
            let scene = camvid::scene(&settings.data, "test", name)?;
            let drawn = draw(encoder, trained, &scene, percent)?;
            let mut confusion = Confusion::default();
            confusion.add(&drawn, &scene.labels);
            Ok(confusion)
        });
        let all = confusions.collect::<Result<Vec<_>, LabError>>()?;
        Ok((percent, all.iter().fold(Confusion::default(), |sum, one| sum.merge(one)).score()))
    };
    qualities.into_iter().map(score).collect()
}

/// The class of every pixel of a picture.
fn draw(
    encoder: &Encoder,
    trained: &Trained,
    scene: &Scene,
    percent: Option<f64>,
) -> Result<Vec<u8>, LabError> {
    let (height, width) = (scene.image.height as usize, scene.image.width as usize);
    let (x, position) = match percent {
        None => (pixels(&scene.image)?, crate::quality::position(quality(QUALITIES[0]))),
        Some(percent) => {
            let quality = quality(percent);
            let (y_hat, decoded) = coded(encoder, &scene.image, quality)?;
            let x = match trained.head.input {
                Input::Codes => {
                    let shape = (1, y_hat.dims.h, y_hat.dims.w, y_hat.dims.c);
                    Tensor::from_vec(y_hat.data, shape, &Device::Cpu)?
                }
                Input::Pixels | Input::Joint => ops::unshuffle(&pixels(&decoded)?, 16)?,
            };
            (x, crate::quality::position(quality))
        }
    };
    trained.draw(&x, position, height, width)
}
