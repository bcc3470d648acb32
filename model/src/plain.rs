//! The float networks in plain Rust: the interpreter of the layer lists behind the decoder, and behind the
//! encoder on a CPU.

use crate::kernels::{self, Block, Dims, Isa, Packed, Patches, Segment};
use crate::network::{Layer, Network, STEPS, group_at};
use crate::quality;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::{Deref, Range};

/// A map (H, W, C).
#[derive(Clone, Debug)]
pub(crate) struct Map<D = Vec<f32>> {
    pub(crate) dims: Dims,
    pub(crate) data: D,
}

impl Map {
    pub(crate) fn zeros(h: usize, w: usize, c: usize) -> Map {
        Map { dims: Dims { h, w, c }, data: vec![0.0; h * w * c] }
    }

    /// Rows `rows` of the map.
    #[cfg(feature = "nn")]
    pub(crate) fn rows(&self, rows: std::ops::Range<usize>) -> Map {
        let stride = self.dims.w * self.dims.c;
        Map {
            dims: Dims { h: rows.len(), ..self.dims },
            data: self.data[rows.start * stride..rows.end * stride].to_vec(),
        }
    }
}

impl<D: Deref<Target = [f32]>> Map<D> {
    /// The inputs of a line: `length` values from row `row` on, for every `stride` of them.
    fn segment(&self, row: usize, stride: usize, length: usize) -> Segment<'_> {
        Segment { data: &self.data[row * self.dims.w * self.dims.c..], stride, length }
    }

    /// Row `row` of those cells that are of one phase of the 2×2 pattern.
    fn phase(&self, row: usize, phase: usize) -> Segment<'_> {
        let Segment { data, stride, length } =
            self.segment(2 * row + phase / 2, 2 * self.dims.c, self.dims.c);
        Segment { data: &data[phase % 2 * self.dims.c..], stride, length }
    }
}

/// Maps that [`Scratch`] keeps at most.
const SPARE_MAPS: usize = 8;

/// Memory of maps that are not needed any more: taking from it saves the system's page faults.
#[derive(Default)]
pub(crate) struct Scratch {
    free: Vec<Vec<f32>>,
    /// Of the scale levels.
    pub(crate) bytes: Vec<u8>,
}

impl Scratch {
    /// A map whose values are left over from others.
    pub(crate) fn map(&mut self, h: usize, w: usize, c: usize) -> Map {
        let size = h * w * c;
        // The smallest that has room and is not mostly waste: small maps shall not hold the memory of large ones.
        let room = |data: &Vec<f32>| (size..=2 * size).contains(&data.capacity());
        let fitting = self.free.iter().enumerate().filter(|(_, data)| room(data));
        let best = fitting.min_by_key(|(_, data)| data.capacity()).map(|(at, _)| at);
        let mut data = best.map(|at| self.free.swap_remove(at)).unwrap_or_default();
        data.resize(size, 0.0);
        Map { dims: Dims { h, w, c }, data }
    }

    /// Takes back a map.
    pub(crate) fn give(&mut self, map: Map) {
        if self.free.len() == SPARE_MAPS {
            self.free.remove(0);
        }
        self.free.push(map.data);
    }
}

/// One layer with its weights, laid out for the kernels.
pub(crate) enum Operation {
    Linear(Packed),
    /// [`Operation::Linear`], of which each phase of the 2×2 pattern (its top left, top right, bottom left, bottom
    /// right) keeps one group of channels: four maps (H/2, W/2, C/4), one after the other.
    Grouped(Box<[Packed; STEPS]>),
    /// [`Operation::Linear`] of two maps, where even rows of the first have values in the first half of their channels
    /// only, and odd rows in the second half: the weights of either.
    Halves(Box<[Packed; 2]>),
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
    /// A growing 2×2 convolution and a [`Operation::LappedShuffle`] at the end of g_s: straight to bytes.
    Patches(Box<Patches>),
}

