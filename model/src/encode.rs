//! Pixels → bytes: the mirror image of `decode.rs`, one call a stage.

use crate::analysis::Analysis;
use crate::entropy;
use crate::latents::{Grid, walk};
use crate::nn::Parameters;
use crate::weights::{self, DECODER_TENSOR, LayerCost};
use crate::{Image, Model, Quality, WeightsError};
use bottleneck_proto::{Container, ContainerError, STRIP_ROWS};
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use std::convert::Infallible;

/// Where the analysis transform runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// This machine's processor.
    Cpu,
    /// The first NVIDIA GPU (feature `cuda`).
    Cuda,
}

/// Why a picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A side is 0 or above 65535.
    #[error("a picture of {width}×{height} cannot be encoded: each side must be 1 to 65535 pixels")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// `rgb` does not hold `width * height * 3` bytes.
    #[error("a picture of {width}×{height} has {found} bytes of pixels instead of three a pixel")]
    Pixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes found.
        found: usize,
    },
    /// The container refused, for instance a strip above 4 GiB.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The tensor library failed.
    #[error("inference failed: {0}")]
    Inference(#[from] candle_core::Error),
}

/// An encoder: analysis networks in candle, and the decoder it writes for.
pub struct Encoder {
    model: Model,
    parameters: Parameters,
    device: Device,
}

/// Encoder and decoder file of the embedded lite model.
pub(crate) const LITE: [&[u8]; 2] = [include_bytes!("../weights/lite.encoder.safetensors"), weights::LITE];

/// Residuals stay within what an escape can carry.
const RESIDUAL_MAX: f32 = 32_000.0;

impl Encoder {
    /// Reads a whole model file (safetensors): encoder and decoder.
    ///
    /// # Errors
    /// A file with no encoder in it, or a damaged one; a backend that this build or machine lacks.
    pub fn from_bytes(bytes: &[u8], backend: Backend) -> Result<Encoder, WeightsError> {
        let file = SafeTensors::deserialize(bytes)?;
        let decoder = file.tensor(DECODER_TENSOR).map_err(|_| {
            WeightsError::Encoder(
                "this file holds a decoder only: encoding needs the whole model file".into(),
            )
        })?;
        Encoder::from_parts(bytes, decoder.data(), backend)
    }

    /// The lite model embedded in this build.
    ///
    /// # Errors
    /// A backend that this build or machine lacks.
    pub fn lite(backend: Backend) -> Result<Encoder, WeightsError> {
        let [encoder, decoder] = LITE;
        Encoder::from_parts(encoder, decoder, backend)
    }

    fn from_parts(encoder: &[u8], decoder: &[u8], backend: Backend) -> Result<Encoder, WeightsError> {
        let device = match backend {
            Backend::Cpu => Device::Cpu,
            Backend::Cuda => Device::new_cuda(0).map_err(|e| {
                WeightsError::Encoder(format!("CUDA is not available in this build or machine: {e}"))
            })?,
        };
        let model = Model::from_bytes(decoder)?;
        let file = SafeTensors::deserialize(encoder)?;
        let mut parameters = Parameters::new();
        for network in model.architecture.encoder_networks() {
            for (name, shape) in network.parameters() {
                let values = weights::floats_of(&file, &name, &shape)?;
                let tensor = Tensor::from_vec(values, shape, &device)
                    .map_err(|e| WeightsError::Encoder(format!("tensor {name}: {e}")))?;
                parameters.insert(name, tensor);
            }
        }
        Ok(Encoder { model, parameters, device })
    }

    /// The decoder that this encoder writes for.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Cost of every network that only the encoder has. It runs the decoder's latent networks as well.
    pub fn costs(&self) -> Vec<LayerCost> {
        self.model.architecture.encoder_networks().iter().map(LayerCost::of).collect()
    }

    /// Encodes a picture to the bytes of a `.bnk` file.
    ///
    /// # Errors
    /// Sides of 0 or above 65535; failures of the device.
    pub fn encode(&self, image: &Image, quality: Quality) -> Result<Vec<u8>, EncodeError> {
        let &Image { width, height, ref rgb } = image;
        let (Ok(w @ 1..), Ok(h @ 1..)) = (u16::try_from(width), u16::try_from(height)) else {
            return Err(EncodeError::Size { width, height });
        };
        if rgb.len() != usize::from(w) * usize::from(h) * 3 {
            return Err(EncodeError::Pixels { width, height, found: rgb.len() });
        }
        let analysis = Analysis::new(&self.model.architecture, &self.parameters, &self.device, quality)?;
        let strips = (0..height.div_ceil(STRIP_ROWS) as usize)
            .map(|strip| self.strip(&analysis, image, strip, quality))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(bottleneck_proto::write(&Container {
            experimental: self.model.experimental(),
            model: self.model.id(),
            width: w,
            height: h,
            quality,
            strips: strips.iter().map(Vec::as_slice).collect(),
        })?)
    }

    /// Entropy coding of one strip: pixels → its bytes.
    fn strip(
        &self,
        analysis: &Analysis<'_>,
        image: &Image,
        strip: usize,
        quality: Quality,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut y = analysis.strip(image, strip)?;
        let gain: Vec<f32> = self.model.log_gain(quality).iter().map(|g| g.exp()).collect();
        y.data
            .chunks_exact_mut(gain.len())
            .for_each(|cell| cell.iter_mut().zip(&gain).for_each(|(y, g)| *y *= g));
        let tables = self.model.tables.z(quality);
        let z: Vec<i16> = (analysis.hyper(&y)?.data.iter().enumerate())
            .map(|(i, z)| tables[i % tables.len()].clamp(z.round() as i32))
            .collect();

        let mut coder = entropy::Encoder::default();
        z.iter().enumerate().for_each(|(i, &z)| coder.put(z, &tables[i % tables.len()]));
        let rows = (image.height - strip as u32 * STRIP_ROWS).min(STRIP_ROWS);
        let grid = Grid::new(image.width as usize, rows as usize);
        let Ok(_) = walk(&self.model, quality, grid, &z, |level, row, column, channel, mean| {
            let value = y.data[(row * grid.w + column) * y.dims.c + channel];
            let residual = (value - mean).round().clamp(-RESIDUAL_MAX, RESIDUAL_MAX) as i16;
            coder.put(residual, &self.model.tables.residual[usize::from(level)]);
            Ok::<_, Infallible>(residual)
        });
        Ok(coder.finish())
    }
}
