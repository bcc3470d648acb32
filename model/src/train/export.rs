//! From trained floats to model files: half-precision weights, integer scale network, integer tables.

use super::calibrate::Calibration;
use crate::architecture::Architecture;
use crate::entropy::PRECISION;
use crate::kernels::Isa;
use crate::network::{Network, QUALITY_KNOTS};
use crate::nn::{Parameters, parameter};
use crate::quality::interpolate;
use crate::scale::{
    IntegerLayer, LEVEL_STEP, LEVELS, SCALE_MIN, ScaleNetwork, Z_MAX, fraction_bits, layer_size,
};
use crate::weights::{DECODER_TENSOR, METADATA_KEY, Metadata, Z_SETS};
use crate::{Model, WeightsError};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};

/// Why weights could not be exported or read back.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A tensor is missing or cannot be read.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The file format refused.
    #[error(transparent)]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// What was written is no model.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A layer of the scale network cannot be made an integer one.
    #[error("{0}")]
    Scale(String),
    /// The pictures that tables are counted on cannot be encoded.
    #[error("cannot calibrate the tables: {0}")]
    Calibration(String),
    /// The file to start from cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// The files of a trained model.
pub struct Exported {
    /// What clients need.
    pub decoder: Vec<u8>,
    /// What only the encoder needs.
    pub encoder: Vec<u8>,
    /// Both in one file: what `--model` takes.
    pub whole: Vec<u8>,
}

/// Largest magnitude that a residual table holds without an escape.
const RESIDUAL_MAX: i16 = 511;

