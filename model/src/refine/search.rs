//! The search among integers: every symbol that would be cheaper one up or one down, by a quadratic model of the cost,
//! goes there, all at once; the next gradient tells what that did.

use super::Refinement;
use super::graph::{Graph, Look};
use crate::plain::Map;
use candle_core::Result;

/// One symbol in so many is probed for the first model.
const PROBED: u64 = 12;
/// What a place's curvature is held to be before it is seen: this many symbols of the mean.
const PRIOR: f64 = 20.0;
/// Rounds after which only half of the symbols may move at once: those that go back and forth together part.
const TOGETHER: u32 = 4;

/// The y of a tile with cheaper symbols where they are `free`.
pub(super) fn refined(graph: &Graph<'_>, mut y: Map, free: &[bool], how: &Refinement<'_>) -> Result<Map> {
    let mut now = graph.look(&y)?;
    y.data.copy_from_slice(&now.rounded);
    let mut curvature = Curvature::new(y.dims.c, y.data.len() / y.dims.c);
    let mut moves = vec![0.0; y.data.len()];
    for (at, step) in moves.iter_mut().enumerate().filter(|(at, _)| chance(*at, 0) % PROBED == 0) {
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
        for (at, step) in moves.iter_mut().enumerate() {
            let may = free[at] && (round <= TOGETHER || chance(at, round) % 2 == 0);
            *step = if may { cheaper(graph, &now, at, bends[at]) } else { 0.0 };
        }
        y = moved(&y, &moves);
    }
    Ok(y)
}

/// 1 or −1 where the symbol is cheaper one up or one down, else 0.
fn cheaper(graph: &Graph<'_>, now: &Look, at: usize, bend: f32) -> f32 {
    let (slopes, symbol, slope) = (graph.slopes(at), now.symbols[at], now.gradient[at]);
    let up = slope + 0.5 * bend + slopes.above(symbol);
    let down = -slope + 0.5 * bend - slopes.below(symbol);
    match up.min(down) < 0.0 {
        true if up < down => 1.0,
        true => -1.0,
        false => 0.0,
    }
}

fn moved(y: &Map, moves: &[f32]) -> Map {
    Map { dims: y.dims, data: y.data.iter().zip(moves).map(|(y, step)| y + step).collect() }
}

/// An even draw for each symbol and round, the same in every run (SplitMix64).
fn chance(at: usize, round: u32) -> u64 {
    let mut bits = (at as u64 | u64::from(round) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
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
