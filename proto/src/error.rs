use crate::{FORMAT_VERSION, HEADER_BYTES, STRIP_ROWS};

/// Why bytes are not a stream that may be decoded, or a container not one that may be written.
///
/// Each message names the field, what was found, what is allowed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// There are no bytes at all.
    #[error(
        "the input is empty: found 0 bytes, allowed {HEADER_BYTES} or more; check that it was saved or sent whole"
    )]
    Empty,
    /// The bytes are a file of another known type.
    #[error("this is {kind}, not a bottleneck code: encode it first")]
    Foreign {
        /// The file type that the first bytes show, with its article: `a JPEG picture`.
        kind: &'static str,
    },
    /// The first bytes are not the magic `BNK`, nor those of a picture format.
    #[error("magic: found {found:02x?}, allowed [42, 4e, 4b] (\"BNK\"); this is not a bottleneck code")]
    Magic {
        /// The first 3 bytes, 0 for those that are absent.
        found: [u8; 3],
    },
    /// The bytes end inside the header.
    #[error(
        "header: found {found} bytes, allowed {HEADER_BYTES} or more; the code is cut short, fetch it again"
    )]
    HeaderCut {
        /// Bytes present.
        found: usize,
    },
    /// A format version that this reader does not know.
    #[error("format version: found {found}, allowed {FORMAT_VERSION}; {}", version_advice(*found))]
    Version {
        /// The version that the header names, 0..=15.
        found: u8,
    },
    /// Flag bits that this format version keeps at 0 are set.
    #[error(
        "reserved flags: found {found:#05b}, allowed 0b000; the code is damaged, or made by a newer version"
    )]
    ReservedFlags {
        /// Bits 4 to 6 of byte 3, moved down to bit 0.
        found: u8,
    },
    /// The checksum over the stream is not the one that the header holds.
    #[error(
        "checksum: found {found:08x}, the bytes give {computed:08x}; the code is damaged or cut short, fetch it again"
    )]
    Checksum {
        /// CRC-32 in the header.
        found: u32,
        /// CRC-32 of the bytes.
        computed: u32,
    },
    /// Width or height is 0.
    #[error("{field}: found 0 pixels, allowed 1 to 65535; the code is damaged")]
    ZeroSide {
        /// `width` or `height`.
        field: &'static str,
    },
    /// The picture is larger than [`Limits::max_pixels`](crate::Limits::max_pixels).
    #[error(
        "picture size: found {width}×{height} = {found} pixels, allowed {allowed}; raise the pixel limit if you trust the source",
        found = u64::from(*width) * u64::from(*height)
    )]
    TooManyPixels {
        /// Width in pixels.
        width: u16,
        /// Height in pixels.
        height: u16,
        /// The limit, in pixels.
        allowed: u64,
    },
    /// The stream is longer than [`Limits::max_bytes`](crate::Limits::max_bytes).
    #[error(
        "stream length: found {found} bytes, allowed {allowed}; raise the byte limit if you trust the source"
    )]
    TooManyBytes {
        /// Length in bytes.
        found: u64,
        /// The limit, in bytes.
        allowed: u64,
    },
    /// The bytes end inside the strip table.
    #[error(
        "strip table: declares {declared} bytes, {present} are present; the code is cut short, fetch it again"
    )]
    TableCut {
        /// Bytes of a table for this height.
        declared: usize,
        /// Bytes left after the header.
        present: usize,
    },
    /// A strip is longer than what is left of the stream.
    #[error(
        "strip {strip}: declares {declared} bytes, {present} are present; the code is cut short, fetch it again"
    )]
    StripCut {
        /// Index of the strip, from 0 at the top.
        strip: usize,
        /// Bytes that the table declares.
        declared: u32,
        /// Bytes left of the stream.
        present: usize,
    },
    /// Writing: the number of strips does not follow from the height.
    #[error(
        "strips: found {found}, allowed {allowed} for a height of {height} pixels; give one for each {STRIP_ROWS} rows begun"
    )]
    StripCount {
        /// Strips given.
        found: usize,
        /// Strips that the height asks for.
        allowed: usize,
        /// Picture height in pixels.
        height: u16,
    },
    /// Writing: a strip's length does not fit its 32-bit field.
    #[error("strip {strip}: found {found} bytes, allowed {max}; encode at a lower quality", max = u32::MAX)]
    StripTooLong {
        /// Index of the strip, from 0 at the top.
        strip: usize,
        /// Its length in bytes.
        found: usize,
    },
}

fn version_advice(found: u8) -> &'static str {
    if found > FORMAT_VERSION {
        "the code was made by a newer version, update this program"
    } else {
        "no version ever wrote this, the code is damaged"
    }
}

/// Names the file type that `bytes` begin with, if it is one that people take for a code.
pub(crate) fn foreign_kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("a JPEG picture"),
        [0x89, b'P', b'N', b'G', ..] => Some("a PNG picture"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("a WebP picture"),
        [b'G', b'I', b'F', b'8', ..] => Some("a GIF picture"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f', ..] => Some("an AVIF picture"),
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] => Some("a JPEG XL picture"),
        _ => None,
    }
}
