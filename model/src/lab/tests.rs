//! Models, losses and training on pictures that the tests make.

use super::fit::{gaussian, terms};
use super::loss::{kl, logistic, reconstruction};
use super::model::{Autoencoder, Posterior};
use super::*;
use crate::nn::Parameters;
use candle_core::{Device, Tensor};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes an IDX set of `train` and `test` pictures of 8×8: a bright square whose place is the label.
pub(super) fn write_idx(folder: &Path, train: usize, test: usize) {
    for (set, count) in [("train", train), ("t10k", test)] {
        let header = |magic: u8, sides: &[u32]| {
            let mut bytes = vec![0, 0, 8, magic];
            sides.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
            bytes
        };
        let mut pictures = header(3, &[count as u32, 8, 8]);
        let mut labels = header(1, &[count as u32]);
        for k in 0..count {
            let label = k % 10;
            let inside = |at: usize| (label % 5..label % 5 + 4).contains(&at);
            let shade = 255 - (k / 10 % 4 * 20) as u8;
            pictures.extend((0..64).map(|i| if inside(i % 8) && (i / 32 == label / 5) { shade } else { 0 }));
            labels.push(label as u8);
        }
        std::fs::write(folder.join(format!("{set}-images-idx3-ubyte")), pictures).unwrap();
        std::fs::write(folder.join(format!("{set}-labels-idx1-ubyte")), labels).unwrap();
    }
}

