//! The last layers of g_s in one: lapped patches of a picture, from the convolution to bytes.
//!
//! The 2×2 convolution to the corners of cells is computed for 2×2 corners at a time, in 9 products instead of 16:
//! F(2×2, 2×2) of the minimal filtering algorithms (Winograd 1980; Lavin & Gray 2016). In one direction, with taps g and
//! three cells d in a row, the products are (d₀ − d₁)·g₀, d₁·(g₀ + g₁) and (d₁ − d₂)·g₁; the first corner is the sum of
//! the first two, the second corner the difference of the last two.

use super::Dims;
use super::lines::line;
use super::packed::{Packed, Segment};
use super::simd::{Isa, vector, vector_mut};
use crate::pixels::from_network;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Pairs of corners of a row that are computed together: what becomes of them stays in the nearer caches.
const PAIRS: usize = 18;

/// Which taps each product of one direction adds up.
const TAPS: [&[usize]; 3] = [&[0], &[0, 1], &[1]];

/// The weights of the convolution, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    /// Those of each product: for each of the vertical direction, three of the horizontal one.
    products: [Packed; 9],
    /// Side of a cell in pixels.
    k: usize,
}

impl Patches {
    /// `weights` are those of the convolution, to k·k·3 values: a patch around each corner.
    pub(crate) fn new(weights: &Packed, k: usize) -> Patches {
        assert!(weights.outputs() == k * k * 3 && k.is_multiple_of(2));
        let products = std::array::from_fn(|product| {
            let across = |dy: usize| TAPS[product % 3].iter().map(move |dx| 2 * dy + dx);
            let taps: Vec<usize> = TAPS[product / 3].iter().flat_map(|&dy| across(dy)).collect();
            // The product that every corner has brings the bias.
            weights.sum_of_parts(4, &taps, product == 4)
        });
        Patches { products, k }
    }

    /// Multiplies in fixed point from here on, where that is faster.
    pub(crate) fn fix(&mut self) {
        self.products.iter_mut().for_each(|weights| weights.fix(weights.inputs()));
    }

    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// RGB of the rows of `width` pixels from row `first` on, as many as `rgb` holds, of the picture that the cells
    /// `x` make; `odd` tells whether the first row of corners that these rows need is the second of its pair.
    /// The result does not depend on how a picture's rows are cut, if the pairs are the same.
    pub(crate) fn paint(
        &self,
        isa: Isa,
        (x, dims): (&[f32], Dims),
        (first, width): (usize, usize),
        odd: bool,
        rgb: &mut [u8],
    ) {
        let (k, half) = (self.k, self.k / 2);
        let Dims { w, c, .. } = dims;
        assert!(x.len() == dims.len() && c == self.products[0].inputs() && width > 0 && width <= w * k);
        // Each row of corners makes k rows of pixels; the first has what is left of its patches.
        let (mut corner, mut row, mut second) = ((first + half) / k, (first + half) % k, odd);
        let (mut rest, mut pieces) = (rgb, Vec::new());
        while !rest.is_empty() {
            let lines = if second { k } else { 2 * k } - row;
            let bytes = (lines * width * 3).min(rest.len());
            let (rgb, others) = std::mem::take(&mut rest).split_at_mut(bytes);
            pieces.push(Piece { corner, second, row, rgb });
            rest = others;
            (corner, row, second) = (corner + if second { 1 } else { 2 }, 0, false);
        }
        let run = Run { patches: self, isa, x, dims, width };
        pieces.into_par_iter().for_each_init(Buffers::default, |buffers, piece| run.piece(piece, buffers));
    }
}

/// The rows of pixels around a pair of rows of corners, or around one of the two.
struct Piece<'a> {
    /// The first row of corners, and whether it is the second of its pair.
    corner: usize,
    second: bool,
    /// Its first row of pixels that is wanted, of k.
    row: usize,
    rgb: &'a mut [u8],
}

#[derive(Default)]
struct Buffers {
    /// Rows of cells whose border is replicated, at the ends of a row.
    padded: [Vec<f32>; 3],
    /// What is multiplied, by three products.
    inputs: [Vec<f32>; 3],
    products: [Vec<f32>; 9],
    patches: Vec<f32>,
}

struct Run<'a> {
    patches: &'a Patches,
    isa: Isa,
    x: &'a [f32],
    dims: Dims,
    width: usize,
}

