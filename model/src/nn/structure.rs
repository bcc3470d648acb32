//! Structural dissimilarity with its gradient, written out by hand: a distortion that eyes agree with more than with
//! squared error, and what SSIMULACRA 2's main term measures.
//!
//! 1 − S with S = (2σ_xy + c) / (σ_x² + σ_y² + c), the contrast and structure terms of SSIM (Wang et al. 2004) in 6×6 windows
//! every second pixel, at four scales, over luma and two chroma planes.

#[cfg(any(test, feature = "train"))]
mod operation;

#[cfg(any(test, feature = "train"))]
pub(crate) use operation::dissimilarity;
use pulp::Arch;

/// Squared error on the 0..=255 scale that a dissimilarity of 1 weighs as much as: so that a λ buys about the same bits,
/// whatever the share of structure.
pub(crate) const IN_SQUARES: f64 = 1200.0;

/// Sides are multiples of this, so that they can be halved for every scale.
const STEP: usize = 16;
/// Full size, and halved up to three times; fewer where a picture is too small for a window.
const SCALES: usize = 4;
/// Pixels of a picture that are taken at a time; their number is a multiple.
const LANES: usize = 8;
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

/// Mean structural dissimilarity of two pictures of R′G′B′ bytes, row by row.
pub(crate) fn dissimilarity_of_bytes(original: &[u8], decoded: &[u8], width: usize, height: usize) -> f64 {
    let (w, h) = (width.next_multiple_of(STEP), height.next_multiple_of(STEP));
    let levels: Vec<f32> = (0..=255).map(crate::pixels::to_network).collect();
    // The border goes on beyond the picture.
    let padded = |rgb: &[u8]| -> Vec<f32> {
        let mut values = Vec::with_capacity(w * h * 3);
        for row in (0..h).map(|row| row.min(height - 1)) {
            let row = &rgb[3 * row * width..][..3 * width];
            values.extend(row.iter().map(|&byte| levels[usize::from(byte)]));
            let last: Vec<f32> = values[values.len() - 3..].to_vec();
            values.extend(last.iter().cycle().take(3 * (w - width)));
        }
        values
    };
    f64::from(picture(&padded(original), &padded(decoded), h, w, None))
}

/// Gradient in `decoded` of the mean dissimilarity of two pictures (height, width, 3) on the −1..=1 scale.
pub(crate) fn slope(original: &[f32], decoded: &[f32], width: usize, height: usize) -> Vec<f32> {
    let mut slope = vec![0.0; decoded.len()];
    picture(original, decoded, height, width, Some(&mut slope));
    slope
}

/// The dissimilarity of one picture; its gradient in y is added to `back`.
fn picture(x: &[f32], y: &[f32], h: usize, w: usize, back: Option<&mut [f32]>) -> f32 {
    let count = (1..SCALES).take_while(|k| (h.min(w) >> k) / 2 >= WINDOW).count() + 1;
    let mut sum = 0.0;
    let mut gradients = Vec::with_capacity(PLANES.len());
    for ((_, weight), (x, y)) in PLANES.iter().zip(planes(x).into_iter().zip(planes(y))) {
        let (mean, gradient) = scales(x, y, h, w, count, back.is_some());
        sum += weight * mean / count as f32;
        gradients.push(gradient);
    }
    if let (Some(back), [luma, cb, cr]) = (back, &gradients[..]) {
        let share = PLANES.map(|(from, weight)| from.map(|from| from * RANGE * weight / count as f32));
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let slopes = luma.chunks_exact(LANES).zip(cb.chunks_exact(LANES)).zip(cr.chunks_exact(LANES));
                for (rgb, ((luma, cb), cr)) in back.chunks_exact_mut(3 * LANES).zip(slopes) {
                    let sums: [[f32; LANES]; 3] = std::array::from_fn(|k| {
                        std::array::from_fn(|lane| {
                            share[0][k] * luma[lane] + share[1][k] * cb[lane] + share[2][k] * cr[lane]
                        })
                    });
                    for (at, value) in rgb.iter_mut().enumerate() {
                        *value += sums[at % 3][at / 3];
                    }
                }
            },
        );
    }
    sum
}

