//! AdamW (Loshchilov & Hutter 2019), plain or in SOAP's bases, with gradient clipping and an exponential moving average.
//!
//! State lives on the host, and one pass over it does everything. A GPU sends 5 MB of gradients a step for it.

use super::soap::{self, Bases};
use crate::nn::Parameters;
use crate::nn::ops::with_values;
use candle_core::{Device, Result, Tensor, Var};
use rayon::prelude::*;
use std::collections::BTreeMap;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.98;
const EPSILON: f32 = 1e-8;

/// One parameter and what is remembered of it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) shape: Vec<usize>,
    pub(crate) value: Vec<f32>,
    /// Running mean of the gradient.
    pub(crate) first: Vec<f32>,
    /// Running mean of its square.
    pub(crate) second: Vec<f32>,
    /// Moving average of the value: what is validated and shipped.
    pub(crate) average: Vec<f32>,
    /// Where the moments live in bases of their own (SOAP).
    pub(crate) bases: Option<Bases>,
    gradient: Vec<f32>,
}

impl Slot {
    pub(crate) fn new(shape: Vec<usize>, value: Vec<f32>) -> Slot {
        let zeros = vec![0.0; value.len()];
        Slot {
            shape,
            average: value.clone(),
            first: zeros.clone(),
            second: zeros.clone(),
            bases: None,
            gradient: zeros,
            value,
        }
    }
}

/// All parameters by name.
pub(crate) type Slots = BTreeMap<String, Slot>;

/// Parameters on their way.
pub(crate) struct Optimiser {
    pub(crate) slots: Slots,
    /// Steps taken.
    pub(crate) step: u64,
}

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Every number by itself.
    AdamW,
    /// AdamW for matrices in the eigenbases of their gradients' covariances.
    Soap,
}

/// What one step of the optimiser is told.
pub(crate) struct Rates {
    pub(crate) method: Method,
    pub(crate) learning: f64,
    pub(crate) weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub(crate) clip: f64,
    /// Decay of the moving average.
    pub(crate) average: f64,
}

/// Gradients of one worker, by name.
pub(crate) type Gradients = BTreeMap<String, Tensor>;

/// The gradients of `loss` in every parameter that it depends on.
pub(crate) fn gradients(loss: &Tensor, parameters: &Parameters) -> Result<Gradients> {
    let mut store = loss.backward()?;
    let of = |(name, value): (&String, &Tensor)| Some((name.clone(), store.remove(value)?.detach()));
    Ok(parameters.iter().filter_map(of).collect())
}

impl Optimiser {
    /// The values, as variables that the networks look up and gradients flow to.
    pub(crate) fn variables(&self, device: &Device) -> Result<Parameters> {
        let variable =
            |slot: &Slot| Var::from_slice(&slot.value, slot.shape.as_slice(), device).map(Var::into_inner);
        self.slots.iter().map(|(name, slot)| Ok((name.clone(), variable(slot)?))).collect()
    }

    /// The moving average, as the networks look it up.
    pub(crate) fn averaged(&self, device: &Device) -> Result<Parameters> {
        let tensor = |slot: &Slot| Tensor::from_slice(&slot.average, slot.shape.as_slice(), device);
        self.slots.iter().map(|(name, slot)| Ok((name.clone(), tensor(slot)?))).collect()
    }

    /// Takes one step along the mean of the workers' gradients; returns its norm before clipping. Where
    /// that is no finite number, nothing is changed.
    pub(crate) fn step(&mut self, workers: &[Gradients], rates: &Rates) -> Result<f64> {
        let mut slots: Vec<(&String, &mut Slot)> = self.slots.iter_mut().collect();
        let share = 1.0 / workers.len() as f32;
        let squares = slots
            .par_iter_mut()
            .map(|(name, slot)| {
                slot.gradient.fill(0.0);
                for gradients in workers {
                    let Some(gradient) = gradients.get(*name) else { continue };
                    let gradient = gradient.to_device(&Device::Cpu)?;
                    with_values([&gradient], |[values]| {
                        slot.gradient.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
                        Ok(())
                    })?;
                }
                Ok(slot.gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>())
            })
            .collect::<Result<Vec<f64>>>()?;
        let norm = squares.iter().sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        self.step += 1;
        let at = Pass {
            clip: (rates.clip / norm).min(1.0) as f32,
            correction1: 1.0 / (1.0 - BETA1.powf(self.step as f32)),
            correction2: 1.0 / (1.0 - BETA2.powf(self.step as f32)),
            learning: rates.learning as f32,
            // The average must not remember the first, untrained values.
            average: rates.average.min((1.0 + self.step as f64) / (10.0 + self.step as f64)) as f32,
        };
        slots.par_iter_mut().enumerate().for_each(|(index, (name, slot))| {
            let decay = if name.ends_with("weight") { rates.weight_decay } else { 0.0 };
            let keep = 1.0 - (rates.learning * decay) as f32;
            // Staggered, so that every step takes as long.
            let refine = (self.step + index as u64).is_multiple_of(soap::EVERY);
            at.update(slot, keep, rates.method, refine);
        });
        Ok(norm)
    }
}

