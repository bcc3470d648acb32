//! Training: mini-batches in a seeded order, early stopping on held-out pictures, and a checkpoint every epoch.

use super::coding::Codebook;
use super::loss::{kl_of, reconstruction};
use super::model::{Autoencoder, Settings};
use super::run::{CODEBOOK, RUN, Run, WEIGHTS, encode};
use super::test_metrics::{TestMetrics, measure};
use super::{LabError, Pictures};
use crate::nn::Parameters;
use crate::train::checkpoint;
use crate::train::init::normal;
use crate::train::optimiser::{self, Gradients, Method, Optimiser, Rates, Slot};
use crate::train::workers::Workers;
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// One pass over the training pictures; terms in nats a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// Reconstruction term on the training pictures, while they were learned from.
    pub reconstruction: f64,
    /// KL term there; 0 without a distribution.
    pub kl: f64,
    /// On the held-out pictures, with the moving average of the weights.
    pub validation: TestMetrics,
    /// Seconds of training until here.
    pub seconds: f64,
}

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The data is read.
    Data {
        /// Pictures to train on, held out, and to test on.
        counts: [usize; 3],
        /// Rows and columns of a picture.
        size: [usize; 2],
        /// Weights and biases of the model.
        parameters: usize,
        /// Epochs done before.
        from: u64,
    },
    /// A part of an epoch is done.
    Steps {
        /// Epoch, from 1.
        epoch: u64,
        /// Steps of it that are done, and steps that it has.
        steps: [u64; 2],
    },
    /// An epoch is done.
    Epoch(Epoch),
    /// The validation loss has not fallen for as long as was allowed.
    Stopped {
        /// The best epoch.
        best: u64,
    },
}

/// What is kept to go on as if the run had not stopped.
#[derive(Serialize, Deserialize)]
struct State {
    settings: Settings,
    step: u64,
    seconds: f64,
    history: Vec<Epoch>,
    /// Sums of the epoch at hand: reconstruction, KL, pictures.
    sums: [f64; 3],
}

impl State {
    /// The epoch with the lowest validation loss.
    fn best(&self) -> Option<&Epoch> {
        let loss = |e: &&Epoch| e.validation.objective(self.settings.beta);
        self.history.iter().min_by(|a, b| loss(a).total_cmp(&loss(b)))
    }
}

/// Decay of the moving average of the weights.
const AVERAGE: f64 = 0.998;
/// Largest norm of the gradient of the loss in nats a pixel.
const CLIP: f64 = 1.0;
/// Share of the epochs at the highest learning rate before the cosine decay begins.
const HOLD: f64 = 0.3;
/// Where it ends, as a share of the highest.
const FINAL: f64 = 0.01;

/// Trains until the epochs are done, the validation loss stops falling, or `stop`; goes on where a run in `out`
/// stopped. Gives what the run tells of itself, or `None` where it was stopped before it was done.
///
/// # Errors
/// Data that cannot be read, settings that do not fit it or the run in `out`, a full disk.
pub fn fit(
    settings: &Settings,
    out: &Path,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Progress),
) -> Result<Option<Run>, LabError> {
    check(settings)?;
    let pictures = Pictures::load(&settings.data, settings.side)?;
    let model = Autoencoder::new(settings, pictures.height, pictures.width)?;
    let training = pictures.count(&pictures.train);
    let batch = settings.batch.min(training);
    let steps = (training / batch) as u64;
    let (mut optimiser, mut state) = start(settings, out, &model)?;
    report(Progress::Data {
        counts: [&pictures.train, &pictures.validation, &pictures.test].map(|split| pictures.count(split)),
        size: [pictures.height, pictures.width],
        parameters: model.parameter_count(),
        from: state.history.len() as u64,
    });
    let workers = Workers::new(settings.workers.min(batch)).map_err(LabError::Settings)?;
    let (earlier, begun) = (state.seconds, Instant::now());
    let mut order = Vec::new();
    while (state.history.len() as u64) < settings.epochs && !exhausted(&state) {
        if stop.load(Ordering::Relaxed) {
            checkpoint::save(out, &optimiser, &state)?;
            return Ok(None);
        }
        let epoch = state.history.len() as u64;
        let at = state.step - epoch * steps;
        if order.is_empty() {
            order = (0..training).collect();
            order.shuffle(&mut StdRng::seed_from_u64(settings.seed ^ (epoch + 1) << 32));
        }
        let chosen = &order[at as usize * batch..][..batch];
        let sums = step(settings, &model, &mut optimiser, &workers, &pictures, chosen, steps)?;
        state.step += 1;
        state.sums.iter_mut().zip(sums).for_each(|(sum, more)| *sum += more);
        state.seconds = earlier + begun.elapsed().as_secs_f64();
        report(Progress::Steps { epoch: epoch + 1, steps: [at + 1, steps] });
        if at + 1 == steps {
            order.clear();
            let averaged = optimiser.averaged(&Device::Cpu)?;
            let validation = measure(settings, &model, &averaged, &pictures, &pictures.validation)?;
            let [nats, kl, seen] = std::mem::take(&mut state.sums);
            let done = Epoch {
                epoch: epoch + 1,
                reconstruction: nats / seen,
                kl: kl / seen,
                validation,
                seconds: state.seconds,
            };
            state.history.push(done.clone());
            if state.best().is_some_and(|best| best.epoch == done.epoch) {
                let path = out.join(WEIGHTS);
                candle_core::safetensors::save(&averaged, path)?;
            }
            checkpoint::save(out, &optimiser, &state)?;
            report(Progress::Epoch(done));
        }
    }
    let best = state.best().map_or(0, |best| best.epoch);
    if exhausted(&state) {
        report(Progress::Stopped { best });
    }
    finish(settings, out, &model, &pictures, state, best).map(Some)
}

