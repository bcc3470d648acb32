//! A walk over a file's segments, before any decoder sees it. It finds the size and refuses it if too large,
//! counts the frames of an animation, and finds the file's true end: the decoders take a file that stops short
//! of it for whole, and two of them allocate by sizes that they compare with the header's only afterwards.

use super::{Format, LoadError, Options};
use std::cell::Cell;

/// What the walk found.
pub(super) struct Survey {
    /// Frames of an animation; 1 for a still picture.
    pub(super) frames: u32,
    /// Where the picture ends, in bytes from the start.
    pub(super) end: usize,
    /// The largest size that any of its headers claims.
    pub(super) size: (u32, u32),
}

pub(super) fn survey(format: Format, bytes: &[u8], options: &Options) -> Result<Survey, LoadError> {
    let walk = Walk { format, bytes, options, largest: Cell::default() };
    let (frames, end) = match format {
        Format::Jpeg => walk.jpeg(),
        Format::Png => walk.png(),
        Format::WebP => walk.webp(),
    }?;
    Ok(Survey { frames, end, size: walk.largest.get() })
}

struct Walk<'a> {
    format: Format,
    bytes: &'a [u8],
    options: &'a Options,
    /// The largest size that was checked.
    largest: Cell<(u32, u32)>,
}

impl Walk<'_> {
    fn cut(&self, inside: &'static str) -> LoadError {
        LoadError::Truncated { format: self.format, found: self.bytes.len(), inside }
    }

    fn damaged(&self, reason: &str) -> LoadError {
        LoadError::damaged(self.format, reason)
    }

    fn check_size(&self, width: u32, height: u32) -> Result<(), LoadError> {
        if width == 0 || height == 0 {
            return Err(self.damaged(&format!("its header says {width} x {height} pixels")));
        }
        self.options.check_size(width, height)?;
        let area = |(width, height)| u64::from(width) * u64::from(height);
        if area((width, height)) > area(self.largest.get()) {
            self.largest.set((width, height));
        }
        Ok(())
    }

    /// Frames, and where the last ends.
    fn jpeg(&self) -> Result<(u32, usize), LoadError> {
        let bytes = self.bytes;
        let mut at = 2;
        let mut in_scan = false;
        // For a sequential picture: how many components it has, and whether a scan held all of them.
        let mut components = None;
        let mut complete = false;
        loop {
            // Entropy-coded data writes FF as FF 00, and restart markers belong to it. Between segments
            // there may be rubbish, which decoders pass over.
            let inside = if in_scan { "inside the picture data" } else { "before the picture data" };
            at += bytes[at..].iter().position(|&byte| byte == 0xff).ok_or_else(|| self.cut(inside))?;
            let marker = *bytes.get(at + 1).ok_or_else(|| self.cut(inside))?;
            match marker {
                0xff => at += 1,
                0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
                0xd9 => return Ok((1, at + 2)),
                _ => {
                    let length = bytes.get(at + 2..at + 4).ok_or_else(|| self.cut("inside a segment"))?;
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                    let body =
                        bytes.get(at + 4..at + 2 + length).ok_or_else(|| self.cut("inside a segment"))?;
                    match (marker, body) {
                        // Not frames but Huffman tables, an extension and arithmetic conditioning.
                        (0xc4 | 0xc8 | 0xcc, _) => {}
                        (0xc0..=0xcf, &[_, h1, h0, w1, w0, count, ..]) => {
                            let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                            self.check_size(side(w1, w0), side(h1, h0))?;
                            components = (marker < 0xc2).then_some(count);
                        }
                        (0xc0..=0xcf, _) => return Err(self.damaged("its frame header is too short")),
                        // The decoder would stop here, with the rest of the picture black.
                        (0xda, _) if complete => return Err(self.damaged("its picture data is broken off")),
                        (0xda, _) => {
                            in_scan = true;
                            complete = components.is_some() && components == body.first().copied();
                        }
                        _ => {}
                    }
                    at += 2 + length;
                }
            }
        }
    }

    /// Frames, and where the last ends.
    fn png(&self) -> Result<(u32, usize), LoadError> {
        let mut at = 8;
        let mut frames = 1;
        let mut before_data = true;
        loop {
            let inside = if before_data { "before the picture data" } else { "before its end chunk" };
            let head = self.bytes.get(at..at + 8).ok_or_else(|| self.cut(inside))?;
            let length = be32(head);
            let body = self.bytes.get(at + 8..).unwrap_or_default();
            match &head[4..] {
                b"IHDR" if at == 8 => {
                    let size = body.get(..8).ok_or_else(|| self.cut("inside the header"))?;
                    self.check_size(be32(size), be32(&size[4..]))?;
                }
                _ if at == 8 => return Err(self.damaged("it does not begin with a header chunk")),
                b"acTL" if before_data && body.len() >= 4 => frames = be32(body).max(1),
                b"IDAT" => before_data = false,
                _ => {}
            }
            // Length, type and checksum are four bytes each.
            let next =
                usize::try_from(length).ok().and_then(|length| at.checked_add(length)?.checked_add(12));
            at = next.filter(|&next| next <= self.bytes.len()).ok_or_else(|| {
                self.cut(if &head[4..] == b"IDAT" { "inside the picture data" } else { "inside a chunk" })
            })?;
            if &head[4..] == b"IEND" {
                return Ok((frames, at));
            }
        }
    }

    /// Frames, and where the last ends.
    fn webp(&self) -> Result<(u32, usize), LoadError> {
        let body = usize::try_from(le32(&self.bytes[4..])).unwrap_or(usize::MAX);
        let end = body.saturating_add(8);
        // The size first: a whole picture that is too large is a better answer than a cut one.
        let present = &self.bytes[12..end.clamp(12, self.bytes.len())];
        let mut canvas = None;
        let mut animated = false;
        let mut frames = 0;
        let mut last_is_cut = false;
        for chunk in chunks(present) {
            let (kind, data) = (chunk.kind, chunk.data);
            last_is_cut = data.len() < chunk.length;
            match kind {
                b"VP8X" if canvas.is_none() && data.len() >= 10 => {
                    let size = (le24(&data[4..]) + 1, le24(&data[7..]) + 1);
                    self.check_size(size.0, size.1)?;
                    self.check_canvas(size.0, size.1)?;
                    canvas = Some(size);
                    animated = data[0] & 2 != 0;
                }
                b"ANMF" if data.len() >= 16 => {
                    frames += 1;
                    let size = (le24(&data[6..]) + 1, le24(&data[9..]) + 1);
                    // The decoder allocates for a frame before it asks whether the frame fits the canvas.
                    if canvas.is_none_or(|(width, height)| size.0 > width || size.1 > height) {
                        return Err(self.damaged("a frame is larger than the picture"));
                    }
                    for inner in chunks(&data[16..]) {
                        self.check_bitstream(inner.kind, inner.data, Some(size))?;
                    }
                }
                _ => self.check_bitstream(kind, data, canvas)?,
            }
        }
        // A missing final padding byte harms nothing.
        if last_is_cut || end > self.bytes.len() + 1 {
            return Err(self.cut("inside the picture data"));
        }
        Ok((if animated { frames.max(1) } else { 1 }, end.min(self.bytes.len())))
    }

    /// The decoder counts the bytes of an RGBA canvas in 32 bits.
    fn check_canvas(&self, width: u32, height: u32) -> Result<(), LoadError> {
        const MAX_PIXELS: u64 = (1 << 30) - 1;
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(LoadError::TooManyPixels { width, height, max_pixels: MAX_PIXELS });
        }
        Ok(())
    }

    /// Checks the size in a VP8 or VP8L chunk's own header, which must be that of the picture or frame.
    fn check_bitstream(&self, kind: &[u8], data: &[u8], outer: Option<(u32, u32)>) -> Result<(), LoadError> {
        let (width, height) = match kind {
            b"VP8 " if data.len() >= 10 => (le32(&data[6..]) & 0x3fff, le32(&data[6..]) >> 16 & 0x3fff),
            b"VP8L" if data.len() >= 5 => {
                ((le32(&data[1..]) & 0x3fff) + 1, (le32(&data[1..]) >> 14 & 0x3fff) + 1)
            }
            _ => return Ok(()),
        };
        self.check_size(width, height)?;
        match outer {
            Some(outer) if outer != (width, height) => Err(self
                .damaged(&format!("it says {} x {} pixels, but holds {width} x {height}", outer.0, outer.1))),
            _ => Ok(()),
        }
    }
}

struct Chunk<'a> {
    kind: &'a [u8],
    data: &'a [u8],
    /// The length that the chunk claims, in bytes; `data` is shorter where the end cuts it.
    length: usize,
}

/// The RIFF chunks in `data`.
fn chunks(mut data: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = data.split_at_checked(8)?;
        let length = usize::try_from(le32(&head[4..])).unwrap_or(usize::MAX);
        let held = length.min(rest.len());
        data = rest.get(held.next_multiple_of(2)..).unwrap_or_default();
        Some(Chunk { kind: &head[..4], data: &rest[..held], length })
    })
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn le24(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}
