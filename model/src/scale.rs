//! The scale network: integer half of h_s. FORMAT.md, section 5.
//!
//! It decides which table each symbol is read with, so it must give the same levels on every machine:
//! integers only, no overflow (checked when a model is loaded), no order of summation to worry about.

use crate::kernels::{Dims, Isa, PackedIntegers, integer_product, unfold3};
use crate::network::{Layer, Network};
use bottleneck_proto::Quality;

/// Scale levels: standard deviations from 0.11 up by a factor e^0.123 each.
pub(crate) const LEVELS: usize = 64;
/// Standard deviation of level 0.
#[cfg(feature = "train")]
pub(crate) const SCALE_MIN: f64 = 0.11;
/// Logarithm of the ratio of two levels: ln(256 / 0.11) / 63.
#[cfg(feature = "train")]
pub(crate) const LEVEL_STEP: f64 = 0.123_056_2;

/// Fraction bits of the network's input.
const INPUT_BITS: u32 = 5;
/// Fraction bits of the hidden activations, which are clamped to 0..=[`ACTIVATION_TOP`].
const ACTIVATION_BITS: u32 = 6;
const ACTIVATION_TOP: i32 = 4095;
/// The same bound as a real number.
#[cfg(feature = "train")]
pub(crate) const ACTIVATION_MAX: f64 = ACTIVATION_TOP as f64 / (1 << ACTIVATION_BITS) as f64;
/// The quality enters as `quality >> QUALITY_SHIFT`, in units of 1/32.
pub(crate) const QUALITY_SHIFT: u32 = 10;
#[cfg(feature = "train")]
pub(crate) const QUALITY_UNIT: i32 = 1 << INPUT_BITS;
/// Largest magnitude of a z symbol.
pub(crate) const Z_MAX: i16 = 127;

/// Fraction bits of a layer's input.
pub(crate) fn fraction_bits(first: bool) -> u32 {
    if first { INPUT_BITS } else { ACTIVATION_BITS }
}

/// Weights of one layer: rows of `inputs` i16 for each output, bias at the accumulator's scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntegerLayer {
    pub(crate) weight: Vec<i16>,
    pub(crate) bias: Vec<i32>,
    /// Fraction bits of the weights.
    pub(crate) bits: u32,
}

/// The network with its weights.
#[derive(Clone, Debug)]
pub(crate) struct ScaleNetwork {
    layers: Vec<(Layer, Option<(IntegerLayer, PackedIntegers)>)>,
    isa: Isa,
}

impl ScaleNetwork {
    /// Joins the layer list with its weights (one for each layer that has any); the error says what is wrong.
    pub(crate) fn new(
        network: &Network,
        weights: Vec<IntegerLayer>,
        isa: Isa,
    ) -> Result<ScaleNetwork, String> {
        let mut weights = weights.into_iter();
        let mut layers = Vec::new();
        for (index, layer) in network.layers.iter().enumerate() {
            let name = network.parameter(index, "weight");
            let integer = match layer_size(layer) {
                None => None,
                Some((inputs, outputs)) => {
                    let weights = weights.next().ok_or_else(|| format!("{name} is missing"))?;
                    check(&name, &weights, inputs, outputs, index == 0)?;
                    let packed = PackedIntegers::new(&weights.weight, &weights.bias);
                    Some((weights, packed))
                }
            };
            layers.push((*layer, integer));
        }
        Ok(ScaleNetwork { layers, isa })
    }

    /// Index, layer and weights of every layer that has any.
    #[cfg(feature = "train")]
    pub(crate) fn weights(&self) -> impl Iterator<Item = (usize, &IntegerLayer)> {
        self.layers.iter().enumerate().filter_map(|(index, (_, weights))| Some((index, &weights.as_ref()?.0)))
    }

    /// Scale levels (H/16, W/16, y) from z (`h`, `w`, z) and the quality.
    #[cfg(any(test, feature = "nn"))]
    pub(crate) fn levels(&self, z: &[i16], h: usize, w: usize, quality: Quality) -> Vec<u8> {
        let mut levels = Vec::new();
        self.levels_into(z, h, w, quality, &mut levels);
        levels
    }

    /// The same in the place of whatever `levels` holds.
    pub(crate) fn levels_into(&self, z: &[i16], h: usize, w: usize, quality: Quality, levels: &mut Vec<u8>) {
        levels.clear();
        let channels = z.len() / (h * w);
        let q = (quality.0 >> QUALITY_SHIFT) as i16;
        let mut x: Vec<i16> = Vec::with_capacity(h * w * (channels + 1));
        for cell in z.chunks_exact(channels) {
            x.extend(cell.iter().map(|&v| v << INPUT_BITS));
            x.push(q);
        }
        let mut dims = Dims { h, w, c: channels + 1 };
        let last = self.layers.len() - 1;
        for (index, (layer, weights)) in self.layers.iter().enumerate() {
            let Some((weights, packed)) = weights else {
                let Layer::Shuffle(k) = layer else {
                    unreachable!("ScaleNetwork::new gives every other layer weights");
                };
                (x, dims) = shuffled(&x, dims, *k);
                continue;
            };
            let next = Dims { c: packed.outputs(), ..dims };
            let conv3 = matches!(layer, Layer::Conv3 { .. });
            let shift = fraction_bits(index == 0) + weights.bits;
            if index == last {
                // Bytes at once: in 16 bits they would be the largest map of all.
                levels.reserve_exact(next.len());
                let row = |row: &[i16]| levels.extend(row.iter().map(|&v| v as u8));
                apply(self.isa, (&x, dims), conv3, packed, shift, LEVELS as i32 - 1, row);
            } else {
                let mut out = Vec::with_capacity(next.len());
                let (shift, row) = (shift - ACTIVATION_BITS, |row: &[i16]| out.extend_from_slice(row));
                apply(self.isa, (&x, dims), conv3, packed, shift, ACTIVATION_TOP, row);
                x = out;
            }
            dims = next;
        }
    }
}

