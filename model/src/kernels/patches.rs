//! The last layers of g_s in one: lapped patches of a picture, from the convolution to bytes.

use super::packed::{Packed, Segment, TILE, line};
use super::{Dims, simd::Isa};
use crate::pixels::from_network;
use rayon::prelude::*;

/// A row of `c` channels with its first and last cell once more at its ends.
pub(crate) fn pad_row(row: &[f32], c: usize, out: &mut [f32]) {
    let inner = out.len() - c;
    out[..c].copy_from_slice(&row[..c]);
    out[c..inner].copy_from_slice(row);
    out[inner..].copy_from_slice(&row[row.len() - c..]);
}

/// The 2×2 convolution of `x` to the corners of its cells, then depth to space by `k` of the patches around
/// them (k·k·3 values each): RGB of the rows of `width` pixels from row `first` on, as many as `rgb` holds.
pub(crate) fn lapped_pixels(
    isa: Isa,
    weights: &Packed,
    k: usize,
    (x, dims): (&[f32], Dims),
    (first, width): (usize, usize),
    rgb: &mut [u8],
) {
    let Dims { h, w, c } = dims;
    assert!(x.len() == dims.len() && weights.outputs() == k * k * 3 && width > 0 && width <= w * k);
    let (half, line_bytes) = (k / 2, width * 3);
    // Each row of patches makes k rows of pixels; the first piece has what is left of its patches.
    let head = (k - (first + half) % k) * line_bytes;
    let (start, rest) = rgb.split_at_mut(head.min(rgb.len()));
    let top = (first + half) / k;
    let pieces = start.par_chunks_mut(head).chain(rest.par_chunks_mut(k * line_bytes));
    let buffers = || ([Vec::new(), Vec::new()], vec![0.0; TILE * k * k * 3]);
    pieces.enumerate().for_each_init(buffers, |(padded, patches), (piece, rgb)| {
        let corner = top + piece;
        let rows = [corner.saturating_sub(1), corner.min(h - 1)].map(|row| &x[row * w * c..][..w * c]);
        let first_row = if piece == 0 { (first + half) % k } else { 0 };
        for column in (0..w + 1).step_by(TILE) {
            let count = TILE.min(w + 1 - column);
            let patches = &mut patches[..count * k * k * 3];
            // At the ends of a row its first and last cells stand once more.
            let inside = column > 0 && column + count <= w;
            for (row, out) in rows.iter().zip(&mut *padded).filter(|_| !inside) {
                out.clear();
                for cell in column..=column + count {
                    out.extend_from_slice(&row[cell.saturating_sub(1).min(w - 1) * c..][..c]);
                }
            }
            let inputs = [0, 1].map(|i| {
                let data = if inside { &rows[i][(column - 1) * c..] } else { &padded[i][..] };
                Segment { data, stride: c, length: 2 * c }
            });
            line(isa, weights, count, 1, &inputs, patches);
            for (dy, rgb) in (first_row..).zip(rgb.chunks_exact_mut(line_bytes)) {
                isa.vectorize(
                    #[inline(always)]
                    || pixel_row(patches, k, (column, dy), rgb),
                );
            }
        }
    });
}

/// Row `dy` of patches, the first of which is the row's `column`th; the row begins in the middle of its patch 0.
#[inline(always)]
fn pixel_row(patches: &[f32], k: usize, (column, dy): (usize, usize), rgb: &mut [u8]) {
    let run = k * 3;
    for (patch, values) in (column..).zip(patches.chunks_exact(k * run)) {
        let values = &values[dy * run..][..run];
        let (start, values) = match (patch * run).checked_sub(run / 2) {
            Some(start) => (start.min(rgb.len()), values),
            None => (0, &values[run / 2..]),
        };
        rgb[start..].iter_mut().zip(values).for_each(|(out, &v)| *out = from_network(v));
    }
}
