use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Why an output file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The path names a folder.
    #[error("the output {0} is a folder: name a file in it")]
    IsFolder(PathBuf),
    /// The folder that should hold the file does not exist.
    #[error("the folder {0} for the output does not exist")]
    NoFolder(PathBuf),
    /// A file is there and must not be overwritten.
    #[error("the output {0} exists and is read-only")]
    ReadOnly(PathBuf),
    /// The file system refused.
    #[error("cannot write {path}")]
    Io {
        /// The output.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A file that appears whole or not at all.
///
/// Bytes go to a temporary file beside the target, which [`commit`](OutputFile::commit) renames over
/// it. Dropped without a commit, nothing is left and a file that was there before is untouched.
/// Devices and pipes (`/dev/null`, a FIFO) cannot be replaced by a rename and are written directly.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    destination: Destination,
}

#[derive(Debug)]
enum Destination {
    Temporary { file: NamedTempFile, target: PathBuf },
    Direct(File),
}

impl OutputFile {
    /// Checks the path and opens the temporary file, so that a bad path fails before any work is done.
    pub fn create(path: &Path) -> Result<OutputFile, OutputError> {
        let io_error = |source| OutputError::Io { path: path.to_owned(), source };
        let existing = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error(error)),
        };
        if existing.as_ref().is_some_and(|metadata| metadata.is_dir()) || path.file_name().is_none() {
            return Err(OutputError::IsFolder(path.to_owned()));
        }
        let destination = match existing {
            Some(metadata) if !metadata.is_file() => {
                Destination::Direct(File::options().write(true).open(path).map_err(io_error)?)
            }
            Some(metadata) if metadata.permissions().readonly() => {
                return Err(OutputError::ReadOnly(path.to_owned()));
            }
            Some(metadata) => {
                // Through a symbolic link the file behind it is replaced, not the link.
                let target = fs::canonicalize(path).map_err(io_error)?;
                let file = temporary_beside(&target).map_err(io_error)?;
                // A courtesy that some file systems refuse: the new file keeps the old one's mode.
                let _ = file.as_file().set_permissions(metadata.permissions());
                Destination::Temporary { file, target }
            }
            None => {
                let folder = folder_of(path);
                if !folder.is_dir() {
                    return Err(OutputError::NoFolder(folder.to_owned()));
                }
                let file = temporary_beside(path).map_err(io_error)?;
                Destination::Temporary { file, target: path.to_owned() }
            }
        };
        Ok(OutputFile { path: path.to_owned(), destination })
    }

    /// A handle to write through. All handles share one position; they must be flushed and dropped
    /// before [`commit`](OutputFile::commit).
    pub fn handle(&self) -> std::io::Result<File> {
        match &self.destination {
            Destination::Temporary { file, .. } => file.as_file().try_clone(),
            Destination::Direct(file) => file.try_clone(),
        }
    }

    /// Puts the file in its place, after its bytes have reached the disk.
    pub fn commit(self) -> Result<(), OutputError> {
        let Destination::Temporary { file, target } = self.destination else { return Ok(()) };
        // Without the sync a power cut could leave the new name on an empty file.
        let synced = file.as_file().sync_all();
        synced
            .and_then(|()| file.persist(target).map_err(|error| error.error))
            .map(drop)
            .map_err(|source| OutputError::Io { path: self.path, source })
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn temporary_beside(target: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bottleneck-").suffix(".part");
    // A temporary file is private by default; this one becomes an ordinary file, under the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_committed_file_is_whole_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.bnk");
        let output = OutputFile::create(&path).unwrap();
        output.handle().unwrap().write_all(b"half").unwrap();
        assert!(!path.exists(), "nothing may be seen before the commit");
        output.handle().unwrap().write_all(b" and half").unwrap();
        output.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"half and half");
        assert_eq!(names(folder.path()), ["out.bnk"]);
    }

    #[test]
    fn a_dropped_file_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.bnk");
        fs::write(&path, b"old").unwrap();
        let output = OutputFile::create(&path).unwrap();
        output.handle().unwrap().write_all(b"new").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["out.bnk"]);
    }

    #[test]
    fn bad_places_are_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none/out.bnk");
        assert!(matches!(OutputFile::create(folder.path()), Err(OutputError::IsFolder(_))));
        assert!(matches!(OutputFile::create(&missing), Err(OutputError::NoFolder(_))));
        assert!(matches!(OutputFile::create(Path::new("..")), Err(OutputError::IsFolder(_))));
        let fixed = folder.path().join("fixed");
        fs::write(&fixed, b"").unwrap();
        let mut permissions = fs::metadata(&fixed).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&fixed, permissions).unwrap();
        assert!(matches!(OutputFile::create(&fixed), Err(OutputError::ReadOnly(_))));
    }

    #[cfg(unix)]
    #[test]
    fn modes_links_and_devices_are_as_for_an_ordinary_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        let plain = folder.path().join("plain");
        fs::write(&plain, b"").unwrap();
        let made = folder.path().join("made");
        OutputFile::create(&made).unwrap().commit().unwrap();
        assert_eq!(mode(&made), mode(&plain), "a new file follows the umask");

        fs::set_permissions(&plain, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&plain, &link).unwrap();
        let output = OutputFile::create(&link).unwrap();
        output.handle().unwrap().write_all(b"through").unwrap();
        output.commit().unwrap();
        assert_eq!(fs::read(&plain).unwrap(), b"through");
        assert_eq!(mode(&plain), 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        OutputFile::create(Path::new("/dev/null")).unwrap().commit().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
