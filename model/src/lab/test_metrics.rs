//! A model against pictures that it has not seen.

use super::fit::gaussian;
use super::loss::{kl, logistic, reconstruction};
use super::model::{Autoencoder, Settings};
use super::{Pictures, Split};
use crate::nn::Parameters;
use candle_core::{Result, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Pictures that are computed at a time.
const BATCH: usize = 250;
/// A number of the bottleneck is active where its mean varies by more than this over the pictures (Burda et al. 2016).
const ACTIVE: f64 = 0.01;

/// Means over pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestMetrics {
    /// Pictures.
    pub pictures: usize,
    /// Mean squared error of a pixel, values 0..1, decoded from the mean of the bottleneck.
    pub mse: f64,
    /// Reconstruction term in nats a picture, from one sample of the bottleneck each.
    pub reconstruction: f64,
    /// KL term in nats a picture; 0 without a distribution.
    pub kl: f64,
    /// The KL term of each number in the bottleneck, in nats; empty without a distribution.
    pub kl_each: Vec<f64>,
    /// Numbers of the bottleneck whose mean varies over the pictures (variance above 0.01).
    pub active: usize,
}

impl TestMetrics {
    /// Reconstruction + KL: an upper bound of −ln p(x), in nats.
    pub fn negative_elbo(&self) -> f64 {
        self.reconstruction + self.kl
    }

    /// The KL term in bits a picture.
    pub fn kl_bits(&self) -> f64 {
        self.kl / std::f64::consts::LN_2
    }

    /// What the run descends: reconstruction + β · KL.
    pub(crate) fn objective(&self, beta: f64) -> f64 {
        self.reconstruction + beta * self.kl
    }
}

/// Measures on `split`; the noise is the same for every model.
pub(super) fn measure(
    settings: &Settings,
    model: &Autoencoder,
    parameters: &Parameters,
    pictures: &Pictures,
    split: &Split,
) -> Result<TestMetrics> {
    let count = pictures.count(split);
    let k = settings.bottleneck;
    let mut rng = StdRng::seed_from_u64(0);
    let (mut squares, mut nats) = (0.0, 0.0);
    let mut kl_each = vec![0.0; if settings.kind.variational() { k } else { 0 }];
    let (mut sums, mut sums2) = (vec![0.0; k], vec![0.0; k]);
    let indices: Vec<usize> = (0..count).collect();
    for chunk in indices.chunks(BATCH) {
        let x = pictures.tensor(split, chunk)?;
        let posterior = model.encode(parameters, &x)?;
        let from_mean = model.decode(parameters, &posterior.mean)?;
        squares += sum(&(logistic(&from_mean)? - &x)?.sqr()?)?;
        let logits = match &posterior.log_variance {
            None => from_mean,
            Some(log_variance) => {
                let noise = gaussian(&mut rng, chunk.len(), k)?;
                let each = kl(&posterior.mean, log_variance)?.sum(0)?.to_vec1::<f32>()?;
                kl_each.iter_mut().zip(each).for_each(|(sum, kl)| *sum += f64::from(kl));
                model.decode(parameters, &posterior.sample(&noise)?)?
            }
        };
        nats += sum(&reconstruction(settings.likelihood, &logits, &x)?)?;
        for row in posterior.mean.to_vec2::<f32>()? {
            for (i, value) in row.into_iter().map(f64::from).enumerate() {
                sums[i] += value;
                sums2[i] += value * value;
            }
        }
    }
    let n = count as f64;
    kl_each.iter_mut().for_each(|kl| *kl /= n);
    let variances = sums.iter().zip(&sums2).map(|(sum, squares)| squares / n - (sum / n).powi(2));
    Ok(TestMetrics {
        pictures: count,
        mse: squares / (n * pictures.size() as f64),
        reconstruction: nats / n,
        kl: kl_each.iter().sum(),
        kl_each,
        active: variances.filter(|&variance| variance > ACTIVE).count(),
    })
}

/// In double precision: tens of thousands of terms.
fn sum(x: &Tensor) -> Result<f64> {
    Ok(x.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).sum())
}
