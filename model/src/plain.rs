//! The float networks in plain Rust: the interpreter of the layer lists behind the decoder, and behind the
//! encoder on a CPU.

use crate::kernels::{self, Block, Dims, Isa, Packed, Segment};
use crate::network::{Layer, Network};
use crate::quality;
use std::collections::HashMap;

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

    /// The same in the memory of a map that is not needed any more; the values are left over from it.
    fn reused(spare: &mut Vec<f32>, h: usize, w: usize, c: usize) -> Map {
        let mut data = std::mem::take(spare);
        data.resize(h * w * c, 0.0);
        Map { dims: Dims { h, w, c }, data }
    }

    /// Rows `rows` of the map.
    pub(crate) fn rows(&self, rows: std::ops::Range<usize>) -> Map {
        let stride = self.dims.w * self.dims.c;
        Map {
            dims: Dims { h: rows.len(), ..self.dims },
            data: self.data[rows.start * stride..rows.end * stride].to_vec(),
        }
    }

    /// The inputs of a line: `length` values from row `row` on, for every `stride` of them.
    fn segment(&self, row: usize, stride: usize, length: usize) -> Segment<'_> {
        Segment { data: &self.data[row * self.dims.w * self.dims.c..], stride, length }
    }
}

/// One layer with its weights, laid out for the kernels.
enum Operation {
    Linear(Packed),
    /// 2×2 or 3×3 convolution: side, whether the map grows, weights.
    Convolution {
        side: usize,
        grow: bool,
        weights: Packed,
    },
    /// Block and its quality-dependent scale at the knots.
    Block(Box<Block>, Vec<f32>),
    Unshuffle(usize),
    Shuffle(usize),
    LappedUnshuffle(usize),
    LappedShuffle(usize),
}

/// Networks with their weights, by name, and the instructions that they run on.
pub(crate) struct Networks {
    networks: HashMap<String, Vec<Operation>>,
    isa: Isa,
}

impl Networks {
    /// Lays out the parameters of `networks`, which `values` gives by name and shape.
    pub(crate) fn new<E>(
        networks: &[Network],
        mut values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
    ) -> Result<Networks, E> {
        let mut all = HashMap::new();
        for network in networks {
            let mut operations = Vec::new();
            for (index, layer) in network.layers.iter().enumerate() {
                let mut p = Vec::new();
                for (name, shape) in layer.parameters() {
                    p.push(values(&network.parameter(index, name), &shape)?);
                }
                operations.push(operation(layer, &p));
            }
            all.insert(network.name.clone(), operations);
        }
        Ok(Networks { networks: all, isa: Isa::best() })
    }

    /// Without SIMD from here on.
    pub(crate) fn scalar(&mut self) {
        self.isa = Isa::Scalar;
    }

    /// Runs the network called `name` on maps of equal size, whose channels are joined, at `position` (0..=1)
    /// on the rate scale.
    pub(crate) fn run(&self, name: &str, inputs: &[&Map], position: f32) -> Map {
        let mut rest = &self.networks[name][..];
        let mut x: Option<Map> = None;
        let mut spare = Vec::new();
        while let Some((operation, others)) = rest.split_first() {
            let joined = [x.as_ref().unwrap_or(inputs[0])];
            let inputs = if x.is_none() { inputs } else { &joined };
            let (out, used) = self.step(operation, others.first(), inputs, position, &mut spare);
            rest = &rest[used..];
            spare = x.replace(out).map_or(vec![], |x| x.data);
        }
        x.unwrap_or_else(|| inputs[0].clone())
    }

