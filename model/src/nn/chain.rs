//! A network as one operation of candle's graph on a CPU. Taken layer by layer, candle adds the gradient of every map
//! between two layers to zeros that it allocates; here gradients go from kernel to kernel.

use super::ops::{values, with_values};
use super::{Parameters, parameter};
use crate::kernels::{self, Dims};
use crate::network::{Layer, Network, QUALITY_KNOTS};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

/// Runs a network on x (N, H, W, C), on a CPU; see [`super::run`].
pub(super) fn run(network: &Network, p: &Parameters, x: &Tensor, knots: &Tensor) -> Result<Tensor> {
    let all: Vec<Tensor> =
        network.parameters().map(|(name, _)| parameter(p, &name)?.flatten_all()).collect::<Result<_>>()?;
    let weights = Tensor::cat(&all, 0)?;
    let (learns, passes) = (weights.track_op(), x.track_op());
    let tape = OnceLock::new();
    let chain = Chain { layers: network.layers.clone(), learns, passes, tape };
    x.contiguous()?.apply_op3(&weights, &knots.contiguous()?, chain)
}

struct Chain {
    layers: Vec<Layer>,
    /// Whether the parameters want a gradient.
    learns: bool,
    /// Whether x wants one.
    passes: bool,
    /// What each layer keeps from the way forward.
    tape: OnceLock<Vec<Kept>>,
}

/// What the gradient of a layer needs.
struct Kept {
    /// Of the layer's input.
    dims: Dims,
    maps: Maps,
}

enum Maps {
    None,
    /// What the weights were multiplied with; none where that is the chain's own input.
    Product(Option<Vec<f32>>),
    Block(Box<BlockMaps>),
}

struct BlockMaps {
    /// None where it is the chain's own input.
    input: Option<Vec<f32>>,
    depthwise: Vec<f32>,
    expanded: Vec<f32>,
    gated: Vec<f32>,
    branch: Vec<f32>,
    /// (N, C).
    scale: Vec<f32>,
}

impl Chain {
    /// Where each layer's parameters lie among all.
    fn places(&self) -> Vec<Vec<Range<usize>>> {
        let mut end = 0;
        let mut place = |(_, shape): (&str, Vec<usize>)| {
            let start = end;
            end += shape.iter().product::<usize>();
            start..end
        };
        self.layers.iter().map(|layer| layer.parameters().into_iter().map(&mut place).collect()).collect()
    }

