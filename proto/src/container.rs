use crate::header::check_sides;
use crate::{ContainerError, HEADER_BYTES, Header, Limits, ModelId, Quality};
use std::ops::Range;

/// Picture rows that one strip covers; the last strip may cover fewer.
pub const STRIP_ROWS: u32 = 512;

/// Where the checksum lies: the last field of the header.
const CHECKSUM: Range<usize> = HEADER_BYTES - 4..HEADER_BYTES;
const TABLE_ENTRY_BYTES: usize = size_of::<u32>();

/// A stream: header fields and its strips, borrowed from the bytes that were parsed.
///
/// ```
/// use bottleneck_proto::{Container, Limits, ModelId, Quality, write};
/// let container = Container {
///     experimental: false,
///     model: ModelId([7; 8]),
///     width: 640,
///     height: 480,
///     quality: Quality(49151),
///     strips: vec![b"entropy-coded bytes"],
/// };
/// let bytes = write(&container)?;
/// assert_eq!(bytes.len(), 22 + 19);
/// assert_eq!(Container::parse(&bytes, &Limits::default())?, container);
/// # Ok::<(), bottleneck_proto::ContainerError>(())
/// ```
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
    /// One entropy-coded segment for each strip, top to bottom; may be empty.
    pub strips: Vec<&'a [u8]>,
}

/// Number of strips of a picture `height` pixels high: one for each [`STRIP_ROWS`] rows begun.
pub fn strip_count(height: u16) -> usize {
    u32::from(height).div_ceil(STRIP_ROWS) as usize
}

impl<'a> Container<'a> {
    /// Reads a stream, checksum included (FORMAT.md, section 2).
    ///
    /// Total: every byte string gives a container or an error. Nothing is allocated before the stream's
    /// length and the picture's size are found within `limits`, and then only the list of strips, of at
    /// most 128 entries.
    ///
    /// # Errors
    /// Each [`ContainerError`] but those that speak of writing.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, ContainerError> {
        let header = read_header(bytes, limits)?;
        // Before the sizes: after an accident "damaged" is truer than whatever the size has become.
        let computed = checksum(bytes);
        if header.checksum != computed {
            return Err(ContainerError::Checksum { found: header.checksum, computed });
        }
        split(header, bytes, limits)
    }

    /// Like [`Container::parse`], without the checksum: for fuzzing, damage tests and salvage.
    ///
    /// # Errors
    /// As [`Container::parse`], but never [`ContainerError::Checksum`].
    pub fn parse_unverified(bytes: &'a [u8], limits: &Limits) -> Result<Self, ContainerError> {
        split(read_header(bytes, limits)?, bytes, limits)
    }
}

fn read_header(bytes: &[u8], limits: &Limits) -> Result<Header, ContainerError> {
    let found = bytes.len() as u64;
    if found > limits.max_bytes {
        return Err(ContainerError::TooManyBytes { found, allowed: limits.max_bytes });
    }
    Header::peek(bytes)
}

/// Cuts what follows the header into strips. `bytes` is the whole stream.
fn split<'a>(header: Header, bytes: &'a [u8], limits: &Limits) -> Result<Container<'a>, ContainerError> {
    header.check_size(limits)?;
    let count = header.strip_count();
    let body = &bytes[HEADER_BYTES..];
    let declared = (count - 1) * TABLE_ENTRY_BYTES;
    let (table, mut rest) =
        body.split_at_checked(declared).ok_or(ContainerError::TableCut { declared, present: body.len() })?;

    let mut strips = Vec::with_capacity(count);
    for (strip, entry) in table.as_chunks().0.iter().enumerate() {
        let declared = u32::from_le_bytes(*entry);
        let (data, behind) = rest.split_at_checked(declared as usize).ok_or(ContainerError::StripCut {
            strip,
            declared,
            present: rest.len(),
        })?;
        strips.push(data);
        rest = behind;
    }
    strips.push(rest);
    Ok(Container {
        experimental: header.experimental,
        model: header.model,
        width: header.width,
        height: header.height,
        quality: header.quality,
        strips,
    })
}

/// Serialises a container: header, strip table, strips, checksum (FORMAT.md, section 2).
///
/// No [`Limits`] hold here: a picture above a reader's limits is written, and refused by that reader.
///
/// # Errors
/// [`ContainerError::ZeroSide`]; [`ContainerError::StripCount`] unless there are [`strip_count`] strips;
/// [`ContainerError::StripTooLong`] for a strip of 4 GiB or more.
pub fn write(container: &Container<'_>) -> Result<Vec<u8>, ContainerError> {
    let Container { experimental, model, width, height, quality, ref strips } = *container;
    check_sides(width, height)?;
    let allowed = strip_count(height);
    if strips.len() != allowed {
        return Err(ContainerError::StripCount { found: strips.len(), allowed, height });
    }
    let table_bytes = (allowed - 1) * TABLE_ENTRY_BYTES;
    let data_bytes: usize = strips.iter().map(|s| s.len()).sum();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + table_bytes + data_bytes);
    bytes.extend(Header { experimental, model, width, height, quality, checksum: 0 }.to_bytes());
    for (strip, data) in strips[..allowed - 1].iter().enumerate() {
        bytes.extend(table_entry(strip, data.len())?.to_le_bytes());
    }
    strips.iter().for_each(|data| bytes.extend_from_slice(data));
    reseal(&mut bytes);
    Ok(bytes)
}

fn table_entry(strip: usize, length: usize) -> Result<u32, ContainerError> {
    u32::try_from(length).map_err(|_| ContainerError::StripTooLong { strip, found: length })
}

/// Makes the checksum of a stream right for the bytes as they are now.
///
/// This is how damage tests and fuzzing get behind the checksum, which only catches accidents: a reader
/// must be safe on a resealed stream too. Bytes too short to hold the field stay as they are.
pub fn reseal(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_BYTES {
        let sum = checksum(bytes);
        bytes[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    }
}

/// CRC-32 (IEEE) of a stream of at least [`HEADER_BYTES`] bytes, leaving out the checksum field.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..CHECKSUM.start]);
    crc.update(&bytes[CHECKSUM.end..]);
    crc.finalize()
}

#[cfg(test)]
mod tests;
