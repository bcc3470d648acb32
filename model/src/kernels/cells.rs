//! Inputs of a tile in 16-bit fixed point.

use super::fixed::ROWS;
use super::packed::Segment;
use super::pairs::PairDot;
use pulp::{Simd, WithSimd};

/// Largest magnitude of an input: a balance between the precision of inputs and that of weights.
pub(super) const TOP: f32 = 8191.0;

/// Values from the first input of a segment to the last.
fn extent(segment: &Segment<'_>, positions: usize) -> usize {
    (positions - 1) * segment.stride + segment.length
}

/// Of the same segment in cells, whose positions are whole groups of [`ROWS`].
pub(super) fn room(segment: &Segment<'_>, positions: usize) -> usize {
    extent(segment, positions.next_multiple_of(ROWS))
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
        let in_segment = simd.vectorize(
            #[inline(always)]
            || match norms {
                [] => largest(simd, &s.data[..extent(s, positions)]),
                norms => largest_weighed(simd, &s.data[..extent(s, positions)], norms),
            },
        );
        top = top.max(in_segment) + 0.0 * in_segment;
    }
    // No number, or one too small for its inverse: nothing that adds to a picture.
    let scale = if top > 1e-30 && top.is_finite() { TOP / top } else { 0.0 };
    let mut rest = &mut cells[..];
    for (s, norms) in parts {
        let (out, others) = std::mem::take(&mut rest).split_at_mut(room(s, positions));
        // What lies beyond the last position counts for nothing: its sums are not stored.
        simd.vectorize(Rounding { dot, x: &s.data[..extent(s, positions)], norms, scale, out });
        rest = others;
    }
    if scale > 0.0 { scale.recip() } else { 0.0 }
}

/// Not a closure, whose shim would be compiled without the vectors' instructions.
struct Rounding<'a, D> {
    dot: D,
    x: &'a [f32],
    norms: &'a [f32],
    scale: f32,
    out: &'a mut [i16],
}

impl<D: PairDot> WithSimd for Rounding<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Rounding { dot, x, norms, scale, out } = self;
        let channels = if norms.is_empty() { x.len() } else { norms.len() };
        for (x, out) in x.chunks(channels).zip(out.chunks_mut(channels)) {
            dot.round(x, norms, scale, out);
        }
    }
}

/// The largest magnitude of `x`, no number where one of them is none.
#[inline(always)]
fn largest<S: Simd>(simd: S, x: &[f32]) -> f32 {
    // Several, so that none waits for another. The larger of two may be that which is a number.
    let zero = simd.splat_f32s(0.0);
    let (mut tops, mut numbers) = ([zero; 4], [zero; 4]);
    let (x, rest) = S::as_simd_f32s(x);
    let (groups, left) = x.as_chunks::<4>();
    for x in groups {
        for i in 0..4 {
            tops[i] = simd.max_f32s(tops[i], simd.abs_f32s(x[i]));
            numbers[i] = simd.mul_add_e_f32s(x[i], zero, numbers[i]);
        }
    }
    for &x in left {
        tops[0] = simd.max_f32s(tops[0], simd.abs_f32s(x));
        numbers[0] = simd.mul_add_e_f32s(x, zero, numbers[0]);
    }
    let tops = simd.max_f32s(simd.max_f32s(tops[0], tops[1]), simd.max_f32s(tops[2], tops[3]));
    let numbers = simd.add_f32s(simd.add_f32s(numbers[0], numbers[1]), simd.add_f32s(numbers[2], numbers[3]));
    let top = simd.reduce_max_f32s(tops) + simd.reduce_sum_f32s(numbers);
    rest.iter().fold(top, |top, x| top.max(x.abs()) + 0.0 * x + 0.0 * top)
}

/// The largest magnitude of `x ∘ norms`, no number where one of them is none.
#[inline(always)]
fn largest_weighed<S: Simd>(simd: S, x: &[f32], norms: &[f32]) -> f32 {
    // One for each lane of a vector, until the end. The larger of two may be that which is a number.
    let mut tops = simd.splat_f32s(0.0);
    let mut numbers = simd.equal_f32s(tops, tops);
    let mut rest = 0.0f32;
    let channels = norms.len();
    let (norms, norms_left) = S::as_simd_f32s(norms);
    for x in x.chunks(channels) {
        let (x, x_left) = S::as_simd_f32s(x);
        for (&x, &norm) in x.iter().zip(norms) {
            let x = simd.mul_f32s(x, norm);
            tops = simd.max_f32s(tops, simd.abs_f32s(x));
            numbers = simd.and_m32s(numbers, simd.equal_f32s(x, x));
        }
        for (x, norm) in x_left.iter().zip(norms_left) {
            let x = (x * norm).abs();
            rest = if x.is_nan() { x } else { rest.max(x) + 0.0 * rest };
        }
    }
    let none = simd.select_f32s(numbers, simd.splat_f32s(0.0), simd.splat_f32s(f32::NAN));
    simd.reduce_max_f32s(tops).max(rest) + 0.0 * rest + simd.reduce_sum_f32s(none)
}

/// The nearest integer, where that fits 16 bits.
#[inline(always)]
pub(super) fn rounded(x: f32) -> i16 {
    // A float of this magnitude has the integer in its lowest bits.
    const INTEGERS: f32 = 12_582_912.0;
    (x + INTEGERS).to_bits() as i16
}
