//! MS-SSIM: Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-scale structural similarity for image quality
//! assessment" (Asilomar 2003), as the learned-compression field computes it (the `pytorch-msssim` package
//! that CompressAI uses): an 11×11 Gaussian of σ 1.5 without padding, data range 255, halving by means of
//! 2×2 samples, per colour channel, then the mean over the channels.

use crate::Image;

/// Exponents of the scales, finest first.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Smallest side, in pixels, that has five scales: 11 samples at a sixteenth.
pub const MIN_SIDE: u32 = 176;

const TAPS: usize = 11;
const SIGMA: f64 = 1.5;
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);

/// MS-SSIM of two pictures of one size, 0 to 1, the mean over R, G and B. `None` where a side is below
/// [`MIN_SIDE`].
pub fn ms_ssim(original: &Image, decoded: &Image) -> Option<f64> {
    if original.width.min(original.height) < MIN_SIDE {
        return None;
    }
    let window = gaussian();
    let channel = |c: usize| {
        let (mut a, mut b) = (Plane::channel(original, c), Plane::channel(decoded, c));
        let mut product = 1.0;
        for (scale, weight) in WEIGHTS.iter().enumerate() {
            if scale > 0 {
                (a, b) = (a.half(), b.half());
            }
            let (ssim, contrast) = similarity(&a, &b, &window);
            let factor = if scale + 1 == WEIGHTS.len() { ssim } else { contrast };
            // Structure may anti-correlate; a power of a negative number has no real value.
            product *= factor.max(0.0).powf(*weight);
        }
        product
    };
    Some((0..3).map(channel).sum::<f64>() / 3.0)
}

/// One channel of a picture, samples 0..255.
struct Plane {
    width: usize,
    height: usize,
    samples: Vec<f32>,
}

impl Plane {
    fn channel(image: &Image, channel: usize) -> Plane {
        let samples = image.rgb.chunks_exact(3).map(|p| f32::from(p[channel])).collect();
        Plane { width: image.width as usize, height: image.height as usize, samples }
    }

    fn row(&self, y: usize) -> &[f32] {
        &self.samples[y * self.width..(y + 1) * self.width]
    }

    /// Half the size by means of 2×2 samples. An odd side is padded with a zero before its first sample, which
    /// counts in the mean: that border gets darker, in both pictures alike, just as `pytorch-msssim` has it.
    fn half(&self) -> Plane {
        let (pad_x, pad_y) = (self.width % 2, self.height % 2);
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let sample = |x: usize, y: usize| match (x.checked_sub(pad_x), y.checked_sub(pad_y)) {
            (Some(x), Some(y)) => self.samples[y * self.width + x],
            _ => 0.0,
        };
        let mean = |x, y| (sample(x, y) + sample(x + 1, y) + sample(x, y + 1) + sample(x + 1, y + 1)) / 4.0;
        let samples = (0..height).flat_map(|y| (0..width).map(move |x| (2 * x, 2 * y)));
        Plane { width, height, samples: samples.map(|(x, y)| mean(x, y)).collect() }
    }
}

