//! AdamW (Loshchilov & Hutter 2019) with gradient clipping and an exponential moving average.

use crate::nn::Parameters;
use candle_core::{Result, Tensor, Var};
use std::collections::BTreeMap;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.98;
const EPSILON: f64 = 1e-8;

/// Trained values and everything that a resumed run needs.
pub(super) struct Optimiser {
    /// Values now.
    pub(super) values: BTreeMap<String, Var>,
    /// First moments.
    pub(super) first: BTreeMap<String, Tensor>,
    /// Second moments.
    pub(super) second: BTreeMap<String, Tensor>,
    /// Moving average of the values: what is evaluated and shipped.
    pub(super) average: BTreeMap<String, Tensor>,
    /// Steps taken.
    pub(super) step: u64,
}

/// What one step of the optimiser is told.
pub(super) struct Rates {
    pub(super) learning: f64,
    pub(super) weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub(super) clip: f64,
    /// Decay of the moving average.
    pub(super) average: f64,
}

impl Optimiser {
    pub(super) fn new(values: BTreeMap<String, Tensor>) -> Result<Optimiser> {
        let zeros = values.iter().map(|(k, v)| Ok((k.clone(), v.zeros_like()?))).collect::<Result<BTreeMap<_, _>>>()?;
        Ok(Optimiser {
            first: zeros.clone(),
            second: zeros,
            average: values.clone(),
            values: values.into_iter().map(|(k, v)| Ok((k, Var::from_tensor(&v)?))).collect::<Result<_>>()?,
            step: 0,
        })
    }

    /// The values as the networks look them up.
    pub(super) fn parameters(&self) -> Parameters {
        self.values.iter().map(|(k, v)| (k.clone(), v.as_tensor().clone())).collect()
    }

    /// The moving average, as the networks look it up.
    pub(super) fn averaged(&self) -> Parameters {
        self.average.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Takes one step along `gradients`; returns the norm of the gradient before clipping.
    pub(super) fn step(&mut self, gradients: &BTreeMap<String, Tensor>, rates: &Rates) -> Result<f64> {
        let mut square = 0.0;
        for gradient in gradients.values() {
            square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let norm = square.sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        let clip = (rates.clip / norm).min(1.0);
        self.step += 1;
        let (c1, c2) = (1.0 - BETA1.powf(self.step as f64), 1.0 - BETA2.powf(self.step as f64));
        // The average must not remember the first, untrained values.
        let average = rates.average.min((1.0 + self.step as f64) / (10.0 + self.step as f64));
        for (name, gradient) in gradients {
            let gradient = (gradient * clip)?.detach();
            let first = ((&self.first[name] * BETA1)? + (&gradient * (1.0 - BETA1))?)?.detach();
            let second = ((&self.second[name] * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?.detach();
            let update = ((&first / c1)? / ((&second / c2)?.sqrt()? + EPSILON)?)?;
            let var = &self.values[name];
            let decay = if name.ends_with("weight") { rates.weight_decay } else { 0.0 };
            let value = ((var.as_tensor() * (1.0 - rates.learning * decay))? - (update * rates.learning)?)?.detach();
            let mean = ((&self.average[name] * average)? + (&value * (1.0 - average))?)?.detach();
            var.set(&value)?;
            self.first.insert(name.clone(), first);
            self.second.insert(name.clone(), second);
            self.average.insert(name.clone(), mean);
        }
        Ok(norm)
    }
}
