//! Bytes → pixels: the mirror image of `encode.rs`, one call a stage.

use crate::entropy;
use crate::latents::{Grid, walk};
use crate::plain::{Map, Scratch};
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
    check_model(container, model)?;
    let (width, height) = (usize::from(container.width), usize::from(container.height));
    let position = crate::quality::position(container.quality);
    let mut synthesis = Synthesis::new(&model.networks, position, (width, height));
    let strips = container.strips.len();
    let latents = |strip: usize, scratch: &mut Scratch| -> Result<Option<Map>, DecodeError> {
        let Some(data) = container.strips.get(strip) else { return Ok(None) };
        let grid = Grid::new(width, strip_rows(height, strip));
        let y_hat = strip_latents(model, container.quality, grid, data, scratch, |_, _| {});
        y_hat.map(Some).map_err(|what| DecodeError::Damaged { strip, what })
    };

    sink.start(width as u32, height as u32)?;
    // One for the latents, one for the synthesis: they run side by side.
    let [mut lent, mut other] = [Scratch::default(), Scratch::default()];
    // The first strips have nothing to run beside but each other.
    let (first, mut second) = match rayon::current_num_threads() {
        1 => (latents(0, &mut other), None),
        _ => {
            let (first, second) = rayon::join(|| latents(0, &mut other), || latents(1, &mut lent));
            (first, Some(second))
        }
    };
    let mut current = first?;
    for strip in 0..strips {
        // The latents of the next strip are decoded while this one becomes pixels.
        let y_hat = current.take().expect("latents were decoded for every strip");
        let known = second.take();
        let (rgb, next) = rayon::join(
            || synthesis.strip(&y_hat, strip + 1 == strips, &mut lent),
            || known.unwrap_or_else(|| latents(strip + 1, &mut other)),
        );
        sink.rows(rgb)?;
        other.give(y_hat);
        current = next?;
    }
    Ok(())
}

fn check_model(container: &Container<'_>, model: &Model) -> Result<(), DecodeError> {
    if container.model == model.id() {
        return Ok(());
    }
    Err(DecodeError::UnknownModel { found: container.model, known: model.id() })
}

/// Picture rows that strip `strip` of a picture of `height` rows covers.
pub(crate) fn strip_rows(height: usize, strip: usize) -> usize {
    (height - strip * STRIP_ROWS as usize).min(STRIP_ROWS as usize)
}

/// The integer latents of every strip, in coding order (FORMAT.md, section 6.1): equal on every machine.
///
/// # Errors
/// Those of [`decode`].
pub fn symbols(container: &Container<'_>, model: &Model) -> Result<Vec<Vec<i16>>, DecodeError> {
    let mut symbols = vec![vec![]; container.strips.len()];
    each_symbol(container, model, |strip, value, _| symbols[strip].push(value))?;
    Ok(symbols)
}

/// What a symbol belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Symbol {
    /// z of a channel.
    Z(usize),
    /// A residual of a scale level.
    Residual(u8),
}

/// Tells `seen` every symbol of a stream: strip, value, and what it belongs to.
pub(crate) fn each_symbol(
    container: &Container<'_>,
    model: &Model,
    mut seen: impl FnMut(usize, i16, Symbol),
) -> Result<(), DecodeError> {
    check_model(container, model)?;
    let mut scratch = Scratch::default();
    for (strip, data) in container.strips.iter().enumerate() {
        let grid = Grid::new(container.width.into(), strip_rows(container.height.into(), strip));
        strip_latents(model, container.quality, grid, data, &mut scratch, |value, symbol| {
            seen(strip, value, symbol)
        })
        .map_err(|what| DecodeError::Damaged { strip, what })?;
    }
    Ok(())
}