/// Y′, C_B and C_R of R′G′B′ values.
fn planes(rgb: &[f32]) -> [Vec<f32>; 3] {
    let mut planes: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; rgb.len() / 3]);
    let [luma, cb, cr] = &mut planes;
    let from = PLANES.map(|(from, _)| from.map(|from| RANGE * from));
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let values =
                luma.chunks_exact_mut(LANES).zip(cb.chunks_exact_mut(LANES)).zip(cr.chunks_exact_mut(LANES));
            for (rgb, ((luma, cb), cr)) in rgb.chunks_exact(3 * LANES).zip(values) {
                let [r, g, b]: [[f32; LANES]; 3] =
                    std::array::from_fn(|k| std::array::from_fn(|lane| rgb[3 * lane + k]));
                for (plane, from) in [luma, cb, cr].into_iter().zip(from) {
                    for lane in 0..LANES {
                        plane[lane] = from[0] * r[lane] + from[1] * g[lane] + from[2] * b[lane];
                    }
                }
            }
        },
    );
    planes
}

/// Sum over `count` scales of a plane's mean dissimilarity, and its gradient in y where `wanted`.
fn scales(x: Vec<f32>, y: Vec<f32>, h: usize, w: usize, count: usize, wanted: bool) -> (f32, Vec<f32>) {
    let (mut sum, mut gradient) = one_scale(&x, &y, h, w, wanted);
    if count > 1 {
        let (rest, coarse) = scales(halve(&x, w), halve(&y, w), h / 2, w / 2, count - 1, wanted);
        sum += rest;
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (rows, coarse) in gradient.chunks_exact_mut(2 * w).zip(coarse.chunks_exact(w / 2)) {
                    for row in rows.chunks_exact_mut(w) {
                        for (pair, value) in row.chunks_exact_mut(2).zip(coarse) {
                            pair[0] += 0.25 * value;
                            pair[1] += 0.25 * value;
                        }
                    }
                }
            },
        );
    }
    (sum, gradient)
}

/// The mean of each 2×2 block.
fn halve(plane: &[f32], w: usize) -> Vec<f32> {
    let mut half = vec![0.0; plane.len() / 4];
    for (rows, half) in plane.chunks_exact(2 * w).zip(half.chunks_exact_mut(w / 2)) {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let (above, below) = rows.split_at(w);
                let blocks = above.chunks_exact(2).zip(below.chunks_exact(2));
                for (value, (a, b)) in half.iter_mut().zip(blocks) {
                    *value = 0.25 * (a[0] + a[1] + b[0] + b[1]);
                }
            },
        );
    }
    half
}

/// Mean of 1 − S over all windows of a plane, and its gradient in y where `wanted` (else empty).
fn one_scale(x: &[f32], y: &[f32], h: usize, w: usize, wanted: bool) -> (f32, Vec<f32>) {
    let (rows, columns) = (h / 2, w / 2);
    let across = columns - WINDOW + 1;
    let share = 1.0 / ((rows - WINDOW + 1) * across) as f32;
    let blocks = block_sums(x, y, w);
    // The gradient is a·x + b·y + c in each window; a, b and c are summed over the windows of each block.
    let mut slopes: [Vec<f32>; 3] =
        std::array::from_fn(|_| vec![0.0; if wanted { rows * columns } else { 0 }]);
    let mut window: [Vec<f32>; 5] = std::array::from_fn(|_| vec![0.0; across]);
    let mut column = vec![0.0; columns];
    // With a window's reach of nothing on both sides.
    let mut slope: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; columns + WINDOW - 1]);
    let mut similarity = vec![0.0; across];
    for row in 0..=rows - WINDOW {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let inside = row * columns..(row + WINDOW) * columns;
                for (window, blocks) in window.iter_mut().zip(&blocks) {
                    let (above, rest) = blocks[inside.clone()].split_at(columns);
                    let (middle, below) = rest.split_at(columns);
                    let sums = above.iter().zip(middle).zip(below);
                    column.iter_mut().zip(sums).for_each(|(sum, ((a, b), c))| *sum = a + b + c);
                    triples(&column, window);
                }
                let [a, b, c] = &mut slope;
                let here = a[WINDOW - 1..].iter_mut().zip(&mut b[WINDOW - 1..]).zip(&mut c[WINDOW - 1..]);
                let [x, y, xx, yy, xy] = &window;
                let means = x.iter().zip(y).zip(xx).zip(yy).zip(xy);
                for ((((((&x, &y), &xx), &yy), &xy), sum), ((a, b), c)) in
                    means.zip(&mut similarity).zip(here)
                {
                    let (x, y) = (x / PIXELS, y / PIXELS);
                    let energy = (xx + yy) / PIXELS - x * x - y * y + FLOOR;
                    let s = (2.0 * (xy / PIXELS - x * y) + FLOOR) / energy;
                    *sum += s;
                    *a = -2.0 * share / (PIXELS * energy);
                    *b = -s * *a;
                    *c = *a * (s * y - x);
                }
                if wanted {
                    for (all, slope) in slopes.iter_mut().zip(&slope) {
                        triples(slope, &mut column);
                        for all in all[inside.clone()].chunks_exact_mut(columns) {
                            all.iter_mut().zip(&column).for_each(|(all, value)| *all += value);
                        }
                    }
                }
            },
        );
    }
    let mean = 1.0 - similarity.iter().sum::<f32>() * share;
    (mean, if wanted { gradient(x, y, w, &slopes) } else { Vec::new() })
}

