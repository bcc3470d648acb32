//! The last layers of g_s in one: lapped patches of a picture, from the convolution to bytes.

use super::packed::{Packed, Segment, line};
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
    let buffers = || (vec![0.0; 2 * (w + 2) * c], vec![0.0; (w + 1) * k * k * 3]);
    pieces.enumerate().for_each_init(buffers, |(padded, patches), (piece, rgb)| {
        let (above, below) = padded.split_at_mut((w + 2) * c);
        let corner = top + piece;
        for (row, out) in [(corner.saturating_sub(1), &mut *above), (corner.min(h - 1), &mut *below)] {
            pad_row(&x[row * w * c..][..w * c], c, out);
        }
        let inputs = [&*above, &*below].map(|data| Segment { data, stride: c, length: 2 * c });
        line(isa, weights, w + 1, 1, &inputs, patches);
        let first_row = if piece == 0 { (first + half) % k } else { 0 };
        for (dy, rgb) in (first_row..).zip(rgb.chunks_exact_mut(line_bytes)) {
            isa.vectorize(
                #[inline(always)]
                || pixel_row(patches, k, dy, rgb),
            );
        }
    });
}

/// Row `dy` of a line of patches, whose first begins half a patch before the row.
#[inline(always)]
fn pixel_row(patches: &[f32], k: usize, dy: usize, rgb: &mut [u8]) {
    let run = k * 3;
    let (start, rest) = rgb.split_at_mut((run / 2).min(rgb.len()));
    let row = |patch: usize| &patches[(patch * k + dy) * run..][..run];
    let write = |out: &mut [u8], values: &[f32]| {
        out.iter_mut().zip(values).for_each(|(out, &v)| *out = from_network(v));
    };
    write(start, &row(0)[run / 2..]);
    for (patch, out) in rest.chunks_mut(run).enumerate() {
        write(out, row(patch + 1));
    }
}
