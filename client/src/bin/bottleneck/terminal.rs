//! What the command says: errors and progress on standard error, results on standard output.

use std::io::{self, IsTerminal, Write};

/// Standard output was closed by its reader.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
struct ClosedStdout;

/// Standard output, whose broken pipe can be told from any other (a server's, a file's).
pub(crate) struct Stdout(io::Stdout);

impl Stdout {
    pub(crate) fn new() -> Stdout {
        Stdout(io::stdout())
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark_closed)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark_closed)
    }
}

fn mark_closed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        io::Error::new(io::ErrorKind::BrokenPipe, ClosedStdout)
    } else {
        error
    }
}

/// Whether the reader of our standard output went away.
pub(crate) fn is_closed_stdout(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let cause = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause.is_some_and(|inner| inner.is::<ClosedStdout>())
    })
}

/// Prints a result.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = Stdout::new();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// Prints an error and its causes as one sentence.
pub(crate) fn report(error: &anyhow::Error) {
    // With standard error closed too, there is nobody left to tell.
    let _ = writeln!(io::stderr(), "error: {}", sentence(error));
}

/// Prints what should be known of a result that is no error.
#[cfg(feature = "encode")]
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "note: {text}");
}

/// The causes joined by colons, less those that the error before already told.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A status line that is rewritten in place, where standard error is a terminal.
pub(crate) struct Progress {
    shown: bool,
    enabled: bool,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress { shown: false, enabled: io::stderr().is_terminal() }
    }

    pub(crate) fn show(&mut self, text: &str) {
        if self.enabled {
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
            self.shown = true;
        }
    }

    /// Takes the line away, so that others can be printed.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write the rows: {0}")]
        struct Sink(#[from] io::Error);
        let result: Result<(), Sink> = Err(io::Error::other("disk full").into());
        let error = result.context("cannot decode a.bnk").unwrap_err();
        assert_eq!(sentence(&error), "cannot decode a.bnk: cannot write the rows: disk full");
    }

    #[test]
    fn only_our_own_output_counts_as_closed() {
        let closed = |error: io::Error| is_closed_stdout(&anyhow::Error::new(error).context("writing"));
        assert!(closed(mark_closed(io::ErrorKind::BrokenPipe.into())));
        assert!(!closed(io::ErrorKind::BrokenPipe.into()));
        assert!(!closed(mark_closed(io::ErrorKind::StorageFull.into())));
    }
}
