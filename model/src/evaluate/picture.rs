//! Pictures on disk: the originals of an evaluation, and the files that peers read and write.

use std::path::{Path, PathBuf};

use image::{ImageFormat, ImageReader};

use crate::Image;
use crate::ingest::{self, LoadError};

/// Why a picture file, or the folder of them, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The folder cannot be listed.
    #[error("cannot list {folder}: {source}", folder = folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The folder holds no picture.
    #[error("no picture in {folder}: expected *.png, *.jpg, *.jpeg or *.webp", folder = .0.display())]
    NoPictures(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An original is no picture that this codec takes.
    #[error("cannot read the picture {path}: {source}", path = path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: LoadError,
    },
    /// What a peer's decoder wrote is no picture.
    #[error("cannot read the decoded picture {path}: {source}", path = path.display())]
    Decoded {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: image::ImageError,
    },
    /// A file cannot be written.
    #[error("cannot write the picture {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: image::ImageError,
    },
}

/// The pictures of a folder by their extensions, sorted by name. Folders in it are not entered.
pub fn list_pictures(folder: &Path) -> Result<Vec<PathBuf>, PictureError> {
    let failed = |source| PictureError::Folder { folder: folder.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if ["png", "jpg", "jpeg", "webp"].contains(&extension.as_str()) && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(PictureError::NoPictures(folder.to_path_buf()));
    }
    paths.sort();
    Ok(paths)
}

/// Reads an original as the codec's users would have it: see [`ingest`].
pub fn read_original(path: &Path) -> Result<Image, PictureError> {
    let bytes =
        std::fs::read(path).map_err(|source| PictureError::Read { path: path.to_path_buf(), source })?;
    ingest::load(&bytes, &ingest::Options::default())
        .map_err(|source| PictureError::Load { path: path.to_path_buf(), source })
}

/// Reads what a peer's decoder wrote, PNG or PPM: its samples as they are, whatever profile it attached, for it
/// was given samples without one.
pub fn read_decoded(path: &Path) -> Result<Image, PictureError> {
    let decode = || ImageReader::open(path)?.with_guessed_format()?.decode();
    let rgb =
        decode().map_err(|source| PictureError::Decoded { path: path.to_path_buf(), source })?.into_rgb8();
    Ok(Image { width: rgb.width(), height: rgb.height(), rgb: rgb.into_raw() })
}

/// Writes a picture as PNG.
pub fn write_png(image: &Image, path: &Path) -> Result<(), PictureError> {
    let color = image::ExtendedColorType::Rgb8;
    image::save_buffer_with_format(path, &image.rgb, image.width, image.height, color, ImageFormat::Png)
        .map_err(|source| PictureError::Write { path: path.to_path_buf(), source })
}

/// Writes a picture as binary PPM (`P6`).
pub fn write_ppm(image: &Image, path: &Path) -> Result<(), PictureError> {
    let mut bytes = format!("P6\n{} {}\n255\n", image.width, image.height).into_bytes();
    bytes.extend_from_slice(&image.rgb);
    std::fs::write(path, bytes)
        .map_err(|source| PictureError::Write { path: path.to_path_buf(), source: source.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_listed_by_name_and_read_back_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image { width: 3, height: 2, rgb: (0..18).collect() };
        let (png, upper, ppm) = ("b.png", "a.PNG", "c.ppm");
        let [png, upper, ppm] = [png, upper, ppm].map(|name| folder.path().join(name));
        write_png(&image, &png).unwrap();
        write_png(&image, &upper).unwrap();
        write_ppm(&image, &ppm).unwrap();
        assert_eq!(read_original(&png).unwrap(), image);
        assert_eq!(read_decoded(&png).unwrap(), image);
        assert_eq!(read_decoded(&ppm).unwrap(), image);
        std::fs::write(folder.path().join("README.txt"), "no picture").unwrap();
        assert_eq!(list_pictures(folder.path()).unwrap(), [upper, png]);
    }

    #[test]
    fn errors_name_the_folder_and_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = list_pictures(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("no picture in "), "{error}");
        let error = list_pictures(&folder.path().join("gone")).unwrap_err().to_string();
        assert!(error.contains("gone"), "{error}");
        let broken = folder.path().join("broken.png");
        std::fs::write(&broken, "not a picture").unwrap();
        for error in [read_original(&broken).unwrap_err(), read_decoded(&broken).unwrap_err()] {
            assert!(error.to_string().contains("broken.png"), "{error}");
        }
    }
}
