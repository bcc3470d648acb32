//! The network that draws the classes: blocks at 1/16 of the resolution, a look around at 1/32, and two steps up to 1/4.

use super::Input;
use crate::network::{Layer, Network};
use crate::nn::{self, Parameters, ops, parameter};
use crate::train::init::{Values, normal, randomise};
use candle_core::{D, Result, Tensor};
use rand::rngs::StdRng;

use super::camvid::CLASSES;

/// Channels at 1/16.
const WIDTH: usize = 96;
/// Channels at 1/8.
const FINE: usize = 48;

/// A segmentation head for one kind of input.
pub(super) struct Head {
    pub(super) input: Input,
    /// Channels that it is given, at 1/16.
    channels: usize,
    /// Width between the two layers of the stem.
    stem: usize,
    encoder: Option<Network>,
    deep: Network,
    context: Network,
    draw: Network,
}

impl Head {
    /// For latents of `latents` channels. The stem of pixels (768 channels, unshuffled by 16) is narrower than that of
    /// latents, so that both have as many weights and multiplications: 256·216 + 216·96 = 768·88 + 88·96.
    pub(super) fn new(input: Input, latents: usize) -> Head {
        let equal = |channels: usize| 76_032 / (channels + WIDTH);
        let channels = match input {
            Input::Pixels => 768,
            Input::Codes | Input::Joint => latents,
        };
        let linear = |input, output| Layer::Linear { input, output };
        let block = |channels| Layer::Block { channels };
        // Trained together with the head: an encoder of the seeds' kind, with as many latents as the codec has.
        let encoder = (input == Input::Joint).then(|| {
            let layers = vec![
                Layer::Unshuffle(8),
                linear(192, 64),
                block(64),
                block(64),
                Layer::Unshuffle(2),
                linear(256, latents),
            ];
            Network::new("encoder", 1, layers)
        });
        let context = vec![
            Layer::Unshuffle(2),
            linear(4 * WIDTH, WIDTH),
            block(WIDTH),
            block(WIDTH),
            linear(WIDTH, 4 * WIDTH),
            Layer::Shuffle(2),
        ];
        let draw = vec![
            linear(WIDTH, 4 * FINE),
            Layer::Shuffle(2),
            block(FINE),
            block(FINE),
            linear(FINE, 4 * CLASSES.len()),
            Layer::Shuffle(2),
        ];
        Head {
            input,
            channels,
            stem: equal(channels),
            encoder,
            deep: Network::new("deep", 16, vec![block(WIDTH); 4]),
            context: Network::new("context", 16, context),
            draw: Network::new("draw", 16, draw),
        }
    }

    fn networks(&self) -> impl Iterator<Item = &Network> {
        self.encoder.iter().chain([&self.deep, &self.context, &self.draw])
    }

    /// Names and shapes of the stem's parameters.
    fn stem(&self) -> [(&'static str, Vec<usize>); 4] {
        [
            ("stem.0.weight", vec![self.channels, self.stem]),
            ("stem.0.bias", vec![self.stem]),
            ("stem.1.weight", vec![self.stem, WIDTH]),
            ("stem.1.bias", vec![WIDTH]),
        ]
    }

    /// Names and shapes of all parameters.
    pub(super) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let stem = self.stem().into_iter().map(|(name, shape)| (name.to_string(), shape));
        stem.chain(self.networks().flat_map(Network::parameters)).collect()
    }

    /// Fresh values.
    pub(super) fn initial(&self, rng: &mut StdRng) -> Values {
        let mut values = Values::new();
        for (name, shape) in self.stem() {
            let deviation = if shape.len() == 2 { (2.0 / shape[0] as f32).sqrt() } else { 0.0 };
            let data = (0..shape.iter().product::<usize>()).map(|_| deviation * normal(rng)).collect();
            values.insert(name.into(), (shape, data));
        }
        self.networks().for_each(|network| randomise(network, rng, &mut values));
        values
    }

    /// Weights and biases.
    pub(super) fn parameter_count(&self) -> usize {
        self.shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Multiply–accumulates for each pixel of the picture, in thousands.
    pub(super) fn kmac_per_pixel(&self) -> f64 {
        let stem = (self.channels + WIDTH) * self.stem;
        stem as f64 / 256_000.0 + self.networks().map(Network::kmac_per_pixel).sum::<f64>()
    }

    /// Logits (N, H/4, W/4, 11). Latents come as (N, H/16, W/16, C), normalised; decoded pixels unshuffled as (N, H/16,
    /// W/16, 768), for the encoder trained together as (N, H, W, 3); values −1..1. `positions` are the pictures' on the
    /// rate scale.
    pub(super) fn run(&self, p: &Parameters, x: &Tensor, positions: &[f32]) -> Result<Tensor> {
        let knots = nn::knot_weights(positions, x.device())?;
        let x = match &self.encoder {
            Some(encoder) => nn::run(encoder, p, x, &knots)?,
            None => x.clone(),
        };
        let (_, h, w, _) = x.dims4()?;
        // The look around wants an even grid.
        let x = x.pad_with_same(1, 0, h % 2)?.pad_with_same(2, 0, w % 2)?;
        let x = ops::linear(&x, parameter(p, "stem.0.weight")?, parameter(p, "stem.0.bias")?)?.relu()?;
        let x = ops::linear(&x, parameter(p, "stem.1.weight")?, parameter(p, "stem.1.bias")?)?;
        let x = nn::run(&self.deep, p, &x, &knots)?;
        let x = (&x + nn::run(&self.context, p, &x, &knots)?)?;
        nn::run(&self.draw, p, &x, &knots)?.narrow(1, 0, 4 * h)?.narrow(2, 0, 4 * w)?.contiguous()
    }
}

/// Mean cross-entropy of `logits` (…, 11) with `targets`, each pixel weighted (0: not counted).
pub(super) fn cross_entropy(logits: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let logits = logits.reshape(((), CLASSES.len()))?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let chosen = shifted.gather(&targets.reshape(((), 1))?, 1)?;
    let nats = (log_sum - chosen)?.squeeze(1)?;
    (nats * weights)?.sum_all()? / weights.sum_all()?.to_scalar::<f32>()?.max(1e-6) as f64
}