impl Operation {
    /// Multiplies in fixed point from here on, where that is faster.
    fn fix(&mut self) {
        match self {
            Operation::Linear(weights) => weights.fix(weights.inputs()),
            Operation::Grouped(groups) => groups.iter_mut().for_each(|w| w.fix(w.inputs())),
            Operation::Halves(halves) => halves.iter_mut().for_each(|w| w.fix(w.inputs())),
            Operation::Convolution { side, weights, .. } => weights.fix(weights.inputs() / (*side * *side)),
            Operation::Block(block, _) => block.fix(),
            Operation::Patches(patches) => patches.fix(),
            Operation::Unshuffle(_) | Operation::Shuffle(_) => {}
            Operation::LappedUnshuffle(_) | Operation::LappedShuffle(_) => {}
        }
    }

    /// Whether each row of the result depends on one row of the input, or on whole rows that no other does.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Operation::Linear(_) | Operation::Unshuffle(_) | Operation::Shuffle(_) => true,
            Operation::Convolution { .. } | Operation::Block(..) => false,
            Operation::Grouped(_) | Operation::Halves(_) => false,
            Operation::LappedUnshuffle(_) | Operation::LappedShuffle(_) | Operation::Patches(_) => false,
        }
    }
}

/// What the last layers of a network become, and its first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// What they are.
    #[cfg_attr(
        not(any(test, feature = "nn")),
        expect(dead_code, reason = "only the encoder's networks end so")
    )]
    Plain,
    /// No more of a last linear layer than this coding step wants, and no more of a first one than the steps before it
    /// have given it; its maps must have even sides.
    Group(usize),
    /// Bytes, where they make lapped patches: for [`Synthesis`](crate::synthesis::Synthesis) only.
    Bytes,
}

/// Networks with their weights, by name, and the instructions that they run on.
pub(crate) struct Networks {
    networks: HashMap<String, Vec<Operation>>,
    pub(crate) isa: Isa,
    fixed: bool,
}

impl Networks {
    /// None yet. They will multiply in fixed point if `fixed`, and where that is faster with the instructions of `isa`.
    pub(crate) fn new(isa: Isa, fixed: bool) -> Networks {
        Networks { networks: HashMap::new(), isa, fixed: fixed && matches!(isa, Isa::Best(_)) }
    }

    /// Lays out the parameters of one more network, which `values` gives by name and shape.
    pub(crate) fn add<E>(
        &mut self,
        network: &Network,
        ending: Ending,
        mut values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        let mut operations = Vec::new();
        let mut layers = network.layers.iter().enumerate().peekable();
        while let Some((index, layer)) = layers.next() {
            let mut p = Vec::new();
            for (name, shape) in layer.parameters() {
                p.push(values(&network.parameter(index, name), &shape)?);
            }
            let mut operation = match (ending, operation(layer, &p), layers.peek()) {
                (Ending::Group(step), Operation::Linear(weights), None) => grouped(&weights, step),
                (Ending::Group(1..=2), Operation::Linear(weights), _) if index == 0 => {
                    // What the first two steps code: half of the groups in even rows, the others in odd ones.
                    let channels = network.output();
                    let half = |odd: usize| weights.some_inputs(|k| k >= channels || k * 2 / channels == odd);
                    Operation::Halves(Box::new([half(0), half(1)]))
                }
                (
                    Ending::Bytes,
                    Operation::Convolution { side: 2, grow: true, weights },
                    Some((_, Layer::LappedShuffle(k))),
                ) => {
                    layers.next();
                    Operation::Patches(Box::new(Patches::new(&weights, *k)))
                }
                (_, operation, _) => operation,
            };
            if self.fixed {
                operation.fix();
            }
            operations.push(operation);
        }
        self.networks.insert(network.name.clone(), operations);
        Ok(())
    }

    /// Runs the network called `name` on maps of equal size, whose channels are joined, at `position` (0..=1)
    /// on the rate scale.
    pub(crate) fn run(&self, name: &str, inputs: &[&Map], position: f32, scratch: &mut Scratch) -> Map {
        self.chain(&self.networks[name], inputs, position, scratch).unwrap_or_else(|| inputs[0].clone())
    }

