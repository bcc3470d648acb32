//! The layer lists: the one definition of every float network (invariant 3 of ARCHITECTURE.md).
//!
//! The decoder, the encoder and the trainer, plain and in candle, all walk these lists, with parameters looked
//! up under the names that the lists give. Maps are NHWC, so that a 1×1 convolution is a matrix product.

/// Knots of every quality-dependent vector; between them it is interpolated linearly.
pub(crate) const QUALITY_KNOTS: usize = 9;
/// Coding steps: in each, one of four channel groups is coded at every position of a 2×2 pattern
/// (the four-step spatial prior of DCVC-DC, Li et al. 2023).
pub(crate) const STEPS: usize = 4;

/// One layer. Spatial layers replicate the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// 1×1 convolution with bias.
    Linear { input: usize, output: usize },
    /// 3×3 convolution with bias.
    Conv3 { input: usize, output: usize },
    /// 2×2 convolution with bias between the cells of a map and the grid of their corners: (H + 1, W + 1)
    /// where `grow`, (H − 1, W − 1) where not.
    Conv2 { input: usize, output: usize, grow: bool },
    /// Gated depthwise block: `x + q ∘ project(gate(expand(depthwise3(x))))`, with a quality-dependent
    /// channel vector `q`.
    Block { channels: usize },
    /// Space to depth by `k`: channel order (dy, dx, c).
    #[cfg_attr(
        not(any(test, feature = "nn")),
        expect(dead_code, reason = "only the encoder's networks have one")
    )]
    Unshuffle(usize),
    /// Depth to space by `k`: the inverse.
    Shuffle(usize),
    /// [`Layer::Unshuffle`] with the patches centred on the corners of the grid: (H, W) → (H/k + 1, W/k + 1).
    #[cfg_attr(
        not(any(test, feature = "nn")),
        expect(dead_code, reason = "only the encoder's networks have one")
    )]
    LappedUnshuffle(usize),
    /// [`Layer::Shuffle`] of such patches: (H + 1, W + 1) → (H·k, W·k).
    LappedShuffle(usize),
}

impl Layer {
    /// Names and shapes of the layer's parameters.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, Vec<usize>)> {
        match *self {
            Layer::Linear { input, output } => vec![("weight", vec![input, output]), ("bias", vec![output])],
            Layer::Conv3 { input, output } => {
                vec![("weight", vec![9 * input, output]), ("bias", vec![output])]
            }
            Layer::Conv2 { input, output, .. } => {
                vec![("weight", vec![4 * input, output]), ("bias", vec![output])]
            }
            Layer::Block { channels: c } => vec![
                ("depthwise.weight", vec![9, c]),
                ("depthwise.bias", vec![c]),
                ("expand.weight", vec![c, 2 * c]),
                ("expand.bias", vec![2 * c]),
                ("project.weight", vec![c, c]),
                ("project.bias", vec![c]),
                ("quality", vec![QUALITY_KNOTS, c]),
            ],
            Layer::Unshuffle(_) | Layer::Shuffle(_) | Layer::LappedUnshuffle(_) | Layer::LappedShuffle(_) => {
                vec![]
            }
        }
    }

    /// Multiply–accumulates for each position of the layer's input map.
    fn macs(&self) -> usize {
        match *self {
            Layer::Linear { input, output } => input * output,
            Layer::Conv3 { input, output } => 9 * input * output,
            Layer::Conv2 { input, output, .. } => 4 * input * output,
            Layer::Block { channels: c } => 9 * c + 3 * c * c,
            Layer::Unshuffle(_) | Layer::Shuffle(_) | Layer::LappedUnshuffle(_) | Layer::LappedShuffle(_) => {
                0
            }
        }
    }
}

/// A named chain of layers.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// Prefix of its parameter names.
    pub(crate) name: String,
    /// Side of the picture square that one input position covers, in pixels.
    pub(crate) stride: usize,
    /// The chain.
    pub(crate) layers: Vec<Layer>,
}

impl Network {
    pub(crate) fn new(name: &str, stride: usize, layers: Vec<Layer>) -> Network {
        Network { name: name.into(), stride, layers }
    }

    /// Name of a parameter of layer `index`.
    pub(crate) fn parameter(&self, index: usize, name: &str) -> String {
        format!("{}.{index}.{name}", self.name)
    }

    /// All parameters with their shapes, in order.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (String, Vec<usize>)> + '_ {
        self.layers.iter().enumerate().flat_map(move |(i, layer)| {
            layer.parameters().into_iter().map(move |(name, shape)| (self.parameter(i, name), shape))
        })
    }

    /// Channels that the last linear layer gives, 0 where there is none.
    pub(crate) fn output(&self) -> usize {
        let output = |layer: &Layer| match layer {
            Layer::Linear { output, .. } => Some(*output),
            _ => None,
        };
        self.layers.iter().rev().find_map(output).unwrap_or(0)
    }

    /// Multiply–accumulates for each picture pixel, in thousands.
    pub(crate) fn kmac_per_pixel(&self) -> f64 {
        let mut stride = self.stride as f64;
        let mut total = 0.0;
        for layer in &self.layers {
            total += layer.macs() as f64 / (stride * stride);
            match layer {
                Layer::Unshuffle(k) | Layer::LappedUnshuffle(k) => stride *= *k as f64,
                Layer::Shuffle(k) | Layer::LappedShuffle(k) => stride /= *k as f64,
                _ => {}
            }
        }
        total / 1000.0
    }

    /// How many input positions beyond its own an output position depends on, in each direction.
    #[cfg(any(test, feature = "nn"))]
    pub(crate) fn halo(&self) -> usize {
        // In units of the finest map, walked back from the output.
        let (mut scale, mut reach) = (1.0f64, 0.0f64);
        for layer in &self.layers {
            match layer {
                Layer::Conv3 { .. } | Layer::Block { .. } | Layer::Conv2 { grow: true, .. } => reach += scale,
                Layer::Unshuffle(k) => scale *= *k as f64,
                Layer::LappedUnshuffle(k) => {
                    // The 2×2 convolution that follows reaches no further than the corners' patches.
                    reach += scale * *k as f64 / 2.0;
                    scale *= *k as f64;
                }
                Layer::Shuffle(k) | Layer::LappedShuffle(k) => scale /= *k as f64,
                Layer::Linear { .. } | Layer::Conv2 { grow: false, .. } => {}
            }
        }
        reach.ceil() as usize
    }
}

/// The channel group that `step` codes at position (row, column): a Latin square over the 2×2 pattern.
pub(crate) fn group_at(step: usize, row: usize, column: usize) -> usize {
    ((row & 1) * 2 + (column & 1)) ^ step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_coded_once_at_every_position() {
        for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1), (6, 9)] {
            let mut groups: Vec<_> = (0..STEPS).map(|s| group_at(s, row, column)).collect();
            groups.sort_unstable();
            assert_eq!(groups, [0, 1, 2, 3]);
        }
    }
}