/// The numbers of one step.
struct Pass {
    clip: f32,
    correction1: f32,
    correction2: f32,
    learning: f32,
    average: f32,
}

impl Pass {
    fn update(&self, slot: &mut Slot, keep: f32, method: Method, refine: bool) {
        slot.gradient.iter_mut().for_each(|g| *g *= self.clip);
        match (method, slot.shape.as_slice()) {
            (Method::Soap, &[rows, columns]) => {
                let Some(bases) = &mut slot.bases else {
                    // In bases made of this very gradient it would be diagonal: the next is the first to be used.
                    slot.bases = Some(Bases::new(&slot.gradient, rows, columns));
                    slot.first.fill(0.0);
                    slot.second.fill(0.0);
                    return;
                };
                bases.observe(&slot.gradient, rows, columns);
                if refine {
                    bases.refine(&mut slot.first, &mut slot.second, rows, columns);
                }
                bases.enter(&mut slot.gradient, rows, columns);
                self.moments(slot);
                if let Some(bases) = &slot.bases {
                    bases.leave(&mut slot.gradient, rows, columns);
                }
            }
            _ => {
                if slot.bases.take().is_some() {
                    slot.first.fill(0.0);
                    slot.second.fill(0.0);
                }
                self.moments(slot);
            }
        }
        let values = slot.value.iter_mut().zip(&mut slot.average);
        for ((value, average), update) in values.zip(&slot.gradient) {
            *value = *value * keep - self.learning * update;
            *average = self.average * *average + (1.0 - self.average) * *value;
        }
    }

    /// Adam's moments; the step takes the gradient's place.
    fn moments(&self, slot: &mut Slot) {
        let moments = slot.first.iter_mut().zip(&mut slot.second);
        for ((first, second), gradient) in moments.zip(&mut slot.gradient) {
            *first = BETA1 * *first + (1.0 - BETA1) * *gradient;
            *second = BETA2 * *second + (1.0 - BETA2) * *gradient * *gradient;
            *gradient = *first * self.correction1 / ((*second * self.correction2).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Descends (x − 3)² from 0.
    #[test]
    fn finds_the_minimum_of_a_parabola() {
        let slots = BTreeMap::from([("x".to_string(), Slot::new(vec![1], vec![0.0]))]);
        let mut optimiser = Optimiser { slots, step: 0 };
        let rates =
            Rates { method: Method::AdamW, learning: 0.05, weight_decay: 0.0, clip: 100.0, average: 0.9 };
        for _ in 0..400 {
            let x = optimiser.variables(&Device::Cpu).unwrap().remove("x").unwrap();
            let loss = (&x - 3.0).unwrap().sqr().unwrap().sum_all().unwrap();
            let gradient = loss.backward().unwrap().remove(&x).unwrap();
            optimiser.step(&[Gradients::from([("x".to_string(), gradient)])], &rates).unwrap();
        }
        let slot = &optimiser.slots["x"];
        assert!((slot.value[0] - 3.0).abs() < 0.05, "{:?}", slot.value);
        assert!((slot.average[0] - 3.0).abs() < 0.05, "{:?}", slot.average);
    }

    #[test]
    fn a_gradient_that_is_no_number_changes_nothing() {
        let slots = BTreeMap::from([("x".to_string(), Slot::new(vec![1], vec![2.0]))]);
        let mut optimiser = Optimiser { slots, step: 0 };
        let rates =
            Rates { method: Method::AdamW, learning: 0.1, weight_decay: 0.0, clip: 1.0, average: 0.9 };
        let nan = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
        let norm = optimiser.step(&[Gradients::from([("x".to_string(), nan)])], &rates).unwrap();
        assert!(norm.is_nan());
        assert_eq!((optimiser.step, optimiser.slots["x"].value[0]), (0, 2.0));
    }
}
