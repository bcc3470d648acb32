//! Inputs and outputs of the commands, where `-` is standard input or output.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use bottleneck_client::OutputFile;

use crate::Usage;
use crate::terminal::Stdout;

/// Longest image file that is read, in bytes.
pub(crate) const IMAGE_BYTES: u64 = 512 << 20;
/// Longest model file that is read, in bytes.
pub(crate) const MODEL_BYTES: u64 = 1 << 30;

/// Whether a path stands for standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads an input whole, if it has at most `max_bytes`.
pub(crate) fn read(path: &Path, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    if is_dash(path) {
        ensure!(
            !io::stdin().is_terminal(),
            Usage("standard input is a terminal: give a file, or pipe one in".into())
        );
        return read_limited(io::stdin().lock(), 0, max_bytes).context("cannot read standard input");
    }
    let open = || {
        let metadata = fs::metadata(path)?;
        ensure!(!metadata.is_dir(), "it is a folder");
        ensure!(
            metadata.len() <= max_bytes,
            "it has {} bytes, and at most {max_bytes} are read",
            metadata.len()
        );
        read_limited(File::open(path)?, metadata.len(), max_bytes)
    };
    open().with_context(|| format!("cannot read {}", path.display()))
}

fn read_limited(input: impl Read, expected: u64, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    input.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= max_bytes, "it has more than {max_bytes} bytes");
    Ok(bytes)
}

/// Where a command's file goes.
pub(crate) enum Output {
    Stdout,
    File(OutputFile),
}

impl Output {
    /// Checks that `path` can be written, before any work is done for it, and that it is not `input`.
    pub(crate) fn open(path: &Path, input: &Path) -> anyhow::Result<Output> {
        if is_dash(path) {
            ensure!(
                !io::stdout().is_terminal(),
                Usage("standard output is a terminal: name a file, or pipe it on".into())
            );
            return Ok(Output::Stdout);
        }
        let same = fs::canonicalize(path).is_ok_and(|output| {
            output.is_file() && fs::canonicalize(input).is_ok_and(|input| input == output)
        });
        if same {
            bail!(Usage(format!("{} is both input and output", path.display())));
        }
        Ok(Output::File(OutputFile::create(path)?))
    }

    /// A buffered writer. It must be flushed and dropped before [`commit`](Output::commit).
    pub(crate) fn writer(&self) -> io::Result<Box<dyn Write>> {
        Ok(match self {
            Output::Stdout => Box::new(BufWriter::new(Stdout::new())),
            Output::File(file) => Box::new(BufWriter::with_capacity(1 << 16, file.handle()?)),
        })
    }

    /// Writes all of the file at once, and commits.
    pub(crate) fn write_all(self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut writer = self.writer()?;
        writer.write_all(bytes)?;
        writer.flush()?;
        drop(writer);
        self.commit()
    }

    /// Puts a file in its place.
    pub(crate) fn commit(self) -> anyhow::Result<()> {
        match self {
            Output::Stdout => Ok(()),
            Output::File(file) => Ok(file.commit()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_over_the_limit_are_refused() {
        assert_eq!(read_limited(&b"12345"[..], 0, 5).unwrap(), b"12345");
        assert!(read_limited(&b"123456"[..], 0, 5).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"123456").unwrap();
        let error = format!("{:#}", read(file.path(), 5).unwrap_err());
        assert!(error.contains("at most 5"), "{error}");
        // A device has no length to go by.
        #[cfg(unix)]
        assert!(read(Path::new("/dev/zero"), 1 << 16).is_err());
    }
}
