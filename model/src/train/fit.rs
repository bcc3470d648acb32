//! The training loop.

use super::checkpoint::{self, CheckpointError, State};
use super::data::{self, DataError, Photos};
use super::grow::{self, GrowError};
use super::objective::{Codec, Quantiser, Weights};
use super::optimiser::{self, Gradients, Method, Optimiser, Rates, Slot};
use super::workers::Workers;
use super::{Operating, init, validate};
use crate::architecture::Architecture;
use crate::nn::Parameters;
use candle_core::{Device, Tensor};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Everything that a run is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of photographs.
    pub data: PathBuf,
    /// Folder of the run: checkpoint and exported weights.
    pub out: PathBuf,
    /// What to train.
    pub architecture: Architecture,
    /// Values to start from instead of fresh ones (a run's own checkpoint goes before).
    pub init: Option<(Architecture, Parameters)>,
    /// Start from random weights rather than from a transform codec, where there is no `init`.
    pub random_start: bool,
    /// Steps in all.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// Side of a crop in pixels, a multiple of 64.
    pub crop: usize,
    /// What makes steps of gradients.
    pub method: Method,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Learning rate at the end.
    pub final_rate: f64,
    /// Steps of linear warm-up.
    pub warm_up: u64,
    /// Share of the run at the highest rate before the cosine decay begins, 0..1.
    pub hold: f64,
    /// What counts in the distortion.
    pub weights: Weights,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm.
    pub clip: f64,
    /// Decay of the moving average of the weights.
    pub average: f64,
    /// Seed of weights, crops and noise.
    pub seed: u64,
    /// Threads, each with its share of the batch (on a GPU: 1).
    pub workers: usize,
    /// Steps between two validations; checkpoints are written every few minutes.
    pub validate_every: u64,
    /// Where to train.
    pub device: Device,
}

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The data is read.
    Data {
        /// Pictures to train on.
        training: usize,
        /// Pictures held out.
        validation: usize,
        /// What was left out, and why.
        skipped: Vec<String>,
        /// Step at which the run starts or goes on.
        from: u64,
    },
    /// Some steps are done.
    Steps {
        /// Steps taken.
        step: u64,
        /// Steps a second, lately.
        rate: f64,
        /// Millions of pixels a second, lately.
        mpixels: f64,
        /// Mean bits a pixel, lately, over all rates.
        bpp: f64,
        /// Mean PSNR, lately, over all rates.
        psnr: f64,
        /// Mean loss, lately.
        loss: f64,
        /// Norm of the last gradient.
        norm: f64,
        /// Learning rate now.
        learning: f64,
    },
    /// The moving average was validated.
    Validated {
        /// Steps taken.
        step: u64,
        /// Pixels seen.
        pixels: u64,
        /// Seconds of training so far.
        seconds: f64,
        /// Rate and distortion at each position.
        points: Vec<Operating>,
    },
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The data cannot be trained on.
    #[error(transparent)]
    Data(#[from] DataError),
    /// State could not be kept.
    #[error("the checkpoint failed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// What to start from does not fit.
    #[error(transparent)]
    Grow(#[from] GrowError),
    /// The tensor library failed.
    #[error("training failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The settings contradict each other or the checkpoint.
    #[error("{0}")]
    Settings(String),
    /// The gradient is no number any more.
    #[error("step {step}: the gradient is {norm}; the last good checkpoint is {checkpoint}, of step {saved}")]
    Diverged {
        /// Step that failed.
        step: u64,
        /// The gradient's norm.
        norm: f64,
        /// Where the last good one lies.
        checkpoint: PathBuf,
        /// Its step.
        saved: u64,
    },
}

/// λ of the operating points that are validated: the same for every profile, so that their costs compare.
const VALIDATED: [f64; 5] = [0.0009, 0.003_233_4, 0.011_619, 0.041_748, 0.15];
const SAVE_EVERY: Duration = Duration::from_secs(180);
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Learning rate of `step`: warm-up, then constant, then cosine to the final rate.
fn learning_rate(settings: &Settings, step: u64) -> f64 {
    let s = settings;
    if step < s.warm_up {
        return s.learning_rate * (step + 1) as f64 / s.warm_up as f64;
    }
    let decay_from = (s.hold * s.steps as f64).max(s.warm_up as f64);
    let share = ((step as f64 - decay_from) / (s.steps as f64 - decay_from).max(1.0)).clamp(0.0, 1.0);
    s.final_rate + (s.learning_rate - s.final_rate) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}

/// Trains until `settings.steps`, or until `stop`; goes on from the run's checkpoint where there is one.
/// Returns the architecture and the averaged weights.
pub fn fit(
    settings: &Settings,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Progress),
) -> Result<(Architecture, Parameters), FitError> {
    check(settings)?;
    let photos = Photos::load(&settings.data, settings.crop as u32)?;
    let (mut optimiser, mut state) = match checkpoint::load::<State>(&settings.out)? {
        Some((_, state)) if state.architecture != settings.architecture => {
            return Err(FitError::Settings(format!(
                "{} holds a run of another architecture; choose another --out",
                settings.out.display()
            )));
        }
        Some((slots, state)) => (Optimiser { slots, step: state.step }, state),
        None => fresh(settings)?,
    };
    report(Progress::Data {
        training: photos.training.len(),
        validation: photos.validation.len(),
        skipped: photos.skipped.clone(),
        from: state.step,
    });

    if state.step == 0 && settings.init.is_some() {
        // What is to be improved on.
        report(validated(settings, &optimiser, &photos, &state)?);
    }

    let codec = Codec::new(&settings.architecture);
    let workers = Workers::new(settings.workers).map_err(FitError::Settings)?;
    let mut lately = Lately::new();
    let (mut saved_at, mut saved_step) = (Instant::now(), state.step);
    let earlier = state.seconds;
    let begun = Instant::now();
    while state.step < settings.steps && !stop.load(Ordering::Relaxed) {
        let variables = optimiser.variables(&settings.device)?;
        let (gradients, sums) = gradients(settings, &codec, &variables, &photos, &workers, state.step)?;
        let learning = learning_rate(settings, state.step);
        let rates = Rates {
            method: settings.method,
            learning,
            weight_decay: settings.weight_decay,
            clip: settings.clip,
            average: settings.average,
        };
        let norm = optimiser.step(&gradients, &rates)?;
        if !norm.is_finite() {
            return Err(FitError::Diverged {
                step: state.step,
                norm,
                checkpoint: checkpoint::folder(&settings.out),
                saved: saved_step,
            });
        }
        state.step += 1;
        state.pixels += (settings.batch * settings.crop * settings.crop) as u64;
        state.seconds = earlier + begun.elapsed().as_secs_f64();
        lately.add(&sums);
        if lately.since.elapsed() > REPORT_EVERY || state.step == settings.steps {
            report(lately.progress(settings, state.step, norm, learning));
            lately = Lately::new();
        }
        if state.step % settings.validate_every == 0 || state.step == settings.steps {
            report(validated(settings, &optimiser, &photos, &state)?);
        }
        if saved_at.elapsed() > SAVE_EVERY {
            checkpoint::save(&settings.out, &optimiser, &state)?;
            (saved_at, saved_step) = (Instant::now(), state.step);
        }
    }
    checkpoint::save(&settings.out, &optimiser, &state)?;
    Ok((settings.architecture.clone(), optimiser.averaged(&Device::Cpu)?))
}

