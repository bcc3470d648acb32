//! The models that are served, and how requests name them.

use crate::codec::{Codec, ServedModel};
use crate::error::ApiError;
use crate::self_test::self_test;
use axum::body::Bytes;
use bottleneck_proto::ModelId;
use std::sync::Arc;

/// Models that cannot be served together, or at all.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// No model was given.
    #[error("there is no model to serve")]
    None,
    /// The same model twice.
    #[error("the model {0} is given twice")]
    Twice(ModelId),
    /// The default is none of them.
    #[error("the default model {name:?} is none of those served: {known}")]
    UnknownDefault {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A model cannot encode a small picture, or does not get it back.
    #[error("the self-test of model {model} failed: {why}")]
    SelfTest {
        /// The model.
        model: ModelId,
        /// What went wrong.
        why: String,
    },
}

pub(crate) struct Catalogue {
    /// The default one first.
    models: Vec<ServedModel>,
    /// Models that were replaced: clients and the store still hold codes made with them.
    retired: Vec<ServedModel>,
}

impl Catalogue {
    /// `default` is a profile or an id; without one it is the first model.
    pub(crate) fn new(models: Vec<ServedModel>, default: Option<&str>) -> Result<Catalogue, ModelsError> {
        Catalogue { models: vec![], retired: vec![] }.replaced(models, default)
    }

    /// A catalogue of other models, which keeps the decoders of this one's.
    pub(crate) fn replaced(
        &self,
        mut models: Vec<ServedModel>,
        default: Option<&str>,
    ) -> Result<Catalogue, ModelsError> {
        for (i, model) in models.iter().enumerate() {
            if models[..i].iter().any(|earlier| earlier.info.id == model.info.id) {
                return Err(ModelsError::Twice(model.info.id));
            }
        }
        let first = match default {
            None => 0,
            Some(name) => models.iter().position(|model| is_named(model, name)).ok_or_else(|| {
                ModelsError::UnknownDefault { name: name.to_owned(), known: names(&models) }
            })?,
        };
        if models.is_empty() {
            return Err(ModelsError::None);
        }
        models[..=first].rotate_right(1);
        for (i, model) in models.iter_mut().enumerate() {
            model.info.default = i == 0;
        }
        let mut retired = self.retired.clone();
        retired.extend(self.models.iter().cloned());
        retired.retain(|old| models.iter().all(|model| model.info.id != old.info.id));
        Ok(Catalogue { models, retired })
    }

    /// Encodes and decodes a small picture with each model.
    pub(crate) fn self_test(&self) -> Result<(), ModelsError> {
        self.models.iter().try_for_each(|model| {
            let failed = |why| ModelsError::SelfTest { model: model.info.id, why };
            self_test(&model.codec).map_err(failed)
        })
    }

    /// The default one first.
    pub(crate) fn models(&self) -> &[ServedModel] {
        &self.models
    }

    /// The model of a profile or an id, or the default one.
    pub(crate) fn model(&self, name: Option<&str>) -> Result<&ServedModel, ApiError> {
        let wanted = |model: &&ServedModel| name.is_none_or(|name| is_named(model, name));
        self.models.iter().find(wanted).ok_or_else(|| {
            let (found, known) = (name.unwrap_or_default(), names(&self.models));
            ApiError::Parameter(format!("profile: found {found:?}, served here: {known}"))
        })
    }

    /// The decoder file of a model that is or was served.
    pub(crate) fn decoder(&self, id: &str) -> Option<&Bytes> {
        self.known().find(|model| model.info.id.to_string() == id).map(|model| &model.decoder)
    }

    /// Decodes what a model made that is or was served.
    pub(crate) fn codec_of(&self, id: ModelId) -> Option<Arc<dyn Codec>> {
        self.known().find(|model| model.info.id == id).map(|model| model.codec.clone())
    }

    fn known(&self) -> impl Iterator<Item = &ServedModel> {
        self.models.iter().chain(&self.retired)
    }
}

fn is_named(model: &ServedModel, name: &str) -> bool {
    model.info.profile == name || model.info.id.to_string() == name
}

fn names(models: &[ServedModel]) -> String {
    let names: Vec<_> =
        models.iter().map(|model| format!("{} ({})", model.info.profile, model.info.id)).collect();
    names.join(", ")
}
