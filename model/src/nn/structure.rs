//! Structural dissimilarity with its gradient, written out by hand: a distortion that eyes agree with more than with
//! squared error, and what SSIMULACRA 2's main term measures.
//!
//! 1 − S with S = (2σ_xy + c) / (σ_x² + σ_y² + c), the contrast and structure terms of SSIM (Wang et al. 2004) in 6×6 windows
//! every second pixel, at four scales, over luma and two chroma planes.

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

use super::ops::{values, with_values};

/// Squared error on the 0..=255 scale that a dissimilarity of 1 weighs as much as: so that a λ buys about the same bits,
/// whatever the share of structure.
pub(crate) const IN_SQUARES: f64 = 1200.0;

/// Sides are multiples of this, so that they can be halved for every scale.
const STEP: usize = 16;
/// Full size, and halved up to three times; fewer where a picture is too small for a window.
const SCALES: usize = 4;
/// Sides of a window in blocks of 2×2.
const WINDOW: usize = 3;
/// Pixels of a window.
const PIXELS: f32 = (4 * WINDOW * WINDOW) as f32;
/// SSIM's second constant, for values on the 0..=255 scale.
const FLOOR: f32 = (0.03 * 255.0) * (0.03 * 255.0);
/// The −1..=1 of the networks on the 0..=255 scale.
const RANGE: f32 = 127.5;
/// Planes from R′G′B′ (BT.601's Y′CbCr), and what each counts.
const PLANES: [([f32; 3], f32); 3] = [
    ([0.299, 0.587, 0.114], 0.8),
    ([-0.168_736, -0.331_264, 0.5], 0.1),
    ([0.5, -0.418_688, -0.081_312], 0.1),
];

/// Mean structural dissimilarity of each picture of x and x_hat (N, H, W, 3) on the −1..=1 scale, sides multiples of
/// 16: (N), 0 where equal, up to 2. Its gradient goes to x_hat alone. Computed on the host.
pub(crate) fn dissimilarity(x: &Tensor, x_hat: &Tensor) -> Result<Tensor> {
    let device = x_hat.device();
    let x = x.to_device(&Device::Cpu)?.contiguous()?;
    let x_hat = x_hat.to_device(&Device::Cpu)?.contiguous()?;
    x_hat.apply_op2(&x, Dissimilarity)?.to_device(device)
}

/// Mean structural dissimilarity of two pictures of R′G′B′ bytes, row by row.
pub(crate) fn dissimilarity_of_bytes(original: &[u8], decoded: &[u8], width: usize, height: usize) -> f64 {
    let (w, h) = (width.next_multiple_of(STEP), height.next_multiple_of(STEP));
    // The border goes on beyond the picture.
    let padded = |rgb: &[u8]| -> Vec<f32> {
        let pixels =
            (0..h).flat_map(|row| (0..w).map(move |column| (row.min(height - 1), column.min(width - 1))));
        pixels
            .flat_map(|(row, column)| {
                let at = 3 * (row * width + column);
                [rgb[at], rgb[at + 1], rgb[at + 2]].map(crate::pixels::to_network)
            })
            .collect()
    };
    f64::from(picture(&padded(original), &padded(decoded), h, w, None))
}

struct Dissimilarity;

impl CustomOp2 for Dissimilarity {
    fn name(&self) -> &'static str {
        "dissimilarity"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        yl: &Layout,
        x: &CpuStorage,
        xl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, h, w, c) = yl.shape().dims4()?;
        if xl.shape() != yl.shape() || c != 3 || h % STEP != 0 || w % STEP != 0 {
            bail!(
                "dissimilarity: pictures {:?} and {:?}; sides must be multiples of 16",
                xl.shape(),
                yl.shape()
            );
        }
        let pictures = values(x, xl)?.chunks_exact(h * w * 3).zip(values(y, yl)?.chunks_exact(h * w * 3));
        let means = pictures.map(|(x, y)| picture(x, y, h, w, None)).collect();
        Ok((CpuStorage::F32(means), n.into()))
    }

    fn bwd(
        &self,
        y: &Tensor,
        x: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, h, w, _) = y.dims4()?;
        let mut back = vec![0.0; y.elem_count()];
        with_values([x, y, grad], |[x, y, grad]| {
            let size = h * w * 3;
            let pictures = x.chunks_exact(size).zip(y.chunks_exact(size)).zip(back.chunks_exact_mut(size));
            for (((x, y), back), grad) in pictures.zip(grad) {
                picture(x, y, h, w, Some(back));
                back.iter_mut().for_each(|value| *value *= grad);
            }
            Ok(())
        })?;
        Ok((Some(Tensor::from_vec(back, y.shape(), y.device())?), None))
    }
}

