//! Pixels → bytes: the mirror image of `decode.rs`, one call a stage.

use crate::analysis::{Analysis, Transforms};
use crate::entropy::{self, Table};
use crate::kernels::Isa;
use crate::latents::{Grid, walk};
use crate::plain::{Ending, Map, Networks, Scratch};
use crate::refine::{Refinement, Refiner};
use crate::weights::{self, DECODER_TENSOR, LayerCost};
use crate::{Image, Model, Quality, WeightsError};
use bottleneck_proto::{Container, ContainerError, STRIP_ROWS};
use candle_core::Device;
use rayon::prelude::*;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::OnceLock;

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

/// An encoder: analysis networks, and the decoder it writes for.
pub struct Encoder {
    model: Model,
    transforms: Transforms,
    pub(crate) refiner: OnceLock<Refiner>,
}

/// Encoder and decoder file of the embedded lite model.
pub(crate) const LITE: [&[u8]; 2] = [include_bytes!("../weights/lite.encoder.safetensors"), weights::LITE];
/// Those of the embedded base model.
pub(crate) const BASE: [&[u8]; 2] = [include_bytes!("../weights/base.encoder.safetensors"), weights::BASE];

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

    /// The base model embedded in this build.
    ///
    /// # Errors
    /// A backend that this build or machine lacks.
    pub fn base(backend: Backend) -> Result<Encoder, WeightsError> {
        let [encoder, decoder] = BASE;
        Encoder::from_parts(encoder, decoder, backend)
    }

    fn from_parts(encoder: &[u8], decoder: &[u8], backend: Backend) -> Result<Encoder, WeightsError> {
        let model = Model::from_bytes(decoder)?;
        let file = SafeTensors::deserialize(encoder)?;
        let networks = model.architecture.encoder_networks();
        let values = |name: &str, shape: &[usize]| weights::floats_of(&file, name, shape);
        let transforms = match backend {
            Backend::Cpu => {
                let mut plain = Networks::new(Isa::best(), true);
                networks.iter().try_for_each(|network| plain.add(network, Ending::Plain, values))?;
                Transforms::Plain(plain)
            }
            Backend::Cuda => {
                let device = Device::new_cuda(0).map_err(|e| {
                    WeightsError::Encoder(format!("CUDA is not available in this build or machine: {e}"))
                })?;
                Transforms::candle(networks, device, values)?
            }
        };
        Ok(Encoder { model, transforms, refiner: OnceLock::new() })
    }

    /// The decoder that this encoder writes for.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where the analysis runs.
    pub fn backend(&self) -> Backend {
        match self.transforms {
            Transforms::Plain(_) => Backend::Cpu,
            Transforms::Candle { .. } => Backend::Cuda,
        }
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
        let analysis = self.analysis();
        let strips = Strip::all(image, quality)?
            .map(|strip| Ok(self.code(&self.latents(&analysis, &[&strip])?.remove(0))))
            .collect::<Result<Vec<_>, EncodeError>>()?;
        self.assemble(image.width, image.height, quality, &strips)
    }

    /// [`encode`](Encoder::encode) with more time for a smaller or finer code: see [`Encoder::refine`].
    ///
    /// # Errors
    /// Those of [`encode`](Encoder::encode).
    pub fn encode_refined(
        &self,
        image: &Image,
        quality: Quality,
        how: &Refinement<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        if how.effort == 0 {
            return self.encode(image, quality);
        }
        let strips: Vec<_> = Strip::all(image, quality)?.collect();
        let mut latents = self.analyse(&strips)?;
        self.refine(&strips, &mut latents, how)?;
        let codes: Vec<_> = latents.par_iter().map(|latents| self.code(latents)).collect();
        self.assemble(image.width, image.height, quality, &codes)
    }

    /// The first stage of [`encode`](Encoder::encode), for strips of any pictures at once. On the processor
    /// they are analysed in parallel, each as if alone; on a GPU those of one shape are one batch.
    ///
    /// # Errors
    /// Failures of the device.
    pub fn analyse(&self, strips: &[Strip<'_>]) -> Result<Vec<Latents>, EncodeError> {
        let analysis = self.analysis();
        if self.backend() == Backend::Cpu {
            let alone = |strip| Ok(self.latents(&analysis, &[strip])?.remove(0));
            return strips.par_iter().map(alone).collect();
        }
        let mut shapes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (i, strip) in strips.iter().enumerate() {
            shapes.entry(analysis.shape(strip)).or_default().push(i);
        }
        let mut latents: Vec<Option<Latents>> = strips.iter().map(|_| None).collect();
        for members in shapes.values() {
            let batch: Vec<_> = members.iter().map(|&i| &strips[i]).collect();
            for (&i, found) in members.iter().zip(self.latents(&analysis, &batch)?) {
                latents[i] = Some(found);
            }
        }
        Ok(latents.into_iter().flatten().collect())
    }

    /// The second stage: entropy coding of one strip.
    pub fn code(&self, latents: &Latents) -> Vec<u8> {
        let mut coder = entropy::Encoder::default();
        self.each_symbol(latents, |symbol, table| coder.put(symbol, table));
        coder.finish()
    }

    /// Tells `seen` every symbol of a strip with its table, in coding order; gives the ŷ that a decoder makes of them.
    pub(crate) fn each_symbol(&self, latents: &Latents, mut seen: impl FnMut(i16, &Table)) -> Map {
        let Latents { quality, grid, y, z } = latents;
        let tables = self.model.tables.z(*quality);
        z.iter().enumerate().for_each(|(i, &z)| seen(z, &tables[i % tables.len()]));
        let walked = walk(
            &self.model,
            *quality,
            *grid,
            z,
            &mut Scratch::default(),
            |level, row, column, channel, mean| {
                let value = y.data[(row * grid.w + column) * y.dims.c + channel];
                let residual = (value - mean).clamp(-RESIDUAL_MAX, RESIDUAL_MAX);
                // To the nearest; `round` would be a call.
                let residual = (residual + 0.5f32.copysign(residual)) as i16;
                seen(residual, &self.model.tables.residual[usize::from(level)]);
                Ok::<_, Infallible>(residual)
            },
        );
        let Ok(y_hat) = walked;
        y_hat
    }

    /// The last stage: the bytes of all strips of a picture, from the top, to those of its `.bnk` file.
    ///
    /// # Errors
    /// Sides of 0 or above 65535; a number of strips that is not the picture's.
    pub fn assemble(
        &self,
        width: u32,
        height: u32,
        quality: Quality,
        strips: &[Vec<u8>],
    ) -> Result<Vec<u8>, EncodeError> {
        let (width, height) = sides(width, height)?;
        Ok(bottleneck_proto::write(&Container {
            experimental: self.model.experimental(),
            model: self.model.id(),
            width,
            height,
            quality,
            strips: strips.iter().map(Vec::as_slice).collect(),
        })?)
    }

    pub(crate) fn analysis(&self) -> Analysis<'_> {
        Analysis::new(&self.model.architecture, &self.transforms)
    }

    /// Latents of strips of one shape.
    fn latents(&self, analysis: &Analysis<'_>, strips: &[&Strip<'_>]) -> Result<Vec<Latents>, EncodeError> {
        let mut y = analysis.strips(strips)?;
        for (strip, y) in strips.iter().zip(&mut y) {
            let gain: Vec<f32> = self.model.log_gain(strip.quality).iter().map(|g| g.exp()).collect();
            y.data
                .chunks_exact_mut(gain.len())
                .for_each(|cell| cell.iter_mut().zip(&gain).for_each(|(y, g)| *y *= g));
        }
        let z = analysis.hyper(strips, &y)?;
        let latents = strips.iter().zip(y).zip(z).map(|((strip, y), z)| {
            let tables = self.model.tables.z(strip.quality);
            let z = z.data.iter().enumerate();
            Latents {
                quality: strip.quality,
                grid: Grid::new(strip.image.width as usize, strip.rows()),
                y,
                z: z.map(|(i, z)| tables[i % tables.len()].clamp(z.round() as i32)).collect(),
            }
        });
        Ok(latents.collect())
    }
}

