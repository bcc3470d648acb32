//! The latent half of the decoder as a graph: what `latents.rs` walks in integers, for gradients.

use super::coding::{decoded, merged};
use super::{Parameters, run};
use crate::architecture::Architecture;
use crate::network::{Network, STEPS};
use candle_core::{D, Result, Tensor};

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
        let mut y_hat = Tensor::zeros_like(y)?;
        let mut means = y_hat.clone();
        for (step, network) in self.means.iter().enumerate() {
            let mu = match step {
                0 => run(network, p, features, knots)?,
                _ => run(network, p, &Tensor::cat(&[&y_hat, features], D::Minus1)?, knots)?,
            };
            y_hat = decoded(&y_hat, y, &mu, step)?;
            means = merged(&means, &mu, step)?;
        }
        let residual = (y - means)?;
        let correction = run(&self.correction, p, &Tensor::cat(&[&y_hat, features], D::Minus1)?, knots)?;
        Ok((residual, (y_hat + correction)?))
    }
}

/// Rounds; the gradient passes as if it had not.
pub(crate) fn straight_through(x: &Tensor) -> Result<Tensor> {
    x + (x.round()? - x)?.detach()
}