/// Entropy decoding of one strip: its bytes → ŷ, corrected and unscaled.
/// `seen` is told every symbol.
pub(crate) fn strip_latents(
    model: &Model,
    quality: Quality,
    grid: Grid,
    data: &[u8],
    scratch: &mut Scratch,
    mut seen: impl FnMut(i16, Symbol),
) -> Result<Map, &'static str> {
    let mut coder = entropy::Decoder::new(data);
    let mut next = |symbol: Symbol| -> Result<i16, &'static str> {
        let value = coder.get(model.tables.of(quality, symbol))?;
        seen(value, symbol);
        Ok(value)
    };
    let channels = model.architecture.z;
    let mut z = vec![0; grid.z_h * grid.z_w * channels];
    for (i, z) in z.iter_mut().enumerate() {
        *z = next(Symbol::Z(i % channels))?;
    }
    let y_hat = walk(model, quality, grid, &z, scratch, |level, _, _, _, _| next(Symbol::Residual(level)))?;
    coder.finish()?;
    Ok(y_hat)
}

#[cfg(all(test, feature = "nn"))]
mod tests {
    use super::*;
    use crate::{Backend, Encoder};

    /// Invariant 7: what is computed is what is coded.
    #[test]
    fn coded_bytes_stay_near_the_information_content() {
        let encoder = Encoder::from_bytes(crate::TINY, Backend::Cpu).unwrap();
        let image = crate::pixels::test_picture(300, 200);
        for q in [0, 20_000, 65_535] {
            let bytes = encoder.encode(&image, Quality(q)).unwrap();
            let container = Container::parse(&bytes, &Limits::default()).unwrap();
            let data = container.strips[0];
            let mut bits = 0.0;
            let grid = Grid::new(300, 200);
            let tables = &encoder.model().tables;
            let seen = |value: i16, symbol| bits += tables.of(container.quality, symbol).bits(value);
            strip_latents(encoder.model(), container.quality, grid, data, &mut Scratch::default(), seen)
                .unwrap();
            let content = bits / 8.0;
            assert!(data.len() as f64 <= content * 1.005 + 32.0, "{} bytes for {content}", data.len());
            assert!(data.len() as f64 >= content - 8.0, "{} bytes for {content}", data.len());
            assert_eq!(bytes.len() - data.len(), 22);
        }
    }

    /// With the built-in models, whose last layers have a way of their own to bytes.
    #[test]
    fn pixels_without_simd_differ_by_one_step_at_most() {
        let image = crate::pixels::test_picture(150, 530);
        for encoder in [Encoder::lite(Backend::Cpu), Encoder::base(Backend::Cpu)] {
            let encoder = encoder.unwrap();
            let model = encoder.model();
            let scalar = Model::from_bytes(model.decoder_bytes()).unwrap().scalar();
            for q in [0, 50_000] {
                let bytes = encoder.encode(&image, Quality(q)).unwrap();
                let container = Container::parse(&bytes, &Limits::default()).unwrap();
                assert_eq!(symbols(&container, model).unwrap(), symbols(&container, &scalar).unwrap());
                let [best, plain] =
                    [model, &scalar].map(|model| decode(&bytes, model, &Limits::default()).unwrap());
                let worst = best.rgb.iter().zip(&plain.rgb).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(1), "{worst:?} at {q}");
            }
        }
    }

    /// Strips equal the whole: g_s over all of ŷ at once.
    #[test]
    fn strips_equal_the_whole() {
        let encoder = Encoder::from_bytes(crate::TINY, Backend::Cpu).unwrap();
        let model = encoder.model();
        let image = crate::pixels::test_picture(40, 1200);
        let bytes = encoder.encode(&image, Quality(40_000)).unwrap();
        let container = Container::parse(&bytes, &Limits::default()).unwrap();
        let mut whole = Map::zeros(0, 3, model.architecture.y);
        for (strip, data) in container.strips.iter().enumerate() {
            let grid = Grid::new(40, (1200 - 512 * strip).min(512));
            let part =
                strip_latents(model, container.quality, grid, data, &mut Scratch::default(), |_, _| {})
                    .unwrap();
            whole.dims.h += part.dims.h;
            whole.data.extend(part.data);
        }
        let position = crate::quality::position(container.quality);
        let mut synthesis = Synthesis::new(&model.networks, position, (40, 1200));
        let expected = synthesis.strip(&whole, true, &mut Scratch::default());
        let found = decode(&bytes, model, &Limits::default()).unwrap();
        assert!(found.rgb == expected);
    }
}
