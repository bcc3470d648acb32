//! The gated depthwise block, tile by tile: nothing but its result is written to memory.

use super::depthwise::{depthwise_row, rows_around};
use super::packed::{Multiply, PANEL, Packed, Segment, Store, TILE};
use super::pairs::Work;
use super::{Dims, simd::Isa};
use pulp::Simd;
use rayon::prelude::*;
use std::ops::Range;

/// Weights of a gated depthwise block (FORMAT.md, section 4.1), ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    depthwise: [Vec<f32>; 2],
    expand: Packed,
    project: Packed,
}

impl Block {
    /// Weight and bias of each part: depthwise (9, C), expand (C, 2·C), project (C, C).
    pub(crate) fn new(depthwise: [&[f32]; 2], expand: [&[f32]; 2], project: [&[f32]; 2]) -> Block {
        Block {
            depthwise: depthwise.map(<[f32]>::to_vec),
            expand: Packed::gated(expand[0], expand[1]),
            project: Packed::new(project[0], project[1]),
        }
    }

    /// Multiplies in fixed point from here on, where that is faster: each part weighs its results for the next.
    pub(crate) fn fix(&mut self) {
        let Block { depthwise, expand, project } = self;
        let channels = project.outputs();
        project.fix_behind(channels, |norms| expand.weigh_gated(norms));
        expand.fix_behind(channels, |norms| {
            for row in depthwise.iter_mut().flat_map(|values| values.chunks_exact_mut(channels)) {
                row.iter_mut().zip(norms).for_each(|(value, norm)| *value *= norm);
            }
        });
    }

    /// `x + scale ∘ project(gate(expand(depthwise(x))))` for the rows `rows` of a map x; `scale` is one value a
    /// channel.
    pub(crate) fn run(
        &self,
        isa: Isa,
        (x, dims): (&[f32], Dims),
        rows: Range<usize>,
        scale: &[f32],
        out: &mut [f32],
    ) {
        let Dims { h, w, c } = dims;
        assert!(
            x.len() == dims.len() && out.len() == rows.len() * w * c && rows.end <= h && scale.len() == c
        );
        let first = rows.start;
        // Tile after tile from the top down: what a tile needs again of the rows above it is still near.
        let mut tiles = Vec::with_capacity(rows.len() * w.div_ceil(TILE));
        for (row, out) in (first..).zip(out.chunks_exact_mut(w * c)) {
            tiles.extend(out.chunks_mut(TILE * c).enumerate().map(|(tile, out)| (tile * TILE, row, out)));
        }
        tiles.sort_unstable_by_key(|&(column, row, _)| (column, row));
        tiles.par_chunks_mut(TASK).for_each_init(
            || [vec![0.0; TILE * c], vec![0.0; TILE * c]],
            |buffers, tiles| {
                let work = Tiles { block: self, x, dims, scale, buffers, tiles };
                isa.multiply(work, self.project.fixed().is_some());
            },
        );
    }
}

/// Tiles that one task computes.
const TASK: usize = 2;

/// Tiles of a map: first column, row, and where the result is to be written.
struct Tiles<'a, 'b> {
    block: &'a Block,
    x: &'a [f32],
    dims: Dims,
    scale: &'a [f32],
    buffers: &'a mut [Vec<f32>; 2],
    tiles: &'a mut [(usize, usize, &'b mut [f32])],
}

impl Work for Tiles<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, mut multiply: impl Multiply<S>) {
        let Tiles { block, x, dims, scale, buffers: [filtered, gated], tiles } = self;
        let (w, c) = (dims.w, dims.c);
        let [weight, bias] = &block.depthwise;
        for (first, row, out) in tiles {
            let (first, row, count) = (*first, *row, out.len() / c);
            let rows = rows_around(x, dims, row);
            let filtered = &mut filtered[..count * c];
            let gated = &mut gated[..count * c];
            depthwise_row(simd, rows, w, first, weight, bias, filtered);
            let input = [Segment { data: filtered, stride: c, length: c }];
            multiply.product(simd, &input, count, &block.expand, &mut Gate { out: gated, channels: c });
            let input = [Segment { data: gated, stride: c, length: c }];
            let mut sum = Residual { x: &rows[1][first * c..][..count * c], scale, out };
            multiply.product(simd, &input, count, &block.project, &mut sum);
        }
    }
}

/// An algebraic sigmoid gate: columns (a, b) → `a ∘ (½ + ½ b / (1 + |b|))`.
struct Gate<'a> {
    out: &'a mut [f32],
    channels: usize,
}

impl Store for Gate<'_> {
    #[inline(always)]
    fn store<S: Simd, const V: usize>(&mut self, simd: S, position: usize, panel: usize, sums: [S::f32s; V]) {
        let half = PANEL / 2;
        let first = panel * half;
        let count = half.min(self.channels - first);
        let out = &mut self.out[position * self.channels + first..][..count];
        let mut gated = [0.0; PANEL / 2];
        if S::F32_LANES <= half {
            let (first, second) = sums.split_at(V / 2);
            // Straight to its place where there is room: a copy of so little costs more than what is copied.
            let to = if count == half { &mut *out } else { &mut gated };
            for (to, (&a, &b)) in S::as_mut_simd_f32s(to).0.iter_mut().zip(first.iter().zip(second)) {
                let one = simd.splat_f32s(1.0);
                let slope = simd.mul_f32s(simd.splat_f32s(0.5), b);
                let sigmoid = simd.div_f32s(slope, simd.add_f32s(one, simd.abs_f32s(b)));
                *to = simd.mul_f32s(a, simd.add_f32s(simd.splat_f32s(0.5), sigmoid));
            }
            if count == half {
                return;
            }
        } else {
            let values: &[f32] = pulp::bytemuck::cast_slice(&sums);
            for (i, out) in gated.iter_mut().enumerate() {
                *out = values[i] * super::elementwise::sigmoid(values[half + i]);
            }
        }
        out.copy_from_slice(&gated[..count]);
    }
}

/// `x + scale ∘ sums`.
struct Residual<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    out: &'a mut [f32],
}

impl Store for Residual<'_> {
    #[inline(always)]
    fn store<S: Simd, const V: usize>(&mut self, simd: S, position: usize, panel: usize, sums: [S::f32s; V]) {
        let c = self.scale.len();
        let first = panel * PANEL;
        let at = position * c + first;
        if c - first >= PANEL {
            let scale = S::as_simd_f32s(&self.scale[first..first + PANEL]).0;
            let x = S::as_simd_f32s(&self.x[at..at + PANEL]).0;
            let out = S::as_mut_simd_f32s(&mut self.out[at..at + PANEL]).0;
            for v in 0..V {
                out[v] = simd.mul_add_e_f32s(scale[v], sums[v], x[v]);
            }
        } else {
            let values: &[f32] = pulp::bytemuck::cast_slice(&sums);
            let terms = self.x[at..].iter().zip(&self.scale[first..]).zip(values);
            for (out, ((x, scale), value)) in self.out[at..].iter_mut().zip(terms) {
                *out = x + scale * value;
            }
        }
    }
}
