//! Matrix products of many positions with one packed matrix of weights, in registers from the first
//! product to what becomes of the sum.

use super::fixed::Fixed;
use super::pairs::HAS_PAIRS;
use pulp::Simd;
use std::ops::Range;

/// Columns of a panel.
pub(crate) const PANEL: usize = 16;
const HALF: usize = PANEL / 2;
/// Positions that one task multiplies with all panels before the next: their inputs stay in the nearest cache.
pub(super) const TILE: usize = 48;

/// Weights (K, N) and bias (N), laid out as panels of [`PANEL`] columns: what one pass keeps in registers.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// Panel after panel, K rows of [`PANEL`] weights each; columns beyond N are 0. None where they are in fixed point.
    weights: Vec<f32>,
    /// N values, then zeros up to a whole panel.
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    /// The weights in fixed point, where they are to be used so.
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

    /// The same for those of the inputs that are `wanted` alone: the weights of the others are left out.
    pub(crate) fn some_inputs(&self, wanted: impl Fn(usize) -> bool) -> Packed {
        let rows = || (0..self.inputs).filter(|&k| wanted(k));
        let weights =
            self.panels().flat_map(|panel| rows().flat_map(move |k| self.panel(panel)[k])).collect();
        Packed {
            weights,
            bias: self.bias.clone(),
            inputs: rows().count(),
            outputs: self.outputs,
            fixed: None,
        }
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
        if HAS_PAIRS {
            self.replace(Fixed::new(self, channels, false));
        }
    }

    /// The floats are not needed any more where there are weights in fixed point.
    fn replace(&mut self, fixed: Option<Fixed>) {
        if fixed.is_some() {
            self.weights = Vec::new();
        }
        self.fixed = fixed;
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
            self.replace(Fixed::new(self, channels, true));
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
    pub(super) fn from(self, first: usize) -> Segment<'a> {
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
