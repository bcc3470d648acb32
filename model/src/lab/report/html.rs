//! The page's bricks: sheets of pictures, tables and the frame. Everything is inside the one file.

use super::super::LabError;
use crate::evaluate::svg::escape;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

/// Pictures in rows and columns, grey.
pub(crate) struct Sheet {
    columns: usize,
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

/// Grey between the pictures of a sheet that is looked at.
const GAP: u8 = 96;

impl Sheet {
    /// `pictures` (N, height, width), row after row, a pixel of `gap` between them (or nothing); what is missing of the
    /// last row is black.
    pub(crate) fn new(pictures: &[u8], [height, width]: [usize; 2], columns: usize, gap: bool) -> Sheet {
        let border = usize::from(gap);
        let count = pictures.len() / (height * width);
        let rows = count.div_ceil(columns);
        let across = columns * (width + border) - border;
        let down = rows * (height + border) - border;
        let mut pixels = vec![if gap { GAP } else { 0 }; across * down];
        for (index, picture) in pictures.chunks_exact(height * width).enumerate() {
            let (left, top) = (index % columns * (width + border), index / columns * (height + border));
            for (y, row) in picture.chunks_exact(width).enumerate() {
                pixels[(top + y) * across + left..][..width].copy_from_slice(row);
            }
        }
        Sheet { columns, height: down, width: across, pixels }
    }

    /// Width and height in pixels, and the values.
    pub(crate) fn grey(&self) -> (u32, u32, &[u8]) {
        (self.width as u32, self.height as u32, &self.pixels)
    }

    /// As a grey PNG, as small as its encoder can.
    ///
    /// # Errors
    /// A sheet larger than the format allows.
    pub(crate) fn png(&self) -> Result<Vec<u8>, LabError> {
        let mut bytes = vec![];
        let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
        let (width, height) = (self.width as u32, self.height as u32);
        encoder
            .write_image(&self.pixels, width, height, ExtendedColorType::L8)
            .map_err(|e| LabError::Settings(format!("no PNG of {width}×{height}: {e}")))?;
        Ok(bytes)
    }

    /// As an element of the page, `zoom` times as large.
    pub(super) fn html(&self, zoom: f64, what: &str) -> Result<String, LabError> {
        Ok(format!(
            r#"<img class="sheet" src="data:image/png;base64,{}" width="{:.0}" height="{:.0}" data-columns="{}" alt="{}">"#,
            base64(&self.png()?),
            self.width as f64 * zoom,
            self.height as f64 * zoom,
            self.columns,
            escape(what)
        ))
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let word =
            part.iter().enumerate().fold(0u32, |word, (i, &byte)| word | u32::from(byte) << (16 - 8 * i));
        for digit in 0..4 {
            let value = DIGITS[(word >> (18 - 6 * digit) & 63) as usize];
            text.push(if digit <= part.len() { char::from(value) } else { '=' });
        }
    }
    text
}

/// A table; the first column is text, the others are numbers.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().map(|row| line("td", &mut row.iter().map(String::as_str))).collect();
    format!("<table>\n{}{body}</table>\n", line("th", &mut head.iter().copied()))
}

/// A section with its heading and text; `figures` is HTML already.
pub(super) fn section(id: &str, title: &str, text: &str, figures: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{title}</h2>\n<p>{text}</p>\n{figures}\n</section>\n")
}

/// What stands where a section has no run to show.
pub(super) fn missing(command: &str) -> String {
    format!("<p class=\"missing\">No such run was given. Train one: <code>{}</code></p>", escape(command))
}

/// A figure with its caption.
pub(super) fn figure(content: &str, caption: &str) -> String {
    format!("<figure>{content}<figcaption>{}</figcaption></figure>\n", escape(caption))
}

/// The whole page.
pub(super) fn page(title: &str, sections: &[(&str, &str, String)]) -> String {
    let links: String =
        sections.iter().map(|(id, short, _)| format!("<a href=\"#{id}\">{}</a> ", escape(short))).collect();
    let body: String = sections.iter().map(|(_, _, html)| html.as_str()).collect();
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <nav>{links}</nav>\n{body}</body>\n</html>\n"
    )
}

const STYLE: &str = "\
body { font: 17px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 1080px; margin: 0 auto; padding: 0 20px 60px; }
h1 { font-size: 1.9em; line-height: 1.2; margin: 1.2em 0 .3em; }
h2 { font-size: 1.35em; margin: 2.2em 0 .3em; border-top: 1px solid #ccc; padding-top: 1em; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 1em 0; }
a { color: #00578a; }
p { max-width: 46em; }
figure { margin: 1em 0; }
figcaption { color: #4a4a4a; font-size: .9em; max-width: 50em; margin-top: .4em; }
.row { display: flex; flex-wrap: wrap; gap: 0 32px; align-items: flex-start; }
.pair figure { flex: 0 1 calc(50% - 16px); min-width: min(320px, 100%); }
section { overflow-x: auto; }
.lines { display: grid; grid-template-columns: max-content auto; gap: 6px 14px; align-items: center; overflow-x: auto; }
.lines span { text-align: right; font-size: .9em; font-variant-numeric: tabular-nums; }
.sheet { image-rendering: pixelated; display: block; max-width: 100%; height: auto; }
svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .92em; font-variant-numeric: tabular-nums; margin: 1em 0; }
th, td { padding: 4px 12px; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.missing { color: #8a3b00; }
code { font-size: .92em; background: #f2f2f2; padding: 1px 4px; }
@media print { nav { display: none; } section { break-inside: avoid; } }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn sheets_hold_their_pictures_in_rows() {
        let pictures: Vec<u8> = (1..=5).flat_map(|v| [v; 6]).collect();
        let sheet = Sheet::new(&pictures, [2, 3], 2, true);
        let (width, height, pixels) = sheet.grey();
        assert_eq!((width, height), (7, 8));
        assert_eq!(pixels[..7], [1, 1, 1, GAP, 2, 2, 2]);
        assert_eq!(pixels[3 * 7..4 * 7], [3, 3, 3, GAP, 4, 4, 4]);
        let tight = Sheet::new(&pictures, [2, 3], 2, false);
        assert_eq!(tight.grey().0, 6);
        assert_eq!(tight.grey().2[5 * 6..], [5, 5, 5, 0, 0, 0]);
        let read = image::load_from_memory(&sheet.png().unwrap()).unwrap().into_luma8();
        assert_eq!(read.into_raw(), pixels);
    }
}