    /// `scale ∘ (x + network(x, others))` in the place of x for the network called `name`, whose last layer is linear;
    /// `scale` is one value a channel.
    pub(crate) fn run_onto(
        &self,
        name: &str,
        x: &mut Map,
        others: &[&Map],
        scale: &[f32],
        position: f32,
        scratch: &mut Scratch,
    ) {
        let Some((Operation::Linear(weights), first)) = self.networks[name].split_last() else {
            unreachable!("the lists of layers say so");
        };
        let inputs: Vec<&Map> = [&*x].into_iter().chain(others.iter().copied()).collect();
        let hidden = self.chain(first, &inputs, position, scratch).unwrap_or_else(|| inputs[0].clone());
        let line = |row: usize| hidden.segment(row, hidden.dims.c, hidden.dims.c);
        kernels::add_lines(self.isa, weights, hidden.dims.w, scale, line, &mut x.data);
        scratch.give(hidden);
    }

    /// The layers of the network called `name`, one after the other.
    pub(crate) fn operations(&self, name: &str) -> &[Operation] {
        &self.networks[name]
    }

    /// Runs `operations` one after the other; `None` where there are none.
    fn chain(
        &self,
        operations: &[Operation],
        inputs: &[&Map],
        position: f32,
        scratch: &mut Scratch,
    ) -> Option<Map> {
        let mut rest = operations;
        let mut x: Option<Map> = None;
        while let Some((operation, others)) = rest.split_first() {
            let joined = [x.as_ref().unwrap_or(inputs[0])];
            let inputs = if x.is_none() { inputs } else { &joined };
            let (out, used) = self.step(operation, others.first(), inputs, position, scratch);
            rest = &rest[used..];
            x.replace(out).into_iter().for_each(|x| scratch.give(x));
        }
        x
    }

    /// Runs `operation`, together with the `next` where both are one pass over memory; how many were run.
    pub(crate) fn step<D: Deref<Target = [f32]> + Sync>(
        &self,
        operation: &Operation,
        next: Option<&Operation>,
        inputs: &[&Map<D>],
        position: f32,
        scratch: &mut Scratch,
    ) -> (Map, usize) {
        let x = inputs[0];
        let Dims { h, w, c } = x.dims;
        let mut out;
        match (operation, next) {
            (Operation::Linear(weights), Some(Operation::Shuffle(k))) if kernels::shuffles(weights, *k) => {
                return (self.linear(weights, inputs, *k, &[], scratch), 2);
            }
            (Operation::Linear(weights), _) => out = self.linear(weights, inputs, 1, &[], scratch),
            (Operation::Unshuffle(k), Some(Operation::Linear(weights))) => {
                out = scratch.map(h / k, w / k, weights.outputs());
                let run = k * c;
                let lines = |row: usize| (0..*k).map(|dy| x.segment(row * k + dy, run, run)).collect();
                kernels::lines(self.isa, weights, w / k, 1, lines, &mut out.data);
                return (out, 2);
            }
            (Operation::Grouped(groups), _) => {
                let group = groups[0].outputs();
                out = scratch.map(2 * h, w / 2, group);
                let maps = out.data.chunks_exact_mut(h / 2 * (w / 2) * group);
                for (phase, (weights, out)) in groups.iter().zip(maps).enumerate() {
                    let line = |row: usize| inputs.iter().map(|x| x.phase(row, phase)).collect();
                    kernels::lines(self.isa, weights, w / 2, 1, line, out);
                }
            }
            (Operation::Halves(halves), _) => {
                let outputs = halves[0].outputs();
                out = scratch.map(h, w, outputs);
                out.data.par_chunks_mut(w * outputs).enumerate().for_each(|(row, out)| {
                    let mut known = x.segment(row, c, c / 2);
                    known.data = &known.data[row % 2 * (c / 2)..];
                    let others = inputs[1..].iter().map(|x| x.segment(row, x.dims.c, x.dims.c));
                    let segments: Vec<_> = [known].into_iter().chain(others).collect();
                    kernels::line(self.isa, &halves[row % 2], w, 1, &segments, out);
                });
            }
            (Operation::Convolution { side, grow, weights }, _) => {
                let rows = 0..if *grow { h + 3 - side } else { h + 1 - side };
                out = self.convolution(x, (*side, *grow), rows, weights, scratch);
            }
            (Operation::Block(block, scale), _) => {
                out = scratch.map(h, w, c);
                let scale = quality::interpolate(scale, position);
                block.run(self.isa, (&x.data, x.dims), 0..h, &scale, &mut out.data);
            }
            (Operation::Unshuffle(k), _) => {
                out = scratch.map(h / k, w / k, k * k * c);
                kernels::unshuffle(&x.data, x.dims, *k, &mut out.data);
            }
            (Operation::Shuffle(k), _) => {
                out = scratch.map(h * k, w * k, c / (k * k));
                kernels::shuffle(&x.data, x.dims, *k, &mut out.data);
            }
            (Operation::LappedUnshuffle(k), _) => {
                out = scratch.map(h / k + 1, w / k + 1, k * k * c);
                kernels::lapped_unshuffle(&x.data, x.dims, *k, &mut out.data);
            }
            (Operation::Patches(_), _) => unreachable!("the synthesis makes bytes of them"),
            (Operation::LappedShuffle(k), _) => {
                out = scratch.map((h - 1) * k, (w - 1) * k, c / (k * k));
                kernels::lapped_shuffle(&x.data, x.dims, *k, &mut out.data);
            }
        }
        (out, 1)
    }

