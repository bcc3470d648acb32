//! The Bottleneck codec: a convolutional autoencoder whose quantised, entropy-coded latents are the picture.
//!
//! Without features this is the decoder core, plain Rust: [`decode`] and [`decode_rows`] with a [`Model`].
//! Feature `ingest` reads photographs, `nn` adds the [`Encoder`] (on a CPU by the decoder's kernels, with `cuda` on
//! a GPU in candle), `evaluate` the comparison with other codecs, `train` the trainer. The way of the data and the
//! invariants are in ARCHITECTURE.md, the bytes in FORMAT.md.

mod architecture;
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
#[cfg(feature = "evaluate")]
pub mod evaluate;
#[cfg(feature = "ingest")]
pub mod ingest;
#[cfg(feature = "train")]
pub mod lab;
#[cfg(feature = "nn")]
mod nn;
#[cfg(feature = "nn")]
mod psnr;
#[cfg(feature = "nn")]
mod refine;
#[cfg(feature = "nn")]
mod restart;
#[cfg(feature = "evaluate")]
pub mod speed;
#[cfg(feature = "nn")]
pub mod target;
#[cfg(feature = "train")]
pub mod train;

pub use architecture::Architecture;
pub use bottleneck_proto::{Limits, ModelId, Quality};
pub use decode::{DecodeError, RowSink, decode, decode_container, decode_rows, symbols};
#[cfg(feature = "nn")]
pub use encode::{Backend, EncodeError, Encoder, Latents, Strip};
pub use pixels::Image;
#[cfg(feature = "nn")]
pub use psnr::psnr;
#[cfg(feature = "nn")]
pub use refine::{Metric, Refinement};
#[cfg(feature = "nn")]
pub use restart::{WITHOUT_IDLE_THREADS, restart_with};
pub use weights::{LayerCost, Model, WeightsError};

/// The frozen model of the golden tests.
#[cfg(all(test, feature = "nn"))]
pub(crate) const TINY: &[u8] = include_bytes!("../../tests/data/tiny.safetensors");
