//! Custom operations against candle's own, forward and backward; candle against the plain interpreter.

use super::{knot_weights, ops, run};
use crate::architecture::Architecture;
use crate::kernels::{Dims, Isa};
use crate::network::{Layer, Network};
use crate::pixels::from_network;
use crate::plain::{Ending, Map, Networks, Scratch};
use crate::synthesis::Synthesis;
use candle_core::{Device, Result, Tensor, Var};

/// Reproducible values in −1..1.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn var(shape: &[usize], seed: u64) -> Var {
    let data = values(shape.iter().product(), seed);
    Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu).unwrap()).unwrap()
}

fn assert_close(what: &str, a: &Tensor, b: &Tensor, tolerance: f32) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    let a: Vec<f32> = a.flatten_all().unwrap().to_vec1().unwrap();
    let b: Vec<f32> = b.flatten_all().unwrap().to_vec1().unwrap();
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}: {a} against {b}");
    }
}

/// Value and gradients of `ours` and `oracle` agree for a random weighting of the result.
fn check(
    name: &str,
    inputs: &[Var],
    ours: impl Fn(&[Var]) -> Result<Tensor>,
    oracle: impl Fn(&[Var]) -> Result<Tensor>,
) {
    let (a, b) = (ours(inputs).unwrap(), oracle(inputs).unwrap());
    assert_close(name, &a, &b, 1e-5);
    let weighting = var(a.dims(), 99);
    let gradients =
        |result: &Tensor| (result * weighting.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    let (ga, gb) = (gradients(&a), gradients(&b));
    for (index, input) in inputs.iter().enumerate() {
        assert_close(
            &format!("{name}, gradient {index}"),
            ga.get(input).unwrap(),
            gb.get(input).unwrap(),
            1e-4,
        );
    }
}

#[test]
fn custom_operations_have_the_gradients_of_composed_ones() {
    for (h, w) in [(1, 1), (2, 5), (7, 4)] {
        let x = || var(&[2, h, w, 16], 1);
        let inputs = [x(), var(&[16, 24], 2), var(&[24], 3)];
        check(
            "linear",
            &inputs,
            |v| ops::linear(&v[0], &v[1], &v[2]),
            |v| ops::composed::linear(&v[0], &v[1], &v[2]),
        );
        check("unfold3", &[x()], |v| ops::unfold3(&v[0]), |v| ops::composed::unfold3(&v[0]));
    }
}

/// Every layer as a link of a chain, against candle layer by layer: values, and the gradients of x and all parameters.
#[test]
fn a_chain_has_the_gradients_of_its_layers() {
    let block = Layer::Block { channels: 16 };
    let chains = [
        (vec![Layer::Linear { input: 8, output: 16 }, block, Layer::Unshuffle(2)], [2, 4, 6, 8]),
        (vec![block, Layer::Conv3 { input: 16, output: 8 }, Layer::Shuffle(2)], [2, 3, 1, 16]),
        (vec![Layer::Conv2 { input: 8, output: 8, grow: true }, Layer::LappedShuffle(2)], [2, 3, 2, 8]),
        (vec![Layer::LappedUnshuffle(4), Layer::Conv2 { input: 48, output: 8, grow: false }], [2, 8, 4, 3]),
        (vec![Layer::Unshuffle(2), Layer::Conv3 { input: 12, output: 16 }, block, block], [3, 4, 2, 3]),
    ];
    for (layers, shape) in chains {
        let network = Network::new("chain", 16, layers);
        let names: Vec<(String, Vec<usize>)> = network.parameters().collect();
        let mut inputs = vec![var(&shape, 1)];
        inputs.extend(names.iter().enumerate().map(|(k, (_, shape))| var(shape, 2 + k as u64)));
        let knots = knot_weights(&[0.0, 0.31, 0.9][..shape[0]], &Device::Cpu).unwrap();
        let with = |run: fn(&Network, &super::Parameters, &Tensor, &Tensor) -> Result<Tensor>| {
            let (network, names, knots) = (&network, &names, &knots);
            move |v: &[Var]| {
                let tensors = v[1..].iter().map(|v| v.as_tensor().clone());
                let parameters = names.iter().map(|(name, _)| name.clone()).zip(tensors).collect();
                run(network, &parameters, v[0].as_tensor(), knots)
            }
        };
        check(&format!("{:?}", network.layers), &inputs, with(run), with(super::layer_by_layer));
    }
}

/// The same random network in candle and in plain Rust (invariant 3).
fn assert_parity(network: &Network, h: usize, w: usize, c: usize) {
    let mut floats = std::collections::HashMap::new();
    let mut tensors = super::Parameters::new();
    for (index, (name, shape)) in network.parameters().enumerate() {
        let count: usize = shape.iter().product();
        let scale = (shape[0] as f32).powf(-0.5);
        let data: Vec<f32> = values(count, 1000 + index as u64).iter().map(|v| v * scale).collect();
        tensors.insert(name.clone(), Tensor::from_vec(data.clone(), shape, &Device::Cpu).unwrap());
        floats.insert(name, data);
    }
    let x = values(h * w * c, 7);
    let networks = |isa: Isa, fixed: bool, ending: Ending| {
        let mut networks = Networks::new(isa, fixed);
        let of = |name: &str, _: &[usize]| Ok::<_, std::convert::Infallible>(floats[name].clone());
        let Ok(()) = networks.add(network, ending, of);
        networks
    };
    let map = Map { dims: Dims { h, w, c }, data: x.clone() };
    let plain = |isa: Isa, fixed: bool| {
        networks(isa, fixed, Ending::Plain).run(&network.name, &[&map], 0.3, &mut Scratch::default())
    };
    let floats = plain(Isa::best(), false);
    if network.name == "synthesis" {
        // Lapped patches have a way of their own to bytes.
        let most = if network.layers.contains(&Layer::LappedShuffle(8)) { 0.502 } else { 0.0 };
        assert_picture(&networks(Isa::best(), false, Ending::Bytes), &map, &floats, most);
        assert_picture(&networks(Isa::Scalar, false, Ending::Bytes), &map, &floats, 0.502);
        // In fixed point they may be a little further off.
        assert_picture(&networks(Isa::best(), true, Ending::Bytes), &map, &floats, 0.75);
    }
    let knots = knot_weights(&[0.3], &Device::Cpu).unwrap();
    let tensor = |map: Map| {
        let Dims { h, w, c } = map.dims;
        Tensor::from_vec(map.data, (1, h, w, c), &Device::Cpu).unwrap()
    };
    let candle = run(network, &tensors, &tensor(map.clone()), &knots).unwrap();
    assert_close(&network.name, &candle, &tensor(floats.clone()), 1e-5);
    assert_close(&network.name, &tensor(plain(Isa::Scalar, false)), &tensor(floats.clone()), 1e-5);
    // In fixed point errors are of the size of the whole map's values.
    let fixed = plain(Isa::best(), true).data;
    let power = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>();
    let differences: Vec<f32> = fixed.iter().zip(&floats.data).map(|(a, b)| a - b).collect();
    let lost = (power(&differences) / power(&floats.data)).sqrt();
    assert!(lost < 2e-3, "{}: {lost}", network.name);
}

/// Bytes in strips are those of the whole map, or where it is computed in another way, `most` off at most; and they do
/// not depend on where it is cut.
fn assert_picture(networks: &Networks, input: &Map, whole: &Map, most: f32) {
    let stride = whole.dims.w * 3;
    for (width, height) in [(whole.dims.w, whole.dims.h), (3, 2), (whole.dims.w - 5, whole.dims.h - 13)] {
        let cuts = [vec![3], vec![1, 2], vec![2, 1], vec![1, 1, 1]];
        let [expected, others @ ..] = cuts.map(|strips| {
            let mut synthesis = Synthesis::new(networks, 0.3, (width, height));
            let (mut found, mut row) = (Vec::new(), 0);
            for rows in strips {
                let strip = input.rows(row..row + rows);
                row += rows;
                let last = row == input.dims.h;
                found.extend_from_slice(synthesis.strip(&strip, last, &mut Scratch::default()));
            }
            found
        });
        assert!(others.iter().all(|found| *found == expected), "{width}×{height}");
        let lines = whole.data.chunks_exact(stride).take(height);
        let floats: Vec<f32> = lines.flat_map(|line| line[..width * 3].iter().copied()).collect();
        assert_eq!(floats.len(), expected.len());
        if most == 0.0 {
            assert!(floats.iter().map(|&v| from_network(v)).eq(expected), "{width}×{height}");
            continue;
        }
        for (&float, &byte) in floats.iter().zip(&expected) {
            let exact = (float * 127.5 + 127.5).clamp(0.0, 255.0);
            assert!((exact - f32::from(byte)).abs() < most, "{width}×{height}: {byte} for {exact}");
        }
    }
}

#[test]
fn candle_and_plain_networks_agree() {
    let arch = Architecture::lite();
    assert_parity(&arch.analysis(), 48, 32, 3);
    assert_parity(&arch.hyper_analysis(), 8, 4, arch.y);
    assert_parity(&arch.hyper_synthesis(), 2, 3, arch.z);
    assert_parity(&arch.mean(0), 3, 3, arch.hyper);
    assert_parity(&arch.correction(), 3, 5, arch.y + arch.hyper);
    assert_parity(&arch.synthesis(), 3, 2, arch.y);
    assert_parity(&Architecture::tiny().analysis(), 48, 32, 3);
    assert_parity(&Architecture::tiny().synthesis(), 3, 2, Architecture::tiny().y);
}