    /// One layer forward: the map, its dimensions, and what to keep.
    fn forward(
        &self,
        index: usize,
        x: Cow<'_, [f32]>,
        dims: Dims,
        parameters: &[&[f32]],
        knots: &[f32],
    ) -> (Vec<f32>, Dims, Maps) {
        // The chain's own input need not be kept: candle hands it to the way back.
        let keep = |x: Cow<'_, [f32]>| (index > 0).then(|| x.into_owned());
        match self.layers[index] {
            Layer::Linear { output, .. } => {
                let out = product(&x, parameters, output);
                let maps = if self.learns { Maps::Product(keep(x)) } else { Maps::None };
                (out, Dims { c: output, ..dims }, maps)
            }
            Layer::Conv3 { output, .. } => {
                let wide = Dims { c: 9 * dims.c, ..dims };
                let taps = each(&x, dims, wide, |x, out| kernels::unfold3(x, dims, 0..dims.h, out));
                let out = product(&taps, parameters, output);
                (out, Dims { c: output, ..dims }, self.product_of(taps))
            }
            Layer::Conv2 { output, grow, .. } => {
                let corners = kernels::corners(dims, grow);
                let wide = Dims { c: 4 * dims.c, ..corners };
                let taps = each(&x, dims, wide, |x, out| kernels::unfold2(x, dims, grow, 0..corners.h, out));
                let out = product(&taps, parameters, output);
                (out, Dims { c: output, ..corners }, self.product_of(taps))
            }
            Layer::Block { channels: c } => {
                let &[taps, taps_bias, expand, expand_bias, project, project_bias, quality] = parameters
                else {
                    unreachable!("a block has seven parameters")
                };
                let depthwise =
                    each(&x, dims, dims, |x, out| kernels::depthwise3(x, dims, taps, taps_bias, out));
                let expanded = product(&depthwise, &[expand, expand_bias], 2 * c);
                let mut gated = vec![0.0; x.len()];
                kernels::gate(&expanded, c, &mut gated);
                let branch = product(&gated, &[project, project_bias], c);
                let scale = scales(knots, quality, c);
                let mut out = vec![0.0; x.len()];
                let maps = x.chunks_exact(dims.len()).zip(branch.chunks_exact(dims.len()));
                for ((out, (x, branch)), scale) in
                    out.chunks_exact_mut(dims.len()).zip(maps).zip(scale.chunks_exact(c))
                {
                    kernels::scaled_add(x, branch, scale, out);
                }
                let maps = BlockMaps { input: keep(x), depthwise, expanded, gated, branch, scale };
                (out, dims, Maps::Block(Box::new(maps)))
            }
            Layer::Unshuffle(k) => {
                let to = Dims { h: dims.h / k, w: dims.w / k, c: dims.c * k * k };
                (each(&x, dims, to, |x, out| kernels::unshuffle(x, dims, k, out)), to, Maps::None)
            }
            Layer::Shuffle(k) => {
                let to = Dims { h: dims.h * k, w: dims.w * k, c: dims.c / (k * k) };
                (each(&x, dims, to, |x, out| kernels::shuffle(x, dims, k, out)), to, Maps::None)
            }
            Layer::LappedUnshuffle(k) => {
                let to = Dims { h: dims.h / k + 1, w: dims.w / k + 1, c: dims.c * k * k };
                (each(&x, dims, to, |x, out| kernels::lapped_unshuffle(x, dims, k, out)), to, Maps::None)
            }
            Layer::LappedShuffle(k) => {
                let to = Dims { h: (dims.h - 1) * k, w: (dims.w - 1) * k, c: dims.c / (k * k) };
                (each(&x, dims, to, |x, out| kernels::lapped_shuffle(x, dims, k, out)), to, Maps::None)
            }
        }
    }

    fn product_of(&self, x: Vec<f32>) -> Maps {
        if self.learns { Maps::Product(Some(x)) } else { Maps::None }
    }

    /// One layer back: the gradient of its input, empty where none is `wanted`; those of its parameters go to `learnt`, if
    /// they are asked for.
    fn backward(&self, index: usize, grad: Vec<f32>, back: &Back<'_>, learnt: &mut [&mut [f32]]) -> Vec<f32> {
        let Kept { dims, maps } = back.kept;
        let dims = *dims;
        let wanted = index > 0 || self.passes;
        let layer = self.layers[index];
        match (layer, maps) {
            (Layer::Linear { output, .. }, maps) => {
                self.learn(maps, back, &grad, output, learnt);
                if wanted { kernels::linear_backward(back.parameters[0], &grad, output) } else { Vec::new() }
            }
            (Layer::Conv3 { output, .. } | Layer::Conv2 { output, .. }, maps) => {
                self.learn(maps, back, &grad, output, learnt);
                if !wanted {
                    return Vec::new();
                }
                let taps = kernels::linear_backward(back.parameters[0], &grad, output);
                match layer {
                    Layer::Conv2 { grow, .. } => {
                        let wide = Dims { c: 4 * dims.c, ..kernels::corners(dims, grow) };
                        each(&taps, wide, dims, |g, dx| kernels::unfold2_backward(g, dims, grow, dx))
                    }
                    _ => {
                        let wide = Dims { c: 9 * dims.c, ..dims };
                        each(&taps, wide, dims, |g, dx| kernels::unfold3_backward(g, dims, dx))
                    }
                }
            }
            (Layer::Block { channels }, Maps::Block(maps)) => {
                self.block_back(channels, maps, grad, back, learnt)
            }
            (Layer::Unshuffle(k), _) => {
                let from = Dims { h: dims.h / k, w: dims.w / k, c: dims.c * k * k };
                each(&grad, from, dims, |g, dx| kernels::shuffle(g, from, k, dx))
            }
            (Layer::Shuffle(k), _) => {
                let from = Dims { h: dims.h * k, w: dims.w * k, c: dims.c / (k * k) };
                each(&grad, from, dims, |g, dx| kernels::unshuffle(g, from, k, dx))
            }
            (Layer::LappedUnshuffle(k), _) if wanted => {
                let from = Dims { h: dims.h / k + 1, w: dims.w / k + 1, c: dims.c * k * k };
                each(&grad, from, dims, |g, dx| kernels::lapped_unshuffle_backward(g, dims, k, dx))
            }
            (Layer::LappedUnshuffle(_), _) => Vec::new(),
            (Layer::LappedShuffle(k), _) => {
                let from = Dims { h: (dims.h - 1) * k, w: (dims.w - 1) * k, c: dims.c / (k * k) };
                each(&grad, from, dims, |g, dx| kernels::lapped_shuffle_backward(g, dims, k, dx))
            }
            (Layer::Block { .. }, _) => unreachable!("a block keeps its maps"),
        }
    }

