//! Rate and distortion on held-out photographs, by estimated bits.

use super::data::central_crop;
use super::objective::{Codec, Quantiser, Weights, distortion};
use crate::Image;
use crate::architecture::Architecture;
use crate::nn::Parameters;
use candle_core::{Device, Result, Tensor};

/// Side of the central crop that is validated on, in pixels, where the pictures have it.
const SIDE: u32 = 256;

/// Mean rate and distortion at one position on the rate scale.
#[derive(Clone, Copy, Debug)]
pub struct Operating {
    /// Position 0..=1 on the rate scale.
    pub position: f32,
    /// Bits a pixel, by −log₂ p.
    pub bpp: f64,
    /// PSNR over RGB in dB, mean over pictures.
    pub psnr: f64,
    /// Natural logarithm of λ·MSE + bpp, mean over pictures: 0.01 less is about 1 % of rate.
    pub log_cost: f64,
    /// The same of what is trained for: λ·D + bpp, with D as the loss has it.
    pub log_objective: f64,
}

/// Runs every photo with rounding instead of noise at `positions`, on its central 256×256 or, where a picture is
/// smaller than that, on the largest square of whole 64×64 cells that all of them have. Sides must be 64 at least.
pub fn validate(
    arch: &Architecture,
    parameters: &Parameters,
    photos: &[(String, Image)],
    positions: &[f32],
    weights: Weights,
    device: &Device,
) -> Result<Vec<Operating>> {
    let codec = Codec::new(arch);
    let parameters: Parameters = parameters.iter().map(|(k, v)| (k.clone(), v.detach())).collect();
    let least = photos.iter().map(|(_, photo)| photo.width.min(photo.height)).fold(SIDE, u32::min);
    let side = (least / 64 * 64) as usize;
    let mut points = Vec::new();
    for &position in positions {
        let (mut bpp, mut psnr, mut log_cost, mut log_objective) = (0.0, 0.0, 0.0, 0.0);
        let lambda = f64::from(arch.lambda_at(position));
        for (_, photo) in photos {
            let mut crop = Vec::with_capacity(side * side * 3);
            central_crop(photo, side, &mut crop);
            let x = Tensor::from_vec(crop, (1, side, side, 3), device)?;
            let pass = codec.pass(&parameters, &x, &[position], Quantiser::Round)?;
            let of = |t: &Tensor| Ok::<_, candle_core::Error>(f64::from(t.to_vec1::<f32>()?[0]));
            let (b, m, d) = (of(&pass.bpp)?, of(&pass.mse)?, of(&distortion(&pass, weights)?)?);
            bpp += b;
            psnr += 10.0 * (255.0f64.powi(2) / m.max(1e-6)).log10();
            log_cost += (lambda * m + b).ln();
            log_objective += (lambda * d + b).ln();
        }
        let n = photos.len() as f64;
        points.push(Operating {
            position,
            bpp: bpp / n,
            psnr: psnr / n,
            log_cost: log_cost / n,
            log_objective: log_objective / n,
        });
    }
    Ok(points)
}
