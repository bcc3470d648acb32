//! g_a and h_a in candle, by strips with a halo.

use crate::network::Network;
use crate::nn::{self, Parameters};
use crate::pixels::to_network;
use crate::plain::Map;
use crate::{Architecture, Image, Quality};
use bottleneck_proto::STRIP_ROWS;
use candle_core::{Device, Result, Tensor};

/// The encoder's networks on a device, at one quality.
pub(crate) struct Analysis<'a> {
    parameters: &'a Parameters,
    device: &'a Device,
    analysis: Network,
    hyper_analysis: Network,
    knots: Tensor,
    /// Rows above and below a strip that its latents depend on, a multiple of 16.
    halo: usize,
}

impl<'a> Analysis<'a> {
    pub(crate) fn new(
        architecture: &Architecture,
        parameters: &'a Parameters,
        device: &'a Device,
        quality: Quality,
    ) -> Result<Analysis<'a>> {
        let analysis = architecture.analysis();
        Ok(Analysis {
            parameters,
            device,
            halo: analysis.halo().next_multiple_of(16),
            analysis,
            hyper_analysis: architecture.hyper_analysis(),
            knots: nn::knot_weights(&[crate::quality::position(quality)], device)?,
        })
    }

    /// y (H/16, W/16, y) of one strip, before the gain. Border pixels are replicated to whole patches.
    pub(crate) fn strip(&self, image: &Image, strip: usize) -> Result<Map> {
        let (width, height) = (image.width as usize, image.height as usize);
        let first = strip * STRIP_ROWS as usize;
        let last = (first + STRIP_ROWS as usize).min(height);
        let from = first.saturating_sub(self.halo);
        let to = (last + self.halo).min(height);
        let (rows, columns) = ((to - from).next_multiple_of(16), width.next_multiple_of(16));
        let mut pixels = Vec::with_capacity(rows * columns * 3);
        for row in (from..from + rows).map(|row| row.min(height - 1)) {
            let row = &image.rgb[row * width * 3..][..width * 3];
            pixels.extend(row.iter().map(|&v| to_network(v)));
            for _ in width..columns {
                pixels.extend_from_within(pixels.len() - 3..);
            }
        }
        let x = Tensor::from_vec(pixels, (1, rows, columns, 3), self.device)?;
        let y = nn::run(&self.analysis, self.parameters, &x, &self.knots)?;
        let y = y.narrow(1, (first - from) / 16, (last - first).div_ceil(16))?;
        map(&y)
    }

    /// z before rounding (h/4, w/4, z) from scaled y (h, w, y), whose border is replicated to whole cells.
    pub(crate) fn hyper(&self, y: &Map) -> Result<Map> {
        let (h, w, c) = (y.dims.h, y.dims.w, y.dims.c);
        let (rows, columns) = (h.next_multiple_of(4), w.next_multiple_of(4));
        let mut padded = Vec::with_capacity(rows * columns * c);
        for row in 0..rows {
            for column in 0..columns {
                padded.extend_from_slice(&y.data[(row.min(h - 1) * w + column.min(w - 1)) * c..][..c]);
            }
        }
        let y = Tensor::from_vec(padded, (1, rows, columns, c), self.device)?;
        map(&nn::run(&self.hyper_analysis, self.parameters, &y, &self.knots)?)
    }
}

fn map(tensor: &Tensor) -> Result<Map> {
    let (_, h, w, c) = tensor.dims4()?;
    let mut map = Map::zeros(h, w, c);
    map.data = tensor.flatten_all()?.to_vec1()?;
    Ok(map)
}