    /// Gradients of a product's weights and bias.
    fn learn(&self, maps: &Maps, back: &Back<'_>, grad: &[f32], output: usize, learnt: &mut [&mut [f32]]) {
        if let (true, Maps::Product(x)) = (self.learns, maps) {
            let (dw, db) = kernels::linear_backward_weights(x.as_deref().unwrap_or(back.input), grad, output);
            learnt[0].copy_from_slice(&dw);
            learnt[1].copy_from_slice(&db);
        }
    }

    fn block_back(
        &self,
        c: usize,
        maps: &BlockMaps,
        grad: Vec<f32>,
        back: &Back<'_>,
        learnt: &mut [&mut [f32]],
    ) -> Vec<f32> {
        let &[taps, _, expand, _, project, _, _] = back.parameters else {
            unreachable!("a block has seven parameters")
        };
        let dims = back.kept.dims;
        let (mut d_branch, mut d_scale) = (vec![0.0; grad.len()], vec![0.0; maps.scale.len()]);
        let pairs = maps.branch.chunks_exact(dims.len()).zip(grad.chunks_exact(dims.len()));
        let scales = maps.scale.chunks_exact(c).zip(d_scale.chunks_exact_mut(c));
        for ((d_branch, (branch, grad)), (scale, d_scale)) in
            d_branch.chunks_exact_mut(dims.len()).zip(pairs).zip(scales)
        {
            kernels::scaled_add_backward(branch, scale, grad, d_branch, d_scale);
        }
        let d_gated = kernels::linear_backward(project, &d_branch, c);
        let d_expanded = kernels::gate_backward(&maps.expanded, c, &d_gated);
        let d_depthwise = kernels::linear_backward(expand, &d_expanded, 2 * c);
        let (mut d_taps, mut d_bias) = (vec![0.0; 9 * c], vec![0.0; c]);
        let input = maps.input.as_deref().unwrap_or(back.input);
        // The residual sum hands the gradient on as it is.
        let mut dx = grad;
        let pairs = input.chunks_exact(dims.len()).zip(d_depthwise.chunks_exact(dims.len()));
        for (dx, (input, grad)) in dx.chunks_exact_mut(dims.len()).zip(pairs) {
            let learnt = self.learns.then_some((d_taps.as_mut_slice(), d_bias.as_mut_slice()));
            kernels::depthwise3_backward(input, dims, taps, grad, dx, learnt);
        }
        if self.learns {
            let (d_project, d_project_bias) = kernels::linear_backward_weights(&maps.gated, &d_branch, c);
            let (d_expand, d_expand_bias) =
                kernels::linear_backward_weights(&maps.depthwise, &d_expanded, 2 * c);
            let all = [&d_taps, &d_bias, &d_expand, &d_expand_bias, &d_project, &d_project_bias];
            for (learnt, gradient) in learnt.iter_mut().zip(all) {
                learnt.copy_from_slice(gradient);
            }
            // Each knot has its picture's share.
            for (knots, d_scale) in back.knots.chunks_exact(QUALITY_KNOTS).zip(d_scale.chunks_exact(c)) {
                for (knot, out) in knots.iter().zip(learnt[6].chunks_exact_mut(c)) {
                    out.iter_mut().zip(d_scale).for_each(|(out, d)| *out += knot * d);
                }
            }
        }
        dx
    }
}

