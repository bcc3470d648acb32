//! The fixed header: the one place where bincode is used.
use crate::{ContainerError, Limits, ModelId, Quality, error::foreign_kind, strip_count};
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};

/// First 3 bytes of every stream.
pub const MAGIC: [u8; 3] = *b"BNK";
/// Version of the container that this crate writes, and the only one that it reads.
pub const FORMAT_VERSION: u8 = 1;
/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 22;

const VERSION_MASK: u8 = 0b0000_1111;
const RESERVED_MASK: u8 = 0b0111_0000;
const RESERVED_SHIFT: u32 = 4;
const EXPERIMENTAL: u8 = 0b1000_0000;

/// Fixed-width little-endian integers, and a hard stop at the header's end.
const CONFIG: Configuration<LittleEndian, Fixint, Limit<HEADER_BYTES>> =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit();

/// The header in the order of its bytes (FORMAT.md, section 2.1).
#[derive(bincode::Encode, bincode::Decode)]
struct Raw {
    magic: [u8; 3],
    flags: u8,
    model: [u8; 8],
    width: u16,
    height: u16,
    quality: u16,
    checksum: u32,
}

/// The fields of a stream's first [`HEADER_BYTES`] bytes (FORMAT.md, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Made by a model that is not released yet: it may stop opening with a later version.
    pub experimental: bool,
    /// The model that made it.
    pub model: ModelId,
    /// Picture width in pixels; a damaged header may say 0.
    pub width: u16,
    /// Picture height in pixels; a damaged header may say 0.
    pub height: u16,
    /// Position on the rate scale.
    pub quality: Quality,
    /// CRC-32 (IEEE) over every byte of the stream but these four.
    pub checksum: u32,
}

impl Header {
    /// Reads the header from the first bytes of a stream, which may be damaged or incomplete behind it.
    ///
    /// Nothing is checked that is not needed to tell the fields apart: neither the checksum, nor sizes,
    /// nor limits. To decode, use [`Container::parse`](crate::Container::parse).
    ///
    /// # Errors
    /// [`Empty`](ContainerError::Empty), [`Foreign`](ContainerError::Foreign),
    /// [`Magic`](ContainerError::Magic), [`HeaderCut`](ContainerError::HeaderCut),
    /// [`Version`](ContainerError::Version), [`ReservedFlags`](ContainerError::ReservedFlags).
    pub fn peek(prefix: &[u8]) -> Result<Header, ContainerError> {
        check_magic(prefix)?;
        let (raw, _): (Raw, usize) = bincode::decode_from_slice(prefix, CONFIG)
            .map_err(|_| ContainerError::HeaderCut { found: prefix.len() })?;
        let version = raw.flags & VERSION_MASK;
        if version != FORMAT_VERSION {
            return Err(ContainerError::Version { found: version });
        }
        let reserved = raw.flags & RESERVED_MASK;
        if reserved != 0 {
            return Err(ContainerError::ReservedFlags { found: reserved >> RESERVED_SHIFT });
        }
        Ok(Header {
            experimental: raw.flags & EXPERIMENTAL != 0,
            model: ModelId(raw.model),
            width: raw.width,
            height: raw.height,
            quality: Quality(raw.quality),
            checksum: raw.checksum,
        })
    }

    /// Strips of a picture of this height.
    pub fn strip_count(&self) -> usize {
        strip_count(self.height)
    }

    /// Refuses pictures without pixels, or with more than `limits` allow.
    pub(crate) fn check_size(&self, limits: &Limits) -> Result<(), ContainerError> {
        check_sides(self.width, self.height)?;
        if u64::from(self.width) * u64::from(self.height) > limits.max_pixels {
            return Err(ContainerError::TooManyPixels {
                width: self.width,
                height: self.height,
                allowed: limits.max_pixels,
            });
        }
        Ok(())
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let raw = Raw {
            magic: MAGIC,
            flags: FORMAT_VERSION | if self.experimental { EXPERIMENTAL } else { 0 },
            model: self.model.0,
            width: self.width,
            height: self.height,
            quality: self.quality.0,
            checksum: self.checksum,
        };
        let mut bytes = [0; HEADER_BYTES];
        bincode::encode_into_slice(raw, &mut bytes, CONFIG).expect("a fixed-width header always fits");
        bytes
    }
}

/// Refuses a picture that has no pixels.
pub(crate) fn check_sides(width: u16, height: u16) -> Result<(), ContainerError> {
    match (width, height) {
        (0, _) => Err(ContainerError::ZeroSide { field: "width" }),
        (_, 0) => Err(ContainerError::ZeroSide { field: "height" }),
        _ => Ok(()),
    }
}

fn check_magic(prefix: &[u8]) -> Result<(), ContainerError> {
    if prefix.is_empty() {
        return Err(ContainerError::Empty);
    }
    let present = prefix.len().min(MAGIC.len());
    if prefix[..present] == MAGIC[..present] {
        return Ok(());
    }
    if let Some(kind) = foreign_kind(prefix) {
        return Err(ContainerError::Foreign { kind });
    }
    let mut found = [0; MAGIC.len()];
    found[..present].copy_from_slice(&prefix[..present]);
    Err(ContainerError::Magic { found })
}
