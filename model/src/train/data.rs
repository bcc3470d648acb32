//! Training photographs, held as 8-bit pixels.

use crate::Image;
use crate::ingest;
use rand::Rng;
use rand::rngs::StdRng;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// One photo in this many is held out for validation.
const HELD_OUT: u32 = 20;

/// Why a folder cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder cannot be listed.
    #[error("cannot list {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No usable picture on one side of the split.
    #[error(
        "{path} holds no usable picture for {what} ({found} pictures read, {small} smaller than {least} pixels, \
         {unreadable} unreadable): add JPEG, PNG or WebP photographs"
    )]
    Empty {
        /// The folder.
        path: PathBuf,
        /// `training` or `validation`.
        what: &'static str,
        /// Pictures that could be read.
        found: usize,
        /// Pictures too small for a crop.
        small: usize,
        /// Least width and height.
        least: u32,
        /// Files that could not be read.
        unreadable: usize,
    },
}

/// The photographs of a folder, split by name.
pub struct Photos {
    /// What is trained on.
    pub training: Vec<Image>,
    /// What is held out, with names.
    pub validation: Vec<(String, Image)>,
    /// Files that were left out, and why.
    pub skipped: Vec<String>,
}

impl Photos {
    /// Reads all pictures of `folder` that are at least `least` pixels wide and high.
    pub fn load(folder: &Path, least: u32) -> Result<Photos, DataError> {
        let listed = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>())
            .map_err(|source| DataError::Folder { path: folder.into(), source })?;
        let mut paths: Vec<PathBuf> = listed.into_iter().filter(|p| p.is_file()).collect();
        paths.sort();
        let read: Vec<Result<(String, Image), String>> = paths.par_iter().map(|p| read(p)).collect();

        let mut photos = Photos { training: vec![], validation: vec![], skipped: vec![] };
        let (mut found, mut small) = (0, 0);
        for picture in read {
            match picture {
                Err(why) => photos.skipped.push(why),
                Ok((name, image)) => {
                    found += 1;
                    if image.width < least || image.height < least {
                        small += 1;
                        photos.skipped.push(format!(
                            "{name}: {}×{} is smaller than the {least}×{least} crops",
                            image.width, image.height
                        ));
                    } else if held_out(&name) {
                        photos.validation.push((name, image));
                    } else {
                        photos.training.push(image);
                    }
                }
            }
        }
        // A small folder may hash to one side only: its last photo then validates.
        if photos.validation.is_empty() && photos.training.len() > 1 {
            photos.validation.push(("last photo".into(), photos.training.pop().expect("more than one")));
        }
        let unreadable = photos.skipped.len() - small;
        let empty = |what| DataError::Empty { path: folder.into(), what, found, small, least, unreadable };
        if photos.training.is_empty() {
            return Err(empty("training"));
        }
        if photos.validation.is_empty() {
            return Err(empty("validation"));
        }
        Ok(photos)
    }
}

fn read(path: &Path) -> Result<(String, Image), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = std::fs::read(path).map_err(|e| format!("{name}: {e}"))?;
    let image = ingest::load(&bytes, &ingest::Options::default()).map_err(|e| format!("{name}: {e}"))?;
    Ok((name, image))
}

/// By name, with the final letter of a crop's name left out, so that crops of one photo stay together.
fn held_out(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let photo = stem.strip_suffix(['a', 'b']).unwrap_or(stem);
    let hash = Sha256::digest(photo.as_bytes());
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) % HELD_OUT == 0
}

/// A random crop of `side` pixels, mirrored at random, appended to `out` as values in −1..=1.
pub(super) fn random_crop(image: &Image, side: usize, rng: &mut StdRng, out: &mut Vec<f32>) {
    let (w, h) = (image.width as usize, image.height as usize);
    let (x0, y0) = (rng.random_range(0..=w - side), rng.random_range(0..=h - side));
    crop(image, x0, y0, side, rng.random(), rng.random(), out);
}

/// The central crop of `side` pixels, appended to `out` as values in −1..=1.
pub(super) fn central_crop(image: &Image, side: usize, out: &mut Vec<f32>) {
    let (w, h) = (image.width as usize, image.height as usize);
    crop(image, (w - side) / 2, (h - side) / 2, side, false, false, out);
}

fn crop(image: &Image, x0: usize, y0: usize, side: usize, mirror: bool, flip: bool, out: &mut Vec<f32>) {
    for y in 0..side {
        let y = y0 + if flip { side - 1 - y } else { y };
        for x in 0..side {
            let x = x0 + if mirror { side - 1 - x } else { x };
            let at = (y * image.width as usize + x) * 3;
            out.extend(image.rgb[at..at + 3].iter().map(|&v| crate::pixels::to_network(v)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_of_one_photo_stay_together() {
        for k in 0..200 {
            assert_eq!(held_out(&format!("photo{k}a.jpg")), held_out(&format!("photo{k}b.jpg")));
        }
        assert!((0..2000).filter(|k| held_out(&format!("p{k}.jpg"))).count().abs_diff(100) < 40);
    }
}