/// What a layer is given on the way back.
struct Back<'a> {
    kept: &'a Kept,
    parameters: &'a [&'a [f32]],
    knots: &'a [f32],
    /// Of the chain.
    input: &'a [f32],
}

/// x (R, K) · weight + bias.
fn product(x: &[f32], parameters: &[&[f32]], outputs: usize) -> Vec<f32> {
    let inputs = parameters[0].len() / outputs;
    let mut out = vec![0.0; x.len() / inputs * outputs];
    kernels::linear(x, parameters[0], parameters[1], &mut out);
    out
}

/// What `f` makes of each map of a batch.
fn each(x: &[f32], from: Dims, to: Dims, f: impl Fn(&[f32], &mut [f32])) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / from.len() * to.len()];
    x.chunks_exact(from.len()).zip(out.chunks_exact_mut(to.len())).for_each(|(x, out)| f(x, out));
    out
}

/// knots (N, K) · quality (K, C).
fn scales(knots: &[f32], quality: &[f32], c: usize) -> Vec<f32> {
    let mut scales = vec![0.0; knots.len() / QUALITY_KNOTS * c];
    for (scales, knots) in scales.chunks_exact_mut(c).zip(knots.chunks_exact(QUALITY_KNOTS)) {
        for (knot, quality) in knots.iter().zip(quality.chunks_exact(c)) {
            scales.iter_mut().zip(quality).for_each(|(scale, q)| *scale += knot * q);
        }
    }
    scales
}

impl CustomOp3 for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weights: &CpuStorage,
        wl: &Layout,
        knots: &CpuStorage,
        kl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, h, w, c) = xl.shape().dims4()?;
        let (weights, knots) = (values(weights, wl)?, values(knots, kl)?);
        if knots.len() != n * QUALITY_KNOTS {
            bail!("chain: {n} maps, and qualities {:?}", kl.shape());
        }
        let mut dims = Dims { h, w, c };
        let mut x = Cow::Borrowed(values(x, xl)?);
        let mut tape = Vec::with_capacity(self.layers.len());
        for (index, places) in self.places().iter().enumerate() {
            if let Layer::Linear { input, .. } | Layer::Block { channels: input } = self.layers[index]
                && input != dims.c
            {
                bail!("chain: layer {index} takes {input} channels, not {}", dims.c);
            }
            let parameters: Vec<&[f32]> = places.iter().map(|place| &weights[place.clone()]).collect();
            let (out, next, maps) = self.forward(index, x, dims, &parameters, knots);
            tape.push(Kept { dims, maps });
            (x, dims) = (Cow::Owned(out), next);
        }
        if self.learns || self.passes {
            self.tape.set(tape).ok().expect("an operation runs once");
        }
        Ok((CpuStorage::F32(x.into_owned()), (n, dims.h, dims.w, dims.c).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        knots: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let tape = self.tape.get().expect("the chain ran forward");
        let mut learnt = vec![0.0; if self.learns { weights.elem_count() } else { 0 }];
        let dx = with_values([x, weights, knots, grad], |[input, weights, knots, grad]| {
            let mut grad = grad.to_vec();
            let mut rest = learnt.as_mut_slice();
            for (index, places) in self.places().iter().enumerate().rev() {
                let parameters: Vec<&[f32]> = places.iter().map(|place| &weights[place.clone()]).collect();
                let mut own = Vec::new();
                if self.learns {
                    let first = places.first().map_or(rest.len(), |place| place.start);
                    let (before, mut here) = std::mem::take(&mut rest).split_at_mut(first);
                    rest = before;
                    for place in places {
                        let (one, more) = here.split_at_mut(place.len());
                        own.push(one);
                        here = more;
                    }
                }
                let back = Back { kept: &tape[index], parameters: &parameters, knots, input };
                grad = self.backward(index, grad, &back, &mut own);
            }
            Ok(grad)
        })?;
        let device = x.device();
        let dx = if self.passes { Some(Tensor::from_vec(dx, x.shape(), device)?) } else { None };
        let learnt =
            if self.learns { Some(Tensor::from_vec(learnt, weights.shape(), device)?) } else { None };
        Ok((dx, learnt, None))
    }
}
