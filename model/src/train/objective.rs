//! The training graph and its loss.

use super::rate::{gaussian_bits, logistic_bits};
use crate::architecture::Architecture;
use crate::network::{Layer, Network};
use crate::nn::latents::{LatentGraph, straight_through};
use crate::nn::structure::{self, dissimilarity};
use crate::nn::{self, Parameters, ops, parameter};
use crate::scale::{ACTIVATION_MAX, QUALITY_SHIFT, QUALITY_UNIT};
use candle_core::{D, Device, Result, Tensor};
use rand::Rng;
use rand::rngs::StdRng;

/// Weight of 0..=255 against the −1..=1 that the networks see, squared.
const MSE_SCALE: f64 = 127.5 * 127.5;

/// The networks of one architecture, ready to be run with any parameters.
pub(super) struct Codec {
    arch: Architecture,
    analysis: Network,
    hyper_analysis: Network,
    hyper_synthesis: Network,
    latents: LatentGraph,
    synthesis: Network,
    scale: Network,
}

/// What one pass gives, for each picture of the batch (N).
pub(super) struct Pass {
    /// Bits for each pixel, z and y together.
    pub(super) bpp: Tensor,
    /// Mean squared error on the 0..=255 scale.
    pub(super) mse: Tensor,
    /// What went in and what came out, (N, H, W, 3) on the −1..=1 scale.
    pictures: [Tensor; 2],
    /// How far the decoded picture's steps across patch borders stand out from its other steps, on the same
    /// scale: see [`blocking`].
    pub(super) blocking: Tensor,
}

/// What counts in the distortion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Weight of steps across patch borders that stand out: keeps a block grid from showing.
    pub border: f64,
    /// Share, 0 up to less than 1, of structural dissimilarity in the distortion; the rest is squared error, which alone
    /// holds colours and brightness.
    pub structure: f64,
}

/// How quantisation is stood in for.
pub(super) enum Quantiser<'a> {
    /// Uniform noise for the rate, straight-through rounding for the reconstruction.
    Noise(&'a mut StdRng),
    /// Rounding, as the coder does it.
    Round,
}

impl Codec {
    pub(super) fn new(arch: &Architecture) -> Codec {
        Codec {
            arch: arch.clone(),
            analysis: arch.analysis(),
            hyper_analysis: arch.hyper_analysis(),
            hyper_synthesis: arch.hyper_synthesis(),
            latents: LatentGraph::new(arch),
            synthesis: arch.synthesis(),
            scale: arch.scale(),
        }
    }

    /// x (N, H, W, 3) in −1..=1, sides multiples of 64; one position on the rate scale a picture.
    pub(super) fn pass(
        &self,
        p: &Parameters,
        x: &Tensor,
        positions: &[f32],
        mut quantiser: Quantiser<'_>,
    ) -> Result<Pass> {
        let (n, h, w, _) = x.dims4()?;
        let device = x.device();
        let knots = nn::knot_weights(positions, device)?;
        let log_gain = knots.matmul(parameter(p, "gain")?)?.reshape((n, 1, 1, self.arch.y))?;

        let y = nn::run(&self.analysis, p, x, &knots)?.broadcast_mul(&log_gain.exp()?)?;
        let z = nn::run(&self.hyper_analysis, p, &y, &knots)?;
        let z_hat = straight_through(&z)?;
        let z_rate = quantiser.apply(&z, &z_hat)?;
        let mean = knots.matmul(parameter(p, "prior.mean")?)?;
        let log_scale = knots.matmul(parameter(p, "prior.log_scale")?)?;
        let bits_z = logistic_bits(&z_rate, &mean, &log_scale)?;

        let level = self.levels(p, &z_hat, positions)?;
        let features = nn::run(&self.hyper_synthesis, p, &z_hat, &knots)?;
        let (residual, y_hat) = self.latents.run(p, &y, &features, &knots)?;
        let r_rate = quantiser.apply(&residual, &straight_through(&residual)?)?;
        let bits_y = gaussian_bits(&r_rate, &level)?;

        let y_hat = y_hat.broadcast_mul(&log_gain.neg()?.exp()?)?;
        let x_hat = nn::run(&self.synthesis, p, &y_hat, &knots)?;

        let pixels = (h * w) as f64;
        let per_picture = |t: &Tensor| t.reshape((n, t.elem_count() / n))?.sum(1);
        let bpp = ((per_picture(&bits_y)? + per_picture(&bits_z)?)? / pixels)?;
        let x_hat = if let Quantiser::Round = quantiser { x_hat.clamp(-1.0, 1.0)? } else { x_hat };
        let error = (x - &x_hat)?;
        let mse = (per_picture(&error.sqr()?)? * (MSE_SCALE / (3.0 * pixels)))?;
        let blocking = (blocking(&x_hat)? * MSE_SCALE)?;
        Ok(Pass { bpp, mse, pictures: [x.clone(), x_hat], blocking })
    }

