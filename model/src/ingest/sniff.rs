use super::LoadError;
use std::fmt;

/// A type of picture that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG of any depth.
    Png,
    /// WebP, lossy or lossless.
    WebP,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
        })
    }
}

/// Types with a signature at the very start; the longer ones of one family first.
const SIGNATURES: [(&[u8], &str); 25] = [
    (b"GIF87a", "a GIF picture"),
    (b"GIF89a", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"FUJIFILMCCD-RAW", "a Fujifilm RAF camera raw file"),
    (b"IIRO", "an Olympus ORF camera raw file"),
    (b"IIRS", "an Olympus ORF camera raw file"),
    (b"MMOR", "an Olympus ORF camera raw file"),
    (b"IIU\0", "a Panasonic RW2 camera raw file"),
    (b"II\x1a\0\0\0HEAPCCDR", "a Canon CRW camera raw file"),
    (b"FOVb", "a Sigma X3F camera raw file"),
    (b"\0MRM", "a Minolta MRW camera raw file"),
    (b"II\xbc", "a JPEG XR picture"),
    (b"II\x2b\0", "a BigTIFF picture"),
    (b"MM\0\x2b", "a BigTIFF picture"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\x01\0", "an icon file"),
    (b"qoif", "a QOI picture"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
];

/// The picture's type by its first bytes.
pub(super) fn sniff(bytes: &[u8]) -> Result<Format, LoadError> {
    let other = |found| Err(LoadError::OtherType { found });
    if bytes.is_empty() {
        return Err(LoadError::Empty);
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    if bytes.starts_with(&bottleneck_proto::MAGIC) {
        return Err(LoadError::AlreadyCoded);
    }
    if let Some((_, found)) = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        return other(found);
    }
    if let Some(text) = as_text(bytes) {
        let svg = text.contains("<svg");
        return if svg { other("an SVG drawing") } else { Err(LoadError::Text) };
    }
    // After text, for words begin with these letters too.
    if bytes.starts_with(b"BM") {
        return other("a BMP picture");
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return other(brand(bytes));
    }
    if bytes.starts_with(b"II\x2a\0") || bytes.starts_with(b"MM\0\x2a") {
        return other(tiff(bytes));
    }
    Err(LoadError::UnknownType { start: bytes[..bytes.len().min(8)].to_vec() })
}

/// The start of a file that is text as far as it was looked at.
fn as_text(bytes: &[u8]) -> Option<&str> {
    let start = &bytes[..bytes.len().min(4096)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character cut by the end of the look, rather than a byte that is no UTF-8.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x0c');
    text.chars().all(printable).then_some(text)
}

/// What an ISO base media file holds: its brands, the major one first, are the only mark.
fn brand(bytes: &[u8]) -> &'static str {
    let size = bytes.first_chunk().map_or(0, |size| u32::from_be_bytes(*size)) as usize;
    let end = size.clamp(8, 256).min(bytes.len());
    let brands: Vec<&[u8]> = bytes[8..end].chunks_exact(4).collect();
    let any =
        |names: &[&[u8; 4]]| brands.iter().any(|brand| names.iter().any(|name| brand == &name.as_slice()));
    if any(&[b"crx "]) {
        "a Canon CR3 camera raw file"
    } else if any(&[b"avif", b"avis"]) {
        "an AVIF picture"
    } else if any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"]) {
        "a HEIC photograph"
    } else if any(&[b"mif1", b"msf1", b"mif2"]) {
        "a HEIF picture"
    } else {
        "an MP4 or QuickTime video"
    }
}

/// TIFF proper, or one of the camera raw types that are TIFF inside. Of those only CR2 has a mark of its own;
/// the others are told by the first directory: DNG by its version tag, NEF, ARW and PEF by the camera's make
/// together with sub-directories, which a TIFF exported from such a camera's picture lacks.
fn tiff(bytes: &[u8]) -> &'static str {
    const MAKE: u16 = 0x010f;
    const SUB_DIRECTORIES: u16 = 0x014a;
    const DNG_VERSION: u16 = 0xc612;

    let big = bytes.starts_with(b"MM");
    let u16_at = |at: usize| -> Option<u16> {
        let two = *bytes.get(at..)?.first_chunk()?;
        Some(if big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    };
    let u32_at = |at: usize| -> Option<usize> {
        let four = *bytes.get(at..)?.first_chunk()?;
        usize::try_from(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }).ok()
    };

    if bytes.get(8..10) == Some(b"CR") {
        return "a Canon CR2 camera raw file";
    }
    let (mut make, mut sub_directories) = (&b""[..], false);
    let directory = u32_at(4).unwrap_or(usize::MAX);
    for entry in 0..directory.checked_add(2).and_then(|_| u16_at(directory)).unwrap_or(0) {
        let at = directory.saturating_add(2 + 12 * usize::from(entry));
        match u16_at(at) {
            Some(DNG_VERSION) => return "a DNG camera raw file",
            Some(SUB_DIRECTORIES) => sub_directories = true,
            Some(MAKE) => {
                make = u32_at(at.saturating_add(8)).and_then(|text| bytes.get(text..)).unwrap_or_default();
            }
            Some(_) => {}
            None => break,
        }
    }
    let by =
        |name: &[u8]| sub_directories && make.get(..name.len()).is_some_and(|m| m.eq_ignore_ascii_case(name));
    if by(b"nikon") {
        "a Nikon NEF camera raw file"
    } else if by(b"sony") {
        "a Sony ARW camera raw file"
    } else if by(b"pentax") || by(b"ricoh") {
        "a Pentax PEF camera raw file"
    } else {
        "a TIFF picture"
    }
}
