//! Stub, being written.
use crate::Limits;

/// First 8 bytes of the SHA-256 of a model's decoder weights and tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct ModelId(pub [u8; 8]);
impl std::fmt::Display for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl std::fmt::Debug for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelId({self})")
    }
}

/// Position on the model's rate scale: 0 is the smallest code, 65535 the finest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Quality(pub u16);
impl Quality {
    /// From the user's 0..=100 scale; `None` outside of it or for NaN.
    pub fn from_percent(q: f64) -> Option<Quality> {
        (0.0..=100.0).contains(&q).then(|| Quality((q * 655.35).round() as u16))
    }
    /// Back on the user's 0..=100 scale.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 655.35
    }
}

/// Version of the container that this crate writes.
pub const FORMAT_VERSION: u8 = 1;
/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 22;
/// Picture rows that one strip covers; the last strip may cover fewer.
pub const STRIP_ROWS: u32 = 512;

/// A parsed stream: header fields and its strips, borrowed from the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container<'a> {
    /// Made by a model that is not released yet: it may stop opening with a later version.
    pub experimental: bool,
    /// The model that made it.
    pub model: ModelId,
    /// Picture width in pixels, 1..=65535.
    pub width: u16,
    /// Picture height in pixels, 1..=65535.
    pub height: u16,
    /// Position on the rate scale.
    pub quality: Quality,
    /// One entropy-coded segment for each strip, top to bottom.
    pub strips: Vec<&'a [u8]>,
}

/// Why bytes are not a stream that may be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContainerError {
    /// stub
    #[error("stub")]
    Stub,
}

impl<'a> Container<'a> {
    /// Reads a stream, checksum included.
    pub fn parse(_bytes: &'a [u8], _limits: &Limits) -> Result<Self, ContainerError> {
        Err(ContainerError::Stub)
    }
}

/// Serialises a container (header, strip table, strips, checksum).
pub fn write(_container: &Container<'_>) -> Result<Vec<u8>, ContainerError> {
    Err(ContainerError::Stub)
}
