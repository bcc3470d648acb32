//! Pictures to learn from: MNIST and its likes, or a folder of pictures.

use super::{LabError, idx};
use crate::Image;
use crate::evaluate::picture::{list_pictures, read_original};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Of an IDX set's training pictures, the last one in this many decides when to stop; of a folder's pictures
/// another one in this many is the test set.
const HELD_OUT: usize = 12;
/// Fewest pictures of a folder.
const FEWEST: usize = 24;

/// Grey pictures of one size.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// Rows of a picture.
    pub height: usize,
    /// Columns of a picture.
    pub width: usize,
    /// What is learned from.
    pub train: Split,
    /// What decides when to stop.
    pub validation: Split,
    /// What is reported.
    pub test: Split,
}

/// A part of the pictures.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// `count * height * width` values, 0 black.
    pub pixels: Vec<u8>,
    /// The class of each picture; empty where the data has none.
    pub labels: Vec<u8>,
}

impl Pictures {
    /// Reads IDX files (`train-images-idx3-ubyte`, `t10k-…` and their labels, plain or `.gz`) where `folder` has
    /// any, else its pictures (JPEG, PNG, WebP): grey, the central square, scaled to `side` pixels.
    ///
    /// # Errors
    /// A missing or damaged file; a folder with too few pictures.
    pub fn load(folder: &Path, side: usize) -> Result<Pictures, LabError> {
        let entries = std::fs::read_dir(folder).map_err(LabError::file(folder))?;
        let names: Vec<String> = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<std::io::Result<_>>()
            .map_err(LabError::file(folder))?;
        if names.iter().any(|name| name.contains("idx3-ubyte") || name.contains("idx1-ubyte")) {
            from_idx(folder, &names)
        } else {
            from_pictures(folder, side)
        }
    }

    /// Pixels of one picture.
    pub fn size(&self) -> usize {
        self.height * self.width
    }

    /// The pictures of `split` at `indices` as values 0..1, shape (N, height, width, 1).
    pub(crate) fn tensor(&self, split: &Split, indices: &[usize]) -> candle_core::Result<Tensor> {
        let size = self.size();
        let of = |&index: &usize| split.pixels[index * size..][..size].iter().map(|&v| f32::from(v) / 255.0);
        let values: Vec<f32> = indices.iter().flat_map(of).collect();
        Tensor::from_vec(values, (indices.len(), self.height, self.width, 1), &Device::Cpu)
    }

    /// How many pictures `split` has.
    pub fn count(&self, split: &Split) -> usize {
        split.pixels.len() / self.size()
    }
}

fn from_idx(folder: &Path, names: &[String]) -> Result<Pictures, LabError> {
    let find = |part: &str, dimensions: u8| -> Result<PathBuf, LabError> {
        let wanted = |name: &&String| {
            let stem = name.strip_suffix(".gz").unwrap_or(name);
            stem.starts_with(part) && stem.ends_with(&format!("idx{dimensions}-ubyte"))
        };
        names.iter().find(wanted).map(|name| folder.join(name)).ok_or_else(|| LabError::Data {
            path: folder.into(),
            what: format!("{part}-idx{dimensions}-ubyte (or with .gz) is missing: put it there"),
        })
    };
    let read = |set: &str| -> Result<(idx::IdxPictures, Vec<u8>), LabError> {
        let pictures = idx::pictures(&find(&format!("{set}-images"), 3)?)?;
        let path = find(&format!("{set}-labels"), 1)?;
        let labels = idx::labels(&path)?;
        let count = pictures.pixels.len() / (pictures.height * pictures.width);
        if labels.len() != count {
            let what = format!("it has {} labels for {count} pictures", labels.len());
            return Err(LabError::Idx { path, what });
        }
        Ok((pictures, labels))
    };
    let ((train, labels), (test, test_labels)) = (read("train")?, read("t10k")?);
    if (train.height, train.width) != (test.height, test.width) {
        return Err(LabError::Data {
            path: folder.into(),
            what: format!(
                "its training pictures are {}×{} and its test pictures {}×{}: they must be of one size",
                train.width, train.height, test.width, test.height
            ),
        });
    }
    let size = train.height * train.width;
    let kept = labels.len() - labels.len() / HELD_OUT;
    if kept == labels.len() {
        let what = format!("{} training pictures are too few: {HELD_OUT} or more are needed", labels.len());
        return Err(LabError::Data { path: folder.into(), what });
    }
    let split = |pixels: &[u8], labels: &[u8]| Split { pixels: pixels.to_vec(), labels: labels.to_vec() };
    Ok(Pictures {
        height: train.height,
        width: train.width,
        train: split(&train.pixels[..kept * size], &labels[..kept]),
        validation: split(&train.pixels[kept * size..], &labels[kept..]),
        test: Split { pixels: test.pixels, labels: test_labels },
    })
}

fn from_pictures(folder: &Path, side: usize) -> Result<Pictures, LabError> {
    let paths = list_pictures(folder)?;
    if paths.len() < FEWEST {
        let what = format!("it has {} pictures, and {FEWEST} or more are needed", paths.len());
        return Err(LabError::Data { path: folder.into(), what });
    }
    let grey = |path: &PathBuf| Ok(grey_square(&read_original(path)?, side));
    let pictures: Vec<Vec<u8>> = paths.par_iter().map(grey).collect::<Result<_, LabError>>()?;
    let part = |wanted: &dyn Fn(usize) -> bool| {
        let chosen = pictures.iter().enumerate().filter(|(index, _)| wanted(*index));
        Split { pixels: chosen.flat_map(|(_, pixels)| pixels.iter().copied()).collect(), labels: vec![] }
    };
    Ok(Pictures {
        height: side,
        width: side,
        train: part(&|index| index % HELD_OUT > 1),
        validation: part(&|index| index % HELD_OUT == 0),
        test: part(&|index| index % HELD_OUT == 1),
    })
}

/// Luma (BT.601) of the central square, scaled.
fn grey_square(picture: &Image, side: usize) -> Vec<u8> {
    let least = picture.width.min(picture.height);
    let (left, top) = ((picture.width - least) / 2, (picture.height - least) / 2);
    let grey = image::GrayImage::from_fn(least, least, |x, y| {
        let at = ((y + top) as usize * picture.width as usize + (x + left) as usize) * 3;
        let [r, g, b] = [0, 1, 2].map(|k| f32::from(picture.rgb[at + k]));
        image::Luma([(0.299 * r + 0.587 * g + 0.114 * b).round() as u8])
    });
    let scaled =
        image::imageops::resize(&grey, side as u32, side as u32, image::imageops::FilterType::Triangle);
    scaled.into_raw()
}

#[cfg(test)]
mod tests;
