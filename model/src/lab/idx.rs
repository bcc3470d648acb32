//! IDX files, the format of MNIST and Fashion-MNIST (LeCun, Cortes, Burges: "The MNIST database"), also gzipped.

use super::LabError;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Unsigned bytes, in one dimension (labels) and in three (pictures).
const LABELS: [u8; 4] = [0, 0, 8, 1];
const PICTURES: [u8; 4] = [0, 0, 8, 3];
/// More than any set of this format in use.
const LARGEST: u64 = 1 << 30;

/// Pictures of one size, a byte a pixel.
#[derive(Debug)]
pub(super) struct IdxPictures {
    pub(super) height: usize,
    pub(super) width: usize,
    /// `count * height * width` values, 0 black.
    pub(super) pixels: Vec<u8>,
}

/// Reads an `idx3-ubyte` file.
pub(super) fn pictures(path: &Path) -> Result<IdxPictures, LabError> {
    let (sides, pixels) = read(path, PICTURES)?;
    Ok(IdxPictures { height: sides[1], width: sides[2], pixels })
}

/// Reads an `idx1-ubyte` file.
pub(super) fn labels(path: &Path) -> Result<Vec<u8>, LabError> {
    Ok(read(path, LABELS)?.1)
}

fn read(path: &Path, magic: [u8; 4]) -> Result<(Vec<usize>, Vec<u8>), LabError> {
    let bad = |what: String| LabError::Idx { path: path.into(), what };
    let file = BufReader::new(File::open(path).map_err(LabError::file(path))?);
    let mut input: Box<dyn Read> = match path.extension().is_some_and(|e| e == "gz") {
        true => Box::new(GzDecoder::new(file)),
        false => Box::new(file),
    };
    let short = |what: &str| bad(format!("it ends within its {what} (is the download whole?)"));
    let mut found = [0; 4];
    input.read_exact(&mut found).map_err(|e| unreadable(e, short("header"), &bad))?;
    if found != magic {
        return Err(bad(format!("it begins with {found:02x?}, not with {magic:02x?}")));
    }
    let mut sides = vec![0; usize::from(magic[3])];
    for side in &mut sides {
        let mut bytes = [0; 4];
        input.read_exact(&mut bytes).map_err(|e| unreadable(e, short("header"), &bad))?;
        *side = u32::from_be_bytes(bytes) as usize;
    }
    let size = sides.iter().try_fold(1u64, |size, &side| size.checked_mul(side as u64));
    let size = size.filter(|size| (1..=LARGEST).contains(size));
    let Some(size) = size else {
        return Err(bad(format!("its header says {sides:?} values; 1 to 2^30 in all are allowed")));
    };
    // One byte more than there should be, to notice what is left over.
    let mut values = Vec::new();
    input.take(size + 1).read_to_end(&mut values).map_err(|e| unreadable(e, short("values"), &bad))?;
    match values.len() as u64 {
        found if found == size => Ok((sides, values)),
        found if found < size => Err(bad(format!(
            "it holds {found} of the {size} values that its header says (is the download whole?)"
        ))),
        _ => Err(bad(format!("it goes on after the {size} values that its header says"))),
    }
}

/// An end that comes too early is `short`; anything else (a damaged gzip stream) speaks for itself.
fn unreadable(error: std::io::Error, short: LabError, bad: &dyn Fn(String) -> LabError) -> LabError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => short,
        _ => bad(error.to_string()),
    }
}
