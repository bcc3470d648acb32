//! The networks in candle: the encoder's transforms, and the trainer's graph.

mod chain;
mod coding;
pub(crate) mod latents;
pub(crate) mod ops;
pub(crate) mod structure;
#[cfg(all(test, feature = "train"))]
mod tests;

use crate::WeightsError;
use crate::network::{Layer, Network, QUALITY_KNOTS};
use candle_core::{Result, Tensor, bail};
use std::collections::HashMap;

/// Named parameters.
pub(crate) type Parameters = HashMap<String, Tensor>;

/// Looks up a parameter; the error names it.
pub(crate) fn parameter<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a Tensor> {
    match parameters.get(name) {
        Some(tensor) => Ok(tensor),
        None => bail!("parameter {name} is missing"),
    }
}

/// The parameters of `networks`, which `values` gives by name and shape, on `device`.
pub(crate) fn parameters(
    networks: &[Network],
    device: &candle_core::Device,
    values: impl Fn(&str, &[usize]) -> std::result::Result<Vec<f32>, WeightsError>,
) -> std::result::Result<Parameters, WeightsError> {
    let mut parameters = Parameters::new();
    for (name, shape) in networks.iter().flat_map(Network::parameters) {
        let tensor = Tensor::from_vec(values(&name, &shape)?, shape, device)
            .map_err(|e| WeightsError::Encoder(format!("tensor {name}: {e}")))?;
        parameters.insert(name, tensor);
    }
    Ok(parameters)
}

/// Weights of the quality knots for each picture of a batch: (N, QUALITY_KNOTS), linear interpolation.
/// `position` is 0..=1 along the rate scale.
pub(crate) fn knot_weights(positions: &[f32], device: &candle_core::Device) -> Result<Tensor> {
    let rows: Vec<f32> = positions.iter().flat_map(|&p| crate::quality::knot_weights(p)).collect();
    Tensor::from_vec(rows, (positions.len(), QUALITY_KNOTS), device)
}

/// Runs a network on x (N, H, W, C); `knots` as from [`knot_weights`].
pub(crate) fn run(network: &Network, parameters: &Parameters, x: &Tensor, knots: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return chain::run(network, parameters, x, knots);
    }
    layer_by_layer(network, parameters, x, knots)
}

/// [`run`] from candle's primitives.
fn layer_by_layer(network: &Network, parameters: &Parameters, x: &Tensor, knots: &Tensor) -> Result<Tensor> {
    use ops::composed;

    let mut x = x.clone();
    for (index, layer) in network.layers.iter().enumerate() {
        let p = |name: &str| parameter(parameters, &network.parameter(index, name));
        x = match layer {
            Layer::Linear { .. } => composed::linear(&x, p("weight")?, p("bias")?)?,
            Layer::Conv3 { .. } => composed::linear(&composed::unfold3(&x)?, p("weight")?, p("bias")?)?,
            Layer::Conv2 { grow, .. } => {
                composed::linear(&composed::unfold2(&x, *grow)?, p("weight")?, p("bias")?)?
            }
            Layer::Block { .. } => {
                let branch = composed::depthwise3(&x, p("depthwise.weight")?, p("depthwise.bias")?)?;
                let branch =
                    composed::gate(&composed::linear(&branch, p("expand.weight")?, p("expand.bias")?)?)?;
                let branch = composed::linear(&branch, p("project.weight")?, p("project.bias")?)?;
                composed::scaled_add(&x, &branch, &knots.matmul(p("quality")?)?)?
            }
            Layer::Unshuffle(k) => ops::unshuffle(&x, *k)?,
            Layer::Shuffle(k) => ops::shuffle(&x, *k)?,
            Layer::LappedUnshuffle(k) => ops::lapped_unshuffle(&x, *k)?,
            Layer::LappedShuffle(k) => ops::lapped_shuffle(&x, *k)?,
        };
    }
    Ok(x)
}
