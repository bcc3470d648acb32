//! The cost of a tile as a graph, for its gradient.

use super::tiles::{Tile, crop};
use super::{FROZEN, Metric, Refiner, Scene, Slopes};
use crate::encode::Encoder;
use crate::kernels::Dims;
use crate::nn;
use crate::nn::ops::{values, with_values};
use crate::nn::structure::{self, IN_SQUARES};
use crate::pixels::to_network;
use crate::plain::Map;
use bottleneck_proto::STRIP_ROWS;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, Var};

/// The cost of a tile as a function of its y.
pub(super) struct Graph<'a> {
    refiner: &'a Refiner,
    features: Tensor,
    levels: Vec<u8>,
    knots: Tensor,
    inverse_gain: Vec<f32>,
    original: Tensor,
    /// 1 for pixels that count.
    counts: Tensor,
    /// What a squared error of −1..=1 values costs in bits.
    price: f64,
    /// What a dissimilarity of 1 costs in bits, over all pixels.
    structure_price: f64,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        encoder: &'a Encoder,
        scene: &Scene<'_>,
        tile: &Tile,
        metric: Metric,
    ) -> Result<Graph<'a>> {
        let device = &Device::Cpu;
        let quality = scene.latents.quality;
        let tensor = |map: &Map| {
            let Dims { h, w, c } = map.dims;
            Tensor::from_slice(&map.data, (1, h, w, c), device)
        };
        let inverse: Vec<f32> = encoder.model().log_gain(quality).iter().map(|g| (-g).exp()).collect();
        let (original, counts) = pixels(scene, tile);
        let (structure, lambda) = (metric.structure(), encoder.lambda(scene.latents));
        let area = (counts.dims.h * counts.dims.w) as f64;
        Ok(Graph {
            refiner: encoder.refiner(),
            features: tensor(&crop(&scene.features, tile))?,
            levels: crop(&scene.levels, tile).data.iter().map(|&level| level as u8).collect(),
            knots: nn::knot_weights(&[crate::quality::position(quality)], device)?,
            inverse_gain: inverse,
            original: tensor(&original)?,
            counts: tensor(&counts)?,
            price: (1.0 - structure) * lambda / 3.0 * 127.5 * 127.5,
            structure_price: structure * lambda * IN_SQUARES * area,
        })
    }

    /// What y is coded as, and how the cost changes around it; rounding passes gradients on as if there were none.
    pub(super) fn look(&self, y: &Map) -> Result<Look> {
        let Dims { h, w, c } = y.dims;
        let shape = (1, h, w, c);
        let p = &self.refiner.parameters;
        let variable = Var::from_slice(&y.data, shape, &Device::Cpu)?;
        let latents = &self.refiner.latents;
        let (residual, y_hat) = latents.run(p, variable.as_tensor(), &self.features, &self.knots)?;
        let (symbols, rounded) = with_values([&residual], |[residual]| {
            let symbols: Vec<f32> = residual.iter().map(|r| r.round()).collect();
            // y − r is the mean that the symbol is coded around.
            let rounded = y.data.iter().zip(residual).zip(&symbols).map(|((y, r), symbol)| y - r + symbol);
            let rounded = rounded.collect();
            Ok((symbols, rounded))
        })?;
        let own: Vec<f32> = (0..symbols.len())
            .map(|at| 0.5 * (self.slopes(at).above(symbols[at]) + self.slopes(at).below(symbols[at])))
            .collect();
        let bits = residual.apply_op1(Sloped(Tensor::from_slice(&own, shape, &Device::Cpu)?))?;
        let scaled = y_hat.contiguous()?.apply_op1(Scaled(self.inverse_gain.clone()))?;
        let x_hat = nn::run(&self.refiner.synthesis, p, &scaled, &self.knots)?;
        let slope = Tensor::from_vec(self.slope(&x_hat)?, x_hat.shape(), &Device::Cpu)?;
        let cost = (x_hat.apply_op1(Sloped(slope))? + bits)?;
        let gradient = cost.backward()?.remove(variable.as_tensor()).expect("the cost depends on y");
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        // A symbol's own bits are known exactly, so only what else it costs is taken as linear.
        let gradient = gradient.iter().zip(&own).map(|(all, own)| all - own).collect();
        Ok(Look { gradient, symbols, rounded })
    }

    /// How the distortion changes with each value of x̂.
    fn slope(&self, x_hat: &Tensor) -> Result<Vec<f32>> {
        let (_, h, w, _) = x_hat.dims4()?;
        with_values([x_hat, &self.original, &self.counts], |[x_hat, original, counts]| {
            let pixels = x_hat.chunks_exact(3).zip(original.chunks_exact(3)).zip(counts);
            // What does not count is as the original.
            let error = |((x_hat, original), count): ((&[f32], &[f32]), &f32)| -> [f32; 3] {
                std::array::from_fn(|at| count * (x_hat[at] - original[at]))
            };
            let error: Vec<f32> = pixels.flat_map(error).collect();
            let price = 2.0 * self.price as f32;
            if self.structure_price == 0.0 {
                return Ok(error.iter().map(|error| price * error).collect());
            }
            let decoded: Vec<f32> = original.iter().zip(&error).map(|(x, error)| x + error).collect();
            let mut slope = structure::slope(original, &decoded, w, h);
            for ((slope, error), count) in slope.chunks_exact_mut(3).zip(error.chunks_exact(3)).zip(counts) {
                let structure = count * self.structure_price as f32;
                slope.iter_mut().zip(error).for_each(|(s, error)| *s = structure * *s + price * error);
            }
            Ok(slope)
        })
    }

    /// The bits of symbol `at`.
    pub(super) fn slopes(&self, at: usize) -> &Slopes {
        &self.refiner.slopes[usize::from(self.levels[at])]
    }
}

