//! Products of whole lines of maps, and what becomes of their sums.

use super::packed::{Multiply, PANEL, Packed, Segment, Store, TILE};
use super::pairs::Work;
use super::simd::Isa;
use pulp::Simd;
use rayon::prelude::*;

/// Writes the vectors of a panel one by one: copied together they would go through memory.
#[inline(always)]
fn write<S: Simd, const V: usize>(sums: [S::f32s; V], out: &mut [f32]) {
    for (out, sum) in S::as_mut_simd_f32s(out).0.iter_mut().zip(sums) {
        *out = sum;
    }
}

/// Writes whole panels: position p's columns to `out[p * stride..]`.
struct Plain<'a> {
    out: &'a mut [f32],
    stride: usize,
}

impl Store for Plain<'_> {
    #[inline(always)]
    fn store<S: Simd, const V: usize>(&mut self, _: S, position: usize, panel: usize, sums: [S::f32s; V]) {
        let column = panel * PANEL;
        let out = &mut self.out[position * self.stride + column..];
        if self.stride - column >= PANEL {
            write::<S, V>(sums, &mut out[..PANEL]);
        } else {
            let values: &[f32] = pulp::bytemuck::cast_slice(&sums);
            out[..self.stride - column].copy_from_slice(&values[..self.stride - column]);
        }
    }
}

/// Writes sums as depth to space does: column (dy, x) of position p to `out[dy][p * run + x]`.
struct Shuffled<'a> {
    out: &'a mut [f32],
    /// First position, and positions of a line of the input.
    first: usize,
    positions: usize,
    run: usize,
}

impl Store for Shuffled<'_> {
    #[inline(always)]
    fn store<S: Simd, const V: usize>(&mut self, _: S, position: usize, panel: usize, sums: [S::f32s; V]) {
        let (dy, x) = (panel * PANEL / self.run, panel * PANEL % self.run);
        let at = (dy * self.positions + self.first + position) * self.run + x;
        write::<S, V>(sums, &mut self.out[at..at + PANEL]);
    }
}

struct Line<'a> {
    inputs: &'a [Segment<'a>],
    positions: usize,
    packed: &'a Packed,
    out: &'a mut [f32],
    shuffle: usize,
}

impl Work for Line<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, mut multiply: impl Multiply<S>) {
        let Line { inputs, positions, packed, out, shuffle } = self;
        let stride = packed.outputs();
        for first in (0..positions).step_by(TILE) {
            let count = TILE.min(positions - first);
            let tile: Vec<Segment<'_>> = inputs.iter().map(|s| s.from(first)).collect();
            if shuffle == 1 {
                let out = &mut out[first * stride..][..count * stride];
                multiply.product(simd, &tile, count, packed, &mut Plain { out, stride });
            } else {
                let run = stride / shuffle;
                multiply.product(simd, &tile, count, packed, &mut Shuffled { out, first, positions, run });
            }
        }
    }
}

/// Whether [`lines`] can write the result of `packed` shuffled by `k`.
pub(crate) fn shuffles(packed: &Packed, k: usize) -> bool {
    packed.outputs().is_multiple_of(k * k) && (packed.outputs() / k).is_multiple_of(PANEL)
}

/// `bias + inputs · weights` for every position of every line of a map; `inputs` gives the segments of a line.
/// With `shuffle` k > 1 (see [`shuffles`]) each line becomes k lines of the map shuffled by k.
pub(crate) fn lines<'a>(
    isa: Isa,
    packed: &Packed,
    positions: usize,
    shuffle: usize,
    inputs: impl Fn(usize) -> Vec<Segment<'a>> + Sync,
    out: &mut [f32],
) {
    assert!(shuffle == 1 || shuffles(packed, shuffle));
    out.par_chunks_mut(positions * packed.outputs()).enumerate().for_each(|(index, out)| {
        line(isa, packed, positions, shuffle, &inputs(index), out);
    });
}

