//! Starting weights: the network begins as a transform codec.
//!
//! g_a starts as an orthonormal 8×8 DCT in a luma/chroma basis, extended over 2×2 neighbours by a
//! Hadamard transform; g_s as its inverse; every residual branch near zero.

use crate::architecture::Architecture;
use crate::network::{Layer, Network, QUALITY_KNOTS, STEPS};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::f32::consts::PI;

/// Named values with their shapes.
pub(crate) type Values = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Orthonormal colour basis: luma, then two chroma axes.
const COLOURS: [[f32; 3]; 3] = [
    [0.577_350_3, 0.577_350_3, 0.577_350_3],
    [0.707_106_77, 0.0, -0.707_106_77],
    [0.408_248_3, -0.816_496_6, 0.408_248_3],
];

/// One basis function of the patch: colour axis, vertical and horizontal frequency.
type Basis = (usize, usize, usize);

/// Fresh values for every parameter of `arch`.
pub(super) fn initial(arch: &Architecture, rng: &mut StdRng) -> Values {
    let mut values = random(arch, rng);
    transform_start(arch, &mut values);
    values
}

/// [`initial`] without the transform: random weights, near-zero residual branches and means.
pub(super) fn random(arch: &Architecture, rng: &mut StdRng) -> Values {
    let mut values = Values::new();
    for network in arch.encoder_networks().iter().chain(&arch.decoder_networks()).chain([&arch.scale()]) {
        randomise(network, rng, &mut values);
    }

    // Means and the correction start near zero, σ near 1.
    let quieten = |values: &mut Values, name: &str, by: f32| {
        values.get_mut(name).expect("a parameter of the layer list").1.iter_mut().for_each(|v| *v *= by);
    };
    quieten(&mut values, "mean0.0.weight", 0.1);
    for name in (1..STEPS).map(|s| format!("mean{s}")).chain(["correction".to_string()]) {
        quieten(&mut values, &format!("{name}.2.weight"), 0.1);
    }
    let last = arch.scale().layers.len() - 1;
    values.get_mut(&format!("scale.{last}.bias")).expect("has a bias").1.fill(18.0);

    let knots = |c: usize, f: &dyn Fn(f32) -> f32| {
        let data =
            (0..QUALITY_KNOTS).flat_map(|k| vec![f(k as f32 / (QUALITY_KNOTS - 1) as f32); c]).collect();
        (vec![QUALITY_KNOTS, c], data)
    };
    // A uniform quantiser of step Δ at high rate spends λ·255²·Δ²/36 = 1/(2 ln 2) a coefficient: 1/Δ ∝ √λ.
    values.insert("gain".into(), knots(arch.y, &|p| (30.0 * arch.lambda_at(p).sqrt()).ln()));
    values.insert("prior.mean".into(), knots(arch.z, &|_| 0.0));
    values.insert("prior.log_scale".into(), knots(arch.z, &|_| 0.5));
    values
}

pub(crate) fn randomise(network: &Network, rng: &mut StdRng, values: &mut Values) {
    for (index, layer) in network.layers.iter().enumerate() {
        for (name, shape) in layer.parameters() {
            let count: usize = shape.iter().product();
            let deviation = match name {
                "weight" | "expand.weight" => (shape[0] as f32).powf(-0.5),
                "project.weight" => 0.1 * (shape[0] as f32).powf(-0.5),
                "depthwise.weight" => 1.0 / 3.0,
                _ => 0.0,
            };
            let mut data: Vec<f32> = (0..count).map(|_| deviation * normal(rng)).collect();
            if name == "quality" {
                data.fill(1.0);
            }
            if let (Layer::Block { channels }, "depthwise.weight") = (layer, name) {
                data[4 * channels..5 * channels].iter_mut().for_each(|v| *v += 1.0);
            }
            values.insert(network.parameter(index, name), (shape, data));
        }
    }
}

/// A standard normal value (Box & Muller 1958).
pub(crate) fn normal(rng: &mut StdRng) -> f32 {
    let (u, v): (f32, f32) = (rng.random_range(f32::MIN_POSITIVE..1.0), rng.random());
    (-2.0 * u.ln()).sqrt() * (2.0 * PI * v).cos()
}

/// The `count` basis functions of lowest frequency: two thirds luma or more, the rest split over chroma.
fn lowest(count: usize, luma: usize) -> Vec<Basis> {
    let mut by_frequency: Vec<(usize, usize)> = (0..64).map(|k| (k / 8, k % 8)).collect();
    by_frequency.sort_by_key(|&(u, v)| (u * u + v * v, u));
    let chroma = (count - luma) / 2;
    let take = |colour: usize, n: usize| by_frequency[..n].iter().map(move |&(u, v)| (colour, u, v));
    take(0, luma).chain(take(1, chroma)).chain(take(2, count - luma - chroma)).collect()
}

fn dct(frequency: usize, at: usize) -> f32 {
    let norm = if frequency == 0 { (1.0f32 / 8.0).sqrt() } else { 0.5 };
    norm * (PI / 8.0 * (at as f32 + 0.5) * frequency as f32).cos()
}

