//! The terms of the loss, in nats a picture.
//!
//! A variational autoencoder descends the negative evidence lower bound (Kingma & Welling 2014, equation 3):
//! −ln p(x | z) averaged over z ~ q(z | x), plus KL(q(z | x) ‖ p(z)). A β-VAE weighs the KL term with β (Higgins et
//! al. 2017). The codec's trainer descends the same sum with λ = 1/β in front of the other term, up to constants: its
//! rate is the KL of a posterior that is a box of width one ([`crate::train`]; Ballé et al. 2018).

use super::model::{Likelihood, Posterior};
use crate::nn::ops::{values, with_values};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use std::f64::consts::TAU;

/// The logistic function of every value.
pub(super) fn logistic(logits: &Tensor) -> Result<Tensor> {
    ((logits * 0.5)?.tanh()? * 0.5)? + 0.5
}

/// −ln p(x | z) of each picture, in nats: (N), from logits and x (values 0..1), both (N, H, W, 1).
pub(super) fn reconstruction(likelihood: Likelihood, logits: &Tensor, x: &Tensor) -> Result<Tensor> {
    let n = x.dim(0)?;
    let pixels = x.elem_count() / n;
    match likelihood {
        Likelihood::Bernoulli => {
            let logits = logits.reshape((n, pixels))?.contiguous()?;
            logits.apply_op2(&x.reshape((n, pixels))?.contiguous()?, Bernoulli)
        }
        Likelihood::Gaussian { deviation } => {
            let squares = (logistic(logits)? - x)?.sqr()?.flatten_from(1)?.sum(1)?;
            let constant = 0.5 * pixels as f64 * (TAU * deviation * deviation).ln();
            (squares / (2.0 * deviation * deviation))? + constant
        }
    }
}

/// KL(N(μ, σ²) ‖ N(0, 1)) of each number in the bottleneck, in nats: (N, K), ½ (μ² + σ² − 1 − ln σ²) (Kingma & Welling
/// 2014, appendix B).
pub(super) fn kl(mean: &Tensor, log_variance: &Tensor) -> Result<Tensor> {
    ((mean.sqr()? + log_variance.exp()?)? - (log_variance + 1.0)?)? * 0.5
}

/// Sum of the KL terms of each picture, in nats: (N); none without a distribution.
pub(super) fn kl_of(posterior: &Posterior) -> Result<Option<Tensor>> {
    posterior.log_variance.as_ref().map(|v| kl(&posterior.mean, v)?.sum(1)).transpose()
}

/// Cross-entropy from logits, summed over each row: ln(1 + eˡ) − x·l.
struct Bernoulli;

impl CustomOp2 for Bernoulli {
    fn name(&self) -> &'static str {
        "bernoulli"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        ll: &Layout,
        x: &CpuStorage,
        xl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, pixels) = ll.shape().dims2()?;
        let rows = values(logits, ll)?.chunks_exact(pixels).zip(values(x, xl)?.chunks_exact(pixels));
        let sums = rows.map(|(logits, x)| {
            let nats = |(&l, &x): (&f32, &f32)| f64::from(l.max(0.0) - x * l + (-l.abs()).exp().ln_1p());
            logits.iter().zip(x).map(nats).sum::<f64>() as f32
        });
        Ok((CpuStorage::F32(sums.collect()), n.into()))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        x: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let pixels = logits.dim(1)?;
        let slopes = with_values([logits, x, grad], |[logits, x, grad]| {
            let slope =
                |(i, (&l, &x)): (usize, (&f32, &f32))| grad[i / pixels] * (1.0 / (1.0 + (-l).exp()) - x);
            Ok(logits.iter().zip(x).enumerate().map(slope).collect::<Vec<f32>>())
        })?;
        // Pictures are data: they have no gradient.
        Ok((Some(Tensor::from_vec(slopes, logits.shape(), logits.device())?), None))
    }
}
