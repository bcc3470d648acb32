//! Space to depth, depth to space, and the unfolding behind the 3×3 convolution.

use super::Dims;
use rayon::prelude::*;

/// Space to depth by `k`: (H, W, C) → (H/k, W/k, k·k·C), channel order (dy, dx, c).
pub(crate) fn unshuffle<T: Copy + Send + Sync>(x: &[T], dims: Dims, k: usize, out: &mut [T]) {
    let Dims { h, w, c } = dims;
    assert!(h % k == 0 && w % k == 0 && x.len() == dims.len() && out.len() == dims.len());
    let run = k * c;
    out.par_chunks_mut(k * w * c).zip(x.par_chunks(k * w * c)).for_each(|(out, x)| {
        for (column, out) in out.chunks_exact_mut(k * run).enumerate() {
            for (dy, out) in out.chunks_exact_mut(run).enumerate() {
                out.copy_from_slice(&x[dy * w * c + column * run..][..run]);
            }
        }
    });
}

/// Depth to space by `k`: (H, W, k·k·C) → (H·k, W·k, C), the inverse of [`unshuffle`].
pub(crate) fn shuffle<T: Copy + Send + Sync>(x: &[T], dims: Dims, k: usize, out: &mut [T]) {
    let Dims { w, c, .. } = dims;
    assert!(c % (k * k) == 0 && x.len() == dims.len() && out.len() == dims.len());
    let run = c / k;
    out.par_chunks_mut(w * c).zip(x.par_chunks(w * c)).for_each(|(out, x)| {
        for (column, x) in x.chunks_exact(c).enumerate() {
            for (dy, x) in x.chunks_exact(run).enumerate() {
                out[dy * w * run + column * run..][..run].copy_from_slice(x);
            }
        }
    });
}

/// The 3×3 neighbourhood of every position of rows `rows`, border replicated: (rows, W, 9·C).
pub(crate) fn unfold3<T: Copy>(x: &[T], dims: Dims, rows: std::ops::Range<usize>, out: &mut [T]) {
    let Dims { h, w, c } = dims;
    assert!(x.len() == dims.len() && out.len() == rows.len() * w * 9 * c && rows.end <= h);
    for (row, out) in rows.zip(out.chunks_exact_mut(w * 9 * c)) {
        for (column, out) in out.chunks_exact_mut(9 * c).enumerate() {
            for (k, out) in out.chunks_exact_mut(c).enumerate() {
                let y = (row + k / 3).saturating_sub(1).min(h - 1);
                let x_at = (column + k % 3).saturating_sub(1).min(w - 1);
                out.copy_from_slice(&x[(y * w + x_at) * c..][..c]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffle_undoes_unshuffle() {
        let dims = Dims { h: 4, w: 6, c: 3 };
        let x: Vec<f32> = (0..dims.len()).map(|v| v as f32).collect();
        let (mut a, mut b) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        unshuffle(&x, dims, 2, &mut a);
        assert_eq!(a[..6], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(a[6..9], [18.0, 19.0, 20.0]);
        shuffle(&a, Dims { h: 2, w: 3, c: 12 }, 2, &mut b);
        assert_eq!(x, b);
    }

    #[test]
    fn unfold_replicates_the_border() {
        let mut out = vec![0; 2 * 9];
        unfold3(&[1, 2], Dims { h: 1, w: 2, c: 1 }, 0..1, &mut out);
        assert_eq!(out, [1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 2, 2, 1, 2, 2, 1, 2, 2]);
    }
}
