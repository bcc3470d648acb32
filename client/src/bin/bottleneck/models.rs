//! Models at hand: those in this build, and files that the user names.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bottleneck_client::Model;
use bottleneck_proto::ModelId;

use crate::files;

/// Reads the decoder in the bytes of a model file, which is called `path`.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> anyhow::Result<Model> {
    Model::from_bytes(bytes).with_context(|| format!("{} is not a model", path.display()))
}

/// The model that a code names: one in this build, or else one of `files`.
pub(crate) fn find(id: ModelId, files: &[PathBuf]) -> anyhow::Result<FoundModel> {
    if let Some(built_in) = Model::built_in(id) {
        return Ok(FoundModel::BuiltIn(built_in));
    }
    let mut known = vec![Model::lite().id(), Model::base().id()];
    for path in files {
        let model = parse(&files::read(path, files::MODEL_BYTES)?, path)?;
        if model.id() == id {
            return Ok(FoundModel::Loaded(Box::new(model)));
        }
        known.push(model.id());
    }
    let known: Vec<String> = known.iter().map(ModelId::to_string).collect();
    bail!(
        "the code was made by model {id}, which is not at hand (only {}): give its file with --model",
        known.join(", ")
    )
}

/// A decoder, from this build or from a file.
pub(crate) enum FoundModel {
    BuiltIn(&'static Model),
    Loaded(Box<Model>),
}

impl std::ops::Deref for FoundModel {
    type Target = Model;
    fn deref(&self) -> &Model {
        match self {
            FoundModel::BuiltIn(model) => model,
            FoundModel::Loaded(model) => model,
        }
    }
}
