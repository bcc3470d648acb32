//! The search among integers: every symbol that would be cheaper one up or one down, by a quadratic model of the cost,
//! goes there, all at once; the next gradient tells what that did. At first chance has a say in what counts as cheaper
//! (simulated annealing: Kirkpatrick et al. 1983), which leads to better ends than the nearest one.

use super::Refinement;
use super::graph::{Graph, Look};
use crate::plain::Map;
use candle_core::Result;

/// One symbol in so many is probed for the first model.
const PROBED: u64 = 12;
/// Bits that chance adds at the beginning, as the scale of a logistic distribution.
const HEAT: f32 = 1.2;
/// Share of the rounds after which it adds none.
const COOLED: f32 = 0.6;
/// What a place's curvature is held to be before it is seen: this many symbols of the mean.
const PRIOR: f64 = 20.0;

/// The y of a tile with cheaper symbols where they are `free`.
pub(super) fn refined(graph: &Graph<'_>, mut y: Map, free: &[bool], how: &Refinement<'_>) -> Result<Map> {
    let mut now = graph.look(&y)?;
    y.data.copy_from_slice(&now.rounded);
    let mut curvature = Curvature::new(y.dims.c, y.data.len() / y.dims.c);
    let mut moves = vec![0.0; y.data.len()];
    for (at, step) in moves.iter_mut().enumerate().filter(|(at, _)| drawn(*at)) {
        *step = -now.gradient[at].signum();
    }
    curvature.observe(&moves, &now, &graph.look(&moved(&y, &moves))?);
    for round in 1..how.looks() {
        if round > 1 {
            if how.over() {
                break;
            }
            let next = graph.look(&y)?;
            curvature.observe(&moves, &now, &next);
            now = next;
            // Means have moved with the symbols that they come from.
            y.data.copy_from_slice(&now.rounded);
        }
        let bends = curvature.all();
        let heat = HEAT * (1.0 - round as f32 / (COOLED * how.looks() as f32)).max(0.0);
        for (at, step) in moves.iter_mut().enumerate() {
            let chance = if heat > 0.0 { heat * logistic(at, round) } else { 0.0 };
            *step = if free[at] { cheaper(graph, &now, at, bends[at], chance) } else { 0.0 };
        }
        y = moved(&y, &moves);
    }
    Ok(y)
}

/// 1 or −1 where the symbol is cheaper one up or one down by more than `-chance` bits, else 0.
fn cheaper(graph: &Graph<'_>, now: &Look, at: usize, bend: f32, chance: f32) -> f32 {
    let (slopes, symbol, slope) = (graph.slopes(at), now.symbols[at], now.gradient[at]);
    let up = slope + 0.5 * bend + slopes.above(symbol);
    let down = -slope + 0.5 * bend - slopes.below(symbol);
    match up.min(down) < chance {
        true if up < down => 1.0,
        true => -1.0,
        false => 0.0,
    }
}

fn moved(y: &Map, moves: &[f32]) -> Map {
    Map { dims: y.dims, data: y.data.iter().zip(moves).map(|(y, step)| y + step).collect() }
}

/// Whether a symbol is probed, the same in every run.
fn drawn(at: usize) -> bool {
    scattered(at as u64).is_multiple_of(PROBED)
}

/// A standard logistic value for a symbol and a round, the same in every run.
fn logistic(at: usize, round: u32) -> f32 {
    let uniform = ((scattered(at as u64 ^ u64::from(round) << 40) >> 40) as f32 + 0.5) / (1 << 24) as f32;
    let uniform = uniform.min(1.0 - f32::EPSILON);
    (uniform / (1.0 - uniform)).ln()
}

/// SplitMix64 (Steele, Lea & Flood 2014).
fn scattered(seed: u64) -> u64 {
    let bits = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// How fast the gradient changes along a symbol, with whatever moved beside it: the product of what its channel and its
/// place are seen to have.
struct Curvature {
    /// Sum and count of what was seen in each channel.
    channels: Vec<(f64, f64)>,
    /// What was seen at each place, by channel.
    places: Vec<Vec<(usize, f64)>>,
}

impl Curvature {
    fn new(channels: usize, places: usize) -> Curvature {
        Curvature { channels: vec![(0.0, 0.0); channels], places: vec![Vec::new(); places] }
    }

    /// Takes in what `moves` between two looks did.
    fn observe(&mut self, moves: &[f32], before: &Look, after: &Look) {
        let count = self.channels.len();
        for (at, step) in moves.iter().enumerate().filter(|(_, step)| **step != 0.0) {
            let bend = f64::from(step * (after.gradient[at] - before.gradient[at]));
            let (sum, seen) = &mut self.channels[at % count];
            *sum += bend;
            *seen += 1.0;
            self.places[at / count].push((at % count, bend));
        }
    }

    /// For every symbol.
    fn all(&self) -> Vec<f32> {
        let channels: Vec<f64> =
            self.channels.iter().map(|(sum, seen)| (sum / seen.max(1.0)).max(1e-6)).collect();
        let prior = PRIOR * channels.iter().sum::<f64>() / channels.len() as f64;
        let mut all = Vec::with_capacity(channels.len() * self.places.len());
        for place in &self.places {
            let (mut seen, mut expected) = (prior, prior);
            for &(channel, bend) in place {
                seen += bend;
                expected += channels[channel];
            }
            let factor = (seen / expected).max(0.1);
            all.extend(channels.iter().map(|channel| (channel * factor) as f32));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_even_and_of_its_scale() {
        let count = 10_000;
        let values: Vec<f64> = (0..count).map(|at| f64::from(logistic(at, 3))).collect();
        let mean = values.iter().sum::<f64>() / count as f64;
        let variance = values.iter().map(|value| value * value).sum::<f64>() / count as f64;
        assert!(mean.abs() < 0.1, "{mean}");
        assert!((variance / (std::f64::consts::PI.powi(2) / 3.0) - 1.0).abs() < 0.1, "{variance}");
        assert!((0..count).any(|at| logistic(at, 3) != logistic(at, 4)));
    }

    #[test]
    fn curvature_is_what_channels_and_places_are_seen_to_have() {
        let (channels, places) = ([1.0, 4.0, 9.0, 2.0], 100);
        let truth = |at: usize| channels[at % 4] * if at / 4 % 10 == 3 { 3.0 } else { 1.0 };
        let look = |gradient: Vec<f32>| Look { gradient, symbols: Vec::new(), rounded: Vec::new() };
        let mut curvature = Curvature::new(4, places);
        for round in 0..40 {
            let moves: Vec<f32> = (0..4 * places).map(|at| [1.0, -1.0, 0.0][(at + round) % 3]).collect();
            let after = moves.iter().enumerate().map(|(at, step)| step * truth(at)).collect();
            curvature.observe(&moves, &look(vec![0.0; 4 * places]), &look(after));
        }
        let all = curvature.all();
        // Relative to one another, but for what the prior holds back.
        let ratio = |a: usize, b: usize| (all[a] / all[b]) / (truth(a) / truth(b));
        for (a, b) in [(0, 1), (2, 3), (0, 12), (13, 50)] {
            assert!((ratio(a, b) - 1.0).abs() < 0.3, "{a} against {b}: {}", ratio(a, b));
        }
    }
}
