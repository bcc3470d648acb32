//! Tables and curves of the page.

use super::super::coding::Codebook;
use super::super::data::Pictures;
use super::super::sheets::mse;
use super::html::{figure, missing, section, table};
use super::{Kind, LabError, Material, STEPS, Shown, name, prose};
use crate::evaluate::svg::{Chart, Series, draw};

/// Bits a picture, measured on coded bytes, and mean squared error of `latents` (N, K) at each of [`STEPS`].
pub(super) fn coded(
    codebook: &Codebook,
    latents: &[f32],
    data: &Pictures,
    decode: impl Fn(&[f32]) -> Result<Vec<u8>, LabError>,
) -> Result<Vec<(f64, f64)>, LabError> {
    let count = data.count(&data.test) as f64;
    let mut points = STEPS.map(|step| {
        let codes = codebook.quantise(latents, step);
        let bits = codebook.code(&codes, step).len() as f64 * 8.0 / count;
        Ok((bits, mse(&data.test.pixels, &decode(&codebook.dequantise(&codes, step))?)))
    });
    points.reverse();
    points.into_iter().collect()
}

fn psnr(mse: f64) -> f64 {
    -10.0 * mse.log10()
}

/// Mean squared error of PCA with `k` components on the test pictures.
fn pca_mse(material: &Material, k: usize) -> f64 {
    let test = &material.data.test.pixels;
    mse(test, &material.pca.decode(&material.pca.encode(test, k), k))
}

/// Every model with its figures.
pub(super) fn runs(material: &Material) -> String {
    let row = |shown: &Shown| {
        let (run, test) = (&shown.trained.run, &shown.trained.run.test);
        let variational = |value: String| if shown.kind().variational() { value } else { "–".into() };
        let hidden: Vec<String> = run.settings.hidden.iter().map(usize::to_string).collect();
        vec![
            name(shown),
            hidden.join(", "),
            run.parameters.to_string(),
            format!("{} / {}", run.best, run.history.len()),
            format!("{:.0}", run.seconds),
            format!("{:.5}", test.mse),
            variational(format!("{:.2}", test.reconstruction)),
            variational(format!("{:.2}", test.kl)),
            variational(format!("{:.1}", test.kl_bits())),
            variational(format!("{:.2}", test.negative_elbo())),
        ]
    };
    let rows: Vec<Vec<String>> = material.shown.iter().map(row).collect();
    let text = format!(
        "{} test pictures, which no model has seen. MSE is of values 0..1, decoded from the bottleneck or its mean; \
         reconstruction (cross-entropy with the grey value as the probability of white, unless the model was trained with \
         the Gaussian) and KL are in nats a picture, from one sample each. Their sum is the negative ELBO.",
        material.data.count(&material.data.test)
    );
    let head = [
        "model",
        "hidden",
        "parameters",
        "epoch kept",
        "seconds",
        "MSE",
        "reconstr.",
        "KL",
        "KL, bits",
        "−ELBO",
    ];
    section("runs", "The models", &prose(&text), &table(&head, &rows))
}

/// Mean squared error over the size of the bottleneck, and the table beside PCA.
pub(super) fn errors(material: &Material) -> String {
    let dense = material.of(Kind::DenseAe);
    let conv = material.of(Kind::ConvAe);
    let mut rows = vec![];
    let mut reference = vec![];
    for shown in dense.iter().chain(&conv) {
        let pca = pca_mse(material, shown.k());
        reference.push((shown.k() as f64, 1000.0 * pca));
        let less = 100.0 * (1.0 - shown.mse() / pca);
        rows.push(vec![
            name(shown),
            format!("{:.5}", shown.mse()),
            format!("{pca:.5}"),
            format!("{less:.0} % less"),
        ]);
    }
    reference.sort_by(|a, b| a.0.total_cmp(&b.0));
    reference.dedup();
    let points = |all: &[&Shown]| all.iter().map(|one| (one.k() as f64, 1000.0 * one.mse())).collect();
    let mut series = vec![
        Series { name: "dense autoencoder".into(), points: points(&dense), reference: false },
        Series { name: "convolutional".into(), points: points(&conv), reference: false },
        Series { name: "PCA".into(), points: reference, reference: true },
    ];
    series.retain(|one| !one.points.is_empty());
    let chart = Chart {
        title: "Error over the size of the bottleneck",
        x: "Numbers in the bottleneck",
        y: "MSE of the test pictures × 1000",
        largest_x: f64::INFINITY,
    };
    let figures = if rows.is_empty() {
        missing("bottleneck-lab fit --model dense-ae --bottleneck 8 --data mnist --out runs/dense-ae-8")
    } else {
        let head = ["model", "MSE", "PCA, same size", "against PCA"];
        figure(&draw(&chart, &series), "Mean squared error, values 0..1.") + &table(&head, &rows)
    };
    let text = "The best *linear* bottleneck of any size is known in closed form: principal component analysis. What \
                an autoencoder gains over it is what non-linearity gains.";
    section("errors", "How much does the bottleneck lose?", &prose(text), &figures)
}

