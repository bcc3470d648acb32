//! The float networks in plain Rust: the decoder's interpreter of the layer lists.

use crate::kernels::{self, Dims};
use crate::network::{Layer, Network};
use crate::quality;
use std::collections::HashMap;

/// Named parameters.
pub(crate) type Floats = HashMap<String, Vec<f32>>;

/// A map (H, W, C).
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) dims: Dims,
    pub(crate) data: Vec<f32>,
}

impl Map {
    pub(crate) fn zeros(h: usize, w: usize, c: usize) -> Map {
        Map { dims: Dims { h, w, c }, data: vec![0.0; h * w * c] }
    }

    /// Rows `rows` of the map.
    pub(crate) fn rows(&self, rows: std::ops::Range<usize>) -> Map {
        let stride = self.dims.w * self.dims.c;
        Map {
            dims: Dims { h: rows.len(), ..self.dims },
            data: self.data[rows.start * stride..rows.end * stride].to_vec(),
        }
    }
}

/// A network with its parameters, at one quality.
pub(crate) struct Runner<'a> {
    floats: &'a Floats,
    position: f32,
}

impl<'a> Runner<'a> {
    /// `position` is 0..=1 on the rate scale.
    pub(crate) fn new(floats: &'a Floats, position: f32) -> Runner<'a> {
        Runner { floats, position }
    }

    fn parameter(&self, name: &str) -> &'a [f32] {
        // Model::from_bytes has looked up every name of every layer list.
        &self.floats[name]
    }

    /// Logarithm of the quantiser's gain of every channel of y.
    pub(crate) fn log_gain(&self) -> Vec<f32> {
        quality::interpolate(self.parameter("gain"), self.position)
    }

    /// Runs `network` on `x`.
    pub(crate) fn run(&self, network: &Network, mut x: Map) -> Map {
        for (index, layer) in network.layers.iter().enumerate() {
            let p = |name: &str| self.parameter(&network.parameter(index, name));
            x = match *layer {
                Layer::Linear { output, .. } => linear(&x, p("weight"), p("bias"), output),
                Layer::Conv3 { output, .. } => conv3(&x, p("weight"), p("bias"), output),
                Layer::Conv2 { output, grow, .. } => conv2(&x, grow, p("weight"), p("bias"), output),
                Layer::Block { channels } => {
                    let mut branch = Map::zeros(x.dims.h, x.dims.w, channels);
                    kernels::depthwise3(
                        &x.data,
                        x.dims,
                        p("depthwise.weight"),
                        p("depthwise.bias"),
                        &mut branch.data,
                    );
                    let expanded = linear(&branch, p("expand.weight"), p("expand.bias"), 2 * channels);
                    kernels::gate(&expanded.data, channels, &mut branch.data);
                    let branch = linear(&branch, p("project.weight"), p("project.bias"), channels);
                    let scale = quality::interpolate(p("quality"), self.position);
                    let mut out = Map::zeros(x.dims.h, x.dims.w, channels);
                    kernels::scaled_add(&x.data, &branch.data, &scale, &mut out.data);
                    out
                }
                Layer::Unshuffle(k) => {
                    let Dims { h, w, c } = x.dims;
                    let mut out = Map::zeros(h / k, w / k, k * k * c);
                    kernels::unshuffle(&x.data, x.dims, k, &mut out.data);
                    out
                }
                Layer::Shuffle(k) => {
                    let Dims { h, w, c } = x.dims;
                    let mut out = Map::zeros(h * k, w * k, c / (k * k));
                    kernels::shuffle(&x.data, x.dims, k, &mut out.data);
                    out
                }
                Layer::LappedUnshuffle(k) => {
                    let Dims { h, w, c } = x.dims;
                    let mut out = Map::zeros(h / k + 1, w / k + 1, k * k * c);
                    kernels::lapped_unshuffle(&x.data, x.dims, k, &mut out.data);
                    out
                }
                Layer::LappedShuffle(k) => {
                    let Dims { h, w, c } = x.dims;
                    let mut out = Map::zeros((h - 1) * k, (w - 1) * k, c / (k * k));
                    kernels::lapped_shuffle(&x.data, x.dims, k, &mut out.data);
                    out
                }
            };
        }
        x
    }
}

fn linear(x: &Map, weight: &[f32], bias: &[f32], output: usize) -> Map {
    let mut out = Map::zeros(x.dims.h, x.dims.w, output);
    kernels::linear(&x.data, weight, bias, &mut out.data);
    out
}

fn conv2(x: &Map, grow: bool, weight: &[f32], bias: &[f32], output: usize) -> Map {
    let Dims { h, w, c } = kernels::corners(x.dims, grow);
    let mut out = Map::zeros(h, w, output);
    let mut unfolded = vec![0.0; UNFOLD_ROWS.min(h) * w * 4 * x.dims.c];
    for first in (0..h).step_by(UNFOLD_ROWS) {
        let rows = first..(first + UNFOLD_ROWS).min(h);
        let unfolded = &mut unfolded[..rows.len() * w * 4 * c];
        kernels::unfold2(&x.data, x.dims, grow, rows.clone(), unfolded);
        let out = &mut out.data[rows.start * w * output..rows.end * w * output];
        kernels::linear(unfolded, weight, bias, out);
    }
    out
}

/// Rows unfolded at a time: bounds the memory of the copies.
const UNFOLD_ROWS: usize = 16;

fn conv3(x: &Map, weight: &[f32], bias: &[f32], output: usize) -> Map {
    let Dims { h, w, c } = x.dims;
    let mut out = Map::zeros(h, w, output);
    let mut unfolded = vec![0.0; UNFOLD_ROWS.min(h) * w * 9 * c];
    for first in (0..h).step_by(UNFOLD_ROWS) {
        let rows = first..(first + UNFOLD_ROWS).min(h);
        let unfolded = &mut unfolded[..rows.len() * w * 9 * c];
        kernels::unfold3(&x.data, x.dims, rows.clone(), unfolded);
        kernels::linear(
            unfolded,
            weight,
            bias,
            &mut out.data[rows.start * w * output..rows.end * w * output],
        );
    }
    out
}
