//! The profiles: sizes of a model, and the layer lists of its networks.

use crate::network::{Layer, Network, STEPS};
use serde::{Deserialize, Serialize};

/// Sizes of a profile; stored in the model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// λ at q 0 and at q 100, for `λ · MSE + bpp` with the MSE of 0..=255 values; geometric between.
    #[serde(default = "usual_lambda", skip_serializing_if = "is_usual")]
    pub lambda: [f64; 2],
}

/// λ of models whose file does not tell.
fn usual_lambda() -> [f64; 2] {
    [0.0009, 0.15]
}

fn is_usual(lambda: &[f64; 2]) -> bool {
    *lambda == usual_lambda()
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
            lambda: usual_lambda(),
        }
    }

    /// The base profile: at most 20 kMAC/pixel to decode.
    pub fn base() -> Architecture {
        Architecture {
            profile: "base".into(),
            y: 384,
            z: 32,
            analysis: 192,
            analysis_blocks: 4,
            hyper: 128,
            scale: 64,
            synthesis: 160,
            synthesis_blocks: 5,
            head: 0,
            lambda: [0.0009, 0.3],
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
            lambda: usual_lambda(),
        }
    }

    /// A built-in profile by name.
    pub fn named(name: &str) -> Option<Architecture> {
        match name {
            "lite" => Some(Architecture::lite()),
            "base" => Some(Architecture::base()),
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
        let [low, high] = self.lambda;
        if !(low > 0.0 && low < high && high.is_finite()) {
            return Err(format!("lambda is {low}..{high}; allowed: two positive numbers, rising"));
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

    /// λ at `position` (0..=1) on the rate scale.
    #[cfg(any(test, feature = "nn"))]
    pub(crate) fn lambda_at(&self, position: f32) -> f32 {
        let [low, high] = self.lambda;
        (low * (high / low).powf(f64::from(position))) as f32
    }

    /// The position on the rate scale where λ is `lambda`; beyond 0..=1 where the scale does not reach it.
    #[cfg(any(test, feature = "train"))]
    pub(crate) fn position_of(&self, lambda: f64) -> f32 {
        let [low, high] = self.lambda;
        ((lambda / low).ln() / (high / low).ln()) as f32
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

    /// Thousands of multiply–accumulates a pixel for one pass through all networks, encoder and decoder.
    #[cfg(feature = "nn")]
    pub fn kmac_per_pixel(&self) -> f64 {
        let networks =
            self.encoder_networks().into_iter().chain(self.decoder_networks()).chain([self.scale()]);
        networks.map(|network| network.kmac_per_pixel()).sum()
    }

    /// Networks that only the encoder has.
    #[cfg(any(test, feature = "nn"))]
    pub(crate) fn encoder_networks(&self) -> Vec<Network> {
        vec![self.analysis(), self.hyper_analysis()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_keep_to_their_cost() {
        for (profile, most, most_encoder) in
            [(Architecture::lite(), 5.0, 10.0), (Architecture::base(), 20.0, 40.0)]
        {
            let decoder: f64 = profile.decoder_networks().iter().map(Network::kmac_per_pixel).sum::<f64>()
                + profile.scale().kmac_per_pixel();
            let encoder: f64 = profile.encoder_networks().iter().map(Network::kmac_per_pixel).sum();
            let name = &profile.profile;
            assert!(decoder <= most, "{name}: decoder {decoder}");
            assert!(profile.scale().kmac_per_pixel() <= 0.4, "{name}");
            assert!(encoder <= most_encoder, "{name}: encoder {encoder}");
        }
    }

    #[test]
    fn lambda_and_its_position_agree() {
        let base = Architecture::base();
        for position in [0.0, 0.3, 1.0] {
            assert!((base.position_of(f64::from(base.lambda_at(position))) - position).abs() < 1e-5);
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
