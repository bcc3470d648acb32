//! Inner loops on NHWC maps, shared by the plain decoder, the candle encoder and the trainer.
//!
//! Work is cut into pieces of fixed size, never by the number of threads, so that results do not
//! depend on how many threads there are (invariant 2).

mod depthwise;
mod elementwise;
mod matmul;
mod rearrange;

#[cfg(feature = "train")]
mod backward;

#[cfg(feature = "train")]
pub(crate) use backward::{
    depthwise3_backward, gate_backward, linear_backward, scaled_add_backward, unfold2_backward,
    unfold3_backward,
};
pub(crate) use depthwise::depthwise3;
pub(crate) use elementwise::{gate, scaled_add};
pub(crate) use matmul::linear;
#[cfg(feature = "train")]
pub(crate) use matmul::{Matrix, matmul};
pub(crate) use rearrange::{corners, lapped_shuffle, lapped_unshuffle, shuffle, unfold2, unfold3, unshuffle};

/// Height, width and channels of one map, whose data is `h * w * c` values in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
}

impl Dims {
    pub(crate) fn len(self) -> usize {
        self.h * self.w * self.c
    }
}
