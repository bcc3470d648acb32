//! The latent half of the decoder as a graph: what `latents.rs` walks in integers, for gradients.

use super::{Parameters, run};
use crate::architecture::Architecture;
use crate::network::{Network, STEPS, group_at};
use candle_core::{D, Device, Result, Tensor};

/// The four coding steps and the correction.
pub(crate) struct LatentGraph {
    means: Vec<Network>,
    correction: Network,
}

impl LatentGraph {
    pub(crate) fn new(arch: &Architecture) -> LatentGraph {
        LatentGraph { means: (0..STEPS).map(|s| arch.mean(s)).collect(), correction: arch.correction() }
    }

    /// Residuals before rounding, and ŷ after the correction, both (N, H/16, W/16, y), from scaled y of that shape
    /// and the features (N, H/16, W/16, hyper). Rounding passes the gradient on as if there were none.
    pub(crate) fn run(
        &self,
        p: &Parameters,
        y: &Tensor,
        features: &Tensor,
        knots: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let mut y_hat: Option<Tensor> = None;
        let mut residual: Option<Tensor> = None;
        for (network, mask) in self.means.iter().zip(&step_masks(y)?) {
            let input = match &y_hat {
                None => features.clone(),
                Some(y_hat) => Tensor::cat(&[y_hat, features], D::Minus1)?,
            };
            let mu = run(network, p, &input, knots)?;
            let r = ((y - &mu)? * mask)?;
            let decoded = ((straight_through(&r)? + mu)? * mask)?;
            y_hat = Some(add(y_hat, decoded)?);
            residual = Some(add(residual, r)?);
        }
        let (y_hat, residual) = (y_hat.expect("four steps"), residual.expect("four steps"));
        let correction = run(&self.correction, p, &Tensor::cat(&[&y_hat, features], D::Minus1)?, knots)?;
        Ok((residual, (y_hat + correction)?))
    }
}

fn add(sum: Option<Tensor>, term: Tensor) -> Result<Tensor> {
    match sum {
        Some(sum) => sum + term,
        None => Ok(term),
    }
}

/// Rounds; the gradient passes as if it had not.
pub(crate) fn straight_through(x: &Tensor) -> Result<Tensor> {
    x + (x.round()? - x)?.detach()
}

/// For each step, 1 where it codes and 0 elsewhere, in the shape of y.
fn step_masks(y: &Tensor) -> Result<Vec<Tensor>> {
    let (n, h, w, channels) = y.dims4()?;
    let device: &Device = y.device();
    let group = channels / STEPS;
    (0..STEPS)
        .map(|step| {
            let mut mask = vec![0.0f32; h * w * channels];
            for (at, cell) in mask.chunks_exact_mut(channels).enumerate() {
                cell[group_at(step, at / w, at % w) * group..][..group].fill(1.0);
            }
            Tensor::from_vec(mask, (1, h, w, channels), device)?
                .broadcast_as((n, h, w, channels))?
                .contiguous()
        })
        .collect()
}
