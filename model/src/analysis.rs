//! g_a and h_a in candle, by strips with a halo.

use crate::Architecture;
use crate::encode::Strip;
use crate::network::Network;
use crate::nn::{self, Parameters};
use crate::pixels::to_network;
use crate::plain::Map;
use bottleneck_proto::STRIP_ROWS;
use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// The encoder's networks on a device.
pub(crate) struct Analysis<'a> {
    parameters: &'a Parameters,
    device: &'a Device,
    analysis: Network,
    hyper_analysis: Network,
    /// Rows above and below a strip that its latents depend on, a multiple of 16.
    halo: usize,
}

/// Sizes of a strip's tensors. Strips of one shape can be one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Rows and columns of pixels, halo and padding included.
    rows: usize,
    columns: usize,
    /// Rows of y, without the halo.
    y_rows: usize,
}

impl<'a> Analysis<'a> {
    pub(crate) fn new(
        architecture: &Architecture,
        parameters: &'a Parameters,
        device: &'a Device,
    ) -> Analysis<'a> {
        let analysis = architecture.analysis();
        Analysis {
            parameters,
            device,
            halo: analysis.halo().next_multiple_of(16),
            analysis,
            hyper_analysis: architecture.hyper_analysis(),
        }
    }

    pub(crate) fn shape(&self, strip: &Strip<'_>) -> Shape {
        let (own, seen) = self.rows(strip);
        Shape {
            rows: seen.len().next_multiple_of(16),
            columns: (strip.image().width as usize).next_multiple_of(16),
            y_rows: own.len().div_ceil(16),
        }
    }

    /// The picture's rows that a strip codes, and those that it sees.
    fn rows(&self, strip: &Strip<'_>) -> (Range<usize>, Range<usize>) {
        let height = strip.image().height as usize;
        let first = strip.index() * STRIP_ROWS as usize;
        let last = (first + STRIP_ROWS as usize).min(height);
        (first..last, first.saturating_sub(self.halo)..(last + self.halo).min(height))
    }

    /// y (H/16, W/16, y) of each of `strips`, which are of one shape, before the gain. Border pixels are
    /// replicated to whole patches.
    pub(crate) fn strips(&self, strips: &[&Strip<'_>]) -> Result<Vec<Map>> {
        let Some(Shape { rows, columns, y_rows }) = strips.first().map(|strip| self.shape(strip)) else {
            return Ok(vec![]);
        };
        let mut pixels = Vec::with_capacity(strips.len() * rows * columns * 3);
        for strip in strips {
            let image = strip.image();
            let (width, height) = (image.width as usize, image.height as usize);
            let from = self.rows(strip).1.start;
            for row in (from..from + rows).map(|row| row.min(height - 1)) {
                let row = &image.rgb[row * width * 3..][..width * 3];
                pixels.extend(row.iter().map(|&v| to_network(v)));
                for _ in width..columns {
                    pixels.extend_from_within(pixels.len() - 3..);
                }
            }
        }
        let x = Tensor::from_vec(pixels, (strips.len(), rows, columns, 3), self.device)?;
        let y = nn::run(&self.analysis, self.parameters, &x, &self.knots(strips)?)?;
        let own = |(i, strip): (usize, &&Strip<'_>)| {
            let (own, seen) = self.rows(strip);
            map(&y.narrow(0, i, 1)?.narrow(1, (own.start - seen.start) / 16, y_rows)?)
        };
        strips.iter().enumerate().map(own).collect()
    }

    /// z before rounding (h/4, w/4, z) from scaled y (h, w, y) of each of `strips`, which are of one shape.
    /// The border of y is replicated to whole cells.
    pub(crate) fn hyper(&self, strips: &[&Strip<'_>], y: &[Map]) -> Result<Vec<Map>> {
        let Some(dims) = y.first().map(|y| y.dims) else { return Ok(vec![]) };
        let (h, w, c) = (dims.h, dims.w, dims.c);
        let (rows, columns) = (h.next_multiple_of(4), w.next_multiple_of(4));
        let mut padded = Vec::with_capacity(y.len() * rows * columns * c);
        for y in y {
            for row in 0..rows {
                for column in 0..columns {
                    padded.extend_from_slice(&y.data[(row.min(h - 1) * w + column.min(w - 1)) * c..][..c]);
                }
            }
        }
        let x = Tensor::from_vec(padded, (y.len(), rows, columns, c), self.device)?;
        let z = nn::run(&self.hyper_analysis, self.parameters, &x, &self.knots(strips)?)?;
        (0..y.len()).map(|i| map(&z.narrow(0, i, 1)?)).collect()
    }

    fn knots(&self, strips: &[&Strip<'_>]) -> Result<Tensor> {
        let position = |strip: &&Strip<'_>| crate::quality::position(strip.quality());
        nn::knot_weights(&strips.iter().map(position).collect::<Vec<_>>(), self.device)
    }
}

fn map(tensor: &Tensor) -> Result<Map> {
    let (_, h, w, c) = tensor.dims4()?;
    let mut map = Map::zeros(h, w, c);
    map.data = tensor.flatten_all()?.to_vec1()?;
    Ok(map)
}
