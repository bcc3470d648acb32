//! Matrix products of many positions with one packed matrix of weights, in registers from the first
//! product to what becomes of the sum.

use super::fixed::Fixed;
use super::pairs::{HAS_PAIRS, Work};
use super::simd::Isa;
use pulp::Simd;
use rayon::prelude::*;
use std::ops::Range;

/// Columns of a panel.
pub(crate) const PANEL: usize = 16;
const HALF: usize = PANEL / 2;
/// Positions that one task multiplies with all panels before the next: their inputs stay in the nearest cache.
pub(super) const TILE: usize = 48;

/// Weights (K, N) and bias (N), laid out as panels of [`PANEL`] columns: what one pass keeps in registers.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// Panel after panel, K rows of [`PANEL`] weights each; columns beyond N are 0.
    weights: Vec<f32>,
    /// N values, then zeros up to a whole panel.
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    /// The weights once more in fixed point, where they are to be used so.
    fixed: Option<Fixed>,
}

impl Packed {
    /// `weight` is (K, N), row after row; `bias` N values.
    pub(crate) fn new(weight: &[f32], bias: &[f32]) -> Packed {
        Packed::arranged(weight, bias, |half| half * HALF..((half + 1) * HALF).min(bias.len()))
    }

    /// For [`gated`](super::block): of N = 2·C columns (a, b), each panel holds 8 of a and the same 8 of b.
    pub(super) fn gated(weight: &[f32], bias: &[f32]) -> Packed {
        let channels = bias.len() / 2;
        let mut packed = Packed::arranged(weight, bias, |index| {
            let columns = index / 2 * HALF..((index / 2 + 1) * HALF).min(channels);
            let second = index % 2 * channels;
            columns.start + second..columns.end + second
        });
        packed.outputs = channels;
        packed
    }

    /// `source` tells which columns of `weight` each half of a panel holds, until it gives none.
    fn arranged(weight: &[f32], bias: &[f32], source: impl Fn(usize) -> Range<usize>) -> Packed {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        assert_eq!(weight.len(), inputs * outputs);
        // Interleaving can need one panel more than there are whole ones.
        let panels = (0..).take_while(|&panel| !source(2 * panel).is_empty()).count();
        let mut packed = Packed {
            weights: vec![0.0; panels * inputs * PANEL],
            bias: vec![0.0; panels * PANEL],
            inputs,
            outputs,
            fixed: None,
        };
        for half in 0..2 * panels {
            let (columns, first) = (source(half), half % 2 * HALF);
            if columns.is_empty() {
                continue;
            }
            let panel = &mut packed.weights[half / 2 * inputs * PANEL..][..inputs * PANEL];
            let rows = panel.chunks_exact_mut(PANEL).zip(weight.chunks_exact(outputs));
            for (to, from) in rows.chain([(&mut packed.bias[half / 2 * PANEL..][..PANEL], bias)]) {
                to[first..][..columns.len()].copy_from_slice(&from[columns.clone()]);
            }
        }
        packed
    }

    /// Those of `columns` alone.
    pub(crate) fn columns(&self, columns: Range<usize>) -> Packed {
        let of = |k: usize| columns.clone().map(move |c| self.panel(c / PANEL)[k][c % PANEL]);
        let weight: Vec<f32> = (0..self.inputs).flat_map(of).collect();
        Packed::new(&weight, &self.bias[columns])
    }

    /// Of the inputs as `parts` parts of equal length: the sum of the weights of the parts `wanted`, with the bias or
    /// with none.
    pub(super) fn sum_of_parts(&self, parts: usize, wanted: &[usize], with_bias: bool) -> Packed {
        let inputs = self.inputs / parts;
        let mut weights = vec![0.0; self.weights.len() / parts];
        for (panel, out) in weights.chunks_exact_mut(inputs * PANEL).enumerate() {
            for part in wanted {
                let rows = &self.panel(panel)[part * inputs..][..inputs];
                out.iter_mut().zip(rows.as_flattened()).for_each(|(sum, w)| *sum += w);
            }
        }
        let bias = if with_bias { self.bias.clone() } else { vec![0.0; self.bias.len()] };
        Packed { weights, bias, inputs, outputs: self.outputs, fixed: None }
    }

    /// Multiplies in fixed point from here on, where that is faster; `channels` inputs stand at each place.
    pub(crate) fn fix(&mut self, channels: usize) {
        self.fixed = if HAS_PAIRS { Fixed::new(self, channels, false) } else { None };
    }

    /// [`Packed::fix`] for what `producer` makes, which has weighed it from here on.
    pub(super) fn fix_behind(&mut self, channels: usize, producer: impl FnOnce(&[f32])) {
        if HAS_PAIRS {
            let norms = super::fixed::norms(self, channels);
            let inverse = super::fixed::inverse(&norms);
            let inputs = self.inputs;
            for panel in self.weights.chunks_exact_mut(inputs * PANEL) {
                for (row, inverse) in panel.chunks_exact_mut(PANEL).zip(inverse.iter().cycle()) {
                    row.iter_mut().for_each(|w| *w *= inverse);
                }
            }
            producer(&norms);
            self.fixed = Fixed::new(self, channels, true);
        }
    }

    /// Makes the first half of what is [`gated`](Packed::gated) `norms` times as large.
    pub(super) fn weigh_gated(&mut self, norms: &[f32]) {
        let size = self.inputs * PANEL;
        let panels = self.weights.chunks_exact_mut(size).zip(self.bias.chunks_exact_mut(PANEL));
        for ((weights, bias), norms) in panels.zip(norms.chunks(HALF)) {
            for row in weights.chunks_exact_mut(PANEL).chain([bias]) {
                row.iter_mut().zip(norms).for_each(|(w, norm)| *w *= norm);
            }
        }
    }

