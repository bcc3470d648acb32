//! Depthwise 3×3 convolution.

use super::Dims;
use super::simd::{prefetch, vector, vector_mut};
use pulp::Simd;
#[cfg(feature = "nn")]
use {super::simd::Isa, pulp::WithSimd, rayon::prelude::*};

/// Depthwise 3×3 with bias on a map of `dims`; the border is replicated. `weight` is (9, C).
#[cfg(feature = "nn")]
pub(crate) fn depthwise3(x: &[f32], dims: Dims, weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let Dims { w, c, .. } = dims;
    assert!(x.len() == dims.len() && out.len() == dims.len() && weight.len() == 9 * c && bias.len() == c);
    out.par_chunks_mut(w * c).enumerate().for_each(|(row, out)| {
        let rows = rows_around(x, dims, row);
        Isa::best().run(Row { rows, w, weight, bias, out });
    });
}

#[cfg(feature = "nn")]
struct Row<'a> {
    rows: [&'a [f32]; 3],
    w: usize,
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

#[cfg(feature = "nn")]
impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Row { rows, w, weight, bias, out } = self;
        depthwise_row(simd, rows, w, 0, weight, bias, out);
    }
}

/// Row `row` of a map between those above and below it; the border is replicated.
#[inline(always)]
pub(super) fn rows_around(x: &[f32], dims: Dims, row: usize) -> [&[f32]; 3] {
    let Dims { h, w, c } = dims;
    let [above, below] = [row.saturating_sub(1), (row + 1).min(h - 1)];
    [&x[above * w * c..][..w * c], &x[row * w * c..][..w * c], &x[below * w * c..][..w * c]]
}

/// Columns that are filtered together: what they need of three rows stays in the nearest cache, and a channel's
/// weights in registers.
const COLUMNS: usize = 8;

/// Positions from `first` on, as many as `out` holds, of one row of `w` from the three `rows` around it.
#[inline(always)]
pub(super) fn depthwise_row<S: Simd>(
    simd: S,
    rows: [&[f32]; 3],
    w: usize,
    first: usize,
    weight: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    let c = bias.len();
    let whole = c - c % S::F32_LANES;
    for (first, out) in (first..).step_by(COLUMNS).zip(out.chunks_mut(COLUMNS * c)) {
        // What comes next: a stride of a whole column hides it from the processor's own foresight.
        for row in rows {
            let next = &row[((first + COLUMNS + 1) * c).min(row.len())..];
            prefetch(&next[..(COLUMNS * c).min(next.len())]);
        }
        for channel in (0..whole).step_by(S::F32_LANES) {
            let w0 = vector::<S>(weight, channel);
            let w1 = vector::<S>(weight, c + channel);
            let w2 = vector::<S>(weight, 2 * c + channel);
            let w3 = vector::<S>(weight, 3 * c + channel);
            let w4 = vector::<S>(weight, 4 * c + channel);
            let w5 = vector::<S>(weight, 5 * c + channel);
            let w6 = vector::<S>(weight, 6 * c + channel);
            let w7 = vector::<S>(weight, 7 * c + channel);
            let w8 = vector::<S>(weight, 8 * c + channel);
            let bias = vector::<S>(bias, channel);
            let mut left = column::<S>(rows, first.saturating_sub(1) * c + channel);
            let mut here = column::<S>(rows, first * c + channel);
            for (at, out) in (first..).zip(out.chunks_exact_mut(c)) {
                let right = column::<S>(rows, (at + 1).min(w - 1) * c + channel);
                // Three sums, so that none waits long for another.
                let x = simd.mul_add_e_f32s(left[0], w0, bias);
                let y = simd.mul_f32s(here[0], w1);
                let z = simd.mul_f32s(right[0], w2);
                let x = simd.mul_add_e_f32s(left[1], w3, x);
                let y = simd.mul_add_e_f32s(here[1], w4, y);
                let z = simd.mul_add_e_f32s(right[1], w5, z);
                let x = simd.mul_add_e_f32s(left[2], w6, x);
                let y = simd.mul_add_e_f32s(here[2], w7, y);
                let z = simd.mul_add_e_f32s(right[2], w8, z);
                *vector_mut::<S>(out, channel) = simd.add_f32s(x, simd.add_f32s(y, z));
                (left, here) = (here, right);
            }
        }
        for channel in whole..c {
            for (column, out) in (first..).zip(out.chunks_exact_mut(c)) {
                let taps = around(column, w, c, channel);
                let tap = |k: usize| rows[k / 3][taps[k % 3]] * weight[k * c + channel];
                out[channel] = bias[channel] + (0..9).map(tap).sum::<f32>();
            }
        }
    }
}

/// Where a channel of a column and its neighbours is in a row of `w` columns of `c` channels; the border is replicated.
#[inline(always)]
fn around(column: usize, w: usize, c: usize, channel: usize) -> [usize; 3] {
    [column.saturating_sub(1) * c + channel, column * c + channel, (column + 1).min(w - 1) * c + channel]
}

/// The vectors from value `at` of each row on. (An array's `map` would be compiled without their instructions.)
#[inline(always)]
fn column<S: Simd>(rows: [&[f32]; 3], at: usize) -> [S::f32s; 3] {
    [vector::<S>(rows[0], at), vector::<S>(rows[1], at), vector::<S>(rows[2], at)]
}
