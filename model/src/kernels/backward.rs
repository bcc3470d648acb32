//! Gradients of the kernels, for the trainer and for refining. One thread: both run one worker a core.

use super::rearrange::{beside, corners};
use super::{Dims, Matrix, elementwise::sigmoid, matmul};

/// Gradient of [`super::linear`] in `x` (R, K), for `weight` (K, N) and the gradient (R, N) of its result.
pub(crate) fn linear_backward(weight: &[f32], grad: &[f32], n: usize) -> Vec<f32> {
    let (k, rows) = (weight.len() / n, grad.len() / n);
    let mut dx = vec![0.0; rows * k];
    matmul(Matrix::new(grad, rows, n), Matrix::new(weight, k, n).t(), &mut dx, false);
    dx
}

/// Gradients of [`super::linear`] in weight (K, N) and bias (N), for `x` (R, K) and the gradient of its result.
pub(crate) fn linear_backward_weights(x: &[f32], grad: &[f32], n: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = grad.len() / n;
    let k = x.len() / rows;
    let g = Matrix::new(grad, rows, n);
    let mut dw = vec![0.0; k * n];
    matmul(Matrix::new(x, rows, k).t(), g, &mut dw, false);
    let mut db = vec![0.0; n];
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in grad.chunks_exact(n) {
                for (d, g) in db.iter_mut().zip(row) {
                    *d += g;
                }
            }
        },
    );
    (dw, db)
}

/// Gradient of [`super::gate`].
pub(crate) fn gate_backward(x: &[f32], channels: usize, grad: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let rows = x.chunks_exact(2 * channels).zip(grad.chunks_exact(channels));
            for (dx, (x, g)) in dx.chunks_exact_mut(2 * channels).zip(rows) {
                let (a, b) = x.split_at(channels);
                let (da, db) = dx.split_at_mut(channels);
                let g = &g[..channels];
                let b = &b[..channels];
                for i in 0..channels {
                    let d = 1.0 + b[i].abs();
                    da[i] = g[i] * sigmoid(b[i]);
                    db[i] = g[i] * a[i] * 0.5 / (d * d);
                }
            }
        },
    );
    dx
}

/// Channels that the weight gradient keeps in registers at a time.
const LANES: usize = 8;

/// Gradients of [`super::depthwise3`] for one map, added into that of `x` and those of weight and bias, where they are
/// asked for.
pub(crate) fn depthwise3_backward(
    x: &[f32],
    dims: Dims,
    weight: &[f32],
    grad: &[f32],
    dx: &mut [f32],
    learnt: Option<(&mut [f32], &mut [f32])>,
) {
    assert_eq!(dims.c % LANES, 0, "depthwise gradients need a multiple of {LANES} channels");
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let (learns, (dw, db)) = (learnt.is_some(), learnt.unwrap_or_default());
            for row in 0..dims.h {
                for first in (0..dims.c).step_by(LANES) {
                    match learns {
                        true => row_gradients::<true>(x, dims, weight, grad, row, first, dx, dw, db),
                        false => row_gradients::<false>(x, dims, weight, grad, row, first, dx, dw, db),
                    }
                }
            }
        },
    );
}

/// One output row, [`LANES`] channels from `first`; weight and bias where it `LEARNS`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn row_gradients<const LEARNS: bool>(
    x: &[f32],
    dims: Dims,
    weight: &[f32],
    grad: &[f32],
    row: usize,
    first: usize,
    dx: &mut [f32],
    dw: &mut [f32],
    db: &mut [f32],
) {
    let Dims { h, w, c } = dims;
    let rows = [row.saturating_sub(1), row, (row + 1).min(h - 1)];
    let lanes = |data: &[f32], at: usize| -> [f32; LANES] { data[at..at + LANES].try_into().unwrap() };
    let taps: [[f32; LANES]; 9] = std::array::from_fn(|k| lanes(weight, k * c + first));
    let mut sums = [[0.0f32; LANES]; 9];
    let mut sum = [0.0f32; LANES];
    for column in 0..w {
        let g = lanes(grad, (row * w + column) * c + first);
        let columns = [column.saturating_sub(1), column, (column + 1).min(w - 1)];
        for k in 0..9 {
            let at = (rows[k / 3] * w + columns[k % 3]) * c + first;
            let input = lanes(x, at);
            let out: &mut [f32; LANES] = (&mut dx[at..at + LANES]).try_into().unwrap();
            for i in 0..LANES {
                if LEARNS {
                    sums[k][i] += g[i] * input[i];
                }
                out[i] += g[i] * taps[k][i];
            }
        }
        for i in 0..LANES {
            sum[i] += g[i];
        }
    }
    if !LEARNS {
        return;
    }
    for k in 0..9 {
        for i in 0..LANES {
            dw[k * c + first + i] += sums[k][i];
        }
    }
    for i in 0..LANES {
        db[first + i] += sum[i];
    }
}