/// Inputs and outputs of a layer that has weights.
pub(crate) fn layer_size(layer: &Layer) -> Option<(usize, usize)> {
    match *layer {
        Layer::Linear { input, output } => Some((input, output)),
        Layer::Conv3 { input, output } => Some((9 * input, output)),
        _ => None,
    }
}

/// No accumulator can leave i32 for any input that may occur.
pub(crate) fn check(
    name: &str,
    layer: &IntegerLayer,
    inputs: usize,
    outputs: usize,
    first: bool,
) -> Result<(), String> {
    if layer.weight.len() != inputs * outputs || layer.bias.len() != outputs {
        return Err(format!(
            "{name} holds {} weights and {} biases; {} and {outputs} are needed",
            layer.weight.len(),
            layer.bias.len(),
            inputs * outputs
        ));
    }
    if !(1..=14).contains(&layer.bits) {
        return Err(format!("{name} has {} fraction bits; allowed: 1 to 14", layer.bits));
    }
    let top = if first { i64::from(Z_MAX) << INPUT_BITS } else { i64::from(ACTIVATION_TOP) };
    for (row, bias) in layer.weight.chunks_exact(inputs).zip(&layer.bias) {
        let sum: i64 = row.iter().map(|&w| i64::from(w).abs()).sum();
        if sum * top + i64::from(*bias).abs() + (1 << 24) > i64::from(i32::MAX) {
            return Err(format!("{name} could overflow 32 bits"));
        }
    }
    Ok(())
}

fn shuffled(x: &[i16], dims: Dims, k: usize) -> (Vec<i16>, Dims) {
    let mut out = vec![0; x.len()];
    crate::kernels::shuffle(x, dims, k, &mut out);
    (out, Dims { h: dims.h * k, w: dims.w * k, c: dims.c / (k * k) })
}

/// One layer: dot products, bias, rounding shift, clamp to 0..=`top`. Gives `done` one row of the map after the other.
fn apply(
    isa: Isa,
    (x, dims): (&[i16], Dims),
    conv3: bool,
    packed: &PackedIntegers,
    shift: u32,
    top: i32,
    mut done: impl FnMut(&[i16]),
) {
    let inputs = packed.inputs();
    let taps = if conv3 { 9 * dims.c } else { dims.c };
    let mut out = vec![0i16; dims.w * packed.outputs()];
    let mut unfolded = vec![0i16; dims.w * taps];
    let mut padded = vec![0i16; dims.w * inputs];
    for row in 0..dims.h {
        let mut cells = &x[row * dims.w * dims.c..][..dims.w * dims.c];
        if conv3 {
            unfold3(x, dims, row..row + 1, &mut unfolded);
            cells = &unfolded;
        }
        if taps != inputs {
            for (padded, cell) in padded.chunks_exact_mut(inputs).zip(cells.chunks_exact(taps)) {
                padded[..taps].copy_from_slice(cell);
            }
            cells = &padded;
        }
        integer_product(isa, cells, packed, shift, top, &mut out);
        done(&out);
    }
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;
    use crate::entropy::{Decoder, Encoder};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// Random z through the scale network on every path, and random symbols of its levels through the coder.
    /// `BOTTLENECK_SYMBOLS=100000000` makes it long.
    #[test]
    fn random_symbols_survive_every_path() {
        let wanted: usize = std::env::var("BOTTLENECK_SYMBOLS").map_or(1_000_000, |n| n.parse().unwrap());
        let model = crate::Model::lite();
        let mut scalar = model.scale.clone();
        scalar.isa = Isa::Scalar;
        let (h, w, channels) = (4, 5, model.architecture.z);
        let mut rng = StdRng::seed_from_u64(5);
        let mut done = 0;
        while done < wanted {
            let spread = rng.random_range(1..=Z_MAX);
            let z: Vec<i16> = (0..h * w * channels).map(|_| rng.random_range(-spread..=spread)).collect();
            let quality = Quality(rng.random());
            let levels = model.scale.levels(&z, h, w, quality);
            assert!(levels == scalar.levels(&z, h, w, quality), "levels differ without SIMD");
            let tables = levels.iter().map(|&level| &model.tables.residual[usize::from(level)]);
            let mut encoder = Encoder::default();
            let symbols: Vec<i16> = tables
                .clone()
                .map(|table| {
                    // Mostly inside the table, sometimes far out.
                    let reach = if rng.random_ratio(1, 500) { 20_000 } else { 1 << rng.random_range(0..6) };
                    let symbol = rng.random_range(-reach..=reach);
                    encoder.put(symbol as i16, table);
                    symbol as i16
                })
                .collect();
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            for (table, symbol) in tables.zip(&symbols) {
                assert_eq!(decoder.get(table), Ok(*symbol));
            }
            decoder.finish().unwrap();
            done += symbols.len();
        }
    }
}
