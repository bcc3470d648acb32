//! The latents of one strip: z, scales, means and residuals, in coding order. FORMAT.md, sections 5 and 6.
//!
//! Encoder and decoder walk the same code; they differ only in where a residual comes from. A strip is
//! self-contained: its border counts as the picture's.

use crate::network::{STEPS, group_at};
use crate::plain::{Map, Scratch};
use crate::weights::Model;
use bottleneck_proto::Quality;

/// Sizes of one strip's grids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Rows and columns of y that are coded.
    pub(crate) h: usize,
    pub(crate) w: usize,
    /// Rows and columns of z.
    pub(crate) z_h: usize,
    pub(crate) z_w: usize,
}

impl Grid {
    /// For `rows` picture rows of `width` pixels.
    pub(crate) fn new(width: usize, rows: usize) -> Grid {
        let (h, w) = (rows.div_ceil(16), width.div_ceil(16));
        Grid { h, w, z_h: h.div_ceil(4), z_w: w.div_ceil(4) }
    }
}

/// Float half of h_s: z → features (4·z_h, 4·z_w, hyper).
pub(crate) fn features(model: &Model, quality: Quality, grid: Grid, z: &[i16], scratch: &mut Scratch) -> Map {
    let mut map = Map::zeros(grid.z_h, grid.z_w, model.architecture.z);
    map.data.iter_mut().zip(z).for_each(|(f, &i)| *f = f32::from(i));
    model.networks.run("hyper_synthesis", &[&map], crate::quality::position(quality), scratch)
}

/// Rebuilds ŷ (H/16, W/16, y), corrected and unscaled, from `z` and the residuals that `residual` gives.
///
/// `scratch` lends the memory of the maps between, and of the result. `residual(level, row, column, channel, mean)`
/// is called once for every coded value, in coding order.
pub(crate) fn walk<E>(
    model: &Model,
    quality: Quality,
    grid: Grid,
    z: &[i16],
    scratch: &mut Scratch,
    mut residual: impl FnMut(u8, usize, usize, usize, f32) -> Result<i16, E>,
) -> Result<Map, E> {
    let architecture = &model.architecture;
    let (channels, group) = (architecture.y, architecture.y / STEPS);
    let position = crate::quality::position(quality);
    // Networks see whole cells of z; what lies beyond the coded grid has residual 0.
    let (rows, columns) = (4 * grid.z_h, 4 * grid.z_w);
    let levels = model.scale.levels(z, grid.z_h, grid.z_w, quality);
    let features = features(model, quality, grid, z, scratch);

    let mut y_hat = scratch.map(rows, columns, channels);
    y_hat.data.fill(0.0);
    for step in 0..STEPS {
        let inputs = [&y_hat, &features];
        let inputs = if step == 0 { &inputs[1..] } else { &inputs[..] };
        let mean = model.networks.run(&architecture.mean(step).name, inputs, position, scratch);
        for row in 0..rows {
            for column in 0..columns {
                let first = group_at(step, row, column) * group;
                let at = (row * columns + column) * channels + first;
                let coded = row < grid.h && column < grid.w;
                for k in 0..group {
                    let mu = mean.data[at + k];
                    let r = if coded { residual(levels[at + k], row, column, first + k, mu)? } else { 0 };
                    y_hat.data[at + k] = f32::from(r) + mu;
                }
            }
        }
        scratch.give(mean);
    }

    let correction = model.networks.run("correction", &[&y_hat, &features], position, scratch);
    let inverse: Vec<f32> = model.log_gain(quality).iter().map(|g| (-g).exp()).collect();
    let mut out = scratch.map(grid.h, grid.w, channels);
    for (row, out) in out.data.chunks_exact_mut(grid.w * channels).enumerate() {
        let from = row * columns * channels;
        let sums =
            y_hat.data[from..].chunks_exact(channels).zip(correction.data[from..].chunks_exact(channels));
        for (out, (y_hat, correction)) in out.chunks_exact_mut(channels).zip(sums) {
            for i in 0..channels {
                out[i] = (y_hat[i] + correction[i]) * inverse[i];
            }
        }
    }
    [features, y_hat, correction].into_iter().for_each(|map| scratch.give(map));
    Ok(out)
}