/// The moving average on the photographs held out.
fn validated(
    settings: &Settings,
    optimiser: &Optimiser,
    photos: &Photos,
    state: &State,
) -> Result<Progress, FitError> {
    let points = validate(
        &settings.architecture,
        &optimiser.averaged(&settings.device)?,
        &photos.validation,
        &VALIDATED.map(|lambda| settings.architecture.position_of(lambda)),
        settings.weights,
        &settings.device,
    )?;
    Ok(Progress::Validated { step: state.step, pixels: state.pixels, seconds: state.seconds, points })
}

fn check(s: &Settings) -> Result<(), FitError> {
    if s.crop == 0 || !s.crop.is_multiple_of(64) {
        return Err(FitError::Settings(format!("--crop is {}; it must be a multiple of 64", s.crop)));
    }
    if s.workers == 0 || !s.batch.is_multiple_of(s.workers) {
        return Err(FitError::Settings(format!(
            "--batch {} cannot be shared by {} workers",
            s.batch, s.workers
        )));
    }
    if !(0.0..1.0).contains(&s.weights.structure) {
        return Err(FitError::Settings(format!(
            "--structure is {}; it must be 0 or more and less than 1",
            s.weights.structure
        )));
    }
    s.architecture.check().map_err(FitError::Settings)
}