/// One line of [`lines`].
pub(crate) fn line(
    isa: Isa,
    packed: &Packed,
    positions: usize,
    shuffle: usize,
    inputs: &[Segment<'_>],
    out: &mut [f32],
) {
    assert_eq!(inputs.iter().map(|s| s.length).sum::<usize>(), packed.inputs());
    isa.multiply(Line { inputs, positions, packed, out, shuffle }, packed.fixed().is_some());
}

/// `scale ∘ (out + bias + inputs · weights)` in the place of `out` for every position of every line of a map; `scale` is
/// one value a column.
pub(crate) fn add_lines<'a>(
    isa: Isa,
    packed: &Packed,
    positions: usize,
    scale: &[f32],
    inputs: impl Fn(usize) -> Segment<'a> + Sync,
    out: &mut [f32],
) {
    assert_eq!(scale.len(), packed.outputs());
    out.par_chunks_mut(positions * packed.outputs()).enumerate().for_each(|(index, out)| {
        let input = inputs(index);
        assert_eq!(input.length, packed.inputs());
        isa.multiply(AddedLine { input, packed, scale, out }, packed.fixed().is_some());
    });
}

struct AddedLine<'a> {
    input: Segment<'a>,
    packed: &'a Packed,
    scale: &'a [f32],
    out: &'a mut [f32],
}

impl Work for AddedLine<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, mut multiply: impl Multiply<S>) {
        let AddedLine { input, packed, scale, out } = self;
        for (first, out) in (0..).step_by(TILE).zip(out.chunks_mut(TILE * scale.len())) {
            let count = out.len() / scale.len();
            multiply.product(simd, &[input.from(first)], count, packed, &mut Added { scale, out });
        }
    }
}

struct Added<'a> {
    scale: &'a [f32],
    out: &'a mut [f32],
}

impl Store for Added<'_> {
    #[inline(always)]
    fn store<S: Simd, const V: usize>(&mut self, simd: S, position: usize, panel: usize, sums: [S::f32s; V]) {
        let (stride, column) = (self.scale.len(), panel * PANEL);
        let out = &mut self.out[position * stride + column..];
        if stride - column >= PANEL {
            let scale = S::as_simd_f32s(&self.scale[column..column + PANEL]).0;
            let out = S::as_mut_simd_f32s(&mut out[..PANEL]).0;
            for v in 0..V {
                out[v] = simd.mul_f32s(scale[v], simd.add_f32s(out[v], sums[v]));
            }
        } else {
            let values: &[f32] = pulp::bytemuck::cast_slice(&sums);
            for ((out, scale), value) in out.iter_mut().zip(&self.scale[column..]).zip(values) {
                *out = scale * (*out + value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_by_hand() {
        for isa in [Isa::best(), Isa::Scalar] {
            // Two positions of two parts, three outputs.
            let packed = Packed::new(&[1.0, 0.0, 2.0, 0.0, 1.0, 2.0, 5.0, 5.0, 5.0], &[0.5, 0.0, 0.0]);
            let (a, b) = ([1.0, 2.0, 3.0, 4.0], [10.0, 20.0]);
            let line = |_| {
                vec![Segment { data: &a, stride: 2, length: 2 }, Segment { data: &b, stride: 1, length: 1 }]
            };
            let mut out = [0.0; 6];
            lines(isa, &packed, 2, 1, line, &mut out);
            assert_eq!(out, [51.5, 52.0, 56.0, 103.5, 104.0, 114.0], "{isa:?}");
        }
    }

    #[test]
    fn a_shuffled_line_is_the_line_shuffled() {
        let (positions, outputs) = (53, 64);
        let weight: Vec<f32> = (0..3 * outputs).map(|v| (v % 7) as f32).collect();
        let packed = Packed::new(&weight, &vec![1.0; outputs]);
        let x: Vec<f32> = (0..positions * 3).map(|v| (v % 5) as f32).collect();
        let line = |_| vec![Segment { data: &x, stride: 3, length: 3 }];
        assert!(shuffles(&packed, 2));
        let mut plain = vec![0.0; positions * outputs];
        let (mut shuffled, mut expected) = (plain.clone(), plain.clone());
        lines(Isa::best(), &packed, positions, 1, line, &mut plain);
        lines(Isa::best(), &packed, positions, 2, line, &mut shuffled);
        let dims = crate::kernels::Dims { h: 1, w: positions, c: outputs };
        crate::kernels::shuffle(&plain, dims, 2, &mut expected);
        assert!(shuffled == expected);
    }
}
