//! Many pictures to a server: a few at a time, waiting where the server is busy, and going on where an earlier
//! run stopped.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bottleneck_proto::{Container, Limits, Quality};
use walkdir::WalkDir;

use crate::{OutputError, OutputFile, Server, UploadError};

/// Extensions of the files that are taken out of a folder.
const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];
/// Longest picture file that is sent, in bytes.
const IMAGE_BYTES: u64 = 512 << 20;

/// A picture of a batch, and where its code goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem {
    /// The picture's file.
    pub image: PathBuf,
    /// The code's file.
    pub code: PathBuf,
}

/// Finds the pictures that `paths` name: files as they are, and folders with all that is below them. Codes go
/// beside the pictures, or below `output` in the same tree; where two pictures differ in their extension only,
/// their codes keep it (`a.jpg.bnk`).
///
/// # Errors
/// Paths that cannot be read.
pub fn find_pictures(paths: &[PathBuf], output: Option<&Path>) -> Result<Vec<BatchItem>, BatchError> {
    let mut found: Vec<(PathBuf, PathBuf)> = Vec::new();
    for root in paths {
        for entry in WalkDir::new(root).sort_by_file_name() {
            let entry = entry.map_err(|error| BatchError::Read {
                path: error.path().unwrap_or(root).to_owned(),
                source: error.into(),
            })?;
            let image = entry.path();
            let named = entry.depth() == 0;
            // A link to a folder that is named is followed, but its own entry still says link.
            if entry.file_type().is_dir() || named && root.is_dir() || !(named || is_picture(image)) {
                continue;
            }
            let below = if named { image.file_name().map(Path::new) } else { image.strip_prefix(root).ok() };
            let place = match output {
                Some(folder) => folder.join(below.unwrap_or(image)),
                None => image.to_owned(),
            };
            found.push((image.to_owned(), place));
        }
    }
    let mut taken: HashMap<PathBuf, usize> = HashMap::new();
    found.iter().for_each(|(_, place)| *taken.entry(place.with_extension("bnk")).or_default() += 1);
    let item = |(image, place): (PathBuf, PathBuf)| {
        let mut code = place.with_extension("bnk");
        if taken[&code] > 1 {
            code = place;
            code.as_mut_os_string().push(".bnk");
        }
        BatchItem { image, code }
    };
    Ok(found.into_iter().map(item).collect())
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// Why a picture of a batch has no code.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The picture cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The picture.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The picture's file is too long to be sent.
    #[error("{path} has {bytes} bytes, and at most {IMAGE_BYTES} are sent")]
    TooLong {
        /// The picture.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The server gave none.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The code cannot be kept.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The code cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The code.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// How a batch is sent.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Pictures that are on their way at once.
    pub jobs: usize,
    /// Quality, 0..=100; without one the server's default holds.
    pub quality: Option<f64>,
    /// What the codes may be.
    pub limits: Limits,
    /// Sends pictures again whose codes are there already.
    pub again: bool,
}

/// What became of a picture.
#[derive(Debug)]
pub enum BatchOutcome {
    /// Its code was made and written.
    Coded {
        /// Bytes of the picture's file.
        image_bytes: u64,
        /// The code.
        code: Vec<u8>,
    },
    /// Its code was there, newer than the picture and at the quality asked for.
    Kept,
}

/// What happens while a batch is sent.
#[derive(Debug)]
pub enum BatchEvent<'a> {
    /// The server is busy: this picture is sent again after the wait.
    Waiting(&'a BatchItem, Duration),
    /// A picture is done with, well or not.
    Done(&'a BatchItem, Result<BatchOutcome, BatchError>),
}

impl Server {
    /// Has the server encode `items`, a few at a time. Only the files on their way are held in memory. `told`
    /// hears of everything, on the calling thread, and in no certain order. Failures are events: the rest of
    /// the batch goes on.
    pub fn encode_batch(
        &self,
        items: &[BatchItem],
        options: &BatchOptions,
        mut told: impl FnMut(BatchEvent<'_>),
    ) {
        let next = AtomicUsize::new(0);
        let (events, happened) = channel();
        std::thread::scope(|scope| {
            for _ in 0..options.jobs.clamp(1, items.len().max(1)) {
                let (events, next) = (events.clone(), &next);
                scope.spawn(move || {
                    while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = self.encode_file(item, options, &events);
                        // Fails only where the listener panicked.
                        let _ = events.send(BatchEvent::Done(item, outcome));
                    }
                });
            }
            drop(events);
            happened.into_iter().for_each(&mut told);
        });
    }

    fn encode_file<'a>(
        &self,
        item: &'a BatchItem,
        options: &BatchOptions,
        events: &Sender<BatchEvent<'a>>,
    ) -> Result<BatchOutcome, BatchError> {
        if !options.again && is_current(item, options) {
            return Ok(BatchOutcome::Kept);
        }
        let read = |source| BatchError::Read { path: item.image.clone(), source };
        let bytes = fs::metadata(&item.image).map_err(read)?.len();
        if bytes > IMAGE_BYTES {
            return Err(BatchError::TooLong { path: item.image.clone(), bytes });
        }
        let image = fs::read(&item.image).map_err(read)?;
        let waiting = |wait| {
            let _ = events.send(BatchEvent::Waiting(item, wait));
        };
        let code = self.encode(&image, options.quality, &options.limits, waiting)?;
        let write = |source| BatchError::Write { path: item.code.clone(), source };
        if let Some(folder) = item.code.parent() {
            fs::create_dir_all(folder).map_err(write)?;
        }
        let output = OutputFile::create(&item.code)?;
        std::io::Write::write_all(&mut output.handle().map_err(write)?, &code).map_err(write)?;
        output.commit()?;
        Ok(BatchOutcome::Coded { image_bytes: image.len() as u64, code })
    }
}

/// Whether the code is there whole, not older than the picture, and at the quality asked for.
fn is_current(item: &BatchItem, options: &BatchOptions) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let (Some(image), Some(code)) = (changed(&item.image), changed(&item.code)) else { return false };
    let Ok(bytes) = fs::read(&item.code) else { return false };
    let asked = options.quality.and_then(Quality::from_percent);
    let found = Container::parse(&bytes, &options.limits).map(|container| container.quality);
    code >= image && found.is_ok_and(|found| asked.is_none_or(|asked| asked == found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_for_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("tree/deep")).unwrap();
        for name in ["tree/b.JPG", "tree/deep/a.png", "tree/deep/a.webp", "tree/notes.txt", "one.dat"] {
            fs::write(path(name), b"").unwrap();
        }
        let items = |output: Option<&Path>| -> Vec<(PathBuf, PathBuf)> {
            let found = find_pictures(&[path("tree"), path("one.dat")], output).unwrap();
            found.into_iter().map(|item| (item.image, item.code)).collect()
        };
        let expected = |base: &str, one: &str| {
            [
                ("tree/b.JPG", format!("{base}b.bnk")),
                ("tree/deep/a.png", format!("{base}deep/a.png.bnk")),
                ("tree/deep/a.webp", format!("{base}deep/a.webp.bnk")),
                ("one.dat", format!("{one}one.bnk")),
            ]
            .map(|(image, code)| (path(image), path(&code)))
        };
        assert_eq!(items(None), expected("tree/", ""));
        assert_eq!(items(Some(&path("codes"))), expected("codes/", "codes/"));
        assert!(matches!(find_pictures(&[path("gone")], None), Err(BatchError::Read { .. })));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("tree"), path("link")).unwrap();
            let found = find_pictures(&[path("link")], None).unwrap();
            assert_eq!(found.len(), 3, "{found:?}");
        }
    }
}
