//! Inputs of a tile in 16-bit fixed point.

use super::fixed::ROWS;
use super::packed::Segment;
use super::pairs::PairDot;
use pulp::{Simd, WithSimd};

/// Largest magnitude of an input: a balance between the precision of inputs and that of weights.
pub(super) const TOP: f32 = 8191.0;

/// From one position to the next in cells: what a segment leaves out is left out there.
pub(super) fn stride(segment: &Segment<'_>) -> usize {
    segment.stride.min(segment.length)
}

/// Cells of a segment, whose positions are whole groups of [`ROWS`].
pub(super) fn room(segment: &Segment<'_>, positions: usize) -> usize {
    (positions.next_multiple_of(ROWS) - 1) * stride(segment) + segment.length
}

/// The inputs of `positions` positions of a segment, as runs of so many values: number, distance, length.
fn runs(segment: &Segment<'_>, positions: usize) -> (usize, usize, usize) {
    if segment.stride > segment.length {
        (positions, segment.stride, segment.length)
    } else {
        (1, 0, (positions - 1) * segment.stride + segment.length)
    }
}

/// Rounds the inputs of `positions` positions to integers of at most [`TOP`], one segment after the other, each
/// with the weights of its channels (none where each is 1); returns what one step is worth.
#[inline(always)]
pub(super) fn fill<'a, S: Simd>(
    (simd, dot): (S, impl PairDot),
    parts: impl Iterator<Item = (&'a Segment<'a>, &'a [f32])> + Clone,
    positions: usize,
    cells: &mut Vec<i16>,
) -> f32 {
    cells.resize(parts.clone().map(|(s, _)| room(s, positions)).sum(), 0);
    let mut top = 0.0f32;
    for (s, norms) in parts.clone() {
        let in_segment = simd.vectorize(Largest { data: s.data, runs: runs(s, positions), norms });
        top = top.max(in_segment) + 0.0 * in_segment;
    }
    // No number, or one too small for its inverse: nothing that adds to a picture.
    let scale = if top > 1e-30 && top.is_finite() { TOP / top } else { 0.0 };
    let mut rest = &mut cells[..];
    for (s, norms) in parts {
        let (out, others) = std::mem::take(&mut rest).split_at_mut(room(s, positions));
        // What lies beyond the last position counts for nothing: its sums are not stored.
        simd.vectorize(Rounding { dot, data: s.data, runs: runs(s, positions), norms, scale, out });
        rest = others;
    }
    if scale > 0.0 { scale.recip() } else { 0.0 }
}

/// Not a closure, whose shim would be compiled without the vectors' instructions; nor is [`Rounding`].
struct Largest<'a> {
    data: &'a [f32],
    runs: (usize, usize, usize),
    norms: &'a [f32],
}

impl WithSimd for Largest<'_> {
    type Output = f32;

    /// The largest magnitude of `x ∘ norms`, no number where one of them is none.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let Largest { data, runs: (count, distance, length), norms } = self;
        let channels = if norms.is_empty() { length } else { norms.len() };
        let (norms, norms_left) = S::as_simd_f32s(norms);
        // Several, so that none waits for another. The larger of two may be that which is a number.
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let (mut tops, mut numbers) = ([zero; 4], [zero; 4]);
        let mut rest = 0.0f32;
        for run in 0..count {
            for x in data[run * distance..][..length].chunks(channels) {
                let (x, x_left) = S::as_simd_f32s(x);
                let (groups, left) = x.as_chunks::<4>();
                for (at, x) in groups.iter().enumerate() {
                    for i in 0..4 {
                        let norm = if norms.is_empty() { one } else { norms[4 * at + i] };
                        let x = simd.mul_f32s(x[i], norm);
                        tops[i] = simd.max_f32s(tops[i], simd.abs_f32s(x));
                        numbers[i] = simd.mul_add_e_f32s(x, zero, numbers[i]);
                    }
                }
                for (at, &x) in left.iter().enumerate() {
                    let norm = if norms.is_empty() { one } else { norms[4 * groups.len() + at] };
                    let x = simd.mul_f32s(x, norm);
                    tops[0] = simd.max_f32s(tops[0], simd.abs_f32s(x));
                    numbers[0] = simd.mul_add_e_f32s(x, zero, numbers[0]);
                }
                for (at, x) in x_left.iter().enumerate() {
                    let x = x * norms_left.get(at).unwrap_or(&1.0);
                    rest = rest.max(x.abs()) + 0.0 * x + 0.0 * rest;
                }
            }
        }
        let tops = simd.max_f32s(simd.max_f32s(tops[0], tops[1]), simd.max_f32s(tops[2], tops[3]));
        let numbers =
            simd.add_f32s(simd.add_f32s(numbers[0], numbers[1]), simd.add_f32s(numbers[2], numbers[3]));
        simd.reduce_max_f32s(tops).max(rest) + 0.0 * rest + simd.reduce_sum_f32s(numbers)
    }
}

struct Rounding<'a, D> {
    dot: D,
    data: &'a [f32],
    runs: (usize, usize, usize),
    norms: &'a [f32],
    scale: f32,
    out: &'a mut [i16],
}

impl<D: PairDot> WithSimd for Rounding<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Rounding { dot, data, runs: (count, distance, length), norms, scale, out } = self;
        let channels = if norms.is_empty() { length } else { norms.len() };
        for (run, out) in out.chunks_mut(length).take(count).enumerate() {
            let x = &data[run * distance..][..length];
            for (x, out) in x.chunks(channels).zip(out.chunks_mut(channels)) {
                dot.round(x, norms, scale, out);
            }
        }
    }
}

/// The nearest integer, where that fits 16 bits.
#[inline(always)]
pub(super) fn rounded(x: f32) -> i16 {
    // A float of this magnitude has the integer in its lowest bits.
    const INTEGERS: f32 = 12_582_912.0;
    (x + INTEGERS).to_bits() as i16
}
