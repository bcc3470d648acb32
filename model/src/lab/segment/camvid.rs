//! Street scenes with a class for every pixel: CamVid (Brostow, Fauqueur & Cipolla 2009), in the 11 classes and the folders
//! of SegNet (Badrinarayanan, Kendall & Cipolla 2017).

use super::super::LabError;
use crate::Image;
use crate::evaluate::picture::{PictureError, read_original};
use std::path::{Path, PathBuf};

/// Names and colours (R, G, B) of the classes, by their index in the labels.
pub const CLASSES: [(&str, [u8; 3]); 11] = [
    ("sky", [128, 128, 128]),
    ("building", [128, 0, 0]),
    ("pole", [192, 192, 128]),
    ("road", [128, 64, 128]),
    ("pavement", [60, 40, 222]),
    ("tree", [128, 128, 0]),
    ("sign", [192, 128, 128]),
    ("fence", [64, 64, 128]),
    ("car", [64, 0, 128]),
    ("pedestrian", [64, 64, 0]),
    ("bicyclist", [0, 128, 192]),
];
/// Pixels that belong to no class: they are not learned from and not counted.
pub(super) const VOID: u8 = CLASSES.len() as u8;

/// A picture and the class of each of its pixels.
pub(super) struct Scene {
    pub(super) image: Image,
    pub(super) labels: Vec<u8>,
}

/// Names of the pictures of `split` (train, val or test): the lines of `<split>.txt`.
pub(super) fn names(folder: &Path, split: &str) -> Result<Vec<String>, LabError> {
    let path = folder.join(format!("{split}.txt"));
    let text = std::fs::read_to_string(&path).map_err(LabError::file(&path))?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(LabError::Data { path, what: "it names no picture".into() });
    }
    Ok(names)
}

/// Reads `<split>/<name>.jpg` (or .png) and `<split>annot/<name>.png`.
pub(super) fn scene(folder: &Path, split: &str, name: &str) -> Result<Scene, LabError> {
    let pictures = ["jpg", "png"].map(|extension| folder.join(split).join(format!("{name}.{extension}")));
    let path = pictures.iter().find(|path| path.exists()).unwrap_or(&pictures[0]);
    let image = read_original(path)?;
    let path: PathBuf = folder.join(format!("{split}annot")).join(format!("{name}.png"));
    let read = image::open(&path).map_err(|source| PictureError::Decoded { path: path.clone(), source })?;
    let bad = |what: String| Err(LabError::Data { path: path.clone(), what });
    let image::DynamicImage::ImageLuma8(labels) = read else {
        return bad("labels must be 8-bit grey, one class index a pixel".into());
    };
    if labels.dimensions() != (image.width, image.height) {
        let (w, h) = labels.dimensions();
        return bad(format!("it is {w}×{h}, and its picture {}×{}", image.width, image.height));
    }
    let labels = labels.into_raw();
    if let Some(label) = labels.iter().find(|label| **label > VOID) {
        return bad(format!("it holds a class {label}; allowed: 0 to 10, and 11 for none"));
    }
    Ok(Scene { image, labels })
}

impl Scene {
    /// Mirrored left to right.
    pub(super) fn mirrored(&self) -> Scene {
        let width = self.image.width as usize;
        let mut rgb = Vec::with_capacity(self.image.rgb.len());
        for row in self.image.rgb.chunks_exact(3 * width) {
            rgb.extend(row.chunks_exact(3).rev().flatten());
        }
        let labels = self.labels.chunks_exact(width).flat_map(|row| row.iter().rev()).copied().collect();
        Scene { image: Image { rgb, ..self.image }, labels }
    }

    /// The labels in the middle of every 4×4 pixels, for `rows` × `columns` of them; void beyond the picture.
    pub(super) fn coarse(&self, rows: usize, columns: usize) -> Vec<u8> {
        let (width, height) = (self.image.width as usize, self.image.height as usize);
        let at = |row: usize, column: usize| {
            let (y, x) = (4 * row + 2, 4 * column + 2);
            if y < height && x < width { self.labels[y * width + x] } else { VOID }
        };
        (0..rows * columns).map(|i| at(i / columns, i % columns)).collect()
    }
}
