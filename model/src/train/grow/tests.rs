use super::*;
use crate::train::objective::{Codec, Quantiser};
use crate::train::{Parameters, initial_weights};
use candle_core::{Device, Tensor};
use rand::SeedableRng;

fn tiny() -> (Architecture, Parameters) {
    let whole = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/tiny.safetensors");
    initial_weights(whole, &Device::Cpu).unwrap()
}

fn larger() -> Architecture {
    Architecture {
        y: 48,
        z: 12,
        analysis: 32,
        analysis_blocks: 2,
        hyper: 24,
        scale: 20,
        synthesis: 40,
        synthesis_blocks: 3,
        ..Architecture::tiny()
    }
}

fn tensors(values: Values) -> Parameters {
    values
        .into_iter()
        .map(|(name, (shape, data))| (name, Tensor::from_vec(data, shape, &Device::Cpu).unwrap()))
        .collect()
}

/// Bits a pixel and mean squared error of one picture.
fn cost(arch: &Architecture, values: &Parameters, position: f32) -> [f32; 2] {
    let picture = crate::pixels::test_picture(128, 64);
    let pixels: Vec<f32> = picture.rgb.iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect();
    let x = Tensor::from_vec(pixels, (1, 64, 128, 3), &Device::Cpu).unwrap();
    let pass = Codec::new(arch).pass(values, &x, &[position], Quantiser::Round).unwrap();
    [pass.bpp, pass.mse].map(|t| t.to_vec1::<f32>().unwrap()[0])
}

#[test]
fn a_grown_model_draws_the_same_pictures() {
    let (from, values) = tiny();
    let to = larger();
    let grown = tensors(grow(&from, &values, &to, &mut StdRng::seed_from_u64(5)).unwrap());
    for position in [0.0, 0.4, 1.0] {
        let ([bpp, mse], [more, same]) = (cost(&from, &values, position), cost(&to, &grown, position));
        assert!((mse - same).abs() < 1e-3 * mse, "{mse} became {same}");
        // New latents cost something until they have learned to be of use.
        assert!(more >= bpp && more < 1.3 * bpp + 0.1, "{bpp} became {more}");
    }
}

#[test]
fn a_longer_rate_scale_begins_with_the_old_one() {
    let (from, values) = tiny();
    let to = Architecture { lambda: [0.0009, 0.3], ..from.clone() };
    let grown = tensors(grow(&from, &values, &to, &mut StdRng::seed_from_u64(5)).unwrap());
    for old in [0.0, 0.3, 0.9] {
        let new = to.position_of(f64::from(from.lambda_at(old)));
        for (before, after) in cost(&from, &values, old).into_iter().zip(cost(&to, &grown, new)) {
            assert!((before - after).abs() < 0.05 * before, "at {old}: {before} became {after}");
        }
    }
    assert!(cost(&to, &grown, 1.0)[1] < cost(&from, &values, 1.0)[1]);
}

#[test]
fn the_same_model_stays_as_it_is() {
    let (from, values) = tiny();
    for (name, (_, data)) in grow(&from, &values, &from, &mut StdRng::seed_from_u64(5)).unwrap() {
        let old = values[&name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Interpolation at the knots rounds.
        assert!(data.iter().zip(&old).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs()), "{name}");
    }
}

#[test]
fn a_smaller_model_is_refused_by_name() {
    let (from, values) = tiny();
    let error = |to: Architecture| {
        grow(&from, &values, &to, &mut StdRng::seed_from_u64(5)).expect_err("cannot be grown").to_string()
    };
    assert_eq!(
        error(Architecture { y: 16, ..from.clone() }),
        "cannot start tiny from tiny: it has 32 channels of y, more than 16"
    );
    assert!(error(Architecture { head: 0, ..from.clone() }).contains("lapped"));
    assert!(error(Architecture { lambda: [0.0009, 0.1], ..from.clone() }).contains("0.15"));
}
