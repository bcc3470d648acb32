//! The Bottleneck codec.

mod decode;
mod entropy;
mod kernels;
mod latents;
mod network;
mod pixels;
mod plain;
mod quality;
mod scale;
mod synthesis;
mod weights;

#[cfg(feature = "nn")]
mod analysis;
#[cfg(feature = "nn")]
mod encode;
#[cfg(feature = "train")]
pub mod evaluate;
#[cfg(feature = "ingest")]
pub mod ingest;
#[cfg(feature = "nn")]
mod nn;
#[cfg(feature = "train")]
pub mod train;

pub use bottleneck_proto::{Limits, ModelId, Quality};
pub use decode::{DecodeError, RowSink, decode, decode_container, decode_rows};
#[cfg(feature = "nn")]
pub use encode::{Backend, EncodeError, Encoder};
pub use network::Architecture;
pub use pixels::Image;
pub use weights::{LayerCost, Model, WeightsError};
