//! The layer lists: the one definition of every float network (invariant 3 of ARCHITECTURE.md).
//!
//! The decoder, the encoder and the trainer, plain and in candle, all walk these lists, with parameters looked
//! up under the names that the lists give. Maps are NHWC, so that a 1×1 convolution is a matrix product.

use serde::{Deserialize, Serialize};

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
    fn new(name: &str, stride: usize, layers: Vec<Layer>) -> Network {
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

/// Sizes of a profile; stored in the model file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Profile name, such as `lite`.
    pub profile: String,
    /// Channels of y, at 1/16.
    pub y: usize,
    /// Channels of z, at 1/64.
    pub z: usize,
    /// Channels of the analysis at 1/8.
    pub analysis: usize,
    /// Its blocks at 1/8.
    pub analysis_blocks: usize,
    /// Channels of the hyper and context networks at 1/16.
    pub hyper: usize,
    /// Channels of the integer scale network.
    pub scale: usize,
    /// Channels of the synthesis at 1/8.
    pub synthesis: usize,
    /// Its blocks at 1/8.
    pub synthesis_blocks: usize,
    /// Channels of its map at 1/2; 0 where both transforms have lapped patches instead, 16×16 at every 8 pixels.
    pub head: usize,
}

impl Architecture {
    /// The lite profile: at most 5 kMAC/pixel to decode.
    pub fn lite() -> Architecture {
        Architecture {
            profile: "lite".into(),
            y: 256,
            z: 32,
            analysis: 128,
            analysis_blocks: 3,
            hyper: 64,
            scale: 64,
            synthesis: 96,
            synthesis_blocks: 5,
            head: 0,
        }
    }

    /// A very small one, for tests.
    pub fn tiny() -> Architecture {
        Architecture {
            profile: "tiny".into(),
            y: 32,
            z: 8,
            analysis: 24,
            analysis_blocks: 1,
            hyper: 16,
            scale: 16,
            synthesis: 24,
            synthesis_blocks: 1,
            head: 16,
        }
    }

    /// A built-in profile by name.
    pub fn named(name: &str) -> Option<Architecture> {
        match name {
            "lite" => Some(Architecture::lite()),
            "tiny" => Some(Architecture::tiny()),
            _ => None,
        }
    }

