//! Space to depth, depth to space, and the unfolding behind the 2×2 and 3×3 convolutions.

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

/// The 2×2 neighbourhood of the positions of rows `rows` on the grid of corners, which has one more row and
/// column than the map where `grow`, border replicated, and one less where not: (rows, columns, 4·C).
#[cfg(feature = "nn")]
pub(crate) fn unfold2(x: &[f32], dims: Dims, grow: bool, rows: std::ops::Range<usize>, out: &mut [f32]) {
    let Dims { h, w, c } = dims;
    let Dims { h: corner_rows, w: columns, .. } = corners(dims, grow);
    assert!(x.len() == dims.len() && out.len() == rows.len() * columns * 4 * c && rows.end <= corner_rows);
    for (row, out) in rows.zip(out.chunks_exact_mut(columns * 4 * c)) {
        for (column, out) in out.chunks_exact_mut(4 * c).enumerate() {
            for (k, out) in out.chunks_exact_mut(c).enumerate() {
                let at = beside(row, k / 2, grow, h) * w + beside(column, k % 2, grow, w);
                out.copy_from_slice(&x[at * c..][..c]);
            }
        }
    }
}

/// Size of the grid of corners of a map, with its channels.
#[cfg(feature = "nn")]
pub(crate) fn corners(dims: Dims, grow: bool) -> Dims {
    let across = |n: usize| if grow { n + 1 } else { n - 1 };
    Dims { h: across(dims.h), w: across(dims.w), c: dims.c }
}

/// The cell before (`k` 0) or after (1) corner `at`, of `n` cells.
#[cfg(feature = "nn")]
pub(super) fn beside(at: usize, k: usize, grow: bool, n: usize) -> usize {
    if grow { (at + k).saturating_sub(1).min(n - 1) } else { at + k }
}

/// Space to depth by `k` of patches that are centred on the corners of the k×k grid: (H, W, C) →
/// (H/k + 1, W/k + 1, k·k·C), border replicated.
pub(crate) fn lapped_unshuffle(x: &[f32], dims: Dims, k: usize, out: &mut [f32]) {
    let Dims { h, w, c } = dims;
    let columns = w / k + 1;
    assert!(k.is_multiple_of(2) && h % k == 0 && w % k == 0 && x.len() == dims.len());
    assert_eq!(out.len(), (h / k + 1) * columns * k * k * c);
    out.par_chunks_mut(columns * k * k * c).enumerate().for_each(|(patch, out)| {
        for (line, out) in out.chunks_exact_mut(k * c).enumerate() {
            let (column, dy) = (line / k, line % k);
            let y = (patch * k + dy).saturating_sub(k / 2).min(h - 1);
            let row = &x[y * w * c..][..w * c];
            if column > 0 && column + 1 < columns {
                out.copy_from_slice(&row[(column * k - k / 2) * c..][..k * c]);
                continue;
            }
            for (dx, out) in out.chunks_exact_mut(c).enumerate() {
                let x_at = (column * k + dx).saturating_sub(k / 2).min(w - 1);
                out.copy_from_slice(&row[x_at * c..][..c]);
            }
        }
    });
}

/// Depth to space by `k` of patches that are centred on the corners of a grid: (H + 1, W + 1, k·k·C) →
/// (H·k, W·k, C). Halves of border patches that lie outside are dropped.
pub(crate) fn lapped_shuffle(x: &[f32], dims: Dims, k: usize, out: &mut [f32]) {
    let Dims { h, w, c } = dims;
    let (run, half) = (c / k, k / 2);
    let line = (w - 1) * run;
    assert!(k.is_multiple_of(2) && c % (k * k) == 0 && x.len() == dims.len());
    assert_eq!(out.len(), (h - 1) * k * line);
    out.par_chunks_mut(line).enumerate().for_each(|(row, out)| {
        let (patch, dy) = ((row + half) / k, (row + half) % k);
        let pixel = run / k;
        for column in 0..w {
            let x = &x[(patch * w + column) * c + dy * run..][..run];
            let x = if column == 0 { &x[half * pixel..] } else { x };
            let x = if column == w - 1 { &x[..half * pixel] } else { x };
            let at = (column * run).saturating_sub(half * pixel);
            out[at..at + x.len()].copy_from_slice(x);
        }
    });
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
    fn lapped_patches_are_cut_at_the_border() {
        // 2×2 corners of one cell of 2×2 pixels: each patch has one pixel inside.
        let x: Vec<f32> = (0..16).map(|v| v as f32).collect();
        let mut out = vec![0.0; 4];
        lapped_shuffle(&x, Dims { h: 2, w: 2, c: 4 }, 2, &mut out);
        assert_eq!(out, [3.0, 6.0, 9.0, 12.0]);
    }

    #[test]
    #[cfg(feature = "nn")]
    fn corners_touch_four_cells() {
        let mut out = vec![0.0; 4];
        unfold2(&[1.0, 2.0, 3.0, 4.0], Dims { h: 2, w: 2, c: 1 }, false, 0..1, &mut out);
        assert_eq!(out, [1.0, 2.0, 3.0, 4.0]);
        let mut out = vec![0.0; 2 * 3 * 4];
        unfold2(&[1.0, 2.0], Dims { h: 1, w: 2, c: 1 }, true, 0..2, &mut out);
        assert_eq!(out[..12], [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(out[..12], out[12..]);
    }

    #[test]
    fn unfold_replicates_the_border() {
        let mut out = vec![0; 2 * 9];
        unfold3(&[1, 2], Dims { h: 1, w: 2, c: 1 }, 0..1, &mut out);
        assert_eq!(out, [1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 2, 2, 1, 2, 2, 1, 2, 2]);
    }
}