/// The dissimilarity of one picture; its gradient in y is added to `back`.
fn picture(x: &[f32], y: &[f32], h: usize, w: usize, mut back: Option<&mut [f32]>) -> f32 {
    let plane = |rgb: &[f32], from: &[f32; 3]| -> Vec<f32> {
        rgb.chunks_exact(3).map(|p| RANGE * (from[0] * p[0] + from[1] * p[1] + from[2] * p[2])).collect()
    };
    let count = (1..SCALES).take_while(|k| (h.min(w) >> k) / 2 >= WINDOW).count() + 1;
    let mut sum = 0.0;
    for (from, weight) in &PLANES {
        let (mean, gradient) = scales(plane(x, from), plane(y, from), h, w, count, back.is_some());
        sum += weight * mean / count as f32;
        let Some(back) = back.as_deref_mut() else { continue };
        let scale = RANGE * weight / count as f32;
        for (pixel, gradient) in back.chunks_exact_mut(3).zip(&gradient) {
            pixel.iter_mut().zip(from).for_each(|(value, from)| *value += scale * from * gradient);
        }
    }
    sum
}

/// Sum over `count` scales of a plane's mean dissimilarity, and its gradient in y where `wanted`.
fn scales(x: Vec<f32>, y: Vec<f32>, h: usize, w: usize, count: usize, wanted: bool) -> (f32, Vec<f32>) {
    let (mut sum, mut gradient) = one_scale(&x, &y, h, w, wanted);
    if count > 1 {
        let (rest, coarse) = scales(halve(&x, w), halve(&y, w), h / 2, w / 2, count - 1, wanted);
        sum += rest;
        for (at, value) in gradient.iter_mut().enumerate() {
            *value += 0.25 * coarse[at / w / 2 * (w / 2) + at % w / 2];
        }
    }
    (sum, gradient)
}

/// The mean of each 2×2 block.
fn halve(plane: &[f32], w: usize) -> Vec<f32> {
    let rows = plane.chunks_exact(2 * w).map(|rows| rows.split_at(w));
    rows.flat_map(|(above, below)| {
        above.chunks_exact(2).zip(below.chunks_exact(2)).map(|(a, b)| 0.25 * (a[0] + a[1] + b[0] + b[1]))
    })
    .collect()
}