/// A strip of a picture, the piece that is encoded at a time: 512 rows, or what is left of them.
#[derive(Clone, Copy, Debug)]
pub struct Strip<'a> {
    image: &'a Image,
    quality: Quality,
    index: usize,
}

impl<'a> Strip<'a> {
    /// The strips of a picture, from the top.
    ///
    /// # Errors
    /// Sides of 0 or above 65535, and a picture whose bytes do not fit its sides.
    pub fn all(
        image: &'a Image,
        quality: Quality,
    ) -> Result<impl ExactSizeIterator<Item = Strip<'a>>, EncodeError> {
        let &Image { width, height, ref rgb } = image;
        let (w, h) = sides(width, height)?;
        if rgb.len() != usize::from(w) * usize::from(h) * 3 {
            return Err(EncodeError::Pixels { width, height, found: rgb.len() });
        }
        let strips = usize::from(h).div_ceil(STRIP_ROWS as usize);
        Ok((0..strips).map(move |index| Strip { image, quality, index }))
    }

    /// The whole picture.
    pub fn image(&self) -> &'a Image {
        self.image
    }

    /// The quality to code it at.
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// Its place in the picture, from 0 at the top.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many rows of the picture it has.
    pub fn rows(&self) -> usize {
        let first = self.index * STRIP_ROWS as usize;
        (self.image.height as usize - first).min(STRIP_ROWS as usize)
    }
}

