//! The training graph and its loss.

use super::lambda;
use super::rate::{gaussian_bits, logistic_bits};
use crate::network::{Architecture, Layer, Network, STEPS, group_at};
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
    means: Vec<Network>,
    correction: Network,
    synthesis: Network,
    scale: Network,
}

/// What one pass gives, for each picture of the batch (N).
pub(super) struct Pass {
    /// Bits for each pixel, z and y together.
    pub(super) bpp: Tensor,
    /// Mean squared error on the 0..=255 scale.
    pub(super) mse: Tensor,
    /// Half the mean squared step of the error across the borders of the 8×8 patches, on the same scale:
    /// equal to `mse` where errors on the two sides of a border are independent, larger where blocks show.
    pub(super) border: Tensor,
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
            means: (0..STEPS).map(|s| arch.mean(s)).collect(),
            correction: arch.correction(),
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
        let masks = step_masks(n, h / 16, w / 16, self.arch.y, device)?;
        let mut y_hat: Option<Tensor> = None;
        let mut residual: Option<Tensor> = None;
        for (network, mask) in self.means.iter().zip(&masks) {
            let input = match &y_hat {
                None => features.clone(),
                Some(y_hat) => Tensor::cat(&[y_hat, &features], D::Minus1)?,
            };
            let mu = nn::run(network, p, &input, &knots)?;
            let r = ((&y - &mu)? * mask)?;
            let decoded = (((straight_through(&r)? + mu)?) * mask)?;
            y_hat = Some(add(y_hat, decoded)?);
            residual = Some(add(residual, r)?);
        }
        let (y_hat, residual) = (y_hat.expect("four steps"), residual.expect("four steps"));
        let r_rate = quantiser.apply(&residual, &straight_through(&residual)?)?;
        let bits_y = gaussian_bits(&r_rate, &level)?;

        let correction =
            nn::run(&self.correction, p, &Tensor::cat(&[&y_hat, &features], D::Minus1)?, &knots)?;
        let y_hat = (y_hat + correction)?.broadcast_mul(&log_gain.neg()?.exp()?)?;
        let x_hat = nn::run(&self.synthesis, p, &y_hat, &knots)?;

        let pixels = (h * w) as f64;
        let per_picture = |t: &Tensor| t.reshape((n, t.elem_count() / n))?.sum(1);
        let bpp = ((per_picture(&bits_y)? + per_picture(&bits_z)?)? / pixels)?;
        let x_hat = if let Quantiser::Round = quantiser { x_hat.clamp(-1.0, 1.0)? } else { x_hat };
        let error = (x - x_hat)?;
        let mse = (per_picture(&error.sqr()?)? * (MSE_SCALE / (3.0 * pixels)))?;
        let border = (border_steps(&error)? * MSE_SCALE)?;
        Ok(Pass { bpp, mse, border })
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

    /// The loss to descend, a scalar: the mean of (λ·D + bpp) / √λ, so that no rate drowns the others, with
    /// D = (MSE + `border` · border step) / (1 + `border`).
    pub(super) fn loss(pass: &Pass, positions: &[f32], border: f64) -> Result<Tensor> {
        let device: &Device = pass.bpp.device();
        let n = positions.len();
        let lambdas: Vec<f32> = positions.iter().map(|&p| lambda(p)).collect();
        let middle = lambda(0.5);
        let weights: Vec<f32> = lambdas.iter().map(|l| (middle / l).sqrt()).collect();
        let lambdas = Tensor::from_vec(lambdas, n, device)?;
        let weights = Tensor::from_vec(weights, n, device)?;
        let distortion = ((&pass.mse + (&pass.border * border)?)? / (1.0 + border))?;
        (((distortion * lambdas)? + &pass.bpp)? * weights)?.mean_all()
    }
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

/// Half the mean squared difference of neighbouring values across multiples of 8, both directions: (N).
fn border_steps(error: &Tensor) -> Result<Tensor> {
    let (n, h, w, c) = error.dims4()?;
    // (N, before, blocks, 8, after): the last of a block against the first of the next.
    let across = |before: usize, blocks: usize, after: usize| -> Result<Tensor> {
        let blocked = error.reshape((n * before, blocks, 8, after))?;
        let last = blocked.narrow(2, 7, 1)?.narrow(1, 0, blocks - 1)?;
        let first = blocked.narrow(2, 0, 1)?.narrow(1, 1, blocks - 1)?;
        (first - last)?.sqr()?.reshape((n, before * (blocks - 1) * after))?.mean(1)? * 0.25
    };
    across(1, h / 8, w * c)? + across(h, w / 8, c)?
}

fn add(sum: Option<Tensor>, term: Tensor) -> Result<Tensor> {
    match sum {
        Some(sum) => sum + term,
        None => Ok(term),
    }
}

/// Rounds; the gradient passes as if it had not.
fn straight_through(x: &Tensor) -> Result<Tensor> {
    x + (x.round()? - x)?.detach()
}

/// For each step, 1 where it codes and 0 elsewhere: (N, H, W, channels).
fn step_masks(n: usize, h: usize, w: usize, channels: usize, device: &Device) -> Result<Vec<Tensor>> {
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
