//! Differentiable rates: what the entropy coder will spend, in bits.

use crate::nn::ops::{values, with_values};
use crate::scale::{LEVEL_STEP, LEVELS, SCALE_MIN};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::OnceLock;

/// Below this probability the coder escapes; the rate stays at its cost and only the slope goes on.
const FLOOR: f32 = 1e-9;

/// Bits of a zero-mean Gaussian of scale level `level`, integrated over a box of width one around each
/// value of `r` (Ballé et al. 2018, eq. 6). Both (…) of equal shape.
pub(super) fn gaussian_bits(r: &Tensor, level: &Tensor) -> Result<Tensor> {
    if r.device().is_cpu() {
        let op = GaussianBits { wanted: r.track_op() || level.track_op(), slopes: OnceLock::new() };
        return r.contiguous()?.apply_op2(&level.contiguous()?, op);
    }
    composed_gaussian_bits(r, level)
}

/// The same from candle's primitives: what a GPU runs.
fn composed_gaussian_bits(r: &Tensor, level: &Tensor) -> Result<Tensor> {
    let level = level.clamp(0.0, (LEVELS - 1) as f64)?;
    let sigma = ((level * LEVEL_STEP)?.exp()? * SCALE_MIN)?;
    let magnitude = r.abs()?;
    let cdf = |x: Tensor| -> Result<Tensor> { ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)? * 0.5 };
    let upper = cdf(((0.5 - &magnitude)? / &sigma)?)?;
    let lower = cdf(((-0.5 - &magnitude)? / &sigma)?)?;
    (upper - lower)?.maximum(f64::from(FLOOR))?.log()? * -std::f64::consts::LOG2_E
}

/// Bits of a logistic prior with per-picture, per-channel mean and log scale (N, C), for z (N, H, W, C).
pub(super) fn logistic_bits(z: &Tensor, mean: &Tensor, log_scale: &Tensor) -> Result<Tensor> {
    let (n, c) = mean.dims2()?;
    let centred = z.broadcast_sub(&mean.reshape((n, 1, 1, c))?)?.abs()?;
    let inverse = log_scale.neg()?.exp()?.reshape((n, 1, 1, c))?;
    let cdf = |x: Tensor| candle_sigmoid(&x.broadcast_mul(&inverse)?);
    let p = (cdf((0.5 - &centred)?)? - cdf((-0.5 - &centred)?)?)?;
    // A small uniform share keeps the slope alive where the prior has none.
    (p + 1e-6)?.log()? * -std::f64::consts::LOG2_E
}

fn candle_sigmoid(x: &Tensor) -> Result<Tensor> {
    // 0.5 · (1 + tanh(x / 2)) has a gradient in candle and does not overflow.
    ((x * 0.5)?.tanh()? + 1.0)? * 0.5
}

/// Computes the slopes on the way forward, where they are asked for: they take the same exponentials.
struct GaussianBits {
    wanted: bool,
    slopes: OnceLock<(Vec<f32>, Vec<f32>)>,
}

impl CustomOp2 for GaussianBits {
    fn name(&self) -> &'static str {
        "gaussian_bits"
    }

    fn cpu_fwd(
        &self,
        r: &CpuStorage,
        rl: &Layout,
        level: &CpuStorage,
        ll: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (r, level) = (values(r, rl)?, values(level, ll)?);
        let all = r.par_iter().zip(level).with_min_len(4096).map(|(&r, &t)| bits_of(r, t));
        let bits = if self.wanted {
            let (bits, slopes) = all.map(|(bits, dr, dt)| (bits, (dr, dt))).unzip();
            self.slopes.set(slopes).expect("an operation runs once");
            bits
        } else {
            all.map(|(bits, ..)| bits).collect()
        };
        Ok((CpuStorage::F32(bits), rl.shape().clone()))
    }

    fn bwd(
        &self,
        r: &Tensor,
        level: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dr, dt) = self.slopes.get().expect("they were computed on the way forward");
        let chained = |slopes: &[f32], shape: &Shape| {
            let back = with_values([grad], |[g]| Ok(slopes.iter().zip(g).map(|(s, g)| s * g).collect()))?;
            Tensor::from_vec::<_, f32>(back, shape, grad.device())
        };
        Ok((Some(chained(dr, r.shape())?), Some(chained(dt, level.shape())?)))
    }
}