    /// The weights in fixed point, where they are to be used so.
    pub(super) fn fixed(&self) -> Option<&Fixed> {
        self.fixed.as_ref()
    }

    /// K.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Weights of one panel: K rows.
    pub(super) fn panel(&self, panel: usize) -> &[[f32; PANEL]] {
        let size = self.inputs * PANEL;
        self.weights[panel * size..][..size].as_chunks().0
    }

    /// Every row of every panel, with its index within the panel.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, &[f32; PANEL])> {
        self.panels().flat_map(|panel| self.panel(panel).iter().enumerate())
    }

    /// Bias of one panel.
    pub(super) fn bias(&self, panel: usize) -> &[f32] {
        &self.bias[panel * PANEL..][..PANEL]
    }

    /// N; half of it where gated.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn panels(&self) -> Range<usize> {
        0..self.bias.len() / PANEL
    }
}

/// Part of the inputs of a line of positions: position p has `data[p * stride..][..length]`.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) length: usize,
}

impl<'a> Segment<'a> {
    /// The same from position `first` on.
    fn from(self, first: usize) -> Segment<'a> {
        Segment { data: &self.data[first * self.stride..], ..self }
    }
}

/// What is done with the sums of one panel at one position: `sums` are the panel's columns in order.
pub(super) trait Store {
    fn store<S: Simd, const V: usize>(&mut self, simd: S, position: usize, panel: usize, sums: [S::f32s; V]);
}

/// How products are computed.
pub(super) trait Multiply<S: Simd> {
    /// `bias + inputs · weights` for `positions` positions, whose inputs are those of the segments one after the
    /// other, given to `store` panel by panel.
    fn product(
        &mut self,
        simd: S,
        inputs: &[Segment<'_>],
        positions: usize,
        packed: &Packed,
        store: &mut impl Store,
    );
}

/// In floats.
pub(super) struct Floats;

impl<S: Simd> Multiply<S> for Floats {
    #[inline(always)]
    fn product(
        &mut self,
        simd: S,
        inputs: &[Segment<'_>],
        positions: usize,
        packed: &Packed,
        store: &mut impl Store,
    ) {
        product(simd, inputs, positions, packed, store);
    }
}

/// [`Multiply::product`] in floats.
#[inline(always)]
pub(super) fn product<S: Simd>(
    simd: S,
    inputs: &[Segment<'_>],
    positions: usize,
    packed: &Packed,
    store: &mut impl Store,
) {
    // As many sums as there are registers, less those of the weights and of one input.
    match S::F32_LANES {
        16 => tiles::<S, 8, 1>(simd, inputs, positions, packed, store),
        8 => tiles::<S, 6, 2>(simd, inputs, positions, packed, store),
        4 if cfg!(target_arch = "aarch64") => tiles::<S, 6, 4>(simd, inputs, positions, packed, store),
        4 => tiles::<S, 2, 4>(simd, inputs, positions, packed, store),
        _ => tiles::<S, 1, PANEL>(simd, inputs, positions, packed, store),
    }
}

#[inline(always)]
fn tiles<S: Simd, const ROWS: usize, const V: usize>(
    simd: S,
    inputs: &[Segment<'_>],
    positions: usize,
    packed: &Packed,
    store: &mut impl Store,
) {
    if V * S::F32_LANES != PANEL {
        return;
    }
    for panel in packed.panels() {
        let size = packed.inputs * PANEL;
        let weights = vectors::<S, V>(&packed.weights[panel * size..][..size]);
        let bias = vectors::<S, V>(packed.bias(panel))[0];
        for first in (0..positions).step_by(ROWS) {
            let mut sums = [bias; ROWS];
            let mut rest = weights;
            for part in inputs {
                let (weights, others) = rest.split_at(part.length);
                rest = others;
                // Rows beyond the last position repeat it, and are not stored.
                let rows: [&[f32]; ROWS] = std::array::from_fn(|r| {
                    &part.data[(first + r).min(positions - 1) * part.stride..][..weights.len()]
                });
                for k in 0..weights.len() {
                    for r in 0..ROWS {
                        let input = simd.splat_f32s(rows[r][k]);
                        for v in 0..V {
                            sums[r][v] = simd.mul_add_e_f32s(input, weights[k][v], sums[r][v]);
                        }
                    }
                }
            }
            for (r, &sums) in sums[..ROWS.min(positions - first)].iter().enumerate() {
                store.store(simd, first + r, panel, sums);
            }
        }
    }
}

/// A slice of floats as groups of `V` vectors.
#[inline(always)]
pub(super) fn vectors<S: Simd, const V: usize>(data: &[f32]) -> &[[S::f32s; V]] {
    S::as_simd_f32s(data).0.as_chunks().0
}

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
        let stride = packed.outputs;
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
    packed.outputs.is_multiple_of(k * k) && (packed.outputs / k).is_multiple_of(PANEL)
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
    out.par_chunks_mut(positions * packed.outputs).enumerate().for_each(|(index, out)| {
        line(isa, packed, positions, shuffle, &inputs(index), out);
    });
}

/// One line of [`lines`].
pub(super) fn line(
    isa: Isa,
    packed: &Packed,
    positions: usize,
    shuffle: usize,
    inputs: &[Segment<'_>],
    out: &mut [f32],
) {
    assert_eq!(inputs.iter().map(|s| s.length).sum::<usize>(), packed.inputs);
    isa.multiply(Line { inputs, positions, packed, out, shuffle }, packed.fixed.is_some());
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
