//! The latents of one strip: z, scales, means and residuals, in coding order. FORMAT.md, sections 5 and 6.
//!
//! Encoder and decoder walk the same code; they differ only in where a residual comes from. A strip is
//! self-contained: its border counts as the picture's.

use crate::kernels::Dims;
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
    let mut levels = std::mem::take(&mut scratch.bytes);
    model.scale.levels_into(z, grid.z_h, grid.z_w, quality, &mut levels);
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
                // The means come phase by phase of the pattern.
                let phase = row % 2 * 2 + column % 2;
                let means = ((phase * rows + row) / 2 * columns + column) / 2 * group;
                let (mean, levels) = (&mean.data[means..][..group], &levels[at..][..group]);
                let y_hat = &mut y_hat.data[at..][..group];
                if row < grid.h && column < grid.w {
                    for (k, ((y_hat, &mu), &level)) in y_hat.iter_mut().zip(mean).zip(levels).enumerate() {
                        *y_hat = f32::from(residual(level, row, column, first + k, mu)?) + mu;
                    }
                } else {
                    y_hat.copy_from_slice(mean);
                }
            }
        }
        scratch.give(mean);
    }

    let inverse: Vec<f32> = model.log_gain(quality).iter().map(|g| (-g).exp()).collect();
    model.networks.run_onto("correction", &mut y_hat, &[&features], &inverse, position, scratch);
    // Without the cells beyond the coded grid.
    let (row, row_out) = (columns * channels, grid.w * channels);
    if row_out < row {
        (1..grid.h).for_each(|r| y_hat.data.copy_within(r * row..r * row + row_out, r * row_out));
    }
    y_hat.data.truncate(grid.h * row_out);
    y_hat.dims = Dims { h: grid.h, w: grid.w, c: channels };
    scratch.give(features);
    scratch.bytes = levels;
    Ok(y_hat)
}
