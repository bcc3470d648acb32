//! The Bottleneck client: turns `.bnk` codes back into pictures on the device that shows them.
//!
//! Without default features this is the decoder alone, re-exported from the model crate: no tensor
//! library, no HTTP, no files. Feature `cli` adds what the `bottleneck` command is made of: picture
//! writers that take rows as they are decoded ([`PictureSink`]), files that appear whole or not at
//! all ([`OutputFile`]) and the service's client ([`Server`], [`fetch`]). Feature `compare` adds the bandwidth benchmark.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bottleneck_client::{Limits, Model, decode};
//!
//! let code = std::fs::read("photo.bnk")?;
//! let picture = decode(&code, Model::lite(), &Limits::default())?;
//! println!("{} × {}", picture.width, picture.height);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
mod batch;
#[cfg(feature = "compare")]
pub mod compare;
#[cfg(feature = "cli")]
mod fetch;
#[cfg(feature = "cli")]
mod http;
#[cfg(feature = "cli")]
mod output;
#[cfg(feature = "cli")]
mod picture;
#[cfg(feature = "cli")]
mod upload;

#[cfg(feature = "cli")]
pub use batch::{BatchError, BatchEvent, BatchItem, BatchOptions, BatchOutcome, find_pictures};
pub use bottleneck_model::{DecodeError, Image, Limits, Model, RowSink, decode, decode_rows};
#[cfg(feature = "cli")]
pub use fetch::{FetchError, FetchEvent, fetch, fetch_model};
#[cfg(feature = "cli")]
pub use output::{OutputError, OutputFile};
#[cfg(feature = "cli")]
pub use picture::{JPEG_QUALITY, PictureFormat, PictureSink, WEBP_MAX_SIDE};
#[cfg(feature = "cli")]
pub use upload::{Server, UploadError};
