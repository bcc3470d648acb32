//! Segmentation from the bottleneck: a decoder that draws what is in the picture instead of the picture.
//!
//! [`fit()`] trains heads on the codec's latents ŷ with its encoder frozen, on the pixels decoded from the same codes, and
//! together with an encoder of their own; [`apply`] draws from a code, which it does not decode to pixels.

mod camvid;
mod fit;
mod head;
mod score;

pub use camvid::CLASSES;
pub use fit::{Outcome, Progress, Settings, fit};
pub use score::Score;

use super::LabError;
use crate::decode::{strip_latents, strip_rows};
use crate::latents::Grid;
use crate::nn::Parameters;
use crate::plain::{Map, Scratch};
use crate::{Image, Limits, Model, decode};
use bottleneck_proto::Container;
use candle_core::{Device, Tensor};
use head::Head;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a head sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// The codec's latents ŷ, from a code.
    Codes,
    /// The pixels that are decoded from the same code.
    Pixels,
    /// The original pixels, through an encoder that is trained together with the head.
    Joint,
}

impl Input {
    /// Every input.
    pub const ALL: [Input; 3] = [Input::Codes, Input::Pixels, Input::Joint];

    /// Name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Input::Codes => "codes",
            Input::Pixels => "pixels",
            Input::Joint => "joint",
        }
    }
}

/// Key of the weight file's metadata.
const METADATA: &str = "bottleneck-lab";

/// What a weight file says of itself.
#[derive(Serialize, Deserialize)]
struct Metadata {
    input: Input,
    /// Id of the codec model whose codes it understands.
    model: String,
}

/// A trained head.
struct Trained {
    head: Head,
    parameters: Parameters,
}

/// ŷ (H/16, W/16, C) of a whole code: entropy decoding without synthesis.
fn latents(container: &Container<'_>, model: &Model) -> Result<Map, LabError> {
    let (width, height) = (usize::from(container.width), usize::from(container.height));
    let mut whole: Option<Map> = None;
    let mut scratch = Scratch::default();
    for (strip, data) in container.strips.iter().enumerate() {
        let grid = Grid::new(width, strip_rows(height, strip));
        let part = strip_latents(model, container.quality, grid, data, &mut scratch, |_, _| ())
            .map_err(|what| LabError::Code(format!("strip {strip}: {what}")))?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.dims.h += part.dims.h;
                whole.data.extend(&part.data);
            }
        }
    }
    whole.ok_or_else(|| LabError::Code("it has no strip".into()))
}

/// The classes of a code's picture: in their colours, and laid over the decoded picture where that is wanted.
///
/// # Errors
/// A damaged code, one of a model that is not built in or not the one that the weights were trained with; weights that
/// are damaged or of another input than codes.
pub fn apply(code: &[u8], weights: &[u8], overlay: bool) -> Result<(Image, Option<Image>), LabError> {
    let limits = Limits::default();
    let container = Container::parse(code, &limits).map_err(|e| LabError::Code(e.to_string()))?;
    let Some(model) = Model::built_in(container.model) else {
        return Err(LabError::Code(format!(
            "it was made by model {}, which is not built in",
            container.model
        )));
    };
    let trained = read(weights, model)?;
    let y_hat = latents(&container, model)?;
    let position = crate::quality::position(container.quality);
    let (width, height) = (usize::from(container.width), usize::from(container.height));
    let x = Tensor::from_vec(y_hat.data, (1, y_hat.dims.h, y_hat.dims.w, y_hat.dims.c), &Device::Cpu)?;
    let classes = trained.draw(&x, position, height, width)?;
    let (w, h) = (width as u32, height as u32);
    let over = match overlay {
        true => {
            let picture = decode(code, model, &limits).map_err(|e| LabError::Code(e.to_string()))?;
            Some(score::coloured(&classes, w, h, Some(&picture)))
        }
        false => None,
    };
    Ok((score::coloured(&classes, w, h, None), over))
}

impl Trained {
    /// The class of every pixel, from raw input (1, …): see [`Head::run`].
    fn draw(&self, x: &Tensor, position: f32, height: usize, width: usize) -> Result<Vec<u8>, LabError> {
        let x = fit::normalised(&self.parameters, x)?;
        let logits = self.head.run(&self.parameters, &x, &[position])?;
        let (_, rows, columns, _) = logits.dims4()?;
        Ok(score::classes(&logits.flatten_all()?.to_vec1::<f32>()?, rows, columns, height, width))
    }
}

/// Writes weights with what they are for.
fn write(path: &Path, trained: &Trained, model: &Model) -> Result<(), LabError> {
    let metadata = Metadata { input: trained.head.input, model: model.id().to_string() };
    let json = serde_json::to_string(&metadata).expect("plain data serialises");
    let tensors = trained.parameters.iter();
    let bytes = safetensors::serialize(tensors, Some([(METADATA.to_string(), json)].into()))
        .map_err(|e| LabError::Damaged { path: path.into(), what: e.to_string() })?;
    std::fs::write(path, bytes).map_err(LabError::file(path))
}

/// Reads weights for codes of `model`.
fn read(bytes: &[u8], model: &Model) -> Result<Trained, LabError> {
    let bad = |what: String| LabError::Settings(format!("the weights cannot be used: {what}"));
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).map_err(|e| bad(e.to_string()))?;
    let json = header.metadata().as_ref().and_then(|all| all.get(METADATA));
    let json = json.ok_or_else(|| bad("they are not those of `bottleneck-lab segment fit`".into()))?;
    let metadata: Metadata = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
    if metadata.input != Input::Codes {
        return Err(bad(format!("they are for {}, not for codes", metadata.input.name())));
    }
    if metadata.model != model.id().to_string() {
        let (own, found) = (metadata.model, model.id());
        return Err(bad(format!("they understand codes of model {own}, and this one is of {found}")));
    }
    let head = Head::new(metadata.input, model.architecture.y);
    let parameters =
        candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(|e| bad(e.to_string()))?;
    let normaliser =
        ["input.mean", "input.deviation"].map(|name| (name.to_string(), vec![model.architecture.y]));
    for (name, shape) in head.shapes().into_iter().chain(normaliser) {
        if parameters.get(&name).is_none_or(|tensor| tensor.dims() != shape) {
            return Err(bad(format!("{name} is missing, or not {shape:?}")));
        }
    }
    Ok(Trained { head, parameters })
}

#[cfg(test)]
mod tests;
