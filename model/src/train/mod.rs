//! The trainer: a variational autoencoder over photographs.
//!
//! Rounding is replaced by uniform noise, so the code is a sample of a posterior that is a box of width
//! one around the encoder's output; the rate is then the KL term between that posterior and the learned
//! prior, the distortion is the reconstruction term, and λ plays the part of 1/β of a β-VAE, up to
//! constants (Kingma & Welling 2014; Higgins et al. 2017; Ballé et al. 2018).

mod calibrate;
pub(crate) mod checkpoint;
mod data;
mod environment;
mod export;
mod fit;
mod grow;
pub(crate) mod init;
mod interrupt;
mod objective;
pub(crate) mod optimiser;
mod rate;
mod soap;
mod validate;
pub(crate) mod workers;

pub use calibrate::{Calibration, calibrate};
pub use checkpoint::{CheckpointError, averaged};
pub use data::{DataError, Photos};
pub use environment::ensure_environment;
pub use export::{ExportError, Exported, export, initial_weights};
pub use fit::{FitError, Progress, Settings, fit};
pub use grow::GrowError;
pub use interrupt::stop_on_interrupt;
pub use objective::Weights;
pub use optimiser::Method;
pub use validate::{Operating, validate};

/// Named weights of a model in training.
pub type Parameters = std::collections::HashMap<String, candle_core::Tensor>;
