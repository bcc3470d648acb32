//! The `.bnk` container and the HTTP contract.
//!
//! What is absent here: networks, files, sockets, async; and floats in anything that is written to a
//! stream. The byte layout is normative in `FORMAT.md`, sections 2 and 3.
//!
//! - Reading a stream: [`Container::parse`], with [`Limits`] that hold before anything is allocated.
//! - Looking at a damaged one: [`Header::peek`] and [`Container::parse_unverified`].
//! - Writing one: [`write()`].
//! - Talking to a server: [`http`].
#![forbid(unsafe_code)]

mod container;
mod error;
mod header;
pub mod http;
mod ident;
mod limits;

pub use container::{Container, STRIP_ROWS, reseal, strip_count, write};
pub use error::ContainerError;
pub use header::{FORMAT_VERSION, HEADER_BYTES, Header, MAGIC};
pub use ident::{ModelId, ModelIdError, Quality};
pub use limits::Limits;
