//! `bottleneck decode`: a code to a picture file, row by row.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bottleneck_client::{Limits, Model, PictureFormat, PictureSink, RowSink, decode_rows};
use bottleneck_proto::Container;
use clap::{Args, ValueEnum};

use crate::files::{self, Output};
use crate::terminal::Progress;
use crate::{Outcome, Usage, models};

/// Decode a code to a picture
#[derive(Args)]
pub(crate) struct Arguments {
    /// The code (.bnk)
    input: PathBuf,
    /// The picture to write: .png, .ppm, .jpg, .jpeg or .webp (lossless)
    output: PathBuf,
    /// Format to write, whatever the output's name [default: by its extension; png to standard output]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Refuse pictures of more pixels
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_pixels)]
    max_pixels: u64,
    /// File of a further model (can be repeated)
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Png,
    Ppm,
    #[value(alias = "jpg")]
    Jpeg,
    Webp,
}

impl From<Format> for PictureFormat {
    fn from(format: Format) -> PictureFormat {
        match format {
            Format::Png => PictureFormat::Png,
            Format::Ppm => PictureFormat::Ppm,
            Format::Jpeg => PictureFormat::Jpeg,
            Format::Webp => PictureFormat::WebP,
        }
    }
}

impl Arguments {
    fn format(&self) -> Result<PictureFormat, Usage> {
        if let Some(format) = self.format {
            return Ok(format.into());
        }
        if files::is_dash(&self.output) {
            return Ok(PictureFormat::Png);
        }
        PictureFormat::from_path(&self.output).ok_or_else(|| {
            let output = self.output.display();
            Usage(format!("{output}: the extension is none of .png .ppm .jpg .jpeg .webp; give --format"))
        })
    }
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let format = arguments.format()?;
    let output = Output::open(&arguments.output, &arguments.input)?;
    let limits = limits(arguments.max_pixels);
    let code = files::read(&arguments.input, limits.max_bytes)?;
    let context = || format!("cannot decode {}", arguments.input.display());
    let id = Container::parse(&code, &limits).with_context(context)?.model;
    let model = models::find(id, &arguments.model).with_context(context)?;
    write(
        (&code, &arguments.input.display().to_string()),
        &model,
        &limits,
        format,
        (output, &arguments.output),
    )?;
    Ok(Outcome::Done)
}

/// Limits of codes that hold pictures of at most so many pixels.
pub(crate) fn limits(max_pixels: u64) -> Limits {
    let limits = Limits { max_pixels, ..Limits::default() };
    // Who allows larger pictures allows their codes too: up to a byte a pixel.
    Limits { max_bytes: limits.max_bytes.max(max_pixels), ..limits }
}

/// Decodes to a picture file. Code and file come with what they are called.
pub(crate) fn write(
    (code, name): (&[u8], &str),
    model: &Model,
    limits: &Limits,
    format: PictureFormat,
    (output, path): (Output, &Path),
) -> anyhow::Result<()> {
    let mut sink = ShownSink {
        inner: PictureSink::new(format, output.writer()?),
        progress: Progress::new(),
        row_bytes: 1,
        height: 0,
        bytes: 0,
    };
    decode_rows(code, model, limits, &mut sink).with_context(|| format!("cannot decode {name}"))?;
    let written = sink.inner.finish();
    written.with_context(|| format!("cannot write {}", path.display()))?;
    output.commit()
}

/// Passes rows on, and shows how many there were.
struct ShownSink {
    inner: PictureSink,
    progress: Progress,
    row_bytes: u64,
    height: u32,
    bytes: u64,
}

impl RowSink for ShownSink {
    fn start(&mut self, width: u32, height: u32) -> io::Result<()> {
        self.row_bytes = u64::from(width) * 3;
        self.height = height;
        self.inner.start(width, height)
    }

    fn rows(&mut self, rgb: &[u8]) -> io::Result<()> {
        self.bytes += rgb.len() as u64;
        self.progress.show(&format!("decoded {} of {} rows", self.bytes / self.row_bytes, self.height));
        self.inner.rows(rgb)
    }
}