/// Measures the weights that were kept, and writes the run's file.
fn finish(
    settings: &Settings,
    out: &Path,
    model: &Autoencoder,
    pictures: &Pictures,
    state: State,
    best: u64,
) -> Result<Run, LabError> {
    let weights = candle_core::safetensors::load(out.join(WEIGHTS), &Device::Cpu)?;
    let run = Run {
        settings: settings.clone(),
        size: [pictures.height, pictures.width],
        parameters: model.parameter_count(),
        history: state.history,
        best,
        seconds: state.seconds,
        test: measure(settings, model, &weights, pictures, &pictures.test)?,
    };
    let latents = encode(model, &weights, run.size, &pictures.train.pixels)?;
    let path = out.join(CODEBOOK);
    let json = serde_json::to_vec(&Codebook::new(&latents, settings.bottleneck));
    std::fs::write(&path, json.expect("plain data serialises")).map_err(LabError::file(path))?;
    let path = out.join(RUN);
    let json = serde_json::to_vec_pretty(&run).expect("plain data serialises");
    std::fs::write(&path, json).map_err(LabError::file(path))?;
    Ok(run)
}

fn check(s: &Settings) -> Result<(), LabError> {
    let bad = |what: String| Err(LabError::Settings(what));
    if s.epochs == 0 || s.batch == 0 || s.workers == 0 || s.patience == 0 {
        return bad("--epochs, --batch, --workers and --patience must be 1 or more".into());
    }
    if !(s.learning_rate > 0.0 && s.learning_rate.is_finite()) {
        return bad(format!("--learning-rate is {}; it must be above 0", s.learning_rate));
    }
    if !(s.beta >= 0.0 && s.beta.is_finite()) {
        return bad(format!("--beta is {}; it must be 0 or more", s.beta));
    }
    if let super::Likelihood::Gaussian { deviation } = s.likelihood
        && !(deviation > 0.0 && deviation.is_finite())
    {
        return bad(format!("--deviation is {deviation}; it must be above 0"));
    }
    if !(8..=256).contains(&s.side) {
        return bad(format!("--side is {}; it must be 8 to 256", s.side));
    }
    Ok(())
}

/// The run in `out`, or a fresh one.
fn start(settings: &Settings, out: &Path, model: &Autoencoder) -> Result<(Optimiser, State), LabError> {
    std::fs::create_dir_all(out).map_err(LabError::file(out))?;
    if let Some((slots, state)) = checkpoint::load::<State>(out)? {
        // More epochs or more patience continue a run; everything else makes another.
        let continued =
            Settings { epochs: settings.epochs, patience: settings.patience, ..state.settings.clone() };
        if continued != *settings {
            return Err(LabError::Settings(format!(
                "{} holds a run with other settings: choose another --out, or repeat its settings to go on",
                out.display()
            )));
        }
        return Ok((Optimiser { slots, step: state.step }, State { settings: continued, ..state }));
    }
    let values = model.initial(&mut StdRng::seed_from_u64(settings.seed));
    let slots = values.into_iter().map(|(name, (shape, data))| (name, Slot::new(shape, data))).collect();
    let state = State { settings: settings.clone(), step: 0, seconds: 0.0, history: vec![], sums: [0.0; 3] };
    Ok((Optimiser { slots, step: 0 }, state))
}

