//! Codecs as subjects of an evaluation: this one with any of its models, and whatever else implements [`Codec`].

use super::peers::{PeerError, Workbench};
use crate::{DecodeError, EncodeError, Encoder, Image, Limits, Metric, Quality, Refinement};

/// Why a codec could not encode a picture, or decode what it had encoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// This codec cannot encode the picture.
    #[error("encoding: {0}")]
    Encode(#[from] EncodeError),
    /// This codec cannot decode its own code.
    #[error("decoding: {0}")]
    Decode(#[from] DecodeError),
    /// A peer's program failed.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The codec does not take such pictures.
    #[error("{0}")]
    Refused(String),
}

/// The settings that a codec has.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// What a setting is called: quality, distance, ….
    pub parameter: &'static str,
    /// Setting of the smallest files.
    pub coarsest: f64,
    /// Setting of the finest pictures.
    pub finest: f64,
    /// Difference of settings below which nothing changes; 1 where they are whole numbers.
    pub step: f64,
}

impl Scale {
    /// The setting between two others, on the grid of [`Scale::step`]; `None` where there is none.
    pub fn between(&self, a: f64, b: f64) -> Option<f64> {
        let middle = ((a + b) / 2.0 / self.step).round() * self.step;
        let inside = |x: f64| (x - a).abs() > self.step / 2.0 && (x - b).abs() > self.step / 2.0;
        // Rounding may have hit one of the two, where there is room for another.
        [middle, middle - self.step, middle + self.step]
            .into_iter()
            .find(|&x| inside(x) && x > a.min(b) && x < a.max(b))
    }
}

/// What an evaluation asks of a codec: a file, and the picture that its own decoder makes of it.
pub trait Codec: Sync {
    /// Name in results, and on the command line.
    fn name(&self) -> &str;
    /// Version of the tool, or the model.
    fn version(&self) -> &str;
    /// The settings that it has.
    fn scale(&self) -> Scale;
    /// Settings for a curve, smallest files first.
    fn settings(&self) -> Vec<f64>;
    /// Encodes to the bytes of a file, headers included.
    ///
    /// # Errors
    /// Pictures that the codec does not take; failures of its program.
    fn encode(&self, picture: &Workbench<'_>, setting: f64) -> Result<Vec<u8>, CodecError>;
    /// Decodes such a file to 8-bit sRGB.
    ///
    /// # Errors
    /// Failures of the decoder.
    fn decode(&self, picture: &Workbench<'_>, file: &[u8]) -> Result<Image, CodecError>;
}

/// This codec with one model.
pub struct Bottleneck {
    /// Name in results.
    pub name: String,
    version: String,
    encoder: Encoder,
    qualities: Vec<Quality>,
    effort: u8,
    metric: Metric,
}

impl Bottleneck {
    /// With an encoder, by whose model it decodes, the qualities of its curve, and an effort of 0 to 9.
    pub fn new(name: &str, encoder: Encoder, qualities: Vec<Quality>, effort: u8) -> Bottleneck {
        let model = encoder.model();
        let version = format!("profile {}, model {}, effort {effort}", model.profile(), model.id());
        Bottleneck { name: name.to_owned(), version, encoder, qualities, effort, metric: Metric::default() }
    }

    /// The same, refining for another metric.
    pub fn refined_for(self, metric: Metric) -> Bottleneck {
        Bottleneck { metric, ..self }
    }

    /// The encoder, and by its model the decoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}

impl Codec for Bottleneck {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn scale(&self) -> Scale {
        Scale { parameter: "quality", coarsest: 0.0, finest: 100.0, step: 0.01 }
    }

    fn settings(&self) -> Vec<f64> {
        // As the user gave them, without the last digits of their 16-bit form.
        self.qualities.iter().map(|quality| (quality.percent() * 100.0).round() / 100.0).collect()
    }

    fn encode(&self, picture: &Workbench<'_>, setting: f64) -> Result<Vec<u8>, CodecError> {
        let quality = Quality::from_percent(setting)
            .ok_or_else(|| CodecError::Refused(format!("a quality is 0 to 100, not {setting}")))?;
        let how = Refinement { effort: self.effort, metric: self.metric, ..Refinement::default() };
        Ok(self.encoder.encode_refined(picture.image(), quality, &how)?)
    }

    fn decode(&self, _: &Workbench<'_>, file: &[u8]) -> Result<Image, CodecError> {
        Ok(crate::decode(file, self.encoder.model(), &Limits::default())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_halved_on_their_grid_until_nothing_is_between() {
        let whole = Scale { parameter: "quality", coarsest: 0.0, finest: 100.0, step: 1.0 };
        assert_eq!(whole.between(10.0, 20.0), Some(15.0));
        assert_eq!(whole.between(20.0, 10.0), Some(15.0));
        assert_eq!(whole.between(10.0, 12.0), Some(11.0));
        assert_eq!(whole.between(10.0, 13.0).map(|x| x == 11.0 || x == 12.0), Some(true));
        assert_eq!(whole.between(10.0, 11.0), None);
        let fine = Scale { step: 0.01, ..whole };
        assert_eq!(fine.between(10.0, 11.0), Some(10.5));
    }

    #[test]
    fn qualities_keep_the_users_digits() {
        let asked = [0.0, 10.0, 37.5, 55.25, 100.0];
        let qualities = asked.map(|q| Quality::from_percent(q).unwrap()).to_vec();
        let encoder = Encoder::lite(crate::Backend::Cpu).unwrap();
        assert_eq!(Bottleneck::new("ours", encoder, qualities, 0).settings(), asked);
    }
}
