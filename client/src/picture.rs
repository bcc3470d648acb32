use std::cell::RefCell;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;

use bottleneck_model::RowSink;
use image::ExtendedColorType::Rgb8;
use image::ImageError;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;

/// Quality of the JPEG files written: they only carry a decoded picture on to other programs.
pub const JPEG_QUALITY: u8 = 90;
/// Longest side that a WebP file can hold, in pixels.
pub const WEBP_MAX_SIDE: u32 = 16383;

/// File formats that a decoded picture can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// PNG, lossless, written row by row.
    Png,
    /// Binary PPM (P6), uncompressed, written row by row.
    Ppm,
    /// JPEG at [`JPEG_QUALITY`]; the picture is held whole.
    Jpeg,
    /// Lossless WebP; the picture is held whole.
    WebP,
}

impl PictureFormat {
    /// The format that a file name's extension stands for, in either case.
    pub fn from_path(path: &Path) -> Option<PictureFormat> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(PictureFormat::Png),
            "ppm" => Some(PictureFormat::Ppm),
            "jpg" | "jpeg" => Some(PictureFormat::Jpeg),
            "webp" => Some(PictureFormat::WebP),
            _ => None,
        }
    }
}

/// Writes decoded rows as a picture file.
///
/// PNG and PPM rows leave as they come; JPEG and WebP are collected (`width * height * 3` bytes) and
/// written by [`finish`](PictureSink::finish), without which no file is complete.
pub struct PictureSink {
    format: PictureFormat,
    state: State,
    /// Bytes of the picture still to come.
    missing: u64,
}

enum State {
    Waiting(Box<dyn Write>),
    Png { stream: Box<png::StreamWriter<'static, Kept>>, kept: Kept },
    Ppm(Box<dyn Write>),
    Whole { writer: Box<dyn Write>, width: u32, height: u32, rgb: Vec<u8> },
    Failed,
}

impl PictureSink {
    /// A sink that writes `format` to `writer`, which should be buffered.
    pub fn new(format: PictureFormat, writer: Box<dyn Write>) -> PictureSink {
        PictureSink { format, state: State::Waiting(writer), missing: 0 }
    }

    /// Writes what is left and flushes. Fails when the picture has not come to its end.
    pub fn finish(self) -> io::Result<()> {
        if self.missing > 0 {
            let message = format!("the picture ends {} bytes early", self.missing);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        match self.state {
            State::Png { stream, kept } => {
                let finished = stream.finish();
                kept.check(finished.map_err(png_error))?;
                kept.0.borrow_mut().writer.flush()
            }
            State::Ppm(mut writer) => writer.flush(),
            State::Whole { mut writer, width, height, rgb } => {
                let written = match self.format {
                    PictureFormat::WebP => {
                        WebPEncoder::new_lossless(&mut writer).encode(&rgb, width, height, Rgb8)
                    }
                    _ => JpegEncoder::new_with_quality(&mut writer, JPEG_QUALITY)
                        .encode(&rgb, width, height, Rgb8),
                };
                written.map_err(image_error)?;
                writer.flush()
            }
            State::Waiting(_) | State::Failed => Err(io::Error::other("no picture was written")),
        }
    }
}

impl RowSink for PictureSink {
    fn start(&mut self, width: u32, height: u32) -> io::Result<()> {
        let State::Waiting(writer) = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(io::Error::other("a sink takes one picture"));
        };
        let bytes = u64::from(width) * u64::from(height) * 3;
        self.state = match self.format {
            PictureFormat::Png => {
                let kept = Kept(Rc::new(RefCell::new(Inner { writer, failure: None })));
                let stream = kept.check(png_stream(kept.clone(), width, height).map_err(png_error))?;
                State::Png { stream: Box::new(stream), kept }
            }
            PictureFormat::Ppm => {
                let mut writer = writer;
                write!(writer, "P6\n{width} {height}\n255\n")?;
                State::Ppm(writer)
            }
            PictureFormat::WebP if width.max(height) > WEBP_MAX_SIDE => {
                let message = format!(
                    "a WebP file holds at most {WEBP_MAX_SIDE} pixels a side, and the picture is \
                     {width}×{height}"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            PictureFormat::Jpeg | PictureFormat::WebP => {
                let mut rgb = Vec::new();
                let fits = usize::try_from(bytes).is_ok_and(|bytes| rgb.try_reserve_exact(bytes).is_ok());
                if !fits {
                    let message = format!("no memory for a picture of {width}×{height}");
                    return Err(io::Error::new(io::ErrorKind::OutOfMemory, message));
                }
                State::Whole { writer, width, height, rgb }
            }
        };
        self.missing = bytes;
        Ok(())
    }

    fn rows(&mut self, rows: &[u8]) -> io::Result<()> {
        self.missing = (self.missing)
            .checked_sub(rows.len() as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "more rows than the picture has"))?;
        match &mut self.state {
            State::Png { stream, kept } => kept.check(stream.write_all(rows)),
            State::Ppm(writer) => writer.write_all(rows),
            State::Whole { rgb, .. } => {
                rgb.extend_from_slice(rows);
                Ok(())
            }
            State::Waiting(_) | State::Failed => Err(io::Error::other("rows before the picture's start")),
        }
    }
}

/// A writer that outlives the PNG stream around it, and remembers how it failed: the last chunk of a
/// PNG is written when its stream is dropped, where an error would be lost.
#[derive(Clone)]
struct Kept(Rc<RefCell<Inner>>);

struct Inner {
    writer: Box<dyn Write>,
    failure: Option<io::Error>,
}

impl Kept {
    /// The writer's own error, where there was one; it tells a full disk from a closed pipe.
    fn check<T>(&self, result: io::Result<T>) -> io::Result<T> {
        match self.0.borrow_mut().failure.take() {
            Some(failure) => Err(failure),
            None => result,
        }
    }

