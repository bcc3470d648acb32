use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// First 8 bytes of the SHA-256 of a model's decoder weights and tables.
///
/// As text, in URLs and in JSON it is 16 hexadecimal digits: written in lower case, read in either.
///
/// ```
/// let id: bottleneck_proto::ModelId = "00112233445566ff".parse()?;
/// assert_eq!(id.0, [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0xff]);
/// assert_eq!(id.to_string(), "00112233445566ff");
/// # Ok::<(), bottleneck_proto::ModelIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub [u8; 8]);

/// Why a text is not a model id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model id: found {found:?}, allowed 16 hexadecimal digits; GET /v1/models lists a server's models")]
pub struct ModelIdError {
    /// The text, cut to 32 characters.
    pub found: String,
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelId({self})")
    }
}

impl FromStr for ModelId {
    type Err = ModelIdError;

    fn from_str(text: &str) -> Result<Self, ModelIdError> {
        let refused = || ModelIdError { found: text.chars().take(32).collect() };
        if text.len() != 16 {
            return Err(refused());
        }
        let mut id = [0; 8];
        for (i, digit) in text.chars().enumerate() {
            // Of 16 bytes, so at most 16 characters: i / 2 stays below 8.
            let value = digit.to_digit(16).ok_or_else(refused)? as u8;
            id[i / 2] = id[i / 2] << 4 | value;
        }
        Ok(ModelId(id))
    }
}

impl Serialize for ModelId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Position on the model's rate scale: 0 is the smallest code, 65535 the finest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quality(pub u16);

impl Quality {
    /// From the user's 0..=100 scale, fractions allowed; `None` outside of it or for NaN.
    pub fn from_percent(q: f64) -> Option<Quality> {
        (0.0..=100.0).contains(&q).then(|| Quality((q * 655.35).round() as u16))
    }

    /// Back on the user's 0..=100 scale.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 655.35
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_id_text_round_trips_in_either_case() {
        let id = ModelId([0xde, 0xad, 0xbe, 0xef, 0, 1, 0x20, 0xff]);
        assert_eq!(id.to_string(), "deadbeef000120ff");
        assert_eq!("deadbeef000120ff".parse(), Ok(id));
        assert_eq!("DEADBEEF000120FF".parse(), Ok(id));
        assert_eq!(format!("{id:?}"), "ModelId(deadbeef000120ff)");
    }

    #[test]
    fn model_id_refuses_other_text_and_names_it() {
        // The last is 16 bytes long without being 16 characters, the one before has a sign.
        for text in ["", "deadbeef000120f", "deadbeef000120fff", "+eadbeef000120ff", "éadbeef000120ff"] {
            let error = text.parse::<ModelId>().unwrap_err();
            assert_eq!(error.found, text);
            assert!(error.to_string().contains("allowed 16 hexadecimal digits"), "{error}");
        }
        assert_eq!("x".repeat(10_000).parse::<ModelId>().unwrap_err().found.len(), 32);
    }

    #[test]
    fn model_id_is_a_json_string() {
        let id = ModelId([1; 8]);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"0101010101010101\"");
        assert_eq!(serde_json::from_str::<ModelId>("\"0101010101010101\"").unwrap(), id);
        let error = serde_json::from_str::<ModelId>("\"01\"").unwrap_err();
        assert!(error.to_string().starts_with("model id: found \"01\""), "{error}");
    }

    #[test]
    fn quality_covers_the_scale_and_nothing_else() {
        assert_eq!(Quality::from_percent(0.0), Some(Quality(0)));
        assert_eq!(Quality::from_percent(100.0), Some(Quality(65535)));
        for outside in [-0.001, 100.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Quality::from_percent(outside), None, "{outside}");
        }
        assert!((0..=65535).map(Quality).all(|q| Quality::from_percent(q.percent()) == Some(q)));
    }
}