/// Sums over each 2×2 block of x, y, x², y² and xy.
fn block_sums(x: &[f32], y: &[f32], w: usize) -> [Vec<f32>; 5] {
    let mut sums: [Vec<f32>; 5] = std::array::from_fn(|_| vec![0.0; x.len() / 4]);
    let [xs, ys, xxs, yys, xys] = &mut sums;
    for (row, (x, y)) in x.chunks_exact(2 * w).zip(y.chunks_exact(2 * w)).enumerate() {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let block = row * w / 2..(row + 1) * w / 2;
                let (above, below) = x.split_at(w);
                let x = above.chunks_exact(2).zip(below.chunks_exact(2));
                let (above, below) = y.split_at(w);
                let y = above.chunks_exact(2).zip(below.chunks_exact(2));
                let sums = xs[block.clone()].iter_mut().zip(&mut ys[block.clone()]);
                let squares = xxs[block.clone()].iter_mut().zip(&mut yys[block.clone()]).zip(&mut xys[block]);
                for (((a, b), (c, d)), ((xs, ys), ((xxs, yys), xys))) in x.zip(y).zip(sums.zip(squares)) {
                    *xs = a[0] + a[1] + b[0] + b[1];
                    *ys = c[0] + c[1] + d[0] + d[1];
                    *xxs = a[0] * a[0] + a[1] * a[1] + b[0] * b[0] + b[1] * b[1];
                    *yys = c[0] * c[0] + c[1] * c[1] + d[0] * d[0] + d[1] * d[1];
                    *xys = a[0] * c[0] + a[1] * c[1] + b[0] * d[0] + b[1] * d[1];
                }
            },
        );
    }
    sums
}

/// Sums of three neighbours: `values` has two more than `sums`.
#[inline(always)]
fn triples(values: &[f32], sums: &mut [f32]) {
    let neighbours = values.iter().zip(&values[1..]).zip(&values[2..]);
    sums.iter_mut().zip(neighbours).for_each(|(sum, ((a, b), c))| *sum = a + b + c);
}

/// a·x + b·y + c with the slopes of each pixel's block.
fn gradient(x: &[f32], y: &[f32], w: usize, [a, b, c]: &[Vec<f32>; 3]) -> Vec<f32> {
    let mut gradient = vec![0.0; x.len()];
    let rows = gradient.chunks_exact_mut(w).zip(x.chunks_exact(w).zip(y.chunks_exact(w)));
    for (row, (gradient, (x, y))) in rows.enumerate() {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let block = row / 2 * (w / 2)..(row / 2 + 1) * (w / 2);
                let slopes = a[block.clone()].iter().zip(&b[block.clone()]).zip(&c[block]);
                let pixels = x.chunks_exact(2).zip(y.chunks_exact(2));
                for ((pair, (x, y)), ((a, b), c)) in gradient.chunks_exact_mut(2).zip(pixels).zip(slopes) {
                    pair[0] = a * x[0] + b * y[0] + c;
                    pair[1] = a * x[1] + b * y[1] + c;
                }
            },
        );
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor, Var};
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
