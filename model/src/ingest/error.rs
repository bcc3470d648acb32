use super::sniff::Format;

/// What sort of refusal a [`LoadError`] is; each has one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The picture is empty, cut short or damaged: 400.
    BadImage,
    /// The picture is larger than allowed: 413.
    TooLarge,
    /// The bytes are of a type that cannot be read: 415.
    Unsupported,
    /// The picture is fine but the request is not, such as a frame it does not have: 422.
    Invalid,
}

/// Why a photograph could not be loaded. The message is one sentence, fit to be shown to the person who sent
/// the picture.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There are no bytes.
    #[error(
        "the picture is empty: found 0 bytes, allowed a JPEG, PNG or WebP file; check that it was sent whole"
    )]
    Empty,
    /// The file ends before the picture does.
    #[error("the {format} file is cut short: it ends at byte {found}, {inside}; send the whole file again")]
    Truncated {
        /// What the file is.
        format: Format,
        /// The file's length in bytes.
        found: usize,
        /// What the end cuts through.
        inside: &'static str,
    },
    /// The file breaks the rules of its format.
    #[error(
        "the {format} file is damaged ({reason}); send it again, or save it anew from a program that opens it"
    )]
    Damaged {
        /// What the file is.
        format: Format,
        /// What is wrong, in the decoder's words.
        reason: String,
    },
    /// Width times height is above [`Options::max_pixels`](super::Options::max_pixels).
    #[error(
        "the picture has too many pixels: found {width} x {height}, allowed {max_pixels} in all; scale it down, or raise the pixel limit"
    )]
    TooManyPixels {
        /// Width in pixels, as the header says.
        width: u32,
        /// Height in pixels, as the header says.
        height: u32,
        /// The limit in pixels.
        max_pixels: u64,
    },
    /// A side is above [`Options::max_dimension`](super::Options::max_dimension).
    #[error(
        "the picture is too long on a side: found {width} x {height}, allowed {max_dimension} pixels a side; scale it down first"
    )]
    SideTooLong {
        /// Width in pixels, as the header says.
        width: u32,
        /// Height in pixels, as the header says.
        height: u32,
        /// The limit in pixels.
        max_dimension: u32,
    },
    /// The decoder would need more memory than a picture of this size should, as for a metadata bomb.
    #[error(
        "reading the {format} file needs more memory than a picture of its size is allowed; save it again without metadata"
    )]
    TooMuchMemory {
        /// What the file is.
        format: Format,
    },
    /// A known type that is not read here.
    #[error("this is {found}; convert it to JPEG, PNG or WebP first")]
    OtherType {
        /// The type, with its article.
        found: &'static str,
    },
    /// Text, such as an error page saved under a picture's name.
    #[error("this is text, not a picture; send the bytes of a JPEG, PNG or WebP file")]
    Text,
    /// A bottleneck code.
    #[error("this is already a bottleneck code; decode it to a picture first, or keep it as it is")]
    AlreadyCoded,
    /// No known type.
    #[error(
        "the file's type is unknown: it begins with {start:02x?}, allowed are JPEG, PNG and WebP; convert it first"
    )]
    UnknownType {
        /// The first bytes, at most eight.
        start: Vec<u8>,
    },
    /// A variant of a supported type that cannot be read, such as a JPEG with arithmetic coding.
    #[error(
        "this kind of {format} cannot be read ({reason}); save it as an ordinary JPEG, PNG or WebP first"
    )]
    Variant {
        /// What the file is.
        format: Format,
        /// What is special about it, in the decoder's words.
        reason: String,
    },
    /// An animation, and no frame was chosen.
    #[error(
        "this {format} is an animation of {frames} frames; pass frame=0 to take the first, or send a still picture"
    )]
    Animated {
        /// What the file is.
        format: Format,
        /// How many frames it says it has.
        frames: u32,
    },
    /// A frame other than the first was asked for.
    #[error("frame {asked} was asked for, but only the first can be read; pass frame=0 or leave it out")]
    NoSuchFrame {
        /// The frame asked for, counted from 0.
        asked: u32,
    },
}

impl LoadError {
    /// The sort of refusal, from which a server takes its HTTP status.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Empty | Self::Truncated { .. } | Self::Damaged { .. } => ErrorKind::BadImage,
            Self::TooManyPixels { .. } | Self::SideTooLong { .. } | Self::TooMuchMemory { .. } => {
                ErrorKind::TooLarge
            }
            Self::OtherType { .. }
            | Self::Text
            | Self::AlreadyCoded
            | Self::UnknownType { .. }
            | Self::Variant { .. }
            | Self::Animated { .. } => ErrorKind::Unsupported,
            Self::NoSuchFrame { .. } => ErrorKind::Invalid,
        }
    }

    pub(super) fn damaged(format: Format, reason: impl ToString) -> Self {
        Self::Damaged { format, reason: reason.to_string() }
    }
}