/// The latents of one strip: what [`Encoder::analyse`] gives and [`Encoder::code`] takes.
pub struct Latents {
    pub(crate) quality: Quality,
    pub(crate) grid: Grid,
    /// (H/16, W/16, y), scaled by the gain, not rounded.
    pub(crate) y: Map,
    pub(crate) z: Vec<i16>,
}

fn sides(width: u32, height: u32) -> Result<(u16, u16), EncodeError> {
    match (u16::try_from(width), u16::try_from(height)) {
        (Ok(w @ 1..), Ok(h @ 1..)) => Ok((w, h)),
        _ => Err(EncodeError::Size { width, height }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::test_picture;

    fn strips<'a>(pictures: &'a [(Image, Quality)]) -> Vec<Strip<'a>> {
        pictures.iter().flat_map(|(image, quality)| Strip::all(image, *quality).unwrap()).collect()
    }

    fn pictures() -> Vec<(Image, Quality)> {
        let sizes = [(130, 70), (40, 600), (130, 70), (17, 1), (40, 600)];
        let picture = |(i, (w, h))| (test_picture(w, h), Quality(9000 * i as u16));
        sizes.into_iter().enumerate().map(picture).collect()
    }

    #[test]
    fn a_batch_gives_the_bytes_of_each_picture_alone() {
        let encoder = Encoder::from_bytes(crate::TINY, Backend::Cpu).unwrap();
        let pictures = pictures();
        let latents = encoder.analyse(&strips(&pictures)).unwrap();
        let mut coded = latents.iter().map(|latents| encoder.code(latents));
        for (image, quality) in &pictures {
            let count = Strip::all(image, *quality).unwrap().len();
            let own: Vec<_> = coded.by_ref().take(count).collect();
            let file = encoder.assemble(image.width, image.height, *quality, &own).unwrap();
            assert_eq!(file, encoder.encode(image, *quality).unwrap());
        }
    }

    /// How a GPU takes them; the sums are the same up to rounding, which costs a small part of a quantisation step where
    /// the processor's are in fixed point.
    #[test]
    fn strips_stacked_in_candle_are_those_alone() {
        let fixed = Encoder::from_bytes(crate::TINY, Backend::Cpu).unwrap();
        let mut floats = Encoder::from_bytes(crate::TINY, Backend::Cpu).unwrap();
        let file = SafeTensors::deserialize(crate::TINY).unwrap();
        let networks = floats.model.architecture.encoder_networks();
        let values = |name: &str, shape: &[usize]| weights::floats_of(&file, name, shape);
        let mut plain = Networks::new(Isa::Scalar, false);
        networks.iter().for_each(|network| plain.add(network, Ending::Plain, values).unwrap());
        floats.transforms = Transforms::Plain(plain);
        let transforms = Transforms::candle(networks, Device::Cpu, values).unwrap();
        let model = Model::from_bytes(crate::TINY).unwrap();
        let encoder = Encoder { model, transforms, refiner: OnceLock::new() };
        let pictures = pictures();
        let strips = strips(&pictures);
        for (strip, stacked) in strips.iter().zip(encoder.analyse(&strips).unwrap()) {
            for (plain, most) in [(&floats, 1e-3), (&fixed, 0.02)] {
                let alone = plain.latents(&plain.analysis(), &[strip]).unwrap().remove(0);
                assert_eq!(stacked.y.dims, alone.y.dims);
                let differences = stacked.y.data.iter().zip(&alone.y.data).map(|(a, b)| (a - b).abs());
                let worst = differences.fold(0.0, f32::max);
                assert!(worst < most, "{worst} of a step");
                assert_eq!(stacked.z.len(), alone.z.len());
            }
        }
    }
}
