//! What the coding steps do to maps, as operations: a step touches one channel group at each position and leaves the rest
//! alone, so nothing is masked.

use super::ops::{values, with_values};
use crate::network::{STEPS, group_at};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use std::ops::Range;

/// ŷ (N, H, W, C) with the symbols of `step` decoded: round(y − μ) + μ. Rounding passes the gradient on as if there were
/// none, so that y has all of it and μ has none. The values of ŷ that the step sets must not depend on anything.
pub(super) fn decoded(y_hat: &Tensor, y: &Tensor, mu: &Tensor, step: usize) -> Result<Tensor> {
    if y.device().is_cpu() {
        return y_hat.contiguous()?.apply_op3(&y.contiguous()?, &mu.contiguous()?, Decoded { step });
    }
    composed::decoded(y_hat, y, mu, step)
}

/// `means` (N, H, W, C) with those of `step` taken from `mu`. The values that the step sets must not depend on anything.
pub(super) fn merged(means: &Tensor, mu: &Tensor, step: usize) -> Result<Tensor> {
    if mu.device().is_cpu() {
        return means.contiguous()?.apply_op2(&mu.contiguous()?, Merged { step });
    }
    composed::merged(means, mu, step)
}

/// The same operations from candle's primitives.
pub(super) mod composed {
    use super::*;
    use crate::nn::latents::straight_through;

    pub(crate) fn decoded(y_hat: &Tensor, y: &Tensor, mu: &Tensor, step: usize) -> Result<Tensor> {
        y_hat + ((straight_through(&(y - mu)?)? + mu)? * mask(y, step)?)?
    }

    pub(crate) fn merged(means: &Tensor, mu: &Tensor, step: usize) -> Result<Tensor> {
        means + (mu * mask(mu, step)?)?
    }

    /// 1 where `step` codes and 0 elsewhere, in the shape of y.
    fn mask(y: &Tensor, step: usize) -> Result<Tensor> {
        let (n, h, w, c) = y.dims4()?;
        let mut mask = vec![0.0f32; h * w * c];
        groups((1, h, w, c), step).for_each(|group| mask[group].fill(1.0));
        Tensor::from_vec(mask, (1, h, w, c), y.device())?.broadcast_as((n, h, w, c))?.contiguous()
    }
}

/// Where the values lie that `step` codes, in a map (N, H, W, C).
fn groups(
    (n, h, w, c): (usize, usize, usize, usize),
    step: usize,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let size = c / STEPS;
    (0..n * h * w).map(move |at| {
        let start = at * c + group_at(step, at / w % h, at % w) * size;
        start..start + size
    })
}

/// `grad` where `step` codes, and 0 elsewhere.
fn gradient_of(step: usize, grad: &Tensor) -> Result<Tensor> {
    let mut back = vec![0.0; grad.elem_count()];
    let dims = grad.dims4()?;
    with_values([grad], |[grad]| {
        groups(dims, step).for_each(|group| back[group.clone()].copy_from_slice(&grad[group]));
        Ok(())
    })?;
    Tensor::from_vec(back, grad.shape(), grad.device())
}

struct Decoded {
    step: usize,
}

impl CustomOp3 for Decoded {
    fn name(&self) -> &'static str {
        "decoded"
    }

    fn cpu_fwd(
        &self,
        y_hat: &CpuStorage,
        hl: &Layout,
        y: &CpuStorage,
        yl: &Layout,
        mu: &CpuStorage,
        ml: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (y, mu) = (values(y, yl)?, values(mu, ml)?);
        let mut out = values(y_hat, hl)?.to_vec();
        for group in groups(yl.shape().dims4()?, self.step) {
            let inputs = y[group.clone()].iter().zip(&mu[group.clone()]);
            out[group].iter_mut().zip(inputs).for_each(|(out, (y, mu))| *out = (y - mu).round() + mu);
        }
        Ok((CpuStorage::F32(out), yl.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((Some(grad.clone()), Some(gradient_of(self.step, grad)?), None))
    }
}

struct Merged {
    step: usize,
}

impl CustomOp2 for Merged {
    fn name(&self) -> &'static str {
        "merged"
    }

    fn cpu_fwd(
        &self,
        means: &CpuStorage,
        l: &Layout,
        mu: &CpuStorage,
        ml: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mu = values(mu, ml)?;
        let mut out = values(means, l)?.to_vec();
        for group in groups(ml.shape().dims4()?, self.step) {
            out[group.clone()].copy_from_slice(&mu[group]);
        }
        Ok((CpuStorage::F32(out), ml.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(grad.clone()), Some(gradient_of(self.step, grad)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const SHAPE: (usize, usize, usize, usize) = (2, 3, 5, 8);

    fn variable(seed: f32) -> Var {
        let data: Vec<f32> = (0..2 * 3 * 5 * 8).map(|at| 3.0 * (at as f32 * 0.7 + seed).sin()).collect();
        Var::from_vec(data, SHAPE, &Device::Cpu).unwrap()
    }

    /// Values and gradients of two steps on top of one another.
    fn run(
        y: &Var,
        mu: &Var,
        decoded: impl Fn(&Tensor, &Tensor, &Tensor, usize) -> Result<Tensor>,
        merged: impl Fn(&Tensor, &Tensor, usize) -> Result<Tensor>,
    ) -> Vec<Vec<f32>> {
        let none = Tensor::zeros_like(y).unwrap();
        let first = decoded(&none, y, mu, 1).unwrap();
        // The second step's mean depends on what the first decoded.
        let next = (mu.as_tensor() + (&first * 0.5).unwrap()).unwrap();
        let second = decoded(&first, y, &next, 2).unwrap();
        let means = merged(&merged(&none, mu, 1).unwrap(), &next, 2).unwrap();
        let residual = (y.as_tensor() - &means).unwrap();
        let loss = (second.sqr().unwrap() + residual.sqr().unwrap() * 0.3).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let gradient = |var: &Var| flat(gradients.get(var).unwrap());
        vec![flat(&second), flat(&means), gradient(y), gradient(mu)]
    }

    #[test]
    fn steps_are_what_masks_make_of_them() {
        let (y, mu) = (variable(0.0), variable(2.0));
        let ours = run(&y, &mu, decoded, merged);
        let oracle = run(&y, &mu, composed::decoded, composed::merged);
        for (ours, oracle) in ours.iter().zip(&oracle) {
            for (a, b) in ours.iter().zip(oracle) {
                assert!((a - b).abs() < 1e-4, "{a} against {b}");
            }
        }
    }
}
