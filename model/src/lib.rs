//! The Bottleneck codec.

mod decode;
mod pixels;
mod weights;

#[cfg(feature = "nn")]
mod encode;
#[cfg(feature = "ingest")]
pub mod ingest;
#[cfg(feature = "train")]
pub mod evaluate;

pub use bottleneck_proto::{Limits, ModelId, Quality};
pub use decode::{DecodeError, RowSink, decode, decode_rows};
#[cfg(feature = "nn")]
pub use encode::{Backend, EncodeError, Encoder};
pub use pixels::Image;
pub use weights::{LayerCost, Model, WeightsError};