/// Bits at residual `r` and scale level `t`, and their slopes in both.
fn bits_of(r: f32, t: f32) -> (f32, f32, f32) {
    const STEP: f32 = LEVEL_STEP as f32;
    let top = (LEVELS - 1) as f32;
    let sigma = SCALE_MIN as f32 * (t.clamp(0.0, top) * STEP).exp();
    let magnitude = r.abs();
    let (a, b) = ((0.5 - magnitude) / sigma, (-0.5 - magnitude) / sigma);
    let p = normal_cdf(a) - normal_cdf(b);
    let (d_magnitude, d_sigma) = if p > FLOOR {
        let (fa, fb) = (normal_pdf(a), normal_pdf(b));
        let outer = -std::f32::consts::LOG2_E / p;
        (outer * (fb - fa) / sigma, outer * (b * fb - a * fa) / sigma)
    } else {
        // Tail of a Gaussian: −ln p ≈ d²/2, bounded so that one outlier cannot rule a batch.
        let d = (-a).min(8.0);
        (std::f32::consts::LOG2_E * d / sigma, -std::f32::consts::LOG2_E * d * d / sigma)
    };
    // At the ends of the level range only a slope that leads back inside is kept.
    let d_level = d_sigma * sigma * STEP;
    let blocked = (t <= 0.0 && d_level > 0.0) || (t >= top && d_level < 0.0);
    (-p.max(FLOOR).log2(), d_magnitude * r.signum(), if blocked { 0.0 } else { d_level })
}

fn normal_pdf(x: f32) -> f32 {
    0.398_942_3 * (-0.5 * x * x).exp()
}

fn normal_cdf(x: f32) -> f32 {
    let tail = 0.5 * erfc(x.abs() * std::f32::consts::FRAC_1_SQRT_2);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// Complementary error function for x ≥ 0, relative error below 1.2e-7 (Press et al., Numerical Recipes, 6.2).
fn erfc(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.5 * x);
    let polynomial = -1.265_512_2
        + t * (1.000_023_7
            + t * (0.374_091_96
                + t * (0.096_784_18
                    + t * (-0.186_288_06
                        + t * (0.278_868_07
                            + t * (-1.135_204
                                + t * (1.488_515_9 + t * (-0.822_152_2 + t * 0.170_872_77))))))));
    t * (-x * x + polynomial).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_match_differences() {
        for r in [-3.2f32, -0.4, 0.1, 1.7, 6.0] {
            for t in [3.0f32, 18.0, 40.0] {
                let (bits, dr, dt) = bits_of(r, t);
                if bits > 25.0 {
                    continue; // beyond the floor the slope is an extrapolation
                }
                let h = 1e-2;
                let nr = (bits_of(r + h, t).0 - bits_of(r - h, t).0) / (2.0 * h);
                let nt = (bits_of(r, t + h).0 - bits_of(r, t - h).0) / (2.0 * h);
                assert!((dr - nr).abs() < 0.02 * (1.0 + nr.abs()), "dr {dr} {nr} at {r} {t}");
                assert!((dt - nt).abs() < 0.02 * (1.0 + nt.abs()), "dt {dt} {nt} at {r} {t}");
            }
        }
    }

    #[test]
    fn the_composed_form_gives_the_same_bits() {
        let device = candle_core::Device::Cpu;
        let r = Tensor::new(&[-3.2f32, -0.4, 0.1, 1.7, 6.0, 0.0], &device).unwrap();
        let level = Tensor::new(&[20.0f32, 0.0, 63.0, 30.5, 33.0, -4.0], &device).unwrap();
        let ours = gaussian_bits(&r, &level).unwrap().to_vec1::<f32>().unwrap();
        let composed = composed_gaussian_bits(&r, &level).unwrap().to_vec1::<f32>().unwrap();
        for (a, b) in ours.iter().zip(&composed) {
            assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{ours:?} {composed:?}");
        }
    }

    #[test]
    fn probabilities_sum_to_one() {
        let total: f32 = (-60..=60).map(|r| (-bits_of(r as f32, 30.0).0).exp2()).sum();
        assert!((total - 1.0).abs() < 1e-5, "{total}");
    }
}