    /// Scale levels (N, H/16, W/16, y) from z: the float twin of `scale.rs`.
    fn levels(&self, p: &Parameters, z_hat: &Tensor, positions: &[f32]) -> Result<Tensor> {
        let (n, h, w, _) = z_hat.dims4()?;
        let codes: Vec<f32> = positions
            .iter()
            .map(|&q| ((q * 65535.0).round() as u16 >> QUALITY_SHIFT) as f32 / QUALITY_UNIT as f32)
            .collect();
        let quality = Tensor::from_vec(codes, (n, 1, 1, 1), z_hat.device())?.broadcast_as((n, h, w, 1))?;
        let mut x = Tensor::cat(&[z_hat, &quality.contiguous()?], D::Minus1)?;
        let last = self.scale.layers.len() - 1;
        for (index, layer) in self.scale.layers.iter().enumerate() {
            let parameter = |name: &str| parameter(p, &self.scale.parameter(index, name));
            x = match layer {
                Layer::Shuffle(k) => ops::shuffle(&x, *k)?,
                Layer::Conv3 { .. } => {
                    ops::linear(&ops::unfold3(&x)?, parameter("weight")?, parameter("bias")?)?
                }
                _ => ops::linear(&x, parameter("weight")?, parameter("bias")?)?,
            };
            if index != last && !matches!(layer, Layer::Shuffle(_)) {
                x = x.clamp(0.0, ACTIVATION_MAX)?;
            }
        }
        Ok(x)
    }

    /// The loss to descend, a scalar: the mean of (λ·D + bpp) / √λ, so that no rate drowns the others, with D the
    /// [`distortion`].
    pub(super) fn loss(&self, pass: &Pass, positions: &[f32], weigh: Weights) -> Result<Tensor> {
        let device: &Device = pass.bpp.device();
        let n = positions.len();
        let lambdas: Vec<f32> = positions.iter().map(|&p| self.arch.lambda_at(p)).collect();
        let middle = self.arch.lambda_at(0.5);
        let weights: Vec<f32> = lambdas.iter().map(|l| (middle / l).sqrt()).collect();
        let lambdas = Tensor::from_vec(lambdas, n, device)?;
        let weights = Tensor::from_vec(weights, n, device)?;
        (((distortion(pass, weigh)? * lambdas)? + &pass.bpp)? * weights)?.mean_all()
    }
}

/// What is weighed against bits, for each picture (N), on the scale of squared errors: (1 − `structure`) · MSE +
/// `structure` · [`structure::IN_SQUARES`] · dissimilarity + `border` · [`blocking`].
pub(super) fn distortion(pass: &Pass, weigh: Weights) -> Result<Tensor> {
    let distortion = ((&pass.mse * (1.0 - weigh.structure))? + (&pass.blocking * weigh.border)?)?;
    if weigh.structure == 0.0 {
        return Ok(distortion);
    }
    let [x, x_hat] = &pass.pictures;
    distortion + (dissimilarity(x, x_hat)? * (weigh.structure * structure::IN_SQUARES))?
}

impl Quantiser<'_> {
    fn apply(&mut self, exact: &Tensor, rounded: &Tensor) -> Result<Tensor> {
        match self {
            Quantiser::Round => Ok(rounded.clone()),
            Quantiser::Noise(rng) => {
                let noise: Vec<f32> = (0..exact.elem_count()).map(|_| rng.random::<f32>() - 0.5).collect();
                exact + Tensor::from_vec(noise, exact.shape(), exact.device())?
            }
        }
    }
}

/// By how much the squared mean step across the borders of 8×8 and of 16×16 patches exceeds the squared mean step
/// elsewhere, over both directions: (N), 0 where no grid shows. A mean squared error hardly sees a block grid in a
/// smooth area; an eye does. `evaluate` reports the same means as blockiness.
fn blocking(x_hat: &Tensor) -> Result<Tensor> {
    let (n, h, w, _) = x_hat.dims4()?;
    let excess = |axis: usize, length: usize| -> Result<Tensor> {
        let before = x_hat.narrow(axis, 0, length - 1)?;
        let steps = (x_hat.narrow(axis, 1, length - 1)? - before)?.abs()?;
        // The mean step at each border, (N, length − 1).
        let other = 3 - axis;
        let steps = steps.sum_keepdim(3)?.sum_keepdim(other)?.reshape((n, length - 1))?;
        let steps = (steps / (h * w * 3 / length) as f64)?;
        let mean = |wanted: &dyn Fn(usize) -> bool| -> Result<Tensor> {
            let count = (1..length).filter(|&at| wanted(at)).count() as f32;
            let weights: Vec<f32> =
                (1..length).map(|at| if wanted(at) { 1.0 / count } else { 0.0 }).collect();
            steps.matmul(&Tensor::from_vec(weights, (length - 1, 1), x_hat.device())?)?.sqr()?.reshape(n)
        };
        let elsewhere = mean(&|at| !at.is_multiple_of(8))?;
        (mean(&|at| at.is_multiple_of(8))? - &elsewhere)?.relu()?
            + (mean(&|at| at.is_multiple_of(16))? - &elsewhere)?.relu()?
    };
    excess(1, h)? + excess(2, w)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_sees_blocks_and_not_slopes() {
        let picture = |value: &dyn Fn(usize) -> f32| {
            let data: Vec<f32> = (0..64 * 64 * 3).map(|i| value(i / 3 % 64)).collect();
            let x = Tensor::from_vec(data, (1, 64, 64, 3), &Device::Cpu).unwrap();
            blocking(&x).unwrap().to_vec1::<f32>().unwrap()[0]
        };
        assert!(picture(&|x| x as f32 * 0.01) < 1e-9);
        // Steps of 0.1 at the multiples of 8: across both grids, in one direction.
        assert!((picture(&|x| (x / 8) as f32 * 0.1) - 0.02).abs() < 1e-5);
        // At the multiples of 16 they are half of the first grid's.
        assert!((picture(&|x| (x / 16) as f32 * 0.1) - (0.0018 + 0.01)).abs() < 2e-4);
    }
}