/// Whether the validation loss has not fallen for as long as is allowed.
fn exhausted(state: &State) -> bool {
    state.best().is_some_and(|best| state.history.len() as u64 - best.epoch >= state.settings.patience)
}

/// Learning rate at `share` (0..1) of the run: constant, then a cosine decay (Loshchilov & Hutter 2017).
pub(super) fn learning_rate(highest: f64, share: f64) -> f64 {
    let decay = ((share - HOLD) / (1.0 - HOLD)).clamp(0.0, 1.0);
    highest * (FINAL + (1.0 - FINAL) * 0.5 * (1.0 + (std::f64::consts::PI * decay).cos()))
}

/// One step along the gradient of the pictures `chosen`; gives sums over them.
fn step(
    settings: &Settings,
    model: &Autoencoder,
    optimiser: &mut Optimiser,
    workers: &Workers,
    pictures: &Pictures,
    chosen: &[usize],
    steps: u64,
) -> Result<[f64; 3], LabError> {
    let variables = optimiser.variables(&Device::Cpu)?;
    let share = chosen.len().div_ceil(workers.count());
    let parts: Vec<&[usize]> = chosen.chunks(share).collect();
    let at = optimiser.step;
    let found = workers.each(|worker| -> candle_core::Result<_> {
        let Some(part) = parts.get(worker) else { return Ok((Gradients::new(), [0.0; 3])) };
        // Seeded by the step, so that a resumed run draws the same noise.
        let stream = at * 64 + worker as u64;
        let mut rng = StdRng::seed_from_u64(settings.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let x = pictures.tensor(&pictures.train, part)?;
        let noise = gaussian(&mut rng, part.len(), settings.bottleneck)?;
        let (nats, kl) = terms(settings, model, &variables, &x, &noise)?;
        let loss = match &kl {
            Some(kl) => (&nats + (kl * settings.beta)?)?,
            None => nats.clone(),
        };
        // The mean over the whole batch, for each pixel, times the workers that it is then averaged over.
        let scale = workers.count() as f64 / (chosen.len() * pictures.size()) as f64;
        let gradients = optimiser::gradients(&(loss.sum_all()? * scale)?, &variables)?;
        let sum = |t: &Tensor| Ok::<_, candle_core::Error>(f64::from(t.sum_all()?.to_scalar::<f32>()?));
        let kl = kl.as_ref().map(sum).transpose()?.unwrap_or(0.0);
        Ok((gradients, [sum(&nats)?, kl, part.len() as f64]))
    });
    let mut sums = [0.0; 3];
    let mut gradients = Vec::with_capacity(found.len());
    for part in found {
        let (part, more) = part?;
        gradients.push(part);
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    let learning = learning_rate(settings.learning_rate, at as f64 / (steps * settings.epochs) as f64);
    let weight_decay = settings.weight_decay;
    let rates = Rates { method: Method::AdamW, learning, weight_decay, clip: CLIP, average: AVERAGE };
    let norm = optimiser.step(&gradients, &rates)?;
    if !norm.is_finite() {
        return Err(LabError::Diverged { step: at, norm });
    }
    Ok(sums)
}

/// The two terms of each picture, in nats (N): reconstruction from a sample, and KL.
pub(super) fn terms(
    settings: &Settings,
    model: &Autoencoder,
    parameters: &Parameters,
    x: &Tensor,
    noise: &Tensor,
) -> candle_core::Result<(Tensor, Option<Tensor>)> {
    let posterior = model.encode(parameters, x)?;
    let logits = model.decode(parameters, &posterior.sample(noise)?)?;
    Ok((reconstruction(settings.likelihood, &logits, x)?, kl_of(&posterior)?))
}

/// Standard normal noise (rows, columns).
pub(super) fn gaussian(rng: &mut StdRng, rows: usize, columns: usize) -> candle_core::Result<Tensor> {
    let noise: Vec<f32> = (0..rows * columns).map(|_| normal(rng)).collect();
    Tensor::from_vec(noise, (rows, columns), &Device::Cpu)
}
