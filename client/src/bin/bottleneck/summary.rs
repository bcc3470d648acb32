//! What a code's header says, for people and for programs.

use std::fmt;
use std::path::Path;

use anyhow::Context;
use bottleneck_client::{Limits, Model};
use bottleneck_proto::{Container, ContainerError, ModelId};
use serde_json::{Value, json};

use crate::files::{self, Output};
use crate::{Outcome, terminal};

/// Writes a code that was just made, and says what it is unless it goes to standard output itself.
pub(crate) fn write_code(output: Output, path: &Path, code: &[u8], as_json: bool) -> anyhow::Result<Outcome> {
    let summary = Summary::of(path.display().to_string(), code)?;
    output.write_all(code).with_context(|| format!("cannot write {}", path.display()))?;
    if !files::is_dash(path) {
        terminal::print(&if as_json { summary.json().to_string() } else { summary.line() })?;
    }
    Ok(Outcome::Done)
}

/// What the commands print of a code.
pub(crate) struct Summary {
    name: String,
    bytes: usize,
    width: u32,
    height: u32,
    /// On the 0..=100 scale.
    quality: f64,
    model: ModelId,
    strips: usize,
    experimental: bool,
}

impl Summary {
    /// Reads the header of the code `bytes`, which is called `name`.
    pub(crate) fn of(name: String, bytes: &[u8]) -> Result<Summary, ContainerError> {
        // The bytes are here already and nothing is decoded, so that no size can cost anything.
        let limits = Limits { max_pixels: u64::MAX, max_bytes: u64::MAX };
        let code = Container::parse(bytes, &limits)?;
        Ok(Summary {
            name,
            bytes: bytes.len(),
            width: code.width.into(),
            height: code.height.into(),
            quality: (code.quality.percent() * 100.0).round() / 100.0,
            model: code.model,
            strips: code.strips.len(),
            experimental: code.experimental,
        })
    }

    fn at_hand(&self) -> bool {
        Model::built_in(self.model).is_some()
    }

    /// Bits for each pixel of the picture.
    fn bpp(&self) -> f64 {
        self.bytes as f64 * 8.0 / (f64::from(self.width) * f64::from(self.height))
    }

    /// One line, for a code that was just made.
    pub(crate) fn line(&self) -> String {
        let Summary { name, width, height, bytes, quality, .. } = self;
        format!("{name}: {width}×{height}, {bytes} bytes, {:.4} bpp, quality {quality}", self.bpp())
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "file": self.name,
            "bytes": self.bytes,
            "bpp": self.bpp(),
            "width": self.width,
            "height": self.height,
            "quality": self.quality,
            "model": self.model.to_string(),
            "model_at_hand": self.at_hand(),
            "strips": self.strips,
            "experimental": self.experimental,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_hand = if self.at_hand() { "at hand" } else { "not at hand" };
        writeln!(f, "file     {}", self.name)?;
        writeln!(f, "size     {} bytes, {:.4} bpp", self.bytes, self.bpp())?;
        writeln!(f, "picture  {} × {}", self.width, self.height)?;
        writeln!(f, "quality  {}", self.quality)?;
        writeln!(f, "model    {} ({at_hand})", self.model)?;
        write!(f, "strips   {}", self.strips)?;
        if self.experimental {
            write!(f, "\nnote     experimental: a later version may not open it")?;
        }
        Ok(())
    }
}