pub(super) fn settings(kind: Kind, data: &Path) -> Settings {
    Settings {
        kind,
        bottleneck: 3,
        beta: 1.0,
        likelihood: Likelihood::Bernoulli,
        hidden: vec![16],
        data: data.into(),
        side: 8,
        epochs: 2,
        batch: 16,
        learning_rate: 5e-3,
        weight_decay: 0.0,
        patience: 100,
        seed: 5,
        workers: 2,
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn tensors(model: &Autoencoder, seed: u64) -> Parameters {
    let initial = model.initial(&mut StdRng::seed_from_u64(seed)).into_iter();
    let var =
        |shape: Vec<usize>, data: Vec<f32>| candle_core::Var::from_vec(data, shape, &Device::Cpu).unwrap();
    initial.map(|(name, (shape, data))| (name, var(shape, data).into_inner())).collect()
}

fn grey(rng: &mut StdRng, n: usize) -> Tensor {
    let data: Vec<f32> = (0..n * 64).map(|_| rng.random()).collect();
    Tensor::from_vec(data, (n, 8, 8, 1), &Device::Cpu).unwrap()
}

#[test]
fn every_model_goes_from_pictures_to_its_bottleneck_and_back() {
    for kind in Kind::ALL {
        for hidden in [vec![], vec![16], vec![24, 12]] {
            let settings = Settings { hidden, ..settings(kind, Path::new("")) };
            let model = Autoencoder::new(&settings, 8, 8).unwrap();
            let p = tensors(&model, 1);
            let mut named: Vec<_> = p.iter().map(|(name, t)| (name.clone(), t.dims().to_vec())).collect();
            let mut shapes = model.shapes();
            named.sort();
            shapes.sort();
            assert_eq!(named, shapes);
            let posterior = model.encode(&p, &grey(&mut StdRng::seed_from_u64(2), 4)).unwrap();
            assert_eq!(posterior.mean.dims(), [4, 3]);
            assert_eq!(posterior.log_variance.is_some(), kind.variational());
            assert_eq!(model.decode(&p, &posterior.mean).unwrap().dims(), [4, 8, 8, 1]);
        }
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_a_reason() {
    let conv = settings(Kind::ConvAe, Path::new(""));
    let error = Autoencoder::new(&conv, 10, 8).err().unwrap().to_string();
    assert!(error.contains("multiples of 4") && error.contains("8×10"), "{error}");
    let none = Settings { bottleneck: 0, ..conv };
    assert!(Autoencoder::new(&none, 8, 8).err().unwrap().to_string().contains("--bottleneck is 0"));
}

/// KL = E_q[ln q(z) − ln p(z)], estimated by sampling, against the closed form.
#[test]
fn closed_form_kl_is_that_of_monte_carlo() {
    let mut rng = StdRng::seed_from_u64(7);
    let (n, samples) = (6, 200_000);
    let mean: Vec<f32> = (0..n).map(|_| rng.random_range(-2.0..2.0)).collect();
    let log_variance: Vec<f32> = (0..n).map(|_| rng.random_range(-3.0..1.0)).collect();
    let tensor = |v: &[f32]| Tensor::from_slice(v, (1, n), &Device::Cpu).unwrap();
    let closed = values(&kl(&tensor(&mean), &tensor(&log_variance)).unwrap());
    for k in 0..n {
        let (m, v) = (f64::from(mean[k]), f64::from(log_variance[k]).exp());
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..samples {
            let e = f64::from(crate::train::init::normal(&mut rng));
            let z = m + v.sqrt() * e;
            let sample = 0.5 * (z * z - e * e - v.ln());
            sum += sample;
            squares += sample * sample;
        }
        let estimate = sum / f64::from(samples);
        let error = ((squares / f64::from(samples) - estimate * estimate) / f64::from(samples)).sqrt();
        let difference = (estimate - f64::from(closed[k])).abs();
        assert!(difference < 5.0 * error + 1e-5, "{k}: {estimate} ± {error} against {}", closed[k]);
    }
}

#[test]
fn reconstruction_terms_are_those_of_their_definitions() {
    let mut rng = StdRng::seed_from_u64(3);
    let x = grey(&mut rng, 2);
    let logits = ((grey(&mut rng, 2) - 0.5).unwrap() * 12.0).unwrap();
    let p: Vec<f64> = values(&logits).iter().map(|&l| 1.0 / (1.0 + (-f64::from(l)).exp())).collect();
    for (found, expected) in values(&logistic(&logits).unwrap()).iter().zip(&p) {
        assert!((f64::from(*found) - expected).abs() < 1e-6);
    }
    let xs: Vec<f64> = values(&x).into_iter().map(f64::from).collect();
    let sum = |term: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
        (0..2).map(|n| (64 * n..64 * (n + 1)).map(|i| term(xs[i], p[i])).sum()).collect()
    };
    let s = 0.3f64;
    let density =
        |x: f64, p: f64| -((-0.5 * ((x - p) / s).powi(2)).exp() / (s * std::f64::consts::TAU.sqrt())).ln();
    let cases = [
        (Likelihood::Bernoulli, sum(&|x, p| -x * p.ln() - (1.0 - x) * (1.0 - p).ln())),
        (Likelihood::Gaussian { deviation: s }, sum(&density)),
    ];
    for (likelihood, expected) in cases {
        let found = values(&reconstruction(likelihood, &logits, &x).unwrap());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((f64::from(*found) / expected - 1.0).abs() < 1e-4, "{found} against {expected}");
        }
    }
}

/// Through the sample, with the noise held fixed: the trick's point is that this gradient exists.
#[test]
fn reparameterised_gradients_are_those_of_finite_differences() {
    for kind in Kind::ALL {
        for likelihood in [Likelihood::Bernoulli, Likelihood::Gaussian { deviation: 0.5 }] {
            let settings = Settings { likelihood, beta: 2.0, ..settings(kind, Path::new("")) };
            let model = Autoencoder::new(&settings, 8, 8).unwrap();
            let p = tensors(&model, 4);
            let mut rng = StdRng::seed_from_u64(5);
            let (x, noise) = (grey(&mut rng, 3), gaussian(&mut rng, 3, 3).unwrap());
            let loss = |p: &Parameters| {
                let (nats, kl) = terms(&settings, &model, p, &x, &noise).unwrap();
                let loss = kl.map_or(nats.clone(), |kl| (nats + (kl * 2.0).unwrap()).unwrap());
                loss.sum_all().unwrap()
            };
            let gradients = crate::train::optimiser::gradients(&loss(&p), &p).unwrap();
            assert_eq!(gradients.len(), p.len());
            for (name, gradient) in &gradients {
                let analytic = values(gradient);
                // Along the gradient itself: one difference tests all of its components.
                let norm = analytic.iter().map(|g| g * g).sum::<f32>().sqrt();
                let along = |by: f32| {
                    let moved = (&p[name] + (gradient * f64::from(by / norm)).unwrap()).unwrap();
                    let mut p = p.clone();
                    p.insert(name.clone(), moved);
                    f64::from(loss(&p).to_scalar::<f32>().unwrap())
                };
                let step = 2e-3;
                let difference = (along(step) - along(-step)) / (2.0 * f64::from(step));
                let tolerance = 0.02 * f64::from(norm) + 0.05;
                assert!(
                    (difference - f64::from(norm)).abs() < tolerance,
                    "{} {name}: {norm} against {difference}",
                    kind.name()
                );
            }
        }
    }
}

#[test]
fn a_sample_is_the_mean_plus_noise_in_units_of_the_deviation() {
    let row = |v: [f32; 2]| Tensor::new(&[v], &Device::Cpu).unwrap();
    let variance = row([4f32.ln(), 0.25f32.ln()]);
    let posterior = Posterior { mean: row([1.0, 2.0]), log_variance: Some(variance) };
    let sample = values(&posterior.sample(&row([3.0, -2.0])).unwrap());
    assert!((sample[0] - 7.0).abs() < 1e-5 && (sample[1] - 1.0).abs() < 1e-5, "{sample:?}");
}

fn train(settings: &Settings, out: &Path) -> (Run, Vec<u8>) {
    let run = fit(settings, out, &AtomicBool::new(false), &mut |_| ()).unwrap().unwrap();
    (run, std::fs::read(out.join("weights.safetensors")).unwrap())
}

#[test]
fn every_model_learns_a_tiny_set_and_is_read_back() {
    let data = tempfile::tempdir().unwrap();
    write_idx(data.path(), 120, 40);
    for kind in Kind::ALL {
        let out = tempfile::tempdir().unwrap();
        let settings = Settings { epochs: 60, hidden: vec![32], ..settings(kind, data.path()) };
        let (run, _) = train(&settings, out.path());
        // The mean picture leaves 0.1; the test pictures are of the same ten kinds.
        assert!(run.test.mse < 0.03, "{}: {:?}", kind.name(), run.test);
        assert_eq!(run.test.kl > 0.0, kind.variational());
        let first = &run.history[0].validation;
        assert!(run.test.negative_elbo() < 0.7 * first.negative_elbo(), "{}", kind.name());
        let trained = load(out.path()).unwrap();
        assert_eq!(trained.run().test, run.test);
    }
}

#[test]
fn a_resumed_run_equals_one_that_was_not_stopped() {
    let data = tempfile::tempdir().unwrap();
    write_idx(data.path(), 120, 20);
    let settings = Settings { epochs: 3, ..settings(Kind::Vae, data.path()) };
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (run, weights) = train(&settings, whole.path());
    // Stops in the middle of the second epoch.
    let stop = AtomicBool::new(false);
    let stopped = fit(&settings, broken.path(), &stop, &mut |progress| {
        if matches!(progress, Progress::Steps { epoch: 2, steps: [2, _] }) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(stopped.unwrap().is_none());
    assert!(load(broken.path()).err().unwrap().to_string().contains("no finished run"));
    let (resumed, resumed_weights) = train(&settings, broken.path());
    assert_eq!(weights, resumed_weights);
    assert_eq!(run.test, resumed.test);

    let other = Settings { seed: 6, ..settings };
    let error = fit(&other, broken.path(), &AtomicBool::new(false), &mut |_| ()).err().unwrap();
    assert!(error.to_string().contains("other settings"), "{error}");
}

#[test]
fn training_stops_when_the_held_out_pictures_get_worse() {
    let data = tempfile::tempdir().unwrap();
    write_idx(data.path(), 120, 20);
    let out = tempfile::tempdir().unwrap();
    // A rate this small changes nothing that a float of the loss could show.
    let settings =
        Settings { epochs: 50, patience: 2, learning_rate: 1e-30, ..settings(Kind::DenseAe, data.path()) };
    let (run, _) = train(&settings, out.path());
    assert_eq!((run.best, run.history.len()), (1, 3));
}

#[test]
fn damaged_runs_are_refused() {
    let data = tempfile::tempdir().unwrap();
    write_idx(data.path(), 60, 20);
    let out = tempfile::tempdir().unwrap();
    train(&Settings { epochs: 1, ..settings(Kind::Vae, data.path()) }, out.path());
    let path = out.path().join("weights.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = load(out.path()).err().unwrap().to_string();
    assert!(error.contains("weights.safetensors") && error.contains("damaged"), "{error}");
    std::fs::write(out.path().join("run.json"), "{}").unwrap();
    assert!(load(out.path()).err().unwrap().to_string().contains("run.json"));
}

#[test]
fn files_of_codes_come_back_as_pictures_and_damaged_ones_are_refused() {
    let data = tempfile::tempdir().unwrap();
    write_idx(data.path(), 120, 40);
    let (out, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = Settings { epochs: 60, hidden: vec![32], ..settings(Kind::DenseAe, data.path()) };
    let (run, _) = train(&settings, out.path());
    train(&Settings { seed: 9, epochs: 1, ..settings }, other.path());
    let (trained, stranger) = (load(out.path()).unwrap(), load(other.path()).unwrap());
    let pixels = Pictures::load(data.path(), 8).unwrap().test.pixels;
    let sizes = [2, 64].map(|step| {
        let file = encode(&trained, &pixels, step).unwrap();
        let decoded = decode(&trained, &file).unwrap();
        assert_eq!(decoded.len(), pixels.len());
        // Fine steps lose nothing that the bottleneck had kept.
        assert!(step == 64 || mse(&pixels, &decoded) < run.test.mse + 1e-3, "{}", mse(&pixels, &decoded));
        file.len()
    });
    assert!(sizes[1] < sizes[0] && sizes[0] < pixels.len() / 10, "{sizes:?}");

    let file = encode(&trained, &pixels, 16).unwrap();
    let refused = |file: &[u8]| decode(&trained, file).unwrap_err().to_string();
    assert!(refused(&file[..10]).contains("fewer than its header"));
    assert!(refused(&[b"XXXX", &file[4..]].concat()).contains("does not begin with BNL1"));
    assert!(decode(&stranger, &file).unwrap_err().to_string().contains("another model"));
    let with = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&file)
    };
    assert!(with(12, &[0, 0]).contains("in steps of 0"));
    assert!(with(14, &[0xff; 4]).contains("4294967295 pictures"));
    assert!(with(14, &[1, 0, 0, 0]).contains("left over"));
    for (pixels, step) in [(&pixels[..], 0), (&pixels[..0], 1), (&pixels[..65], 1)] {
        assert!(encode(&trained, pixels, step).is_err());
    }
}
