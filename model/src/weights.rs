//! Model files (FORMAT.md, section 4) and the decoder that is made from one.

use crate::architecture::Architecture;
use crate::decode::Symbol;
use crate::entropy::Table;
use crate::kernels::Isa;
use crate::network::{Network, STEPS};
use crate::plain::{Ending, Networks};
use crate::scale::{IntegerLayer, LEVELS, ScaleNetwork, Z_MAX, layer_size};
use bottleneck_proto::ModelId;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::OnceLock;

/// Key of the file's metadata, and the value's form.
pub(crate) const METADATA_KEY: &str = "bottleneck";
/// Tensor of a whole model file that holds its decoder file, byte for byte.
pub(crate) const DECODER_TENSOR: &str = "decoder";
/// Sets of z tables along the rate scale.
pub(crate) const Z_SETS: usize = 16;

/// Decoder file of the embedded lite model.
pub(crate) const LITE: &[u8] = include_bytes!("../weights/lite.decoder.safetensors");

/// Decoder file of the embedded base model.
pub(crate) const BASE: &[u8] = include_bytes!("../weights/base.decoder.safetensors");

/// An embedded model; nothing of it is made before it is asked for.
struct BuiltIn {
    bytes: &'static [u8],
    /// Its id, written beside it: to hash the file was a tenth of the command's start.
    id: &'static str,
    model: OnceLock<Model>,
}

/// Lite and base.
static BUILT_IN: [BuiltIn; 2] = [
    BuiltIn::new(LITE, include_str!("../weights/lite.id")),
    BuiltIn::new(BASE, include_str!("../weights/base.id")),
];

impl BuiltIn {
    const fn new(bytes: &'static [u8], id: &'static str) -> BuiltIn {
        BuiltIn { bytes, id, model: OnceLock::new() }
    }

    fn id(&self) -> ModelId {
        self.id.trim_end().parse().expect("the ids are read by a test")
    }

    fn model(&self) -> &Model {
        self.model.get_or_init(|| {
            Model::from_decoder(self.bytes.into(), self.id(), Isa::best())
                .expect("the embedded model is read by a test")
        })
    }
}

/// The name of a decoder file: the first 8 bytes of its SHA-256.
fn id_of(decoder: &[u8]) -> ModelId {
    let hash = Sha256::digest(decoder);
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    ModelId(id)
}

/// What a decoder file says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) architecture: Architecture,
    pub(crate) experimental: bool,
}

/// Cost of one network, counted from its layer list.
#[derive(Clone, Debug)]
pub struct LayerCost {
    /// Network name, such as `synthesis`.
    pub network: String,
    /// Multiply–accumulates for each picture pixel, in thousands.
    pub kmac_per_pixel: f64,
    /// Number of parameters.
    pub parameters: usize,
}

impl LayerCost {
    pub(crate) fn of(network: &Network) -> LayerCost {
        LayerCost {
            network: network.name.clone(),
            kmac_per_pixel: network.kmac_per_pixel(),
            parameters: network.parameters().map(|(_, shape)| shape.iter().product::<usize>()).sum(),
        }
    }
}

/// Why bytes are not a model.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Not a safetensors file, or a damaged one.
    #[error("not a model file: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// The metadata is missing or cannot be read.
    #[error("not a Bottleneck model file: its metadata {0}")]
    Metadata(String),
    /// A tensor is missing, or of another shape or type.
    #[error("damaged model file: tensor {name} {what}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Sizes or tables that the decoder does not support.
    #[error("unsupported model file: {0}")]
    Unsupported(String),
    /// An encoder was asked for, and the file has only a decoder (or they are of different models).
    #[error("{0}")]
    Encoder(String),
}

/// A decoder: networks and integer tables, ready to run.
pub struct Model {
    pub(crate) architecture: Architecture,
    pub(crate) networks: Networks,
    log_gain: Vec<f32>,
    pub(crate) scale: ScaleNetwork,
    pub(crate) tables: Tables,
    experimental: bool,
    id: ModelId,
    bytes: Cow<'static, [u8]>,
}

/// All tables of a model.
pub(crate) struct Tables {
    /// One for each scale level.
    pub(crate) residual: Vec<Table>,
    /// [`Z_SETS`] sets of one for each channel of z.
    z: Vec<Table>,
    z_channels: usize,
}

