//! `bottleneck info`: what a code or a model is.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bottleneck_client::{Limits, Model};
use bottleneck_model::LayerCost;
use clap::Args;
use serde_json::{Value, json};

use crate::summary::Summary;
use crate::{Outcome, files, models, terminal};

/// Show what a code is, or a model
#[derive(Args)]
pub(crate) struct Arguments {
    /// Codes (.bnk)
    #[arg(required_unless_present = "model")]
    inputs: Vec<PathBuf>,
    /// Show a model instead: the one in this file, or `lite` (the default) or `base` of this build
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "inputs")]
    model: Option<Option<PathBuf>>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    if let Some(file) = arguments.model {
        let report = ModelReport::of(file.as_deref())?;
        terminal::print(&if arguments.json { report.json().to_string() } else { report.text() })?;
        return Ok(Outcome::Done);
    }
    let mut failures = Vec::new();
    let mut printed = 0;
    for input in &arguments.inputs {
        match summary(input) {
            Ok(summary) if arguments.json => terminal::print(&summary.json().to_string())?,
            Ok(summary) if printed > 0 => terminal::print(&format!("\n{summary}"))?,
            Ok(summary) => terminal::print(&summary.to_string())?,
            Err(error) => {
                failures.push(error);
                continue;
            }
        }
        printed += 1;
    }
    let last = failures.pop();
    failures.iter().for_each(terminal::report);
    match last {
        None => Ok(Outcome::Done),
        Some(error) if printed == 0 => Err(error),
        Some(error) => {
            terminal::report(&error);
            Ok(Outcome::Partial)
        }
    }
}

fn summary(path: &Path) -> anyhow::Result<Summary> {
    let code = files::read(path, Limits::default().max_bytes)?;
    Summary::of(path.display().to_string(), &code)
        .with_context(|| format!("{} is not a code that can be read", path.display()))
}

/// A model's name and what its networks cost.
struct ModelReport {
    id: String,
    profile: String,
    experimental: bool,
    decoder_bytes: usize,
    decoder: Vec<LayerCost>,
    /// Empty where the file, or this build, has no encoder.
    encoder: Vec<LayerCost>,
}

impl ModelReport {
    /// The model in `file`, or one in this build.
    fn of(file: Option<&Path>) -> anyhow::Result<ModelReport> {
        match file.map(|path| (path, path.to_str())) {
            None | Some((_, Some("lite"))) => Ok(ModelReport::new(Model::lite(), costs::lite())),
            Some((_, Some("base"))) => Ok(ModelReport::new(Model::base(), costs::base())),
            Some((path, _)) => {
                let bytes = files::read(path, files::MODEL_BYTES)?;
                Ok(ModelReport::new(&models::parse(&bytes, path)?, costs::of(&bytes)))
            }
        }
    }

    fn new(model: &Model, encoder: Vec<LayerCost>) -> ModelReport {
        ModelReport {
            id: model.id().to_string(),
            profile: model.profile().to_owned(),
            experimental: model.experimental(),
            decoder_bytes: model.decoder_bytes().len(),
            decoder: model.costs(),
            encoder,
        }
    }

    fn json(&self) -> Value {
        let networks = |costs: &[LayerCost]| -> Vec<Value> {
            let network = |cost: &LayerCost| {
                json!({
                    "network": cost.network,
                    "parameters": cost.parameters,
                    "kmac_per_pixel": cost.kmac_per_pixel,
                })
            };
            costs.iter().map(network).collect()
        };
        json!({
            "id": self.id,
            "profile": self.profile,
            "experimental": self.experimental,
            "decoder_bytes": self.decoder_bytes,
            "decoder_kmac_per_pixel": total(&self.decoder),
            "decoder": networks(&self.decoder),
            "encoder": networks(&self.encoder),
        })
    }

    fn text(&self) -> String {
        let note = if self.experimental { ", experimental" } else { "" };
        let mut text = format!(
            "model {} ({}{note}), decoder {} bytes\n\n{:24} {:>12} {:>14}",
            self.id, self.profile, self.decoder_bytes, "network", "parameters", "kMAC/pixel"
        );
        let mut row = |name: &str, parameters: usize, kmac: f64| {
            text += &format!("\n{name:24} {parameters:12} {kmac:14.3}");
        };
        for (part, costs) in [("decoder", &self.decoder), ("encoder", &self.encoder)] {
            for cost in costs {
                row(&cost.network, cost.parameters, cost.kmac_per_pixel);
            }
            if !costs.is_empty() {
                let parameters = costs.iter().map(|cost| cost.parameters).sum();
                row(&format!("{part} total"), parameters, total(costs));
            }
        }
        text
    }
}

fn total(costs: &[LayerCost]) -> f64 {
    costs.iter().map(|cost| cost.kmac_per_pixel).sum()
}

/// Costs of encoders: none where a file, or this build, has no encoder.
#[cfg(feature = "encode")]
mod costs {
    use super::LayerCost;
    use bottleneck_model::{Backend, Encoder};

    pub(super) fn lite() -> Vec<LayerCost> {
        Encoder::lite(Backend::Cpu).map(|encoder| encoder.costs()).unwrap_or_default()
    }

    pub(super) fn base() -> Vec<LayerCost> {
        Encoder::base(Backend::Cpu).map(|encoder| encoder.costs()).unwrap_or_default()
    }

    pub(super) fn of(file: &[u8]) -> Vec<LayerCost> {
        Encoder::from_bytes(file, Backend::Cpu).map(|encoder| encoder.costs()).unwrap_or_default()
    }
}

#[cfg(not(feature = "encode"))]
mod costs {
    use super::LayerCost;

    pub(super) fn lite() -> Vec<LayerCost> {
        Vec::new()
    }

    pub(super) fn base() -> Vec<LayerCost> {
        Vec::new()
    }

    pub(super) fn of(_file: &[u8]) -> Vec<LayerCost> {
        Vec::new()
    }
}