fn fresh(settings: &Settings) -> Result<(Optimiser, State), FitError> {
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let values = match &settings.init {
        None if settings.random_start => init::random(&settings.architecture, &mut rng),
        None => init::initial(&settings.architecture, &mut rng),
        Some((from, values)) => grow::grow(from, values, &settings.architecture, &mut rng)?,
    };
    let slots = values.into_iter().map(|(name, (shape, data))| (name, Slot::new(shape, data))).collect();
    let state = State {
        architecture: settings.architecture.clone(),
        step: 0,
        pixels: 0,
        seconds: 0.0,
        seed: settings.seed,
    };
    Ok((Optimiser { slots, step: 0 }, state))
}

/// Sums over the pictures of a step.
#[derive(Default)]
struct Sums {
    loss: f64,
    bpp: f64,
    psnr: f64,
    pictures: f64,
}

/// The gradients of one step; every worker takes an equal share of the batch.
fn gradients(
    settings: &Settings,
    codec: &Codec,
    parameters: &Parameters,
    photos: &Photos,
    workers: &Workers,
    step: u64,
) -> Result<(Vec<Gradients>, Sums), FitError> {
    let share = settings.batch / settings.workers;
    let parts =
        workers.each(|worker| worker_gradients(settings, codec, parameters, photos, step, worker, share));
    let mut sums = Sums::default();
    let mut all = Vec::with_capacity(settings.workers);
    for part in parts {
        let (gradients, part) = part?;
        sums.loss += part.loss;
        sums.bpp += part.bpp;
        sums.psnr += part.psnr;
        sums.pictures += part.pictures;
        all.push(gradients);
    }
    Ok((all, sums))
}

fn worker_gradients(
    settings: &Settings,
    codec: &Codec,
    parameters: &Parameters,
    photos: &Photos,
    step: u64,
    worker: usize,
    share: usize,
) -> candle_core::Result<(Gradients, Sums)> {
    // Seeded by the step, so that a resumed run sees the very same crops and noise.
    let stream = step * settings.workers as u64 + worker as u64;
    let mut rng =
        StdRng::seed_from_u64(settings.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17));
    let side = settings.crop;
    let mut pixels = Vec::with_capacity(share * side * side * 3);
    let mut positions = Vec::with_capacity(share);
    for k in 0..share {
        let photo = &photos.training[rng.random_range(0..photos.training.len())];
        data::random_crop(photo, side, &mut rng, &mut pixels);
        // Stratified over the batch: every step sees all rates.
        let stratum = (k * settings.workers + worker) as f32;
        positions.push((stratum + rng.random::<f32>()) / settings.batch as f32);
    }
    let x = Tensor::from_vec(pixels, (share, side, side, 3), &settings.device)?;
    let pass = codec.pass(parameters, &x, &positions, Quantiser::Noise(&mut rng))?;
    let loss = codec.loss(&pass, &positions, settings.weights)?;
    let gradients = optimiser::gradients(&loss, parameters)?;
    let mse = pass.mse.to_vec1::<f32>()?;
    let sums = Sums {
        loss: f64::from(loss.to_scalar::<f32>()?) * share as f64,
        bpp: pass.bpp.to_vec1::<f32>()?.iter().map(|&b| f64::from(b)).sum(),
        psnr: mse.iter().map(|&m| 10.0 * (65025.0 / f64::from(m)).log10()).sum(),
        pictures: share as f64,
    };
    Ok((gradients, sums))
}

/// Running means since the last report.
struct Lately {
    since: Instant,
    steps: u64,
    sums: Sums,
}

impl Lately {
    fn new() -> Lately {
        Lately { since: Instant::now(), steps: 0, sums: Sums::default() }
    }

    fn add(&mut self, sums: &Sums) {
        self.steps += 1;
        self.sums.loss += sums.loss;
        self.sums.bpp += sums.bpp;
        self.sums.psnr += sums.psnr;
        self.sums.pictures += sums.pictures;
    }

    fn progress(&self, settings: &Settings, step: u64, norm: f64, learning: f64) -> Progress {
        let rate = self.steps as f64 / self.since.elapsed().as_secs_f64();
        let n = self.sums.pictures.max(1.0);
        Progress::Steps {
            step,
            rate,
            mpixels: rate * (settings.batch * settings.crop * settings.crop) as f64 / 1e6,
            bpp: self.sums.bpp / n,
            psnr: self.sums.psnr / n,
            loss: self.sums.loss / n,
            norm,
            learning,
        }
    }
}

#[cfg(test)]
mod tests;
