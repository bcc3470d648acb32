//! Better latents for more time: symbols of y are moved to where their own picture's rate–distortion cost is lower
//! (Yang, Bamler & Mandt 2020: closing the amortisation gap of the encoder). z stays.
//!
//! A picture is refined by strips, in tiles with a margin, so that memory is bounded. What the tiles do is an
//! approximation near their borders; whether a strip is kept is decided by the decoder itself.

mod graph;
mod search;
mod tiles;

use crate::encode::{EncodeError, Encoder, Latents, Strip};
use crate::entropy::Table;
use crate::kernels::Dims;
use crate::latents::features;
use crate::network::Network;
use crate::nn::latents::LatentGraph;
use crate::nn::structure::{IN_SQUARES, dissimilarity_of_bytes};
use crate::nn::{self, Parameters};
use crate::plain::{Map, Scratch};
use crate::synthesis::Synthesis;
use crate::weights::floats_of;
use bottleneck_proto::STRIP_ROWS;
use candle_core::{Device, Result};
use graph::{Graph, free};
use rayon::prelude::*;
use safetensors::SafeTensors;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tiles::{crop, paste, tiles};

/// What a picture is refined for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// Squared error.
    Psnr,
    /// What the built-in models were trained for: squared error and, for the greater part, structure.
    #[default]
    Mixed,
    /// Mostly structure: a differentiable stand-in for SSIMULACRA 2.
    Ssimulacra2Proxy,
    /// Almost only structure, which is what MS-SSIM is but for brightness at its coarsest scale.
    MsSsim,
}

impl Metric {
    /// Share of structural dissimilarity in the distortion.
    fn structure(self) -> f64 {
        match self {
            Metric::Psnr => 0.0,
            Metric::Mixed => 0.7,
            Metric::Ssimulacra2Proxy => 0.9,
            Metric::MsSsim => 0.97,
        }
    }
}

impl std::str::FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Metric, String> {
        match name {
            "psnr" => Ok(Metric::Psnr),
            "mixed" => Ok(Metric::Mixed),
            "ms-ssim" => Ok(Metric::MsSsim),
            "ssimulacra2-proxy" => Ok(Metric::Ssimulacra2Proxy),
            _ => Err("allowed: mixed, psnr, ms-ssim, ssimulacra2-proxy".into()),
        }
    }
}

/// How long to refine, and for what.
#[derive(Clone, Copy, Default)]
pub struct Refinement<'a> {
    /// 0 (not at all) to 9.
    pub effort: u8,
    /// What for.
    pub metric: Metric,
    /// When to end with the best found so far.
    pub deadline: Option<Instant>,
    /// Ends with the best found so far once it is set.
    pub stop: Option<&'a AtomicBool>,
    /// Told the share that is done, 0 to 1, after every strip.
    pub progress: Option<&'a (dyn Fn(f64) + Sync)>,
}

impl Refinement<'_> {
    /// The highest effort.
    pub const MAX_EFFORT: u8 = 9;

    fn over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    fn looks(&self) -> u32 {
        LOOKS[usize::from(self.effort.min(Refinement::MAX_EFFORT))]
    }
}

/// Gradients of each effort.
const LOOKS: [u32; 10] = [0, 2, 3, 4, 7, 11, 18, 35, 60, 100];
/// Cells at a strip's border with another that are not changed: their pixels depend on both strips.
const FROZEN: usize = 2;
/// Rows of a neighbour's ŷ that the cost of a strip is measured with; those nearest are counted.
const NEIGHBOUR: usize = 8;

/// The decoder's networks as a graph.
pub(crate) struct Refiner {
    parameters: Parameters,
    latents: LatentGraph,
    synthesis: Network,
    /// One for each scale level.
    slopes: Vec<Slopes>,
}

/// What a residual costs more in bits for each step up, between the integers from −REACH to REACH.
struct Slopes([f32; 2 * Slopes::REACH as usize]);

impl Slopes {
    const REACH: i16 = 32;