/// Mean of 1 − S over all windows of a plane, and its gradient in y where `wanted` (else empty).
fn one_scale(x: &[f32], y: &[f32], h: usize, w: usize, wanted: bool) -> (f32, Vec<f32>) {
    let (rows, columns) = (h / 2, w / 2);
    // Sums over each block of x, y, x², y² and xy.
    let mut blocks = vec![[0f32; 5]; rows * columns];
    for (row, (x, y)) in x.chunks_exact(w).zip(y.chunks_exact(w)).enumerate() {
        for (column, (x, y)) in x.iter().zip(y).enumerate() {
            let block = &mut blocks[row / 2 * columns + column / 2];
            block.iter_mut().zip([*x, *y, x * x, y * y, x * y]).for_each(|(sum, value)| *sum += value);
        }
    }
    // The gradient is a·x + b·y + c in each window; [a, b, c] are summed over the windows of each block.
    let mut slopes = vec![[0f32; 3]; if wanted { rows * columns } else { 0 }];
    let windows = (rows - WINDOW + 1) * (columns - WINDOW + 1);
    let share = 1.0 / windows as f32;
    let mut similarity = 0.0;
    for row in 0..=rows - WINDOW {
        for column in 0..=columns - WINDOW {
            let inside = |k: usize| (row + k / WINDOW) * columns + column + k % WINDOW;
            let mut mean = [0f32; 5];
            for k in 0..WINDOW * WINDOW {
                mean.iter_mut().zip(blocks[inside(k)]).for_each(|(sum, value)| *sum += value / PIXELS);
            }
            let [x, y, xx, yy, xy] = mean;
            let energy = xx - x * x + yy - y * y + FLOOR;
            let s = (2.0 * (xy - x * y) + FLOOR) / energy;
            similarity += s;
            if wanted {
                let a = -2.0 * share / (PIXELS * energy);
                let slope = [a, -s * a, a * (s * y - x)];
                for k in 0..WINDOW * WINDOW {
                    slopes[inside(k)].iter_mut().zip(slope).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }
    let at = |at: usize| at / w / 2 * columns + at % w / 2;
    let gradient = |(index, (x, y)): (usize, (&f32, &f32))| {
        let [a, b, c] = slopes[at(index)];
        a * x + b * y + c
    };
    let gradient = if wanted { x.iter().zip(y).enumerate().map(gradient).collect() } else { Vec::new() };
    (1.0 - similarity * share, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    const SIDE: usize = 64;

    /// A smooth picture, and one with noise on it.
    fn pictures() -> (Vec<f32>, Vec<f32>) {
        let mut rng = StdRng::seed_from_u64(3);
        let smooth =
            |i: usize| ((i / 3 % SIDE) as f32 * 0.13).sin() * ((i / 3 / SIDE) as f32 * 0.21).cos() * 0.6;
        let x: Vec<f32> = (0..SIDE * SIDE * 3).map(smooth).collect();
        let y = x.iter().map(|value| 0.9 * value + rng.random_range(-0.1..0.1)).collect();
        (x, y)
    }

    #[test]
    fn equal_pictures_have_none_and_blur_and_noise_have_some() {
        let (x, noisy) = pictures();
        assert!(picture(&x, &x, SIDE, SIDE, None).abs() < 1e-5);
        let flat = vec![0.1; x.len()];
        let (noisy, flat) = (picture(&x, &noisy, SIDE, SIDE, None), picture(&x, &flat, SIDE, SIDE, None));
        assert!(0.0 < noisy && noisy < flat && flat < 1.0, "{noisy} {flat}");
    }

    #[test]
    fn pictures_of_bytes_may_have_any_size() {
        let equal = [7, 200, 90];
        assert!(dissimilarity_of_bytes(&equal, &equal, 1, 1).abs() < 1e-6);
        let ramp: Vec<u8> = (0..33 * 17 * 3).map(|i| (i * 5 % 251) as u8).collect();
        let flat = vec![128; ramp.len()];
        assert!(dissimilarity_of_bytes(&ramp, &ramp, 33, 17).abs() < 1e-5);
        assert!(dissimilarity_of_bytes(&ramp, &flat, 33, 17) > 0.5);
    }

    /// A whole window by hand: luma 0..36 against its half.
    #[test]
    fn a_window_is_the_formula() {
        let x: Vec<f32> = (0..36).map(|i| i as f32).collect();
        let y: Vec<f32> = x.iter().map(|value| 0.5 * value).collect();
        let variance = (36.0 * 36.0 - 1.0) / 12.0;
        let expected = 1.0 - (variance + FLOOR) / (1.25 * variance + FLOOR);
        let (found, _) = one_scale(&x, &y, 6, 6, false);
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let (x, y) = pictures();
        let shape = (1, SIDE, SIDE, 3);
        let x_tensor = Tensor::from_slice(&x, shape, &Device::Cpu).unwrap();
        let variable = Var::from_slice(&y, shape, &Device::Cpu).unwrap();
        let loss = dissimilarity(&x_tensor, variable.as_tensor()).unwrap().sum_all().unwrap();
        let gradient = loss.backward().unwrap().remove(variable.as_tensor()).unwrap();
        let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut rng = StdRng::seed_from_u64(8);
        // Along random directions: single pixels drown in f32.
        for _ in 0..4 {
            let direction: Vec<f32> = (0..y.len()).map(|_| rng.random_range(-1.0..1.0)).collect();
            let moved = |by: f32| -> Vec<f32> { y.iter().zip(&direction).map(|(y, d)| y + by * d).collect() };
            let step = 2e-3;
            let (up, down) = (moved(step), moved(-step));
            let difference = picture(&x, &up, SIDE, SIDE, None) - picture(&x, &down, SIDE, SIDE, None);
            let slope: f32 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let found = difference / (2.0 * step);
            assert!((found - slope).abs() < 0.02 * slope.abs() + 1e-4, "{found}, not {slope}");
        }
    }
}