struct Blob {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

type Blobs = BTreeMap<String, Blob>;

/// Makes the files of a model from trained values; residuals are priced as Gaussians without a calibration.
///
/// # Errors
/// Names the tensor that is missing, or the layer that does not fit its integer form.
pub fn export(
    architecture: &Architecture,
    values: &Parameters,
    experimental: bool,
    calibration: Option<&Calibration>,
) -> Result<Exported, ExportError> {
    let mut decoder = Blobs::new();
    for network in architecture.decoder_networks() {
        halves(&network, values, &mut decoder)?;
    }
    half(values, "gain", &mut decoder)?;
    let scale = architecture.scale();
    let layers = integer_layers(&scale, values)?;
    ScaleNetwork::new(&scale, layers.clone(), Isa::best()).map_err(ExportError::Scale)?;
    scale_blobs(&scale, &layers, &mut decoder);
    let residual = (0..LEVELS)
        .map(|level| {
            let p = calibration.map_or_else(|| gaussian(level), |c| c.probabilities(level));
            (-residual_reach(level), counts(&p))
        })
        .collect();
    table_blobs("tables.residual", residual, &mut decoder);
    table_blobs("tables.z", z_tables(architecture, values)?, &mut decoder);

    let mut encoder = Blobs::new();
    for network in architecture.encoder_networks() {
        halves(&network, values, &mut encoder)?;
    }
    // The coder needs only the tables; these let training go on from the file.
    half(values, "prior.mean", &mut encoder)?;
    half(values, "prior.log_scale", &mut encoder)?;

    let metadata = serde_json::to_string(&Metadata { architecture: architecture.clone(), experimental })
        .expect("plain data serialises");
    let decoder = serialize(&decoder, &metadata)?;
    Model::from_bytes(&decoder)?;
    let encoder_file = serialize(&encoder, &metadata)?;
    let blob = Blob { dtype: Dtype::U8, shape: vec![decoder.len()], data: decoder.clone() };
    encoder.insert(DECODER_TENSOR.into(), blob);
    Ok(Exported { whole: serialize(&encoder, &metadata)?, encoder: encoder_file, decoder })
}

fn serialize(blobs: &Blobs, metadata: &str) -> Result<Vec<u8>, ExportError> {
    let views = blobs
        .iter()
        .map(|(name, blob)| Ok((name, TensorView::new(blob.dtype, blob.shape.clone(), &blob.data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    // One key only: the order of several would not be fixed, and with it the model's id.
    let metadata = HashMap::from([(METADATA_KEY.to_string(), metadata.to_string())]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}

fn halves(network: &Network, values: &Parameters, blobs: &mut Blobs) -> Result<(), ExportError> {
    network.parameters().try_for_each(|(name, _)| half(values, &name, blobs))
}

fn half(values: &Parameters, name: &str, blobs: &mut Blobs) -> Result<(), ExportError> {
    let tensor = parameter(values, name)?;
    let floats: Vec<half::f16> = tensor.to_dtype(DType::F16)?.flatten_all()?.to_vec1()?;
    let data = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
    blobs.insert(name.into(), Blob { dtype: Dtype::F16, shape: tensor.dims().to_vec(), data });
    Ok(())
}

fn floats(values: &Parameters, name: &str) -> Result<Vec<f32>, ExportError> {
    Ok(parameter(values, name)?.flatten_all()?.to_vec1()?)
}

/// The float scale network with as many fraction bits as 16-bit weights and 32-bit sums allow.
fn integer_layers(network: &Network, values: &Parameters) -> Result<Vec<IntegerLayer>, ExportError> {
    let mut layers = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        let Some((inputs, outputs)) = layer_size(layer) else { continue };
        let weight = floats(values, &network.parameter(index, "weight"))?;
        let bias = floats(values, &network.parameter(index, "bias"))?;
        let integer = |bits: u32| {
            let unit = f64::from(1u32 << bits);
            let rows = (0..outputs).flat_map(|o| (0..inputs).map(move |i| i * outputs + o));
            let scaled: Vec<f64> = rows.map(|at| (f64::from(weight[at]) * unit).round()).collect();
            let fits = scaled.iter().all(|w| w.abs() <= f64::from(i16::MAX));
            let bias_unit = unit * f64::from(1u32 << fraction_bits(index == 0));
            let candidate = IntegerLayer {
                weight: scaled.iter().map(|&w| w as i16).collect(),
                bias: bias.iter().map(|&b| (f64::from(b) * bias_unit).round() as i32).collect(),
                bits,
            };
            let name = network.parameter(index, "weight");
            (fits && crate::scale::check(&name, &candidate, inputs, outputs, index == 0).is_ok())
                .then_some(candidate)
        };
        let found = (1..=14).rev().find_map(integer);
        layers.push(
            found.ok_or_else(|| {
                ExportError::Scale(format!("layer {index} of the scale network is too large"))
            })?,
        );
    }
    Ok(layers)
}

fn scale_blobs(network: &Network, layers: &[IntegerLayer], blobs: &mut Blobs) {
    let indices = network.layers.iter().enumerate().filter(|(_, l)| layer_size(l).is_some()).map(|(i, _)| i);
    for (index, layer) in indices.zip(layers) {
        let outputs = layer.bias.len();
        let weight = layer.weight.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = vec![outputs, layer.weight.len() / outputs];
        blobs.insert(network.parameter(index, "weight"), Blob { dtype: Dtype::I16, shape, data: weight });
        let bias = layer.bias.iter().flat_map(|v| v.to_le_bytes()).collect();
        blobs.insert(
            network.parameter(index, "bias"),
            Blob { dtype: Dtype::I32, shape: vec![outputs], data: bias },
        );
    }
    let bits = layers.iter().map(|l| l.bits as u8).collect();
    blobs.insert("scale.bits".into(), Blob { dtype: Dtype::U8, shape: vec![layers.len()], data: bits });
}

/// Counts that sum to 2^16, each at least 1, near `probabilities`.
fn counts(probabilities: &[f64]) -> Vec<u16> {
    let total = f64::from(1u32 << PRECISION);
    let sum: f64 = probabilities.iter().sum();
    let mut counts: Vec<i64> =
        probabilities.iter().map(|p| ((p / sum * total).round() as i64).max(1)).collect();
    // What rounding left over goes to the most likely symbols, where it costs least.
    let mut excess = counts.iter().sum::<i64>() - (1 << PRECISION);
    while excess != 0 {
        let largest = counts.iter_mut().max().expect("a table has symbols");
        let change = excess.clamp(-(*largest / 8).max(1), (*largest / 8).max(1));
        *largest -= change;
        excess -= change;
    }
    counts.into_iter().map(|c| c as u16).collect()
}

fn deviation(level: usize) -> f64 {
    SCALE_MIN * (LEVEL_STEP * level as f64).exp()
}

/// The table of scale level `level` holds −reach..=reach.
pub(super) fn residual_reach(level: usize) -> i16 {
    ((5.0 * deviation(level)).ceil() as i16 + 1).min(RESIDUAL_MAX)
}

/// A zero-mean Gaussian of scale level `level`, integrated over unit intervals; last, both tails.
pub(super) fn gaussian(level: usize) -> Vec<f64> {
    let reach = residual_reach(level);
    let tail = |x: f64| 0.5 * libm::erfc(x / deviation(level) / std::f64::consts::SQRT_2);
    let mut p: Vec<f64> = (-reach..=reach)
        .map(|v| {
            let distance = f64::from(v.abs());
            tail(distance - 0.5) - tail(distance + 0.5)
        })
        .collect();
    p.push(2.0 * tail(f64::from(reach) + 0.5));
    p
}

/// Logistic priors of z along the rate scale.
fn z_tables(architecture: &Architecture, values: &Parameters) -> Result<Vec<(i16, Vec<u16>)>, ExportError> {
    let mean = floats(values, "prior.mean")?;
    let log_scale = floats(values, "prior.log_scale")?;
    assert_eq!(mean.len(), QUALITY_KNOTS * architecture.z);
    let mut tables = Vec::new();
    for set in 0..Z_SETS {
        let position = set as f32 / (Z_SETS - 1) as f32;
        let pairs = interpolate(&mean, position).into_iter().zip(interpolate(&log_scale, position));
        tables.extend(
            pairs.map(|(mean, log_scale)| logistic_table(f64::from(mean), f64::from(log_scale.exp()))),
        );
    }
    Ok(tables)
}

fn logistic_table(mean: f64, scale: f64) -> (i16, Vec<u16>) {
    // Beyond 12 scales lie 6e-6 of the probability: z is clamped there, it is the encoder's choice.
    let bound = f64::from(Z_MAX);
    let first = (mean - 12.0 * scale).floor().clamp(-bound, bound);
    let last = (mean + 12.0 * scale).ceil().clamp(first, bound);
    let cdf = |x: f64| 1.0 / (1.0 + (-(x - mean) / scale).exp());
    let p: Vec<f64> = (first as i16..=last as i16)
        .map(|v| (cdf(f64::from(v) + 0.5) - cdf(f64::from(v) - 0.5)).max(1e-12))
        .collect();
    if p.len() == 1 {
        // One symbol would need a count of 2^16, which does not fit: give it a neighbour.
        let first = (first as i16).min(Z_MAX - 1);
        return (first, counts(&[0.5, 0.5]));
    }
    (first as i16, counts(&p))
}

fn table_blobs(name: &str, tables: Vec<(i16, Vec<u16>)>, blobs: &mut Blobs) {
    let shape = vec![tables.len(), 2];
    let shapes = tables
        .iter()
        .flat_map(|(first, counts)| [first.to_le_bytes(), (counts.len() as u16).to_le_bytes()].concat())
        .collect();
    blobs.insert(format!("{name}.shape"), Blob { dtype: Dtype::I16, shape, data: shapes });
    let data: Vec<u8> =
        tables.iter().flat_map(|(_, counts)| counts.iter().flat_map(|c| c.to_le_bytes())).collect();
    blobs.insert(format!("{name}.counts"), Blob { dtype: Dtype::U16, shape: vec![data.len() / 2], data });
}

/// Starting values from a whole model file, or from an embedded model by its profile's name.
pub fn initial_weights(from: &str, device: &Device) -> Result<(Architecture, Parameters), ExportError> {
    for (name, [encoder, decoder]) in [("lite", crate::encode::LITE), ("base", crate::encode::BASE)] {
        if from == name {
            return values_of(encoder, decoder, device);
        }
    }
    let bytes = std::fs::read(from).map_err(|source| ExportError::File { path: from.into(), source })?;
    let file = SafeTensors::deserialize(&bytes)?;
    let decoder = file.tensor(DECODER_TENSOR).map_err(|_| {
        WeightsError::Encoder(format!("{from} holds a decoder only: training needs the whole model file"))
    })?;
    values_of(&bytes, decoder.data(), device)
}

fn values_of(
    encoder: &[u8],
    decoder: &[u8],
    device: &Device,
) -> Result<(Architecture, Parameters), ExportError> {
    let model = Model::from_bytes(decoder)?;
    let mut values = Parameters::new();
    for bytes in [encoder, decoder] {
        let file = SafeTensors::deserialize(bytes)?;
        for (name, view) in file.tensors().into_iter().filter(|(_, view)| view.dtype() == Dtype::F16) {
            let floats = crate::weights::floats_of(&file, &name, view.shape())?;
            values.insert(name, Tensor::from_vec(floats, view.shape(), device)?);
        }
    }
    let scale = model.architecture.scale();
    for (index, layer) in model.scale.weights() {
        let unit = f64::from(1u32 << layer.bits);
        let outputs = layer.bias.len();
        let inputs = layer.weight.len() / outputs;
        let floats: Vec<f32> = layer.weight.iter().map(|&w| (f64::from(w) / unit) as f32).collect();
        let tensor = Tensor::from_vec(floats, (outputs, inputs), device)?.t()?.contiguous()?;
        values.insert(scale.parameter(index, "weight"), tensor);
        let bias_unit = unit * f64::from(1u32 << fraction_bits(index == 0));
        let floats: Vec<f32> = layer.bias.iter().map(|&b| (f64::from(b) / bias_unit) as f32).collect();
        values.insert(scale.parameter(index, "bias"), Tensor::from_vec(floats, outputs, device)?);
    }
    Ok((model.architecture, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_sum_and_stay_positive() {
        for level in 0..LEVELS {
            let counts = counts(&gaussian(level));
            assert_eq!(counts.iter().map(|&c| u32::from(c)).sum::<u32>(), 1 << PRECISION);
            assert_eq!(counts.len(), 2 * residual_reach(level) as usize + 2);
        }
        for (mean, scale) in [(0.0, 0.01), (-200.0, 1.0), (200.0, 3.0), (3.3, 40.0)] {
            let (first, counts) = logistic_table(mean, scale);
            assert_eq!(counts.iter().map(|&c| u32::from(c)).sum::<u32>(), 1 << PRECISION);
            assert!(first >= -Z_MAX && first + counts.len() as i16 - 1 <= Z_MAX);
        }
    }
}