impl Tables {
    /// The tables of z for a quality, one a channel.
    pub(crate) fn z(&self, quality: bottleneck_proto::Quality) -> &[Table] {
        let set = (u32::from(quality.0) * (Z_SETS as u32 - 1) + 32767) / 65535;
        &self.z[set as usize * self.z_channels..][..self.z_channels]
    }

    /// The table that a symbol is coded with.
    #[inline]
    pub(crate) fn of(&self, quality: bottleneck_proto::Quality, symbol: Symbol) -> &Table {
        match symbol {
            Symbol::Z(channel) => &self.z(quality)[channel],
            Symbol::Residual(level) => &self.residual[usize::from(level)],
        }
    }
}

impl Model {
    /// Reads a decoder file, or the decoder part of a whole model file.
    ///
    /// # Errors
    /// Names the tensor or size that is missing or wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, WeightsError> {
        let file = SafeTensors::deserialize(bytes)?;
        if let Ok(decoder) = file.tensor(DECODER_TENSOR) {
            return Model::from_decoder(decoder.data().to_vec().into(), id_of(decoder.data()), Isa::best());
        }
        Model::from_decoder(bytes.to_vec().into(), id_of(bytes), Isa::best())
    }

    fn from_decoder(bytes: Cow<'static, [u8]>, id: ModelId, isa: Isa) -> Result<Model, WeightsError> {
        let file = SafeTensors::deserialize(&bytes)?;
        let Metadata { architecture, experimental } = metadata(&bytes)?;
        architecture.check().map_err(WeightsError::Unsupported)?;
        let mut networks = Networks::new(isa, true);
        let means: [String; STEPS] = std::array::from_fn(|step| architecture.mean(step).name);
        for network in architecture.decoder_networks() {
            let step = means.iter().position(|mean| *mean == network.name);
            let ending = step.map_or(Ending::Bytes, Ending::Group);
            networks.add(&network, ending, |name, shape| floats_of(&file, name, shape))?;
        }
        let log_gain = floats_of(&file, "gain", &[crate::network::QUALITY_KNOTS, architecture.y])?;
        let scale = scale_network(&file, &architecture, isa)?;
        let tables = tables(&file, &architecture)?;
        Ok(Model { architecture, networks, log_gain, scale, tables, experimental, id, bytes })
    }

    /// The lite model embedded in this build.
    pub fn lite() -> &'static Model {
        BUILT_IN[0].model()
    }

    /// The base model embedded in this build: larger than [`Model::lite`] (2.5 times the multiplications), with smaller
    /// codes, and qualities further up.
    pub fn base() -> &'static Model {
        BUILT_IN[1].model()
    }

    /// The embedded model that a code names, if it is one of them.
    pub fn built_in(id: ModelId) -> Option<&'static Model> {
        BUILT_IN.iter().find(|built_in| built_in.id() == id).map(BuiltIn::model)
    }

    /// The model without SIMD: much slower, and the oracle of what SIMD computes.
    pub fn scalar(self) -> Model {
        Model::from_decoder(self.bytes, self.id, Isa::Scalar).expect("it was read before")
    }

    /// Natural logarithm of the quantiser's gain of every channel of y.
    pub(crate) fn log_gain(&self, quality: bottleneck_proto::Quality) -> Vec<f32> {
        crate::quality::interpolate(&self.log_gain, crate::quality::position(quality))
    }

    /// First 8 bytes of the SHA-256 of [`Model::decoder_bytes`].
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// Profile name from the file, such as `lite`.
    pub fn profile(&self) -> &str {
        &self.architecture.profile
    }

    /// Whether streams of this model may stop opening with a later version.
    pub fn experimental(&self) -> bool {
        self.experimental
    }

    /// The decoder file: what clients fetch and hash.
    pub fn decoder_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Cost of every decoder network.
    pub fn costs(&self) -> Vec<LayerCost> {
        let networks = self.architecture.decoder_networks();
        networks.iter().chain([&self.architecture.scale()]).map(LayerCost::of).collect()
    }
}

fn metadata(bytes: &[u8]) -> Result<Metadata, WeightsError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let text = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get(METADATA_KEY))
        .ok_or_else(|| WeightsError::Metadata(format!("has no key {METADATA_KEY:?}")))?;
    serde_json::from_str(text).map_err(|e| WeightsError::Metadata(format!("cannot be read: {e}")))
}

fn wrong(name: &str, what: impl Into<String>) -> WeightsError {
    WeightsError::Tensor { name: name.into(), what: what.into() }
}