/// A term of the cost of which only the slope in each value of its tensor is of interest; as a value it gives 0.
struct Sloped(Tensor);

impl CustomOp1 for Sloped {
    fn name(&self) -> &'static str {
        "sloped"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), ().into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

/// Each channel of a map times its factor.
struct Scaled(Vec<f32>);

impl Scaled {
    fn of(&self, values: &[f32]) -> Vec<f32> {
        let mut scaled = values.to_vec();
        for cell in scaled.chunks_exact_mut(self.0.len()) {
            cell.iter_mut().zip(&self.0).for_each(|(value, factor)| *value *= factor);
        }
        scaled
    }
}

impl CustomOp1 for Scaled {
    fn name(&self) -> &'static str {
        "scaled"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.of(values(x, layout)?)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = with_values([grad], |[grad]| Ok(self.of(grad)))?;
        Ok(Some(Tensor::from_vec(back, x.shape(), x.device())?))
    }
}

/// The cost around a y.
pub(super) struct Look {
    /// Slope of distortion and of all other symbols' bits.
    pub(super) gradient: Vec<f32>,
    /// What is coded.
    pub(super) symbols: Vec<f32>,
    /// The y that is coded as the same without rounding.
    pub(super) rounded: Vec<f32>,
}

/// Which values of a tile may change.
pub(super) fn free(scene: &Scene<'_>, tile: &Tile, dims: Dims) -> Vec<bool> {
    let height = scene.latents.y.dims.h;
    let [above, below] = scene.neighbours;
    let mut free = Vec::with_capacity(dims.len());
    for row in tile.seen[0].clone() {
        let frozen = (above && row < FROZEN) || (below && row + FROZEN >= height);
        for column in tile.seen[1].clone() {
            let own = tile.own[0].contains(&row) && tile.own[1].contains(&column);
            free.extend(std::iter::repeat_n(own && !frozen, dims.c));
        }
    }
    free
}

/// The pixels that a tile sees (rows, columns, 3), and 1 for those that count (rows, columns, 1): not those beyond
/// the picture, nor those of the outermost cells at borders where the picture goes on.
fn pixels(scene: &Scene<'_>, tile: &Tile) -> (Map, Map) {
    let image = scene.strip.image();
    let (width, height) = (image.width as usize, image.height as usize);
    let dims = scene.latents.y.dims;
    let [rows, columns] = &tile.seen;
    let start = scene.strip.index() * STRIP_ROWS as usize;
    let (h, w) = (16 * rows.len(), 16 * columns.len());
    let (mut original, mut counts) = (Map::zeros(h, w, 3), Map::zeros(h, w, 1));
    let [above, below] = scene.neighbours;
    let inner = [
        (above || rows.start > 0, below || rows.end < dims.h, h),
        (columns.start > 0, columns.end < dims.w, w),
    ];
    let counted = |at: usize, (before, after, length): (bool, bool, usize)| {
        !(before && at < 16 || after && at + 16 >= length)
    };
    for row in 0..h {
        let y = start + 16 * rows.start + row;
        for column in 0..w {
            let x = 16 * columns.start + column;
            let from = (y.min(height - 1) * width + x.min(width - 1)) * 3;
            let to = row * w + column;
            for channel in 0..3 {
                original.data[3 * to + channel] = to_network(image.rgb[from + channel]);
            }
            let counts_here = y < height && x < width && counted(row, inner[0]) && counted(column, inner[1]);
            counts.data[to] = f32::from(u8::from(counts_here));
        }
    }
    (original, counts)
}