/// Gradient of [`super::unfold3`] over a whole map: each of the nine copies flows back to its source.
pub(crate) fn unfold3_backward(grad: &[f32], dims: Dims, dx: &mut [f32]) {
    let Dims { h, w, c } = dims;
    for (at, grad) in grad.chunks_exact(9 * c).enumerate() {
        let (row, column) = (at / w, at % w);
        for (k, grad) in grad.chunks_exact(c).enumerate() {
            let y = (row + k / 3).saturating_sub(1).min(h - 1);
            let x = (column + k % 3).saturating_sub(1).min(w - 1);
            for (d, g) in dx[(y * w + x) * c..][..c].iter_mut().zip(grad) {
                *d += g;
            }
        }
    }
}

/// Gradient of [`super::unfold2`] over a whole map.
pub(crate) fn unfold2_backward(grad: &[f32], dims: Dims, grow: bool, dx: &mut [f32]) {
    let Dims { h, w, c } = dims;
    let columns = corners(dims, grow).w;
    for (at, grad) in grad.chunks_exact(4 * c).enumerate() {
        let (row, column) = (at / columns, at % columns);
        for (k, grad) in grad.chunks_exact(c).enumerate() {
            let at = beside(row, k / 2, grow, h) * w + beside(column, k % 2, grow, w);
            for (d, g) in dx[at * c..][..c].iter_mut().zip(grad) {
                *d += g;
            }
        }
    }
}

/// Gradient of [`super::lapped_unshuffle`] of a map of `dims`, added into `dx`.
pub(crate) fn lapped_unshuffle_backward(grad: &[f32], dims: Dims, k: usize, dx: &mut [f32]) {
    let Dims { h, w, c } = dims;
    for (at, grad) in grad.chunks_exact(c).enumerate() {
        let (patch, dy, dx_at) = (at / (k * k), at / k % k, at % k);
        let (row, column) = (patch / (w / k + 1), patch % (w / k + 1));
        let y = (row * k + dy).saturating_sub(k / 2).min(h - 1);
        let x = (column * k + dx_at).saturating_sub(k / 2).min(w - 1);
        dx[(y * w + x) * c..][..c].iter_mut().zip(grad).for_each(|(d, g)| *d += g);
    }
}

/// Gradient of [`super::lapped_shuffle`] of a map of `dims`; what it dropped has none.
pub(crate) fn lapped_shuffle_backward(grad: &[f32], dims: Dims, k: usize, dx: &mut [f32]) {
    let Dims { w, c, .. } = dims;
    let (run, half) = (c / k, k / 2);
    let pixel = run / k;
    for (row, grad) in grad.chunks_exact((w - 1) * run).enumerate() {
        let (patch, dy) = ((row + half) / k, (row + half) % k);
        for column in 0..w {
            let from = if column == 0 { half * pixel } else { 0 };
            let to = if column == w - 1 { half * pixel } else { run };
            let at = (column * run + from) - half * pixel;
            dx[(patch * w + column) * c + dy * run..][from..to].copy_from_slice(&grad[at..at + to - from]);
        }
    }
}

/// Gradients of [`super::scaled_add`] for one map: of the branch, and added into that of the scale.
pub(crate) fn scaled_add_backward(
    branch: &[f32],
    scale: &[f32],
    grad: &[f32],
    d_branch: &mut [f32],
    d_scale: &mut [f32],
) {
    let c = scale.len();
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let rows = branch.chunks_exact(c).zip(grad.chunks_exact(c));
            for (d_branch, (branch, grad)) in d_branch.chunks_exact_mut(c).zip(rows) {
                let d_scale = &mut d_scale[..c];
                for i in 0..c {
                    d_branch[i] = scale[i] * grad[i];
                    d_scale[i] += branch[i] * grad[i];
                }
            }
        },
    );
}
