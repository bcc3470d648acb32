//! The models: an encoder to a few numbers, a decoder back, and what a run is told.

use super::LabError;
use crate::nn::{Parameters, ops, parameter};
use crate::train::init::{Values, normal};
use candle_core::{Result, Tensor};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Fully connected autoencoder (Hinton & Salakhutdinov 2006).
    DenseAe,
    /// Convolutional autoencoder.
    ConvAe,
    /// Variational autoencoder, fully connected (Kingma & Welling 2014).
    Vae,
    /// Variational autoencoder, convolutional.
    ConvVae,
    /// [`Kind::Vae`] with a weight β on its KL term (Higgins et al. 2017).
    BetaVae,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [Kind::DenseAe, Kind::ConvAe, Kind::Vae, Kind::ConvVae, Kind::BetaVae];

    /// Name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::DenseAe => "dense-ae",
            Kind::ConvAe => "conv-ae",
            Kind::Vae => "vae",
            Kind::ConvVae => "conv-vae",
            Kind::BetaVae => "beta-vae",
        }
    }

    /// Whether its bottleneck is a distribution.
    pub fn variational(self) -> bool {
        !matches!(self, Kind::DenseAe | Kind::ConvAe)
    }

    fn convolutional(self) -> bool {
        matches!(self, Kind::ConvAe | Kind::ConvVae)
    }
}

/// The reconstruction term: −ln p(x | z), summed over the pixels, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// Cross-entropy, with a grey value 0..1 as the probability of white. It is no density of grey values, so it
    /// compares with itself only (Loaiza-Ganem & Cunningham 2019).
    Bernoulli,
    /// Normal distribution with this fixed standard deviation (in values 0..1) around the decoded picture.
    Gaussian {
        /// The standard deviation.
        deviation: f64,
    },
}

/// Everything that a run is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The model.
    pub kind: Kind,
    /// Numbers in the bottleneck.
    pub bottleneck: usize,
    /// Weight of the KL term (variational kinds).
    pub beta: f64,
    /// The reconstruction term.
    pub likelihood: Likelihood,
    /// Widths of the fully connected layers of the encoder; the decoder mirrors them.
    pub hidden: Vec<usize>,
    /// Folder of the pictures.
    pub data: PathBuf,
    /// Side that a folder's pictures are scaled to, in pixels.
    pub side: usize,
    /// Passes over the training pictures at most.
    pub epochs: u64,
    /// Pictures a step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Weight decay, decoupled.
    pub weight_decay: f64,
    /// Epochs without a better validation loss after which the run ends.
    pub patience: u64,
    /// Seed of weights, order and noise.
    pub seed: u64,
    /// Threads, each with its share of a batch.
    pub workers: usize,
}

/// One layer; maps are (N, H, W, C), vectors (N, K).
#[derive(Clone, Debug, PartialEq)]
enum Layer {
    Dense {
        input: usize,
        output: usize,
    },
    /// 3×3, the border replicated.
    Conv3 {
        input: usize,
        output: usize,
    },
    /// 2×2 with stride 2: space to depth, and a 1×1 convolution.
    Down {
        input: usize,
        output: usize,
    },
    /// The transposed convolution of [`Layer::Down`].
    Up {
        input: usize,
        output: usize,
    },
    Relu,
    Flatten,
    Reshape {
        h: usize,
        w: usize,
        c: usize,
    },
}

impl Layer {
    /// Shape of the weight (inputs, outputs), where the layer has one.
    fn weight(&self) -> Option<(usize, usize)> {
        match *self {
            Layer::Dense { input, output } => Some((input, output)),
            Layer::Conv3 { input, output } => Some((9 * input, output)),
            Layer::Down { input, output } => Some((4 * input, output)),
            Layer::Up { input, output } => Some((input, 4 * output)),
            Layer::Relu | Layer::Flatten | Layer::Reshape { .. } => None,
        }
    }
}

/// The bottleneck's distribution, or its point: shapes (N, K).
pub(super) struct Posterior {
    pub(super) mean: Tensor,
    /// ln σ²; none in a plain autoencoder.
    pub(super) log_variance: Option<Tensor>,
}

impl Posterior {
    /// `mean + σ ∘ noise`: a sample through which gradients flow to the encoder, for `noise` (N, K) of a standard
    /// normal distribution (the reparameterisation trick of Kingma & Welling 2014, section 2.4).
    pub(super) fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        match &self.log_variance {
            None => Ok(self.mean.clone()),
            Some(log_variance) => &self.mean + ((log_variance * 0.5)?.exp()? * noise)?,
        }
    }
}

/// Encoder and decoder as layer lists.
pub(super) struct Autoencoder {
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
    bottleneck: usize,
    variational: bool,
}

/// Channels of the convolutional kinds at half and at a quarter of the resolution.
const CHANNELS: [usize; 2] = [16, 32];