    /// Runs `operation`, together with the `next` where both are one pass over memory, in the memory of `spare`;
    /// how many were run.
    fn step(
        &self,
        operation: &Operation,
        next: Option<&Operation>,
        inputs: &[&Map],
        position: f32,
        spare: &mut Vec<f32>,
    ) -> (Map, usize) {
        let x = inputs[0];
        let Dims { h, w, c } = x.dims;
        match (operation, next) {
            (Operation::Linear(weights), Some(Operation::Shuffle(k))) if kernels::shuffles(weights, *k) => {
                (self.linear(weights, inputs, *k, spare), 2)
            }
            (Operation::Linear(weights), _) => (self.linear(weights, inputs, 1, spare), 1),
            (Operation::Unshuffle(k), Some(Operation::Linear(weights))) => {
                let mut out = Map::reused(spare, h / k, w / k, weights.outputs());
                let run = k * c;
                let lines = |row: usize| (0..*k).map(|dy| x.segment(row * k + dy, run, run)).collect();
                kernels::lines(self.isa, weights, w / k, 1, lines, &mut out.data);
                (out, 2)
            }
            (Operation::Convolution { side, grow, weights }, _) => {
                (self.convolution(x, *side, *grow, weights, spare), 1)
            }
            (Operation::Block(block, scale), _) => {
                let mut out = Map::reused(spare, h, w, c);
                let scale = quality::interpolate(scale, position);
                block.run(self.isa, &x.data, x.dims, &scale, &mut out.data);
                (out, 1)
            }
            (Operation::Unshuffle(k), _) => {
                let mut out = Map::reused(spare, h / k, w / k, k * k * c);
                kernels::unshuffle(&x.data, x.dims, *k, &mut out.data);
                (out, 1)
            }
            (Operation::Shuffle(k), _) => {
                let mut out = Map::reused(spare, h * k, w * k, c / (k * k));
                kernels::shuffle(&x.data, x.dims, *k, &mut out.data);
                (out, 1)
            }
            (Operation::LappedUnshuffle(k), _) => {
                let mut out = Map::reused(spare, h / k + 1, w / k + 1, k * k * c);
                kernels::lapped_unshuffle(&x.data, x.dims, *k, &mut out.data);
                (out, 1)
            }
            (Operation::LappedShuffle(k), _) => {
                let mut out = Map::reused(spare, (h - 1) * k, (w - 1) * k, c / (k * k));
                kernels::lapped_shuffle(&x.data, x.dims, *k, &mut out.data);
                (out, 1)
            }
        }
    }

    fn linear(&self, weights: &Packed, inputs: &[&Map], shuffle: usize, spare: &mut Vec<f32>) -> Map {
        let Dims { h, w, .. } = inputs[0].dims;
        let mut out = Map::reused(spare, h * shuffle, w * shuffle, weights.outputs() / (shuffle * shuffle));
        let line = |row: usize| inputs.iter().map(|x| x.segment(row, x.dims.c, x.dims.c)).collect();
        kernels::lines(self.isa, weights, w, shuffle, line, &mut out.data);
        out
    }

    /// Each row of taps is one run of values of a map whose border is replicated.
    fn convolution(&self, x: &Map, side: usize, grow: bool, weights: &Packed, spare: &mut Vec<f32>) -> Map {
        let border = if grow { 1 } else { 0 };
        let padded = if grow { padded(x) } else { x.clone() };
        let Dims { h, w, c } = x.dims;
        let across = |n: usize| n + 2 * border + 1 - side;
        let mut out = Map::reused(spare, across(h), across(w), weights.outputs());
        let line = |row: usize| (0..side).map(|dy| padded.segment(row + dy, c, side * c)).collect();
        kernels::lines(self.isa, weights, across(w), 1, line, &mut out.data);
        out
    }
}

fn operation(layer: &Layer, p: &[Vec<f32>]) -> Operation {
    match *layer {
        Layer::Linear { .. } => Operation::Linear(Packed::new(&p[0], &p[1])),
        Layer::Conv2 { grow, .. } => {
            Operation::Convolution { side: 2, grow, weights: Packed::new(&p[0], &p[1]) }
        }
        Layer::Conv3 { .. } => {
            Operation::Convolution { side: 3, grow: true, weights: Packed::new(&p[0], &p[1]) }
        }
        Layer::Block { .. } => {
            let block = Block::new([&p[0], &p[1]], [&p[2], &p[3]], [&p[4], &p[5]]);
            Operation::Block(Box::new(block), p[6].clone())
        }
        Layer::Unshuffle(k) => Operation::Unshuffle(k),
        Layer::Shuffle(k) => Operation::Shuffle(k),
        Layer::LappedUnshuffle(k) => Operation::LappedUnshuffle(k),
        Layer::LappedShuffle(k) => Operation::LappedShuffle(k),
    }
}

/// A map with one more cell on every side, equal to its nearest.
fn padded(x: &Map) -> Map {
    let Dims { h, w, c } = x.dims;
    let mut out =
        Map { dims: Dims { h: h + 2, w: w + 2, c }, data: Vec::with_capacity((h + 2) * (w + 2) * c) };
    for row in 0..h + 2 {
        let row = &x.data[row.saturating_sub(1).min(h - 1) * w * c..][..w * c];
        out.data.extend_from_slice(&row[..c]);
        out.data.extend_from_slice(row);
        out.data.extend_from_slice(&row[(w - 1) * c..]);
    }
    out
}