/// Reconstruction against KL.
pub(super) fn beta_sweep(material: &Material) -> String {
    let mut sweep = material.of(Kind::BetaVae);
    sweep.sort_by(|a, b| a.beta().total_cmp(&b.beta()));
    let text = "β multiplies the KL term of the loss. A larger β makes the bottleneck cheaper and the picture worse, until \
                whole numbers of it fall silent: their distribution becomes the prior's, whatever the picture. It is the codec's \
                trade, λ = 1/β, up to constants. A number is *active* where its mean varies over the test pictures by a variance above 0.01.";
    if sweep.is_empty() {
        let command =
            "bottleneck-lab fit --model beta-vae --beta 4 --bottleneck 16 --data mnist --out runs/beta-4";
        return section("beta", "β: what a number may cost", &prose(text), &missing(command));
    }
    let test = |shown: &Shown| shown.trained.run.test.clone();
    let row = |shown: &&Shown| {
        let test = test(shown);
        vec![
            format!("β = {}", shown.beta()),
            format!("{:.2}", test.reconstruction),
            format!("{:.2}", test.kl),
            format!("{:.1}", test.kl_bits()),
            format!("{:.5}", test.mse),
            format!("{} of {}", test.active, shown.k()),
        ]
    };
    let points: Vec<(f64, f64)> = sweep
        .iter()
        .rev()
        .map(|one| (one.trained.run.test.kl, one.trained.run.test.reconstruction))
        .collect();
    let series = [Series { name: "β-VAE".into(), points, reference: false }];
    let chart = Chart {
        title: "Reconstruction against KL",
        x: "KL (nats a picture)",
        y: "Reconstruction (nats a picture)",
        largest_x: f64::INFINITY,
    };
    let rows: Vec<_> = sweep.iter().map(row).collect();
    let betas: Vec<String> = sweep.iter().rev().map(|one| one.beta().to_string()).collect();
    let caption = format!("From left to right: β = {}.", betas.join(", "));
    let head = ["", "reconstruction, nats", "KL, nats", "KL, bits", "MSE", "active"];
    let figures = figure(&draw(&chart, &series), &caption) + &table(&head, &rows);
    section("beta", "β: what a number may cost", &prose(text), &figures)
}

/// PSNR over coded bits, of every model that has a curve of its own to show, and of PCA.
pub(super) fn rate_distortion(material: &Material) -> Result<String, LabError> {
    let data = &material.data;
    let mut series: Vec<Series> = material
        .of(Kind::DenseAe)
        .into_iter()
        .chain(material.of(Kind::ConvAe))
        .map(|shown| Series {
            name: format!("{}, {}", shown.kind().name(), shown.k()),
            points: shown.curve.iter().map(|&(bits, mse)| (bits, psnr(mse))).collect(),
            reference: false,
        })
        .collect();
    let mut sweep: Vec<(f64, f64)> = material
        .of(Kind::BetaVae)
        .iter()
        .map(|one| (one.trained.run.test.kl_bits(), psnr(one.mse())))
        .collect();
    sweep.sort_by(|a, b| a.0.total_cmp(&b.0));
    if !sweep.is_empty() {
        series.push(Series { name: "β-VAE: KL".into(), points: sweep, reference: false });
    }
    let mut sizes: Vec<usize> = material.of(Kind::DenseAe).iter().map(|shown| shown.k()).collect();
    sizes.dedup();
    let mut rows = vec![];
    for k in sizes {
        let codebook = Codebook::new(&material.pca.encode(&data.train.pixels, k), k);
        let latents = material.pca.encode(&data.test.pixels, k);
        let curve = coded(&codebook, &latents, data, |z| Ok(material.pca.decode(z, k)))?;
        for (model, curve) in [
            ("dense-ae", material.of(Kind::DenseAe).iter().find(|one| one.k() == k).map(|one| &one.curve)),
            ("PCA", Some(&curve)),
        ] {
            let Some(curve) = curve else { continue };
            for ((bits, mse), step) in curve.iter().zip(STEPS.iter().rev()) {
                rows.push(vec![
                    format!("{model}, {k}"),
                    step.to_string(),
                    format!("{:.2}", bits / 8.0),
                    format!("{mse:.5}"),
                    format!("{:.2}", psnr(*mse)),
                ]);
            }
        }
        let points = curve.into_iter().map(|(bits, mse)| (bits, psnr(mse))).collect();
        series.push(Series { name: format!("PCA, {k}"), points, reference: true });
    }
    let text = "Numbers are no size: they must be rounded and coded. Here the bottleneck of every test picture is \
                quantised in ever finer steps and coded with the codec's own range coder, with tables counted on the training \
                pictures; the bits are those of the coded bytes. PCA, quantised and coded in the same way, is transform \
                coding as JPEG does it, with the best transform for these pictures. The β-VAE is read from its KL term, which is the rate that an ideal coder \
                would need for a sample; the codec's trainer descends just this sum of rate and distortion. \
                In coarse steps the plain autoencoders fall below PCA: nobody told their decoders that the numbers would be \
                rounded. That is why the codec is trained with the noise of rounding.";
    let chart = Chart {
        title: "Rate and distortion of a digit",
        x: "Bits a picture",
        y: "PSNR (dB, from the mean MSE)",
        largest_x: f64::INFINITY,
    };
    let head = ["bottleneck", "step, units", "bytes a picture", "MSE", "PSNR, dB"];
    let figures = if series.is_empty() {
        missing("bottleneck-lab fit --model dense-ae --bottleneck 8 --data mnist --out runs/dense-ae-8")
    } else {
        figure(&draw(&chart, &series), "Coded bits of all test pictures together, divided by their number.")
            + "<details><summary>All points</summary>"
            + &table(&head, &rows)
            + "</details>"
    };
    Ok(section("rate", "The same, read as compression", &prose(text), &figures))
}
