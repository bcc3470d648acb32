//! One page about trained models, for a lecture: everything on it is measured when it is written.

mod curves;
pub(crate) mod html;
mod pictures;

use super::data::Pictures;
use super::pca::Pca;
use super::run::Trained;
use super::{Kind, LabError, load};
use crate::evaluate::svg::escape;
use std::path::{Path, PathBuf};

/// Steps of the quantiser on the rate–distortion curves, in units of the codebook.
const STEPS: [u16; 6] = [8, 16, 32, 64, 96, 128];

/// A model with what it says of the test pictures.
struct Shown {
    trained: Trained,
    /// Bottleneck of each test picture, or its mean: (N, K).
    latents: Vec<f32>,
    /// Bits a picture, coded, and mean squared error, for each of [`STEPS`].
    curve: Vec<(f64, f64)>,
}

impl Shown {
    fn kind(&self) -> Kind {
        self.trained.run.settings.kind
    }

    fn k(&self) -> usize {
        self.trained.run.settings.bottleneck
    }

    fn beta(&self) -> f64 {
        self.trained.run.settings.beta
    }

    fn mse(&self) -> f64 {
        self.trained.run.test.mse
    }
}

/// All that the sections draw from.
struct Material {
    shown: Vec<Shown>,
    data: Pictures,
    pca: Pca,
}

impl Material {
    /// The models of a kind, by the size of the bottleneck.
    fn of(&self, kind: Kind) -> Vec<&Shown> {
        let mut found: Vec<&Shown> = self.shown.iter().filter(|shown| shown.kind() == kind).collect();
        found.sort_by_key(|shown| shown.k());
        found
    }

    /// The variational models with β = 1, largest bottleneck first.
    fn vaes(&self) -> Vec<&Shown> {
        let plain = |shown: &&Shown| shown.kind().variational() && shown.beta() == 1.0;
        let mut found: Vec<&Shown> = self.shown.iter().filter(plain).collect();
        found.sort_by_key(|shown| std::cmp::Reverse(shown.k()));
        found
    }
}

/// Writes the page about the runs in `folders`. The pictures are those that the runs learned from, read again from
/// `data` or from where the first run found them.
///
/// # Errors
/// No folder, one without a finished run, runs of other pictures than the first, data that has gone.
pub fn report(folders: &[PathBuf], data: Option<&Path>) -> Result<String, LabError> {
    let trained = folders.iter().map(|folder| load(folder)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = trained.first() else {
        return Err(LabError::Settings("name the folder of one run or more".into()));
    };
    let settings = first.run.settings.clone();
    let data = Pictures::load(data.unwrap_or(&settings.data), settings.side)?;
    let size = [data.height, data.width];
    let dimensions = trained.iter().map(|one| one.run.settings.bottleneck).max().expect("one or more");
    let pca = Pca::new(&data.train.pixels, data.size(), dimensions);
    let shown = trained
        .into_iter()
        .map(|trained| {
            if trained.run.size != size {
                let folder = trained.folder.display();
                return Err(LabError::Settings(format!("{folder} learned from pictures of another size")));
            }
            let latents = trained.encode(&data.test.pixels)?;
            let curve = curves::coded(&trained.codebook, &latents, &data, |z| trained.decode(z))?;
            Ok(Shown { trained, latents, curve })
        })
        .collect::<Result<_, LabError>>()?;
    let material = Material { shown, data, pca };
    let sections = [
        ("runs", "Models", curves::runs(&material)),
        ("reconstructions", "Reconstructions", pictures::reconstructions(&material)?),
        ("errors", "Error", curves::errors(&material)),
        ("plane", "Latent plane", pictures::planes(&material)?),
        ("samples", "Samples", pictures::samples(&material)?),
        ("beta", "β", curves::beta_sweep(&material)),
        ("traversals", "Traversals", pictures::traversals(&material)?),
        ("rate", "Rate–distortion", curves::rate_distortion(&material)?),
    ];
    Ok(html::page("From autoencoders to learned compression", &sections))
}

/// The name of a model for a reader.
fn name(shown: &Shown) -> String {
    let (kind, k) = (shown.kind().name(), shown.k());
    match shown.kind() {
        Kind::BetaVae => format!("{kind}, {k} numbers, β = {}", shown.beta()),
        _ => format!("{kind}, {k} numbers"),
    }
}

/// `text` with `*…*` emphasised, and nothing else of HTML in it.
fn prose(text: &str) -> String {
    let parts = escape(text);
    let emphasised = parts.split('*').enumerate();
    emphasised.map(|(i, part)| if i % 2 == 1 { format!("<em>{part}</em>") } else { part.into() }).collect()
}

#[cfg(test)]
mod tests;