fn gaussian() -> [f32; TAPS] {
    let weight = |k: usize| (-(k as f64 - (TAPS / 2) as f64).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let sum: f64 = (0..TAPS).map(weight).sum();
    std::array::from_fn(|k| (weight(k) / sum) as f32)
}

/// Mean SSIM, and mean of its contrast–structure factor alone, over all positions of the window. Rows are
/// filtered once and kept while the window passes over them.
fn similarity(a: &Plane, b: &Plane, window: &[f32; TAPS]) -> (f64, f64) {
    let width = a.width + 1 - TAPS;
    let height = a.height + 1 - TAPS;
    // Per row of the ring, horizontally filtered: a, b, a², b², a·b.
    let mut ring = vec![[(); 5].map(|()| vec![0.0f32; width]); TAPS];
    let mut filtered = [(); 5].map(|()| vec![0.0f32; width]);
    let mut product = vec![0.0f32; a.width];
    let (mut ssim_sum, mut contrast_sum) = (0.0, 0.0);
    for y in 0..a.height {
        let (row_a, row_b) = (a.row(y), b.row(y));
        let slot = &mut ring[y % TAPS];
        for (moment, (left, right)) in
            [(row_a, None), (row_b, None), (row_a, Some(row_a)), (row_b, Some(row_b)), (row_a, Some(row_b))]
                .into_iter()
                .enumerate()
        {
            let source = match right {
                None => left,
                Some(right) => {
                    for ((p, l), r) in product.iter_mut().zip(left).zip(right) {
                        *p = l * r;
                    }
                    &product
                }
            };
            slot[moment].fill(0.0);
            for (k, &weight) in window.iter().enumerate() {
                accumulate(&mut slot[moment], &source[k..k + width], weight);
            }
        }
        let Some(top) = (y + 1).checked_sub(TAPS) else { continue };
        for (moment, sums) in filtered.iter_mut().enumerate() {
            sums.fill(0.0);
            for (k, &weight) in window.iter().enumerate() {
                accumulate(sums, &ring[(top + k) % TAPS][moment], weight);
            }
        }
        let [mean_a, mean_b, square_a, square_b, cross] = &filtered;
        for x in 0..width {
            let (ma, mb) = (f64::from(mean_a[x]), f64::from(mean_b[x]));
            let variance_a = f64::from(square_a[x]) - ma * ma;
            let variance_b = f64::from(square_b[x]) - mb * mb;
            let covariance = f64::from(cross[x]) - ma * mb;
            let contrast = (2.0 * covariance + C2) / (variance_a + variance_b + C2);
            contrast_sum += contrast;
            ssim_sum += contrast * (2.0 * ma * mb + C1) / (ma * ma + mb * mb + C1);
        }
    }
    let count = (width * height) as f64;
    (ssim_sum / count, contrast_sum / count)
}

fn accumulate(sums: &mut [f32], values: &[f32], weight: f32) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += weight * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with edges, texture and gradients, and a second one damaged by coarse rounding.
    fn pair(width: u32, height: u32) -> (Image, Image) {
        let mut original = Image { width, height, rgb: Vec::new() };
        let mut damaged = original.clone();
        for y in 0..height {
            for x in 0..width {
                for c in 0..3 {
                    let value =
                        (x * 3 + y * (c + 1) + (x / 16 + y / 24) % 2 * 90 + (x * x + 7 * y * y) % 37) % 256;
                    original.rgb.push(value as u8);
                    damaged.rgb.push((value / 80 * 80 + (x * y) % (11 + 4 * c)).min(255) as u8);
                }
            }
        }
        (original, damaged)
    }

    /// Values of an independent implementation in numpy 2 and scipy 1.17.1 (`correlate1d` in float64), written
    /// after pytorch-msssim 1.0.
    #[test]
    fn equals_the_reference() {
        for (width, height, expected) in
            [(176, 192, 0.943040258109), (256, 176, 0.943579038603), (201, 183, 0.933804622340)]
        {
            let (original, damaged) = pair(width, height);
            let ours = ms_ssim(&original, &damaged).unwrap();
            assert!((ours - expected).abs() < 2e-6, "{width}×{height}: {ours} for {expected}");
        }
    }

    #[test]
    fn identical_pictures_have_one_and_small_ones_none() {
        let (original, _) = pair(180, 176);
        assert!((ms_ssim(&original, &original).unwrap() - 1.0).abs() < 1e-6);
        let (small, _) = pair(400, 175);
        assert_eq!(ms_ssim(&small, &small), None);
    }

    #[test]
    fn an_inverted_picture_has_nothing_in_common() {
        let (original, _) = pair(176, 176);
        let inverted = Image { rgb: original.rgb.iter().map(|v| 255 - v).collect(), ..original.clone() };
        assert_eq!(ms_ssim(&original, &inverted), Some(0.0));
    }
}
