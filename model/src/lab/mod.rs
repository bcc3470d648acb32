//! The lab: autoencoders, variational autoencoders and a segmentation that read the same theory as the codec, small
//! enough to train on a laptop. The chapter in `README.md` beside this file walks through it.
//!
//! [`fit()`] trains a model on pictures of digits (or a folder of others), [`load`] opens a trained one; [`report()`] writes
//! a page about some, [`encode`] and [`decode`] make files of coded bottlenecks, and [`sizes`] what they compare with.

mod coding;
mod data;
mod error;
mod fit;
mod idx;
mod loss;
mod model;
mod neighbours;
mod pca;
mod report;
mod run;
pub mod segment;
mod sheets;
mod test_metrics;
#[cfg(test)]
mod tests;

pub use coding::{decode, encode};
pub use data::{Pictures, Split};
pub use error::LabError;
pub use fit::{Epoch, Progress, fit};
pub use model::{Kind, Likelihood, Settings};
pub use report::report;
pub use run::{Run, Trained, load};
pub use sheets::{Size, contact_sheet, mse, sizes};
pub use test_metrics::TestMetrics;
