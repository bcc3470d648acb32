//! What the coded bottleneck is measured against: the same pictures on one contact sheet, as a PNG, lossless WebP or JPEG.

use super::LabError;
use super::report::html::Sheet;
use crate::Image;
use crate::evaluate::peers::{Peer, PeerError, Workbench};
use std::process::Command;

/// A file of all pictures.
#[derive(Clone, Debug)]
pub struct Size {
    /// Format and settings.
    pub name: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Mean squared error against the originals, values 0..1.
    pub mse: f64,
}

/// JPEG qualities that are tried.
const QUALITIES: [f64; 12] = [1.0, 2.0, 4.0, 7.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 75.0, 90.0];

/// Mean squared error of values 0..1.
pub fn mse(a: &[u8], b: &[u8]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum::<u64>();
    squares as f64 / (255.0 * 255.0 * a.len() as f64)
}

/// Pictures (N, height, width) on one nearly square sheet without gaps, black where it is not full.
fn sheet(pixels: &[u8], size: [usize; 2]) -> Sheet {
    let count = pixels.len() / (size[0] * size[1]);
    Sheet::new(pixels, size, (count as f64).sqrt().ceil() as usize, false)
}

/// Pictures (N, height, width) on one nearly square sheet without gaps, as a PNG.
///
/// # Errors
/// More pictures than a PNG can hold.
pub fn contact_sheet(pixels: &[u8], size: [usize; 2]) -> Result<Vec<u8>, LabError> {
    sheet(pixels, size).png()
}

/// Sizes of the contact sheet of `pixels` (N, height, width): PNG; lossless WebP, by `cwebp` at its slowest where it
/// is installed; and by `cjpeg` the coarsest JPEG (progressive, optimised) whose error is no larger than `error`, and
/// the coarsest that there is. What could not be run is told in words.
///
/// # Errors
/// Too large a sheet, temporary files that cannot be written, a tool that fails.
pub fn sizes(pixels: &[u8], size: [usize; 2], error: f64) -> Result<(Vec<Size>, Vec<String>), LabError> {
    let sheet = sheet(pixels, size);
    let png = sheet.png()?;
    let mut sizes = vec![Size { name: "PNG (flate2, best)".into(), bytes: png.len() as u64, mse: 0.0 }];
    let mut notes = vec![];
    match lossless_webp(&png)? {
        Some(bytes) => sizes.push(Size { name: "WebP, lossless (cwebp -z 9)".into(), bytes, mse: 0.0 }),
        None => notes.push("no lossless WebP: `cwebp` does not start; the Debian package webp has it".into()),
    }
    if let Err(why) = Peer::Jpeg.detect() {
        notes.push(why.to_string());
        return Ok((sizes, notes));
    }
    let (width, height, grey) = sheet.grey();
    // cjpeg makes one component of a PPM without colours only if told; the two empty ones cost next to nothing.
    let rgb = grey.iter().flat_map(|&v| [v; 3]).collect();
    let image = Image { width, height, rgb };
    let bench = Workbench::new(&image)?;
    for (index, quality) in QUALITIES.into_iter().enumerate() {
        let file = bench.encode(Peer::Jpeg, quality)?;
        let (bytes, decoded) = (file.len() as u64, bench.decode(Peer::Jpeg, &file)?);
        let back: Vec<u8> = decoded.rgb.iter().step_by(3).copied().collect();
        let mse = mse(grey, &back);
        if index == 0 || mse <= error {
            sizes.push(Size { name: format!("JPEG (cjpeg -quality {quality})"), bytes, mse });
        }
        if mse <= error {
            break;
        }
    }
    Ok((sizes, notes))
}

/// Bytes of a PNG's pixels in lossless WebP, or `None` where `cwebp` is not installed.
fn lossless_webp(png: &[u8]) -> Result<Option<u64>, LabError> {
    let folder =
        tempfile::Builder::new().prefix("bottleneck-lab-").tempdir().map_err(PeerError::Temporary)?;
    let (from, to) = (folder.path().join("sheet.png"), folder.path().join("sheet.webp"));
    std::fs::write(&from, png).map_err(LabError::file(&from))?;
    let mut cwebp = Command::new("cwebp");
    match cwebp.args(["-quiet", "-lossless", "-z", "9"]).arg(&from).arg("-o").arg(&to).output() {
        Err(_) => Ok(None),
        Ok(done) if done.status.success() => {
            Ok(Some(std::fs::metadata(&to).map_err(LabError::file(&to))?.len()))
        }
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(LabError::Settings(format!("`cwebp` failed: {}", said.trim())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_files_that_decode_to_the_pictures() {
        let pixels: Vec<u8> = (0..9 * 64u32).map(|i| (i * i / 7 % 251) as u8).collect();
        let (sizes, notes) = sizes(&pixels, [8, 8], 1e-3).unwrap();
        let png = contact_sheet(&pixels, [8, 8]).unwrap();
        assert_eq!(sizes[0].bytes, png.len() as u64);
        let read = image::load_from_memory(&png).unwrap().into_luma8();
        assert_eq!(read.dimensions(), (24, 24));
        assert_eq!(read.as_raw()[24..32], pixels[8..16]);
        // Three files and the JPEG that is fine enough, or a note for what is missing.
        assert!(sizes.len() + notes.len() >= 3, "{notes:?}");
        for jpeg in sizes.iter().filter(|size| size.name.starts_with("JPEG")).skip(1) {
            assert!(jpeg.mse <= 1e-3 && jpeg.bytes > 0);
        }
    }
}