fn tensor<'a>(
    file: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: Option<&[usize]>,
) -> Result<TensorView<'a>, WeightsError> {
    let view = file.tensor(name).map_err(|_| wrong(name, "is missing"))?;
    if view.dtype() != dtype {
        return Err(wrong(name, format!("is of type {:?}, not {dtype:?}", view.dtype())));
    }
    match shape {
        Some(shape) if view.shape() != shape => {
            Err(wrong(name, format!("is of shape {:?}, not {shape:?}", view.shape())))
        }
        _ => Ok(view),
    }
}

/// A half-precision tensor as f32.
pub(crate) fn floats_of(
    file: &SafeTensors<'_>,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, WeightsError> {
    let view = tensor(file, name, Dtype::F16, Some(shape))?;
    let bits: Vec<u16> = view.data().as_chunks().0.iter().map(|&b| u16::from_le_bytes(b)).collect();
    let mut values = vec![0.0; bits.len()];
    // All at once: one by one each would be a call.
    bits.reinterpret_cast::<half::f16>().convert_to_f32_slice(&mut values);
    if values.iter().all(|v| v.is_finite()) {
        Ok(values)
    } else {
        Err(wrong(name, "holds values that are no numbers"))
    }
}

fn scale_network(
    file: &SafeTensors<'_>,
    architecture: &Architecture,
    isa: Isa,
) -> Result<ScaleNetwork, WeightsError> {
    let network = architecture.scale();
    let bits = tensor(file, "scale.bits", Dtype::U8, None)?.data();
    let mut layers = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        let Some((inputs, outputs)) = layer_size(layer) else { continue };
        let weight = tensor(file, &network.parameter(index, "weight"), Dtype::I16, Some(&[outputs, inputs]))?;
        let bias = tensor(file, &network.parameter(index, "bias"), Dtype::I32, Some(&[outputs]))?;
        let bits = *bits.get(layers.len()).ok_or_else(|| wrong("scale.bits", "is too short"))?;
        layers.push(IntegerLayer {
            weight: weight.data().chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect(),
            bias: bias.data().chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            bits: bits.into(),
        });
    }
    ScaleNetwork::new(&network, layers, isa).map_err(WeightsError::Unsupported)
}

fn tables(file: &SafeTensors<'_>, architecture: &Architecture) -> Result<Tables, WeightsError> {
    let residual = table_list(file, "tables.residual", true)?;
    let z = table_list(file, "tables.z", false)?;
    let wanted =
        [("tables.residual", residual.len(), LEVELS), ("tables.z", z.len(), Z_SETS * architecture.z)];
    for (name, found, wanted) in wanted {
        if found != wanted {
            return Err(wrong(name, format!("holds {found} tables, not {wanted}")));
        }
    }
    if let Some(table) = z.iter().find(|t| !t.within(Z_MAX)) {
        return Err(wrong("tables.z", format!("reaches beyond ±{Z_MAX}: {table:?}")));
    }
    Ok(Tables { residual, z, z_channels: architecture.z })
}

/// `NAME.counts` (U16) holds the tables' counts one after the other; `NAME.shape` (I16, n × 2) the first
/// symbol and the number of counts of each.
fn table_list(file: &SafeTensors<'_>, name: &str, escape: bool) -> Result<Vec<Table>, WeightsError> {
    let counts_name = format!("{name}.counts");
    let counts: Vec<u16> = tensor(file, &counts_name, Dtype::U16, None)?
        .data()
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .collect();
    let mut rest = &counts[..];
    let mut tables = Vec::new();
    for entry in tensor(file, &format!("{name}.shape"), Dtype::I16, None)?.data().chunks_exact(4) {
        let first = i16::from_le_bytes([entry[0], entry[1]]);
        let length = usize::from(u16::from_le_bytes([entry[2], entry[3]]));
        let (counts, more) = rest
            .split_at_checked(length)
            .ok_or_else(|| wrong(&counts_name, "is shorter than the tables' shapes"))?;
        rest = more;
        tables.push(Table::new(first, counts, escape).map_err(WeightsError::Unsupported)?);
    }
    if rest.is_empty() { Ok(tables) } else { Err(wrong(&counts_name, "is longer than the tables' shapes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_models_have_the_ids_of_their_files() {
        for built_in in &BUILT_IN {
            assert_eq!(built_in.id(), id_of(built_in.bytes));
            assert_eq!(Model::built_in(built_in.id()).unwrap().decoder_bytes(), built_in.bytes);
        }
    }
}