fn basis_value((colour, u, v): Basis, y: usize, x: usize, channel: usize) -> f32 {
    dct(u, y) * dct(v, x) * COLOURS[colour][channel]
}

/// Where pixel (y, x) of an 8×8 patch lies in the four patches around its corners: (corner, dy, dx, channel).
fn lapped_index(y: usize, x: usize, channel: usize) -> usize {
    let corner = y / 4 * 2 + x / 4;
    ((corner * 8 + (y + 4) % 8) * 8 + (x + 4) % 8) * 3 + channel
}

/// Sign of the 2×2 Hadamard function (a, b) at (dy, dx).
fn hadamard(a: usize, b: usize, dy: usize, dx: usize) -> f32 {
    if (a * dy + b * dx).is_multiple_of(2) { 0.5 } else { -0.5 }
}

/// Which (patch basis, Hadamard) pairs the channels of y carry, lowest frequencies first.
fn latent_basis(y: usize, patch: &[Basis]) -> Vec<(usize, usize, usize)> {
    let mut all: Vec<(usize, usize, usize)> =
        (0..patch.len()).flat_map(|k| [(k, 0, 0), (k, 0, 1), (k, 1, 0), (k, 1, 1)]).collect();
    // A chroma frequency counts as twice as high: its variance is that much lower.
    all.sort_by_key(|&(k, a, b)| {
        let (colour, u, v) = patch[k];
        let weight = if colour == 0 { 1 } else { 5 };
        (weight * ((2 * u + a) * (2 * u + a) + (2 * v + b) * (2 * v + b)), k, a, b)
    });
    all.truncate(y);
    all
}

fn transform_start(arch: &Architecture, values: &mut Values) {
    let set = |values: &mut Values, name: &str, f: &mut dyn FnMut(&mut [f32])| {
        f(&mut values.get_mut(name).expect("a parameter of the layer list").1);
    };
    let synthesis_patch = lowest(arch.synthesis, (arch.synthesis * 2 / 3).min(64));
    // The analysis carries the same functions first, then further ones of chroma.
    let mut analysis_patch = synthesis_patch.clone();
    let wider = lowest(192, 64);
    analysis_patch.extend(
        wider
            .iter()
            .filter(|b| !synthesis_patch.contains(b))
            .take(arch.analysis.saturating_sub(arch.synthesis)),
    );
    let latent = latent_basis(arch.y, &synthesis_patch);

    let c = arch.analysis;
    set(values, "analysis.1.weight", &mut |w| {
        w.fill(0.0);
        for (k, &basis) in analysis_patch.iter().take(c).enumerate() {
            for i in 0..192 {
                let (y, x, channel) = (i / 24, i / 3 % 8, i % 3);
                let row = if arch.head == 0 { lapped_index(y, x, channel) } else { i };
                w[row * c + k] = basis_value(basis, y, x, channel);
            }
        }
    });
    let down = arch.analysis().layers.len() - 1;
    set(values, &format!("analysis.{down}.weight"), &mut |w| {
        w.iter_mut().for_each(|v| *v *= 0.05);
        for (out, &(k, a, b)) in latent.iter().enumerate() {
            for position in 0..4 {
                w[(position * c + k) * arch.y + out] += hadamard(a, b, position / 2, position % 2);
            }
        }
    });

    let c = arch.synthesis;
    set(values, "synthesis.0.weight", &mut |w| {
        w.iter_mut().for_each(|v| *v *= 0.05);
        for (row, &(k, a, b)) in latent.iter().enumerate() {
            for position in 0..4 {
                w[row * 4 * c + position * c + k] += hadamard(a, b, position / 2, position % 2);
            }
        }
    });
    if arch.head == 0 {
        let up = arch.synthesis().layers.len() - 2;
        set(values, &format!("synthesis.{up}.weight"), &mut |w| {
            w.fill(0.0);
            for (k, &basis) in synthesis_patch.iter().enumerate() {
                for i in 0..192 {
                    let (y, x, channel) = (i / 24, i / 3 % 8, i % 3);
                    let at = lapped_index(y, x, channel);
                    // A cell is the last of the four around its first corner, the first around its last one.
                    let (tap, value) = (3 - at / 192, at % 192);
                    w[(tap * c + k) * 192 + value] = basis_value(basis, y, x, channel);
                }
            }
        });
        return;
    }
    let head = arch.head;
    let up = arch.synthesis().layers.len() - 4;
    set(values, &format!("synthesis.{up}.weight"), &mut |w| {
        for (k, &basis) in synthesis_patch.iter().enumerate() {
            for position in 0..16 {
                for channel in 0..12.min(head) {
                    let (y, x) = (2 * (position / 4) + channel / 6, 2 * (position % 4) + channel / 3 % 2);
                    w[k * 16 * head + position * head + channel] = basis_value(basis, y, x, channel % 3);
                }
            }
        }
    });
    set(values, &format!("synthesis.{}.weight", up + 2), &mut |w| {
        w.iter_mut().for_each(|v| *v *= 0.02);
        for channel in 0..12.min(head) {
            w[(4 * head + channel) * 12 + channel] += 1.0;
        }
    });
}
