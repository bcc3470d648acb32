//! The `.bnk` container and the HTTP contract. No networks, no files, no sockets, no floats in the container.
#![forbid(unsafe_code)]

mod container;
mod limits;

pub use container::{Container, ContainerError, FORMAT_VERSION, HEADER_BYTES, ModelId, Quality, STRIP_ROWS, write};
pub use limits::Limits;
