//! Depthwise 3×3 convolution.

#[cfg(feature = "nn")]
use {super::Dims, rayon::prelude::*};

/// Depthwise 3×3 with bias on a map of `dims`; the border is replicated. `weight` is (9, C).
#[cfg(feature = "nn")]
pub(crate) fn depthwise3(x: &[f32], dims: Dims, weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let Dims { h, w, c } = dims;
    assert!(x.len() == dims.len() && out.len() == dims.len() && weight.len() == 9 * c && bias.len() == c);
    out.par_chunks_mut(w * c).enumerate().for_each(|(row, out)| {
        let rows = [row.saturating_sub(1), row, (row + 1).min(h - 1)].map(|r| &x[r * w * c..][..w * c]);
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || depthwise_row(rows, w, 0, weight, bias, out),
        );
    });
}

/// Positions from `first` on, as many as `out` holds, of one row of `w` from the three `rows` around it.
#[inline(always)]
pub(super) fn depthwise_row(
    rows: [&[f32]; 3],
    w: usize,
    first: usize,
    weight: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    let c = bias.len();
    for (column, out) in (first..).zip(out.chunks_exact_mut(c)) {
        let columns = [column.saturating_sub(1), column, (column + 1).min(w - 1)];
        let tap = |k: usize| &rows[k / 3][columns[k % 3] * c..][..c];
        weighted_sum(std::array::from_fn(tap), weight, bias, out);
    }
}

/// `out = bias + Σ_k weight[k] ∘ taps[k]`, channel by channel.
#[inline(always)]
fn weighted_sum(taps: [&[f32]; 9], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let c = out.len();
    let [x0, x1, x2, x3, x4, x5, x6, x7, x8] = taps.map(|t| &t[..c]);
    let [w0, w1, w2, w3, w4, w5, w6, w7, w8]: [&[f32]; 9] = std::array::from_fn(|k| &weight[k * c..][..c]);
    let bias = &bias[..c];
    for i in 0..c {
        out[i] = bias[i]
            + ((x0[i] * w0[i] + x1[i] * w1[i] + x2[i] * w2[i])
                + (x3[i] * w3[i] + x4[i] * w4[i] + x5[i] * w5[i])
                + (x6[i] * w6[i] + x7[i] * w7[i] + x8[i] * w8[i]));
    }
}