    /// Sizes within what the decoder supports; the error names the first that is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sizes = [
            ("y", self.y, 4),
            ("z", self.z, 1),
            ("analysis", self.analysis, 1),
            ("hyper", self.hyper, 1),
            ("scale", self.scale, 1),
            ("synthesis", self.synthesis, 1),
        ];
        for (name, value, multiple) in sizes {
            if value == 0 || value > 1024 || value % multiple != 0 {
                return Err(format!("{name} is {value}; allowed: multiples of {multiple} up to 1024"));
            }
        }
        if self.head > 1024 {
            return Err(format!("head is {}; allowed: up to 1024", self.head));
        }
        for (name, value) in
            [("analysis_blocks", self.analysis_blocks), ("synthesis_blocks", self.synthesis_blocks)]
        {
            if value > 64 {
                return Err(format!("{name} is {value}; allowed: up to 64"));
            }
        }
        Ok(())
    }

    /// g_a: picture (H, W, 3) → y (H/16, W/16, y).
    #[cfg(any(test, feature = "nn"))]
    pub(crate) fn analysis(&self) -> Network {
        let c = self.analysis;
        let mut layers = if self.head == 0 {
            vec![Layer::LappedUnshuffle(8), Layer::Conv2 { input: 192, output: c, grow: false }]
        } else {
            vec![Layer::Unshuffle(8), Layer::Linear { input: 192, output: c }]
        };
        layers.extend(std::iter::repeat_n(Layer::Block { channels: c }, self.analysis_blocks));
        layers.extend([Layer::Unshuffle(2), Layer::Linear { input: 4 * c, output: self.y }]);
        Network::new("analysis", 1, layers)
    }

    /// h_a: scaled y (H/16, W/16, y), sides multiples of 4 → z before rounding (H/64, W/64, z).
    #[cfg(any(test, feature = "nn"))]
    pub(crate) fn hyper_analysis(&self) -> Network {
        let c = self.hyper;
        Network::new(
            "hyper_analysis",
            16,
            vec![
                Layer::Linear { input: self.y, output: c },
                Layer::Block { channels: c },
                Layer::Unshuffle(2),
                Layer::Linear { input: 4 * c, output: c },
                Layer::Block { channels: c },
                Layer::Unshuffle(2),
                Layer::Linear { input: 4 * c, output: self.z },
            ],
        )
    }

    /// Float half of h_s: z (H/64, W/64, z) → features (H/16, W/16, hyper).
    pub(crate) fn hyper_synthesis(&self) -> Network {
        let c = self.hyper;
        Network::new(
            "hyper_synthesis",
            64,
            vec![
                Layer::Linear { input: self.z, output: c },
                Layer::Block { channels: c },
                Layer::Linear { input: c, output: 4 * c },
                Layer::Shuffle(2),
                Layer::Block { channels: c },
                Layer::Linear { input: c, output: 4 * c },
                Layer::Shuffle(2),
                Layer::Block { channels: c },
            ],
        )
    }

    /// The mean of step 0 from the features, and of step s from (ŷ so far, features).
    pub(crate) fn mean(&self, step: usize) -> Network {
        if step == 0 {
            return Network::new("mean0", 16, vec![Layer::Linear { input: self.hyper, output: self.y }]);
        }
        self.latent_chain(&format!("mean{step}"))
    }

    /// Latent residual correction (Minnen & Singh 2020): (ŷ, features) → what to add to ŷ.
    pub(crate) fn correction(&self) -> Network {
        self.latent_chain("correction")
    }

    fn latent_chain(&self, name: &str) -> Network {
        let c = self.hyper;
        Network::new(
            name,
            16,
            vec![
                Layer::Linear { input: self.y + c, output: c },
                Layer::Block { channels: c },
                Layer::Linear { input: c, output: self.y },
            ],
        )
    }

    /// g_s: unscaled, corrected ŷ (H/16, W/16, y) → picture (H, W, 3).
    pub(crate) fn synthesis(&self) -> Network {
        let c = self.synthesis;
        let mut layers = vec![Layer::Linear { input: self.y, output: 4 * c }, Layer::Shuffle(2)];
        layers.extend(std::iter::repeat_n(Layer::Block { channels: c }, self.synthesis_blocks));
        if self.head == 0 {
            layers.extend([Layer::Conv2 { input: c, output: 192, grow: true }, Layer::LappedShuffle(8)]);
        } else {
            layers.extend([
                Layer::Linear { input: c, output: 16 * self.head },
                Layer::Shuffle(4),
                // At 1/2 resolution: the cheap layer that crosses the borders of the 8×8 patches.
                Layer::Conv3 { input: self.head, output: 12 },
                Layer::Shuffle(2),
            ]);
        }
        Network::new("synthesis", 16, layers)
    }

    /// Integer half of h_s: (z, quality) (H/64, W/64, z + 1) → scale levels (H/16, W/16, y).
    /// A rectifier follows every layer with parameters but the last; see `scale.rs`.
    pub(crate) fn scale(&self) -> Network {
        let c = self.scale;
        Network::new(
            "scale",
            64,
            vec![
                Layer::Conv3 { input: self.z + 1, output: c },
                Layer::Linear { input: c, output: 4 * c },
                Layer::Shuffle(2),
                Layer::Conv3 { input: c, output: c },
                Layer::Linear { input: c, output: 4 * c },
                Layer::Shuffle(2),
                Layer::Linear { input: c, output: self.y },
            ],
        )
    }

    /// Float networks of the decoder, with how often each runs for a picture (once).
    pub(crate) fn decoder_networks(&self) -> Vec<Network> {
        let mut networks = vec![self.hyper_synthesis()];
        networks.extend((0..STEPS).map(|step| self.mean(step)));
        networks.extend([self.correction(), self.synthesis()]);
        networks
    }

    /// Networks that only the encoder has.
    #[cfg(any(test, feature = "nn"))]
    pub(crate) fn encoder_networks(&self) -> Vec<Network> {
        vec![self.analysis(), self.hyper_analysis()]
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
    fn lite_decodes_within_5_kmac_per_pixel() {
        let lite = Architecture::lite();
        let decoder: f64 = lite.decoder_networks().iter().map(Network::kmac_per_pixel).sum::<f64>()
            + lite.scale().kmac_per_pixel();
        let encoder: f64 = lite.encoder_networks().iter().map(Network::kmac_per_pixel).sum();
        assert!(decoder <= 5.0, "decoder {decoder}");
        assert!(lite.scale().kmac_per_pixel() <= 0.4);
        assert!(encoder <= 10.0, "encoder {encoder}");
    }

    #[test]
    fn every_group_is_coded_once_at_every_position() {
        for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1), (6, 9)] {
            let mut groups: Vec<_> = (0..STEPS).map(|s| group_at(s, row, column)).collect();
            groups.sort_unstable();
            assert_eq!(groups, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn halo_counts_input_positions() {
        assert_eq!(Architecture::tiny().synthesis().halo(), 1); // 1 at 1/8, 1 at 1/2
        assert_eq!(Architecture::lite().synthesis().halo(), 3); // 5 at 1/8, lapped patches
        assert_eq!(Architecture::lite().analysis().halo(), 28); // half a patch, 3 at 1/8
        assert_eq!(Architecture::lite().mean(1).halo(), 1);
    }
}