impl Run<'_> {
    fn piece(&self, Piece { corner, second, row, rgb }: Piece<'_>, buffers: &mut Buffers) {
        let (k, line_bytes) = (self.patches.k, self.width * 3);
        let (head, tail) = rgb.split_at_mut(((k - row) * line_bytes).min(rgb.len()));
        // Those of the first row of corners, of the second, or of both.
        let wanted = match (second, tail.is_empty()) {
            (true, _) => 1..3,
            (false, true) => 0..2,
            (false, false) => 0..3,
        };
        let middle = (corner + 1).saturating_sub(usize::from(second));
        for column in (0..self.dims.w + 1).step_by(2 * PAIRS) {
            let pairs = PAIRS.min((self.dims.w + 2 - column) / 2);
            self.multiply((middle, column), pairs, wanted.clone(), buffers);
            let Buffers { products, patches, .. } = buffers;
            patches.resize(2 * pairs * k * k * 3, 0.0);
            for (rgb, row, second) in [(&mut *head, row, second), (&mut *tail, 0, true)] {
                if rgb.is_empty() {
                    continue;
                }
                self.isa.run(Sums { products, second, values: k * k * 3, patches });
                for (dy, rgb) in (row..).zip(rgb.chunks_exact_mut(line_bytes)) {
                    self.isa.vectorize(
                        #[inline(always)]
                        || pixel_row(patches, k, (column, dy), rgb),
                    );
                }
            }
        }
    }

    /// The `wanted` vertical products with all horizontal ones, of `pairs` pairs of corners from `column` on, between
    /// the cells of rows `middle` − 2 to `middle`.
    fn multiply(
        &self,
        (middle, column): (usize, usize),
        pairs: usize,
        wanted: Range<usize>,
        buffers: &mut Buffers,
    ) {
        let Dims { h, w, c } = self.dims;
        let row = |i: usize| &self.x[(middle + i).saturating_sub(2).min(h - 1) * w * c..][..w * c];
        let (rows, cells) = ([row(0), row(1), row(2)], 2 * pairs + 1);
        let inside = column > 0 && column - 1 + cells <= w;
        for (row, out) in rows.iter().zip(&mut buffers.padded).filter(|_| !inside) {
            out.clear();
            for cell in column..column + cells {
                out.extend_from_slice(&row[cell.saturating_sub(1).min(w - 1) * c..][..c]);
            }
        }
        let part =
            |i: usize| if inside { &rows[i][(column - 1) * c..][..cells * c] } else { &buffers.padded[i] };
        let rows = [part(0), part(1), part(2)];
        for vertical in wanted {
            buffers.inputs.iter_mut().for_each(|inputs| inputs.resize(pairs * c, 0.0));
            self.isa.run(Differences { rows, channels: c, vertical, out: &mut buffers.inputs });
            for (horizontal, inputs) in buffers.inputs.iter().enumerate() {
                let product = 3 * vertical + horizontal;
                let (weights, out) = (&self.patches.products[product], &mut buffers.products[product]);
                out.resize(pairs * weights.outputs(), 0.0);
                line(self.isa, weights, pairs, 1, &[Segment { data: inputs, stride: c, length: c }], out);
            }
        }
    }
}

/// What is multiplied by the products of one `vertical` kind.
struct Differences<'a> {
    rows: [&'a [f32]; 3],
    channels: usize,
    vertical: usize,
    out: &'a mut [Vec<f32>; 3],
}

impl WithSimd for Differences<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Differences { rows: [a, b, c], channels, vertical, out: [left, middle, right] } = self;
        let outs = left.chunks_exact_mut(channels).zip(middle.chunks_exact_mut(channels));
        for (pair, ((left, middle), right)) in outs.zip(right.chunks_exact_mut(channels)).enumerate() {
            let at = 2 * pair * channels;
            let [a, b, c] = [&a[at..][..3 * channels], &b[at..][..3 * channels], &c[at..][..3 * channels]];
            let whole = channels - channels % S::F32_LANES;
            for channel in (0..whole).step_by(S::F32_LANES) {
                let mut cells = [simd.splat_f32s(0.0); 3];
                for (i, cell) in cells.iter_mut().enumerate() {
                    let at = i * channels + channel;
                    *cell = vector::<S>(b, at);
                    if vertical == 0 {
                        *cell = simd.sub_f32s(vector::<S>(a, at), *cell);
                    } else if vertical == 2 {
                        *cell = simd.sub_f32s(*cell, vector::<S>(c, at));
                    }
                }
                *vector_mut::<S>(left, channel) = simd.sub_f32s(cells[0], cells[1]);
                *vector_mut::<S>(middle, channel) = cells[1];
                *vector_mut::<S>(right, channel) = simd.sub_f32s(cells[1], cells[2]);
            }
            for channel in whole..channels {
                let cell = |at: usize| match vertical {
                    0 => a[at] - b[at],
                    1 => b[at],
                    _ => b[at] - c[at],
                };
                let cells = [cell(channel), cell(channels + channel), cell(2 * channels + channel)];
                left[channel] = cells[0] - cells[1];
                middle[channel] = cells[1];
                right[channel] = cells[1] - cells[2];
            }
        }
    }
}

/// The patches around one row of corners, the first or the second of its pair.
struct Sums<'a> {
    products: &'a [Vec<f32>; 9],
    second: bool,
    /// Values of a patch.
    values: usize,
    patches: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Sums { products, second, values, patches } = self;
        let (upper, lower) =
            if second { (&products[3..6], &products[6..]) } else { (&products[..3], &products[3..6]) };
        let whole = values - values % S::F32_LANES;
        for (pair, patches) in patches.chunks_exact_mut(2 * values).enumerate() {
            let (first, other) = patches.split_at_mut(values);
            let at = pair * values;
            let upper = [&upper[0][at..][..values], &upper[1][at..][..values], &upper[2][at..][..values]];
            let lower = [&lower[0][at..][..values], &lower[1][at..][..values], &lower[2][at..][..values]];
            for value in (0..whole).step_by(S::F32_LANES) {
                let mut sums = [simd.splat_f32s(0.0); 3];
                for (sum, (upper, lower)) in sums.iter_mut().zip(upper.iter().zip(lower)) {
                    let (upper, lower) = (vector::<S>(upper, value), vector::<S>(lower, value));
                    *sum = if second { simd.sub_f32s(upper, lower) } else { simd.add_f32s(upper, lower) };
                }
                *vector_mut::<S>(first, value) = simd.add_f32s(sums[0], sums[1]);
                *vector_mut::<S>(other, value) = simd.sub_f32s(sums[1], sums[2]);
            }
            for value in whole..values {
                let sign = if second { -1.0 } else { 1.0 };
                let sum = |i: usize| upper[i][value] + sign * lower[i][value];
                first[value] = sum(0) + sum(1);
                other[value] = sum(1) - sum(2);
            }
        }
    }
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
