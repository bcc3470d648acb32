//! The decoder core for JavaScript. `worker.js` is its only caller; what page authors use is `index.js`.
//!
//! Errors are JavaScript errors with the text of the native decoder, and with a `code`: `limit` (the code
//! is sound, but larger than allowed), `model` (another model is needed), `damaged` (everything else).
#![forbid(unsafe_code)]

use bottleneck_model::{DecodeError, Limits, Model, RowSink, decode_container, symbols};
use bottleneck_proto::{Container, ContainerError};
use js_sys::{Error, Function, Reflect, Uint8Array, Uint8ClampedArray};
use wasm_bindgen::prelude::*;

/// Widest picture that is decoded: strips are as wide as the picture, and this keeps them within the
/// memory that `build.sh` allows the module.
pub const MAX_WIDTH: u16 = 8_192;

/// What is decoded, and how large it may be.
#[wasm_bindgen]
pub struct Code {
    bytes: Vec<u8>,
    limits: Limits,
    model: String,
}

#[wasm_bindgen]
impl Code {
    /// Checks `bytes` (header, checksum, sizes) against limits in bytes and pixels, and keeps a copy.
    ///
    /// # Errors
    /// Those of [`Container::parse`]; a picture wider than [`MAX_WIDTH`].
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: &Uint8Array, max_bytes: f64, max_pixels: f64) -> Result<Code, Error> {
        let limits = Limits { max_bytes: max_bytes as u64, max_pixels: max_pixels as u64 };
        // Before the copy, so that a huge input is refused and not allocated.
        let found = u64::from(bytes.length());
        if found > limits.max_bytes {
            let allowed = limits.max_bytes;
            return Err(container_error(&ContainerError::TooManyBytes { found, allowed }));
        }
        let bytes = bytes.to_vec();
        let container = Container::parse(&bytes, &limits).map_err(|e| container_error(&e))?;
        if container.width > MAX_WIDTH {
            let text = format!(
                "picture width: found {} pixels, allowed {MAX_WIDTH} in a browser; decode it with the bottleneck command",
                container.width
            );
            return Err(error("limit", &text));
        }
        let model = container.model.to_string();
        Ok(Code { bytes, limits, model })
    }

    /// The model that made the code: 16 hexadecimal digits.
    #[wasm_bindgen(getter)]
    pub fn model(&self) -> String {
        self.model.clone()
    }
}

impl Code {
    fn container(&self) -> Result<Container<'_>, Error> {
        Container::parse(&self.bytes, &self.limits).map_err(|e| container_error(&e))
    }
}

/// A model, ready to decode.
#[wasm_bindgen]
pub struct Decoder {
    model: Model,
}

#[wasm_bindgen]
impl Decoder {
    /// Reads a decoder file and verifies that it is the model `id`.
    ///
    /// # Errors
    /// Bytes that are not a model file, or that are another model.
    #[wasm_bindgen(constructor)]
    pub fn new(file: &[u8], id: &str) -> Result<Decoder, Error> {
        let model = Model::from_bytes(file).map_err(|e| error("model", &e.to_string()))?;
        let found = model.id().to_string();
        if found != id {
            return Err(error("model", &format!("the file sent as model {id} is model {found}")));
        }
        Ok(Decoder { model })
    }

    /// Decodes `code`: calls `start(width, height)`, then `rows(rgba)` for each strip from the top.
    ///
    /// # Errors
    /// Those of [`decode_container`]; what `start` or `rows` throws.
    pub fn decode(&self, code: &Code, start: &Function, rows: &Function) -> Result<(), Error> {
        let mut sink = Callbacks { start, rows, thrown: None };
        let result = decode_container(&code.container()?, &self.model, &mut sink);
        match (result, sink.thrown) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(thrown)) => Err(thrown.unchecked_into()),
            (Err(e), None) => Err(decode_error(&e)),
        }
    }

    /// The integer latents of all strips in coding order: the conformance tests compare them.
    ///
    /// # Errors
    /// Those of [`symbols`].
    pub fn symbols(&self, code: &Code) -> Result<Vec<i16>, Error> {
        Ok(symbols(&code.container()?, &self.model).map_err(|e| decode_error(&e))?.concat())
    }
}

/// Hands rows to JavaScript as RGBA, which is what an `ImageData` holds.
struct Callbacks<'a> {
    start: &'a Function,
    rows: &'a Function,
    thrown: Option<JsValue>,
}

impl Callbacks<'_> {
    fn keep(&mut self, result: Result<JsValue, JsValue>) -> std::io::Result<()> {
        result.map(drop).map_err(|thrown| {
            self.thrown = Some(thrown);
            std::io::Error::other("a callback threw")
        })
    }
}

impl RowSink for Callbacks<'_> {
    fn start(&mut self, width: u32, height: u32) -> std::io::Result<()> {
        let called = self.start.call2(&JsValue::NULL, &width.into(), &height.into());
        self.keep(called)
    }

    fn rows(&mut self, rgb: &[u8]) -> std::io::Result<()> {
        let rgba: Vec<u8> = rgb.as_chunks().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
        let called = self.rows.call1(&JsValue::NULL, &Uint8ClampedArray::from(&rgba[..]));
        self.keep(called)
    }
}

fn decode_error(e: &DecodeError) -> Error {
    match e {
        DecodeError::Container(e) => container_error(e),
        DecodeError::UnknownModel { .. } => error("model", &e.to_string()),
        DecodeError::Damaged { .. } | DecodeError::Sink(_) => error("damaged", &e.to_string()),
    }
}

fn container_error(e: &ContainerError) -> Error {
    let limit = matches!(e, ContainerError::TooManyBytes { .. } | ContainerError::TooManyPixels { .. });
    error(if limit { "limit" } else { "damaged" }, &e.to_string())
}

fn error(code: &str, message: &str) -> Error {
    let error = Error::new(message);
    // Fails for frozen objects only; this one is new.
    let _ = Reflect::set(&error, &"code".into(), &code.into());
    error
}