    fn keep<T>(&self, call: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
        let inner = &mut *self.0.borrow_mut();
        call(&mut *inner.writer).map_err(|error| {
            let kind = error.kind();
            // An interrupted call is made again.
            if kind != io::ErrorKind::Interrupted {
                inner.failure = Some(error);
            }
            kind.into()
        })
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.keep(|writer| writer.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.keep(|writer| writer.flush())
    }
}

type PngStream = png::StreamWriter<'static, Kept>;

fn png_stream(writer: Kept, width: u32, height: u32) -> Result<PngStream, png::EncodingError> {
    let mut encoder = png::Encoder::new(writer, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.into_stream_writer()
}

fn png_error(error: png::EncodingError) -> io::Error {
    match error {
        png::EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

fn image_error(error: ImageError) -> io::Error {
    match error {
        ImageError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer whose bytes can be looked at, and that fails after `room` bytes.
    #[derive(Clone)]
    struct Shared {
        bytes: Rc<RefCell<Vec<u8>>>,
        room: usize,
    }

    impl Shared {
        fn new(room: usize) -> Shared {
            Shared { bytes: Rc::default(), room }
        }
    }

    impl Write for Shared {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            let mut bytes = self.bytes.borrow_mut();
            if bytes.len() + data.len() > self.room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            bytes.extend_from_slice(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const ALL: [PictureFormat; 4] =
        [PictureFormat::Png, PictureFormat::Ppm, PictureFormat::Jpeg, PictureFormat::WebP];

    fn pattern(width: u32, height: u32) -> Vec<u8> {
        (0..width * height * 3).map(|i| (i / 3 * 5 + i % 3 * 40) as u8).collect()
    }

    fn write_rows(format: PictureFormat, shared: &Shared, (width, height): (u32, u32)) -> io::Result<()> {
        let mut sink = PictureSink::new(format, Box::new(shared.clone()));
        sink.start(width, height)?;
        for rows in pattern(width, height).chunks(width as usize * 3 * 4) {
            sink.rows(rows)?;
        }
        sink.finish()
    }

    #[test]
    fn lossless_formats_give_the_rows_back() {
        for size in [(1, 1), (3, 5), (17, 1), (65, 33)] {
            for format in [PictureFormat::Png, PictureFormat::WebP] {
                let shared = Shared::new(usize::MAX);
                write_rows(format, &shared, size).unwrap();
                let read = image::load_from_memory(&shared.bytes.borrow()).unwrap();
                assert_eq!(read.into_rgb8().into_raw(), pattern(size.0, size.1), "{format:?} {size:?}");
            }
            let shared = Shared::new(usize::MAX);
            write_rows(PictureFormat::Ppm, &shared, size).unwrap();
            let mut expected = format!("P6\n{} {}\n255\n", size.0, size.1).into_bytes();
            expected.extend(pattern(size.0, size.1));
            assert_eq!(*shared.bytes.borrow(), expected);
        }
    }

    #[test]
    fn jpeg_is_a_picture_of_the_same_size() {
        let shared = Shared::new(usize::MAX);
        write_rows(PictureFormat::Jpeg, &shared, (65, 33)).unwrap();
        let read = image::load_from_memory(&shared.bytes.borrow()).unwrap();
        assert_eq!((read.width(), read.height()), (65, 33));
    }

    #[test]
    fn png_says_that_it_is_srgb() {
        let shared = Shared::new(usize::MAX);
        write_rows(PictureFormat::Png, &shared, (3, 5)).unwrap();
        let bytes = shared.bytes.borrow();
        let reader = png::Decoder::new(io::Cursor::new(bytes.as_slice())).read_info().unwrap();
        assert_eq!(reader.info().srgb, Some(png::SrgbRenderingIntent::Perceptual));
    }

    #[test]
    fn png_and_ppm_rows_are_not_kept() {
        // Rows of noise cannot be compressed: nearly all of them must have left before the end.
        let (width, height) = (400, 300);
        let mut state = 1u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 24) as u8
        });
        let noise: Vec<u8> = noise.take(width * height * 3).collect();
        for format in [PictureFormat::Png, PictureFormat::Ppm] {
            let shared = Shared::new(usize::MAX);
            let mut sink = PictureSink::new(format, Box::new(shared.clone()));
            sink.start(width as u32, height as u32).unwrap();
            sink.rows(&noise).unwrap();
            assert!(shared.bytes.borrow().len() > noise.len() * 4 / 5, "{format:?}");
        }
    }

    #[test]
    fn a_full_disk_is_told_wherever_it_comes() {
        for format in ALL {
            let whole = Shared::new(usize::MAX);
            write_rows(format, &whole, (17, 9)).unwrap();
            let length = whole.bytes.borrow().len();
            for room in 0..length {
                let error = write_rows(format, &Shared::new(room), (17, 9)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{format:?}, {room}: {error}");
            }
        }
    }

    #[test]
    fn too_few_and_too_many_rows_are_refused() {
        for format in ALL {
            let mut sink = PictureSink::new(format, Box::new(io::sink()));
            sink.start(4, 4).unwrap();
            sink.rows(&[0; 36]).unwrap();
            assert!(sink.rows(&[0; 24]).is_err(), "{format:?}");
            assert!(sink.finish().is_err(), "{format:?}");
            assert!(PictureSink::new(format, Box::new(io::sink())).finish().is_err(), "{format:?}");
        }
        let mut sink = PictureSink::new(PictureFormat::WebP, Box::new(io::sink()));
        assert!(sink.start(WEBP_MAX_SIDE + 1, 1).is_err());
    }

    #[test]
    fn extensions_name_the_format_in_either_case() {
        let format = |name: &str| PictureFormat::from_path(Path::new(name));
        assert_eq!(format("a.PNG"), Some(PictureFormat::Png));
        assert_eq!(format("a.b.jpeg"), Some(PictureFormat::Jpeg));
        assert_eq!(format("a.Jpg"), Some(PictureFormat::Jpeg));
        assert_eq!(format("a.webp"), Some(PictureFormat::WebP));
        assert_eq!(format("a.ppm"), Some(PictureFormat::Ppm));
        assert_eq!(format("a.gif"), None);
        assert_eq!(format("png"), None);
    }
}
