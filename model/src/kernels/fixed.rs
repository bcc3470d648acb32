//! Products of [`Packed`] in 16-bit fixed point: a tile of inputs shares one step, a column of weights another.
//!
//! Steps are chosen so that no sum of products leaves 32 bits whatever the inputs, and channels are weighed by
//! what they add to the outputs, so that rounding costs them alike. What is lost stays below a hundredth of what
//! rounding to 8-bit pixels loses.

use super::cells::{self, TOP, rounded};
use super::packed::{Multiply, PANEL, Packed, Segment, Store, vectors};
use super::pairs::FloatDot;
use pulp::Simd;

/// Positions whose sums are kept in registers together, where there are most registers; elsewhere a part of them.
pub(super) const ROWS: usize = 6;

/// Weights in fixed point, laid out as [`Packed`] does, inputs in pairs.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    weights: Vec<[[i16; 2]; PANEL]>,
    /// What one step of a column's weights is worth, panel after panel.
    steps: Vec<f32>,
    /// Weight of each channel among the inputs, which are so many times as large in fixed point; none where they
    /// come weighed.
    norms: Vec<f32>,
}

impl Fixed {
    /// For inputs of `channels` values at each place, which come `weighed` by [`norms`] or not; `None` where they
    /// are odd in number.
    pub(super) fn new(packed: &Packed, channels: usize, weighed: bool) -> Option<Fixed> {
        let inputs = packed.inputs();
        if !channels.is_multiple_of(2) || !inputs.is_multiple_of(channels) {
            return None;
        }
        let norms = if weighed { vec![] } else { norms(packed, channels) };
        let inverse = if weighed { vec![1.0; channels] } else { inverse(&norms) };
        let mut weights = Vec::with_capacity(packed.panels().len() * inputs / 2);
        let mut steps = Vec::with_capacity(packed.panels().len() * PANEL);
        for panel in packed.panels() {
            let rows = packed.panel(panel);
            let (mut sums, mut tops) = ([0.0f32; PANEL], [0.0f32; PANEL]);
            for (row, inverse) in rows.iter().zip(inverse.iter().cycle()) {
                for i in 0..PANEL {
                    let w = (row[i] * inverse).abs();
                    sums[i] += w;
                    tops[i] = tops[i].max(w);
                }
            }
            let scales: [f32; PANEL] = std::array::from_fn(|i| {
                // Rounding adds half a step to each weight at most.
                let room = 2f32.powi(31) / TOP - inputs as f32 / 2.0 - 1.0;
                let scale = (room / sums[i] * 0.999).min(f32::from(i16::MAX) / tops[i]);
                if scale.is_finite() { scale } else { 1.0 }
            });
            let pairs = inverse.as_chunks::<2>().0.iter().cycle();
            for ([even, odd], inverse) in rows.as_chunks::<2>().0.iter().zip(pairs) {
                let mut row = [[0; 2]; PANEL];
                for i in 0..PANEL {
                    row[i] =
                        [rounded(even[i] * inverse[0] * scales[i]), rounded(odd[i] * inverse[1] * scales[i])];
                }
                weights.push(row);
            }
            steps.extend(scales.map(f32::recip));
        }
        Some(Fixed { weights, steps, norms })
    }