    fn new(table: &Table) -> Slopes {
        let mut slopes = [0.0; 2 * Slopes::REACH as usize];
        for (slope, n) in slopes.iter_mut().zip(-Slopes::REACH..) {
            *slope = (table.bits(n + 1) - table.bits(n)) as f32;
        }
        Slopes(slopes)
    }

    /// From a symbol to the next.
    fn above(&self, symbol: f32) -> f32 {
        let below = symbol.clamp(f32::from(-Slopes::REACH), f32::from(Slopes::REACH - 1));
        self.0[(below as i32 + i32::from(Slopes::REACH)) as usize]
    }

    /// To a symbol from the one before.
    fn below(&self, symbol: f32) -> f32 {
        self.above(symbol - 1.0)
    }
}

/// A strip's constants.
struct Scene<'a> {
    strip: &'a Strip<'a>,
    latents: &'a Latents,
    /// (4·z_h, 4·z_w, hyper).
    features: Map,
    /// (4·z_h, 4·z_w, y).
    levels: Map,
    /// Whether another strip lies above and below.
    neighbours: [bool; 2],
}

impl Encoder {
    /// Moves y of a picture's strips (all of them, from the top) towards a lower λ · D + bits, by `how` much;
    /// a strip that does not gain stays as it is. Efforts 3, 6 and 9 take 4, 18 and 100 gradients.
    ///
    /// # Errors
    /// Failures of the tensor library.
    pub fn refine(
        &self,
        strips: &[Strip<'_>],
        latents: &mut [Latents],
        how: &Refinement<'_>,
    ) -> std::result::Result<(), EncodeError> {
        let mut above = None;
        for at in 0..strips.len() {
            if how.over() || how.effort == 0 {
                break;
            }
            let below = latents.get(at + 1).map(|below| self.coded(below).1);
            let neighbours = [above.as_ref(), below.as_ref()];
            let metric = how.metric;
            let (plain, y_hat) = self.cost(&strips[at], &latents[at], neighbours, metric);
            let moved = self.search(&strips[at], &latents[at], neighbours.map(|n| n.is_some()), how)?;
            let start = latents[at].y.clone();
            let mut best = (plain, y_hat, start.clone());
            // The way may have gone too far: half of it, and so on while that is better.
            for share in [1.0, 0.5, 0.25] {
                latents[at].y = between(&start, &moved, share);
                let (cost, y_hat) = self.cost(&strips[at], &latents[at], neighbours, metric);
                if cost < best.0 {
                    best = (cost, y_hat, latents[at].y.clone());
                } else if best.0 < plain {
                    break;
                }
            }
            latents[at].y = best.2;
            above = Some(best.1);
            if let Some(progress) = how.progress {
                progress((at + 1) as f64 / strips.len() as f64);
            }
        }
        Ok(())
    }

    fn refiner(&self) -> &Refiner {
        self.refiner.get_or_init(|| {
            let model = self.model();
            let file = SafeTensors::deserialize(model.decoder_bytes()).expect("the model was read from it");
            let networks = model.architecture.decoder_networks();
            let values = |name: &str, shape: &[usize]| floats_of(&file, name, shape);
            let parameters =
                nn::parameters(&networks, &Device::Cpu, values).expect("the model was read from it");
            Refiner {
                parameters,
                latents: LatentGraph::new(&model.architecture),
                synthesis: model.architecture.synthesis(),
                slopes: model.tables.residual.iter().map(Slopes::new).collect(),
            }
        })
    }

    /// Bits of a strip's latents under the coder's tables, and the ŷ that a decoder makes of them.
    fn coded(&self, latents: &Latents) -> (f64, Map) {
        let mut bits = 0.0;
        let y_hat = self.each_symbol(latents, |symbol, table| bits += table.bits(symbol));
        (bits, y_hat)
    }

    /// λ · D · pixels + bits of a strip, and its ŷ. The distortion is that of all pixels that the strip bears on.
    fn cost(
        &self,
        strip: &Strip<'_>,
        latents: &Latents,
        [above, below]: [Option<&Map>; 2],
        metric: Metric,
    ) -> (f64, Map) {
        let (bits, y_hat) = self.coded(latents);
        let first = above.map(|map| map.rows(map.dims.h.saturating_sub(NEIGHBOUR)..map.dims.h));
        let last = below.map(|map| map.rows(0..map.dims.h.min(NEIGHBOUR)));
        let maps: Vec<&Map> = first.iter().chain([&y_hat]).chain(&last).collect();
        let rows = maps.iter().map(|map| map.dims.h).sum();
        let data = maps.iter().flat_map(|map| map.data.iter().copied()).collect();
        let stack = Map { dims: Dims { h: rows, ..y_hat.dims }, data };

        let image = strip.image();
        let (width, height) = (image.width as usize, image.height as usize);
        let start = strip.index() * STRIP_ROWS as usize - first.as_ref().map_or(0, |map| 16 * map.dims.h);
        let end = (start + 16 * rows).min(height);
        let position = crate::quality::position(latents.quality);
        let mut synthesis = Synthesis::new(&self.model().networks, position, (width, end - start));
        let rgb = synthesis.strip(&stack, true, &mut Scratch::default());
        // The outermost rows of a neighbour lack what lies beyond them.
        let skip =
            |neighbour: &Option<Map>| neighbour.as_ref().map_or(0, |map| 16 * (map.dims.h / 2) * width * 3);
        let counted = skip(&first)..rgb.len() - if end == height { 0 } else { skip(&last) };
        let original = &image.rgb[start * width * 3..];
        let (original, decoded) = (&original[counted.clone()], &rgb[counted]);
        let pairs = decoded.iter().zip(original);
        let error: u64 = pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
        let structure = metric.structure();
        let mut distortion = (1.0 - structure) / 3.0 * error as f64;
        if structure > 0.0 {
            let pixels = decoded.len() / 3;
            let dissimilarity = dissimilarity_of_bytes(original, decoded, width, pixels / width);
            distortion += structure * IN_SQUARES * dissimilarity * pixels as f64;
        }
        (self.lambda(latents) * distortion + bits, y_hat)
    }

    fn lambda(&self, latents: &Latents) -> f64 {
        f64::from(self.model().architecture.lambda_at(crate::quality::position(latents.quality)))
    }

    /// Refined y of a strip.
    fn search(
        &self,
        strip: &Strip<'_>,
        latents: &Latents,
        neighbours: [bool; 2],
        how: &Refinement<'_>,
    ) -> Result<Map> {
        let model = self.model();
        let grid = latents.grid;
        let features = features(model, latents.quality, grid, &latents.z, &mut Scratch::default());
        let levels = model.scale.levels(&latents.z, grid.z_h, grid.z_w, latents.quality);
        let mut level_map = Map::zeros(4 * grid.z_h, 4 * grid.z_w, model.architecture.y);
        level_map.data.iter_mut().zip(levels).for_each(|(f, level)| *f = f32::from(level));
        let scene = Scene { strip, latents, features, levels: level_map, neighbours };

        let tiles = tiles(latents.y.dims);
        let refined = tiles
            .par_iter()
            .map(|tile| {
                let graph = Graph::new(self, &scene, tile, how.metric)?;
                let y = crop(&scene.latents.y, tile);
                let free = free(&scene, tile, y.dims);
                search::refined(&graph, y, &free, how)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut y = latents.y.clone();
        for (tile, values) in tiles.iter().zip(&refined) {
            paste(values, tile, &mut y);
        }
        Ok(y)
    }
}

/// The map that lies `share` of the way from `start` to `end`.
fn between(start: &Map, end: &Map, share: f32) -> Map {
    let data = start.data.iter().zip(&end.data).map(|(a, b)| a + share * (b - a)).collect();
    Map { dims: start.dims, data }
}

#[cfg(test)]
mod tests;