    /// The result of a linear layer, shuffled by `shuffle`, below the rows `lead`.
    pub(crate) fn linear<D: Deref<Target = [f32]> + Sync>(
        &self,
        weights: &Packed,
        inputs: &[&Map<D>],
        shuffle: usize,
        lead: &[f32],
        scratch: &mut Scratch,
    ) -> Map {
        let Dims { h, w, .. } = inputs[0].dims;
        let (across, channels) = (w * shuffle, weights.outputs() / (shuffle * shuffle));
        let mut out = scratch.map(lead.len() / (across * channels) + h * shuffle, across, channels);
        let (start, own) = out.data.split_at_mut(lead.len());
        start.copy_from_slice(lead);
        let line = |row: usize| inputs.iter().map(|x| x.segment(row, x.dims.c, x.dims.c)).collect();
        kernels::lines(self.isa, weights, w, shuffle, line, own);
        out
    }

    /// The rows `rows` of the result. Each row of taps is one run of values of a map whose border is replicated.
    pub(crate) fn convolution<D: Deref<Target = [f32]> + Sync>(
        &self,
        x: &Map<D>,
        (side, grow): (usize, bool),
        rows: Range<usize>,
        weights: &Packed,
        scratch: &mut Scratch,
    ) -> Map {
        let padded = if grow { Some(padded(x, scratch)) } else { None };
        let Dims { w, c, .. } = x.dims;
        let across = if grow { w + 3 - side } else { w + 1 - side };
        let mut out = scratch.map(rows.len(), across, weights.outputs());
        let taps = |row: usize| match &padded {
            Some(padded) => padded.segment(row, c, side * c),
            None => x.segment(row, c, side * c),
        };
        let line = |row: usize| (0..side).map(|dy| taps(rows.start + row + dy)).collect();
        kernels::lines(self.isa, weights, across, 1, line, &mut out.data);
        padded.into_iter().for_each(|map| scratch.give(map));
        out
    }
}

/// A linear layer of which each phase keeps the group that coding step `step` wants.
fn grouped(weights: &Packed, step: usize) -> Operation {
    let size = weights.outputs() / STEPS;
    let of = |phase: usize| group_at(step, phase / 2, phase % 2) * size;
    Operation::Grouped(Box::new(std::array::from_fn(|phase| weights.columns(of(phase)..of(phase) + size))))
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
fn padded(x: &Map<impl Deref<Target = [f32]>>, scratch: &mut Scratch) -> Map {
    let Dims { h, w, c } = x.dims;
    let mut out = scratch.map(h + 2, w + 2, c);
    for (row, out) in out.data.chunks_exact_mut((w + 2) * c).enumerate() {
        let row = &x.data[row.saturating_sub(1).min(h - 1) * w * c..][..w * c];
        let (left, rest) = out.split_at_mut(c);
        let (inner, right) = rest.split_at_mut(w * c);
        left.copy_from_slice(&row[..c]);
        inner.copy_from_slice(row);
        right.copy_from_slice(&row[(w - 1) * c..]);
    }
    out
}
