//! Matrix products of 16-bit integers with 32-bit sums: exact, so equal on every machine in any order.

use super::pairs::{PANEL, PairDot, PairWork};
use super::simd::Isa;

/// Cells whose sums are kept in registers together.
const CELLS: usize = 4;

/// Weights (N rows of K) and bias (N), laid out as panels of [`PANEL`] outputs, inputs in pairs.
#[derive(Clone, Debug)]
pub(crate) struct PackedIntegers {
    weights: Vec<[[i16; 2]; PANEL]>,
    bias: Vec<[i32; PANEL]>,
    /// K, rounded up to whole pairs.
    inputs: usize,
    outputs: usize,
}

impl PackedIntegers {
    /// `weight` holds K values for each of the outputs that `bias` has.
    pub(crate) fn new(weight: &[i16], bias: &[i32]) -> PackedIntegers {
        let (inputs, outputs) = (weight.len() / bias.len(), bias.len());
        let at = |output: usize, input: usize| {
            if output < outputs && input < inputs { weight[output * inputs + input] } else { 0 }
        };
        let panels = outputs.div_ceil(PANEL);
        let weights = (0..panels).flat_map(|panel| {
            (0..inputs.div_ceil(2))
                .map(move |pair| std::array::from_fn(|i| [0, 1].map(|k| at(panel * PANEL + i, 2 * pair + k))))
        });
        let bias = (0..panels)
            .map(|p| std::array::from_fn(|i| bias.get(p * PANEL + i).copied().unwrap_or(0)))
            .collect();
        PackedIntegers { weights: weights.collect(), bias, inputs: inputs.next_multiple_of(2), outputs }
    }

    /// Values that a cell must have: K, rounded up to whole pairs (what stands in the last does not count).
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// N.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }
}

/// `(bias + weights · cell) >> shift`, rounded and clamped to 0..=`top`, for every cell.
pub(crate) fn integer_product(
    isa: Isa,
    cells: &[i16],
    packed: &PackedIntegers,
    shift: u32,
    top: i32,
    out: &mut [i16],
) {
    assert_eq!(cells.len() / packed.inputs, out.len() / packed.outputs);
    isa.dot(Product { cells, packed, shift, top, out });
}

struct Product<'a> {
    cells: &'a [i16],
    packed: &'a PackedIntegers,
    shift: u32,
    top: i32,
    out: &'a mut [i16],
}

impl PairWork for Product<'_> {
    #[inline(always)]
    fn run(self, dot: impl PairDot) {
        let Product { cells, packed, shift, top, out } = self;
        product(dot, cells, packed, shift, top, out);
    }
}

#[inline(always)]
fn product<D: PairDot>(
    dot: D,
    cells: &[i16],
    packed: &PackedIntegers,
    shift: u32,
    top: i32,
    out: &mut [i16],
) {
    let half = (1i32 << shift) >> 1;
    let (inputs, outputs) = (packed.inputs, packed.outputs);
    let count = cells.len() / inputs;
    let panels = packed.weights.chunks_exact(inputs / 2).zip(&packed.bias);
    for (panel, (weights, bias)) in panels.enumerate() {
        let first = panel * PANEL;
        let columns = PANEL.min(outputs - first);
        for cell in (0..count).step_by(CELLS) {
            // Rows beyond the last cell repeat it, and are not stored.
            let rows: [&[[i16; 2]]; CELLS] = std::array::from_fn(|r| {
                &cells[(cell + r).min(count - 1) * inputs..][..inputs].as_chunks().0[..weights.len()]
            });
            let mut sums = [dot.start(bias); CELLS];
            for k in 0..weights.len() {
                for r in 0..CELLS {
                    sums[r] = dot.add(sums[r], rows[r][k], &weights[k]);
                }
            }
            for (r, sums) in sums.into_iter().enumerate().take(count - cell) {
                let sums = dot.finish(sums);
                let mut row = [0; PANEL];
                for i in 0..PANEL {
                    row[i] = ((sums[i] + half) >> shift).clamp(0, top) as i16;
                }
                let out = &mut out[(cell + r) * outputs + first..][..columns];
                match out.first_chunk_mut() {
                    Some(out) => *out = row,
                    None => out.copy_from_slice(&row[..columns]),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_gives_the_same_sums() {
        let mut state = 1u32;
        let mut next = |bits: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as i32 % (1 << bits)
        };
        for (inputs, outputs, cells) in [(1, 1, 1), (33, 20, 3), (64, 256, 9), (297, 64, 5)] {
            let weight: Vec<i16> = (0..inputs * outputs).map(|_| (next(13) - 4096) as i16).collect();
            let bias: Vec<i32> = (0..outputs).map(|_| next(20)).collect();
            let packed = PackedIntegers::new(&weight, &bias);
            let x: Vec<i16> = (0..cells * packed.inputs()).map(|_| next(12) as i16).collect();
            let mut expected = Vec::new();
            for cell in x.chunks_exact(packed.inputs()) {
                for (row, bias) in weight.chunks_exact(inputs).zip(&bias) {
                    let dot: i32 = row.iter().zip(cell).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                    expected.push(((dot + bias + 256) >> 9).clamp(0, 4095) as i16);
                }
            }
            for isa in [Isa::best(), Isa::Scalar] {
                let mut out = vec![0; cells * outputs];
                integer_product(isa, &x, &packed, 9, 4095, &mut out);
                assert!(out == expected, "{isa:?}, {inputs} inputs, {outputs} outputs, {cells} cells");
            }
        }
    }
}
