//! Inner loops on NHWC maps, shared by the plain decoder, the candle encoder and the trainer.
//!
//! Work is cut into pieces of fixed size, never by the number of threads, so that results do not
//! depend on how many threads there are (invariant 2).

mod block;
mod cells;
mod depthwise;
mod elementwise;
#[cfg_attr(
    not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "wasm32")),
    expect(dead_code, reason = "other processors multiply floats as fast")
)]
mod fixed;
mod integer;
mod lines;
#[cfg(feature = "nn")]
mod matmul;
mod packed;
mod pairs;
mod patches;
mod rearrange;
mod simd;

#[cfg(feature = "nn")]
mod backward;

#[cfg(feature = "nn")]
pub(crate) use backward::{
    depthwise3_backward, gate_backward, lapped_shuffle_backward, lapped_unshuffle_backward, linear_backward,
    linear_backward_weights, scaled_add_backward, unfold2_backward, unfold3_backward,
};
pub(crate) use block::Block;
#[cfg(feature = "nn")]
pub(crate) use depthwise::depthwise3;
#[cfg(feature = "nn")]
pub(crate) use elementwise::{gate, scaled_add};
pub(crate) use integer::{PackedIntegers, integer_product};
pub(crate) use lines::{add_lines, line, lines, shuffles};
#[cfg(feature = "nn")]
pub(crate) use matmul::linear;
#[cfg(feature = "nn")]
pub(crate) use matmul::{Matrix, matmul};
pub(crate) use packed::{Packed, Segment};
pub(crate) use patches::Patches;
#[cfg(feature = "nn")]
pub(crate) use rearrange::{corners, unfold2};
pub(crate) use rearrange::{lapped_shuffle, lapped_unshuffle, shuffle, unfold3, unshuffle};

pub(crate) use simd::Isa;

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