    /// Whether the channels are those of each segment, or of all of them together.
    fn fits(&self, inputs: &[Segment<'_>]) -> bool {
        let channels = if self.norms.is_empty() { 2 } else { self.norms.len() };
        let whole = |n: usize| n.is_multiple_of(channels);
        inputs.iter().all(|s| whole(cells::stride(s)) && whole(s.length)) || self.joins(inputs)
    }

    /// Whether each segment has channels of its own.
    fn joins(&self, inputs: &[Segment<'_>]) -> bool {
        let own = |s: &Segment<'_>| s.stride >= s.length && s.length.is_multiple_of(2);
        inputs.len() > 1
            && inputs.iter().all(own)
            && inputs.iter().map(|s| s.length).sum::<usize>() == self.norms.len()
    }

    /// The norms of each segment's channels; none where they come weighed.
    fn norms(&self, inputs: &[Segment<'_>]) -> impl Iterator<Item = &[f32]> + Clone {
        let joins = self.joins(inputs);
        let mut rest = &self.norms[..];
        inputs
            .iter()
            .map(move |s| if joins { rest.split_off(..s.length).expect("they add up") } else { rest })
    }
}

/// What each of `channels` channels among the inputs adds to the outputs: the norm of its weights, as the nearest power
/// of two, so that nothing is lost where values are so many times as large, and weights so many times smaller.
pub(super) fn norms(packed: &Packed, channels: usize) -> Vec<f32> {
    let mut squares = vec![0.0f32; channels];
    for (row, weights) in packed.rows() {
        squares[row % channels] += weights.iter().map(|w| w * w).sum::<f32>();
    }
    let power = |square: f32| if square > 0.0 { square.sqrt().log2().round().exp2() } else { 0.0 };
    squares.into_iter().map(power).collect()
}

/// One over each norm, and nothing for a channel that adds nothing.
pub(super) fn inverse(norms: &[f32]) -> Vec<f32> {
    norms.iter().map(|&n| if n > 0.0 { n.recip() } else { 0.0 }).collect()
}

/// Products in fixed point of what has weights so; others in floats.
pub(super) struct FixedPoint<D, const V: usize> {
    dot: D,
    memory: Vec<i16>,
}

impl<D, const V: usize> FixedPoint<D, V> {
    pub(super) fn new(dot: D) -> Self {
        FixedPoint { dot, memory: Vec::new() }
    }
}

impl<S: Simd, D: FloatDot<S, V>, const V: usize> Multiply<S> for FixedPoint<D, V> {
    #[inline(always)]
    fn product(
        &mut self,
        simd: S,
        inputs: &[Segment<'_>],
        positions: usize,
        packed: &Packed,
        store: &mut impl Store,
    ) {
        match packed.fixed() {
            Some(fixed) => {
                assert!(fixed.fits(inputs), "weights in fixed point know their channels");
                let parts = inputs.iter().zip(fixed.norms(inputs));
                let step = cells::fill((simd, self.dot), parts, positions, &mut self.memory);
                let (with, cells, weights) = ((simd, self.dot), (&self.memory[..], step), (packed, fixed));
                // As many sums as there are registers, less those of the weights and of one pair.
                match V {
                    2 => product::<_, _, V, ROWS>(with, inputs, cells, positions, weights, store),
                    _ => product::<_, _, V, 2>(with, inputs, cells, positions, weights, store),
                }
            }
            None => super::packed::product(simd, inputs, positions, packed, store),
        }
    }
}

/// As [`product`](super::packed::product), of a tile whose `cells` count so many of `step`.
#[inline(always)]
fn product<S: Simd, D: FloatDot<S, V>, const V: usize, const ROWS: usize>(
    (simd, dot): (S, D),
    inputs: &[Segment<'_>],
    (cells, step): (&[i16], f32),
    positions: usize,
    (packed, fixed): (&Packed, &Fixed),
    store: &mut impl Store,
) {
    let pairs = packed.inputs() / 2;
    let step = simd.splat_f32s(step);
    for panel in packed.panels() {
        let weights = &fixed.weights[panel * pairs..][..pairs];
        let mut steps = vectors::<S, V>(&fixed.steps[panel * PANEL..][..PANEL])[0];
        for steps in &mut steps {
            *steps = simd.mul_f32s(*steps, step);
        }
        let bias = vectors::<S, V>(packed.bias(panel))[0];
        for first in (0..positions).step_by(ROWS) {
            let mut sums = [dot.start(&[0; PANEL]); ROWS];
            let (mut cells, mut weights) = (cells, weights);
            for part in inputs {
                let (here, cells_left) = cells.split_at(cells::room(part, positions));
                let (rows_of_weights, weights_left) = weights.split_at(part.length / 2);
                (cells, weights) = (cells_left, weights_left);
                let here: &[[i16; 2]] = here.as_chunks().0;
                let (stride, length) = (cells::stride(part) / 2, rows_of_weights.len());
                let group = &here[first * stride..][..(ROWS - 1) * stride + length];
                let mut rows = [group; ROWS];
                for r in 0..ROWS {
                    rows[r] = &group[r * stride..][..length];
                }
                for k in 0..rows_of_weights.len() {
                    for r in 0..ROWS {
                        sums[r] = dot.add(sums[r], rows[r][k], &rows_of_weights[k]);
                    }
                }
            }
            // What is left of the group is taken from memory: unrolled, addresses would cost as much as products.
            for (r, &sums) in sums[..ROWS.min(positions - first)].iter().enumerate() {
                let mut sums = dot.floats(sums);
                for v in 0..V {
                    sums[v] = simd.mul_add_e_f32s(sums[v], steps[v], bias[v]);
                }
                store.store(simd, first + r, panel, sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::{Isa, Packed, Segment, lines};

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 23) - 1.0
        };
        // Cubed: most are small, as in networks.
        (0..count).map(|_| next().powi(3) as f32).collect()
    }

    /// Products of a line of `positions` places of `channels` and `taps` of them, with and without fixed point.
    fn both(
        x: &[f32],
        [positions, channels, taps]: [usize; 3],
        weight: &[f32],
        bias: &[f32],
    ) -> [Vec<f32>; 2] {
        let mut packed = Packed::new(weight, bias);
        let mut run = |fix: bool| {
            if fix {
                packed.fix(channels);
            }
            let mut out = vec![0.0; positions * bias.len()];
            let line = |_| vec![Segment { data: x, stride: channels, length: taps * channels }; 2];
            lines(Isa::best(), &packed, positions, 1, line, &mut out);
            out
        };
        [false, true].map(&mut run)
    }

    #[test]
    fn little_is_lost() {
        for (positions, channels, taps, outputs) in [(1, 2, 1, 1), (50, 96, 2, 192), (97, 24, 3, 20)] {
            let mut x = noise((positions + taps) * channels, 1);
            // Channels of very different size, as the mean of a picture and its details are.
            x.iter_mut().step_by(channels).for_each(|x| *x *= 1000.0);
            let mut weight = noise(2 * taps * channels * outputs, 2);
            let large = weight.chunks_exact_mut(outputs).step_by(channels);
            large.flatten().for_each(|w| *w /= 1000.0);
            let [expected, found] = both(&x, [positions, channels, taps], &weight, &noise(outputs, 3));
            let power = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
            let error = power(&mut expected.iter().zip(&found).map(|(a, b)| a - b));
            let relative = (error / power(&mut expected.iter().copied())).sqrt();
            assert!(relative < 2e-3, "{relative} with {channels} channels");
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        let (channels, outputs) = (192, 17);
        for sign in [1.0, -1.0] {
            let x = vec![sign * 3.0; 3 * channels];
            let weight = vec![0.25; 4 * channels * outputs];
            let [expected, found] = both(&x, [2, channels, 2], &weight, &vec![1.0; outputs]);
            for (a, b) in expected.iter().zip(found) {
                assert!((a - b).abs() < 2e-3 * a.abs(), "{a} {b}");
            }
        }
    }

    #[test]
    fn what_is_no_number_or_nothing_does_no_harm() {
        for value in [f32::INFINITY, f32::NAN, f32::MAX, 0.0, 1e-42] {
            let mut x = vec![0.5; 8];
            x[3] = value;
            if value.abs() < 1.0 {
                x.fill(value);
            }
            let [_, found] = both(&x, [2, 2, 2], &noise(2 * 4 * 5, 4), &[2.0; 5]);
            assert!(found.iter().all(|v| (v - 2.0).abs() < 1e-6 || value == f32::MAX), "{value}: {found:?}");
        }
    }

    #[test]
    fn odd_channels_stay_in_floats() {
        let [expected, found] = both(&noise(12, 1), [2, 3, 2], &noise(2 * 6 * 4, 2), &[0.0; 4]);
        assert_eq!(expected, found);
    }
}