impl Autoencoder {
    /// For pictures of `height` × `width`.
    ///
    /// # Errors
    /// A bottleneck of 0 or above 1024, a hidden width of 0; pictures that the convolutional kinds cannot halve twice.
    pub(super) fn new(
        settings: &Settings,
        height: usize,
        width: usize,
    ) -> std::result::Result<Self, LabError> {
        let k = settings.bottleneck;
        if k == 0 || k > 1024 {
            return Err(LabError::Settings(format!("--bottleneck is {k}; it must be 1 to 1024")));
        }
        if settings.hidden.contains(&0) || settings.hidden.iter().any(|&h| h > 8192) {
            return Err(LabError::Settings("--hidden: every width must be 1 to 8192".into()));
        }
        let kind = settings.kind;
        let heads = if kind.variational() { 2 } else { 1 };
        let (mut encoder, mut decoder) = (vec![], vec![]);
        let mut input = height * width;
        if kind.convolutional() {
            if !height.is_multiple_of(4) || !width.is_multiple_of(4) {
                return Err(LabError::Settings(format!(
                    "{} wants sides that are multiples of 4, and the pictures are {width}×{height}",
                    kind.name()
                )));
            }
            let [half, quarter] = CHANNELS;
            encoder.extend([Layer::Down { input: 1, output: half }, Layer::Relu]);
            encoder.extend([Layer::Down { input: half, output: quarter }, Layer::Relu]);
            encoder.extend([Layer::Conv3 { input: quarter, output: quarter }, Layer::Relu]);
            decoder.push(Layer::Reshape { h: height / 4, w: width / 4, c: quarter });
            decoder.extend([Layer::Conv3 { input: quarter, output: quarter }, Layer::Relu]);
            decoder.extend([Layer::Up { input: quarter, output: half }, Layer::Relu]);
            decoder.push(Layer::Up { input: half, output: 1 });
            input = height / 4 * (width / 4) * quarter;
        } else {
            decoder.push(Layer::Reshape { h: height, w: width, c: 1 });
        }
        encoder.push(Layer::Flatten);
        // From the middle outwards: the decoder mirrors the encoder.
        let mut widths = vec![input];
        widths.extend(&settings.hidden);
        for pair in widths.windows(2) {
            encoder.extend([Layer::Dense { input: pair[0], output: pair[1] }, Layer::Relu]);
            // A convolution behind it wants its activation too; pixels are logits.
            if decoder.len() > 1 || kind.convolutional() {
                decoder.insert(0, Layer::Relu);
            }
            decoder.insert(0, Layer::Dense { input: pair[1], output: pair[0] });
        }
        let last = *widths.last().expect("the input is one");
        encoder.push(Layer::Dense { input: last, output: heads * k });
        if decoder.len() > 1 || kind.convolutional() {
            decoder.insert(0, Layer::Relu);
        }
        decoder.insert(0, Layer::Dense { input: k, output: last });
        Ok(Autoencoder { encoder, decoder, bottleneck: k, variational: kind.variational() })
    }

    /// Fresh values: normal with variance 2 / inputs (He et al. 2015), biases 0; the last layer of each half at half
    /// that deviation, so that σ begins near 1 and pixels near grey.
    pub(super) fn initial(&self, rng: &mut StdRng) -> Values {
        let mut values = Values::new();
        for (name, layers) in [("encoder", &self.encoder), ("decoder", &self.decoder)] {
            let last = layers.iter().rposition(|layer| layer.weight().is_some());
            for (index, layer) in layers.iter().enumerate() {
                let Some((input, output)) = layer.weight() else { continue };
                let gain = if last == Some(index) { 0.5 } else { 1.0 };
                let deviation = gain * (2.0 / input as f32).sqrt();
                let weight = (0..input * output).map(|_| deviation * normal(rng)).collect();
                values.insert(format!("{name}.{index}.weight"), (vec![input, output], weight));
                values.insert(format!("{name}.{index}.bias"), (vec![output], vec![0.0; output]));
            }
        }
        values
    }

    /// x (N, H, W, 1), values 0..1 → the bottleneck.
    pub(super) fn encode(&self, p: &Parameters, x: &Tensor) -> Result<Posterior> {
        let h = run("encoder", &self.encoder, p, x)?;
        if !self.variational {
            return Ok(Posterior { mean: h, log_variance: None });
        }
        let mean = h.narrow(1, 0, self.bottleneck)?.contiguous()?;
        let log_variance = h.narrow(1, self.bottleneck, self.bottleneck)?.contiguous()?;
        Ok(Posterior { mean, log_variance: Some(log_variance) })
    }

    /// z (N, K) → logits (N, H, W, 1) of the pixels: the picture is their logistic function.
    pub(super) fn decode(&self, p: &Parameters, z: &Tensor) -> Result<Tensor> {
        run("decoder", &self.decoder, p, z)
    }

    /// Names and shapes of all parameters.
    pub(super) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let halves = [("encoder", &self.encoder), ("decoder", &self.decoder)];
        let layers = halves.into_iter().flat_map(|(half, layers)| {
            layers.iter().enumerate().filter_map(move |(index, layer)| {
                let (input, output) = layer.weight()?;
                Some((format!("{half}.{index}"), input, output))
            })
        });
        let shapes = layers.flat_map(|(name, input, output)| {
            [(format!("{name}.weight"), vec![input, output]), (format!("{name}.bias"), vec![output])]
        });
        shapes.collect()
    }

    /// Weights and biases.
    pub(super) fn parameter_count(&self) -> usize {
        self.shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

fn run(name: &str, layers: &[Layer], p: &Parameters, x: &Tensor) -> Result<Tensor> {
    let mut x = x.clone();
    for (index, layer) in layers.iter().enumerate() {
        let linear = |x: &Tensor| {
            let of = |what: &str| parameter(p, &format!("{name}.{index}.{what}"));
            ops::linear(x, of("weight")?, of("bias")?)
        };
        x = match *layer {
            Layer::Dense { .. } => linear(&x)?,
            Layer::Conv3 { .. } => linear(&ops::unfold3(&x)?)?,
            Layer::Down { .. } => linear(&ops::unshuffle(&x, 2)?)?,
            Layer::Up { .. } => ops::shuffle(&linear(&x)?, 2)?,
            Layer::Relu => x.relu()?,
            Layer::Flatten => x.flatten_from(1)?,
            Layer::Reshape { h, w, c } => x.reshape((x.dim(0)?, h, w, c))?,
        };
    }
    Ok(x)
}
