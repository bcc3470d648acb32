//! The gate and the residual sum.

#[cfg(feature = "nn")]
use rayon::prelude::*;

/// Rows that one task handles.
#[cfg(feature = "nn")]
const ROWS: usize = 1024;

/// An algebraic sigmoid: no exponential, so equal on every machine.
#[inline(always)]
pub(super) fn sigmoid(b: f32) -> f32 {
    0.5 + 0.5 * b / (1.0 + b.abs())
}

/// Gated linear unit (Dauphin et al. 2017): rows (a, b) of 2·C values → `a ∘ sigmoid(b)` of C values.
#[cfg(feature = "nn")]
pub(crate) fn gate(x: &[f32], channels: usize, out: &mut [f32]) {
    assert_eq!(x.len(), 2 * out.len());
    x.par_chunks(ROWS * 2 * channels).zip(out.par_chunks_mut(ROWS * channels)).for_each(|(x, out)| {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for (x, out) in x.chunks_exact(2 * channels).zip(out.chunks_exact_mut(channels)) {
                    let (a, b) = x.split_at(channels);
                    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                        *out = a * sigmoid(*b);
                    }
                }
            },
        );
    });
}

/// `out = x + scale ∘ branch`, with one scale for each channel.
#[cfg(feature = "nn")]
pub(crate) fn scaled_add(x: &[f32], branch: &[f32], scale: &[f32], out: &mut [f32]) {
    assert!(x.len() == branch.len() && x.len() == out.len());
    let chunk = ROWS * scale.len();
    out.par_chunks_mut(chunk).zip(x.par_chunks(chunk).zip(branch.par_chunks(chunk))).for_each(
        |(out, (x, branch))| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || {
                    let c = scale.len();
                    let rows = x.chunks_exact(c).zip(branch.chunks_exact(c));
                    for (out, (x, branch)) in out.chunks_exact_mut(c).zip(rows) {
                        for i in 0..c {
                            out[i] = x[i] + scale[i] * branch[i];
                        }
                    }
                },
            );
        },
    );
}
