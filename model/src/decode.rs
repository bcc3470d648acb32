//! Bytes → pixels: the mirror image of `encode.rs`, one call a stage.

use crate::entropy;
use crate::latents::{Grid, walk};
use crate::plain::Map;
use crate::synthesis::Synthesis;
use crate::{Image, Limits, Model};
use bottleneck_proto::{Container, ContainerError, ModelId, Quality, STRIP_ROWS};

/// Takes a picture row by row, so that it need not be held whole.
pub trait RowSink {
    /// Called once, before any row.
    ///
    /// # Errors
    /// Those of whatever the rows are written to; they end the decode.
    fn start(&mut self, width: u32, height: u32) -> std::io::Result<()>;
    /// `rgb` holds whole rows (a multiple of `width * 3` bytes), in order from the top.
    ///
    /// # Errors
    /// Those of whatever the rows are written to; they end the decode.
    fn rows(&mut self, rgb: &[u8]) -> std::io::Result<()>;
}

/// Why a stream could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The container is damaged, or over a limit.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The stream was made by another model.
    #[error("this code was made by model {found}, which is not at hand (at hand: {known})")]
    UnknownModel {
        /// Model the stream names.
        found: ModelId,
        /// Model that was offered.
        known: ModelId,
    },
    /// The entropy-coded data of a strip is damaged.
    #[error("strip {strip} is damaged: {what}")]
    Damaged {
        /// Index of the strip, from 0.
        strip: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The row sink failed.
    #[error("cannot write the decoded rows: {0}")]
    Sink(#[from] std::io::Error),
}

/// Decodes a stream into a whole picture.
///
/// # Errors
/// Damaged streams, streams over a limit, streams of another model.
pub fn decode(bytes: &[u8], model: &Model, limits: &Limits) -> Result<Image, DecodeError> {
    let mut image = Image { width: 0, height: 0, rgb: vec![] };
    decode_rows(bytes, model, limits, &mut image)?;
    Ok(image)
}

impl RowSink for Image {
    fn start(&mut self, width: u32, height: u32) -> std::io::Result<()> {
        (self.width, self.height) = (width, height);
        self.rgb.reserve_exact(width as usize * height as usize * 3);
        Ok(())
    }

    fn rows(&mut self, rgb: &[u8]) -> std::io::Result<()> {
        self.rgb.extend_from_slice(rgb);
        Ok(())
    }
}

/// Decodes a stream strip by strip into `sink`, in memory bounded by the picture's width.
///
/// # Errors
/// Those of [`decode`], and the sink's own.
pub fn decode_rows(
    bytes: &[u8],
    model: &Model,
    limits: &Limits,
    sink: &mut dyn RowSink,
) -> Result<(), DecodeError> {
    decode_container(&Container::parse(bytes, limits)?, model, sink)
}

/// Decodes a parsed container: for callers that have checked it in their own way.
///
/// # Errors
/// Those of [`decode_rows`].
pub fn decode_container(
    container: &Container<'_>,
    model: &Model,
    sink: &mut dyn RowSink,
) -> Result<(), DecodeError> {
    if container.model != model.id() {
        return Err(DecodeError::UnknownModel { found: container.model, known: model.id() });
    }
    let (width, height) = (usize::from(container.width), usize::from(container.height));
    let synthesis = Synthesis::new(model, container.quality);
    let strips = container.strips.len();
    let rows_of = |strip: usize| (height - strip * STRIP_ROWS as usize).min(STRIP_ROWS as usize);
    let latents = |strip: usize| -> Result<Option<Map>, DecodeError> {
        let Some(data) = container.strips.get(strip) else { return Ok(None) };
        let y_hat = strip_latents(model, container.quality, Grid::new(width, rows_of(strip)), data);
        y_hat.map(Some).map_err(|what| DecodeError::Damaged { strip, what })
    };

    sink.start(width as u32, height as u32)?;
    let mut above: Option<Map> = None;
    let (first, second) = rayon::join(|| latents(0), || latents(1));
    let (mut current, mut below) = (first?, second?);
    for strip in 0..strips {
        // The latents of the strip after next are decoded while this one becomes pixels.
        let size = (width, rows_of(strip));
        let y_hat = current.as_ref().expect("latents were decoded for every strip");
        let (rgb, next) = rayon::join(
            || synthesis.strip(above.as_ref(), y_hat, below.as_ref(), size),
            || latents(strip + 2),
        );
        sink.rows(&rgb)?;
        (above, current, below) = (current, below, next?);
    }
    Ok(())
}

/// Entropy decoding of one strip: its bytes → ŷ, corrected and unscaled.
fn strip_latents(model: &Model, quality: Quality, grid: Grid, data: &[u8]) -> Result<Map, &'static str> {
    let mut coder = entropy::Decoder::new(data);
    let tables = model.tables.z(quality);
    let mut z = vec![0; grid.z_h * grid.z_w * tables.len()];
    for (i, z) in z.iter_mut().enumerate() {
        *z = coder.get(&tables[i % tables.len()])?;
    }
    let y_hat = walk(model, quality, grid, &z, |level, _, _, _, _| {
        coder.get(&model.tables.residual[level as usize])
    })?;
    coder.finish()?;
    Ok(y_hat)
}
