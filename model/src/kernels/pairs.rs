//! Sums of products of pairs of 16-bit integers in 32 bits: twice the products of f32 in one instruction, where
//! there is such a one.

use super::cells::rounded;
use super::packed::{Floats, Multiply};
use super::simd::Isa;
#[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "wasm32"))]
use pulp::Arch;
use pulp::{Simd, WithSimd};

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86;

/// Columns of a panel.
pub(super) const PANEL: usize = super::packed::PANEL;

/// Whether there can be instructions for products of pairs that are faster than those for floats.
pub(super) const HAS_PAIRS: bool =
    cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "wasm32"));

/// How an instruction set adds products of pairs.
pub(super) trait PairDot: Copy {
    type Sums: Copy;
    fn start(self, bias: &[i32; PANEL]) -> Self::Sums;
    /// `sums[i] + pair · weights[i]`.
    fn add(self, sums: Self::Sums, pair: [i16; 2], weights: &[[i16; 2]; PANEL]) -> Self::Sums;
    fn finish(self, sums: Self::Sums) -> [i32; PANEL];

    /// The nearest integers of `x ∘ norms · scale`, which fit 16 bits; of `x · scale` where there are no norms.
    #[inline(always)]
    fn round(self, x: &[f32], norms: &[f32], scale: f32, out: &mut [i16]) {
        if norms.is_empty() {
            x.iter().zip(out).for_each(|(x, out)| *out = rounded(x * scale));
        } else {
            x.iter().zip(norms).zip(out).for_each(|((x, norm), out)| *out = rounded(x * norm * scale));
        }
    }
}

/// One whose sums become floats in `V` vectors of `S`.
pub(super) trait FloatDot<S: Simd, const V: usize>: PairDot {
    fn floats(self, sums: Self::Sums) -> [S::f32s; V];
}

/// Work in products of tiles.
pub(super) trait Work {
    fn run<S: Simd>(self, simd: S, multiply: impl Multiply<S>);
}

/// Work in sums of products of pairs.
pub(super) trait PairWork {
    fn run(self, dot: impl PairDot);
}

impl Isa {
    /// Runs `work` with this machine's products of pairs.
    pub(super) fn dot(self, work: impl PairWork) {
        match self {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Isa::Best(Arch::V3(simd)) => x86::dot(simd, work),
            #[cfg(target_arch = "wasm32")]
            Isa::Best(Arch::Simd128(simd)) => Simd::vectorize(
                simd,
                #[inline(always)]
                || work.run(simd),
            ),
            _ => self.vectorize(
                #[inline(always)]
                || work.run(Portable),
            ),
        }
    }

    /// Runs `work`: in fixed point where that is `fixed`, else in floats. NEON multiplies floats as fast.
    pub(super) fn multiply(self, work: impl Work, fixed: bool) {
        match self {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Isa::Best(Arch::V3(simd)) if fixed => x86::multiply(simd, work),
            #[cfg(target_arch = "wasm32")]
            Isa::Best(Arch::Simd128(simd)) if fixed => Simd::vectorize(
                simd,
                #[inline(always)]
                || work.run(simd, super::fixed::FixedPoint::new(simd)),
            ),
            _ => {
                debug_assert!(HAS_PAIRS || !fixed);
                self.run(InFloats(work));
            }
        }
    }
}

struct InFloats<W>(W);

impl<W: Work> WithSimd for InFloats<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run(simd, Floats);
    }
}

/// Plain integers.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl PairDot for Portable {
    type Sums = [i32; PANEL];

    #[inline(always)]
    fn start(self, bias: &[i32; PANEL]) -> [i32; PANEL] {
        *bias
    }

    #[inline(always)]
    fn add(self, mut sums: [i32; PANEL], pair: [i16; 2], weights: &[[i16; 2]; PANEL]) -> [i32; PANEL] {
        let [a, b] = pair.map(i32::from);
        for (sum, w) in sums.iter_mut().zip(weights) {
            *sum += a * i32::from(w[0]) + b * i32::from(w[1]);
        }
        sums
    }

    #[inline(always)]
    fn finish(self, sums: [i32; PANEL]) -> [i32; PANEL] {
        sums
    }
}

#[cfg(target_arch = "wasm32")]
impl PairDot for pulp::wasm::Simd128 {
    type Sums = [pulp::i32x4; 4];

    #[inline(always)]
    fn start(self, bias: &[i32; PANEL]) -> Self::Sums {
        pulp::cast(*bias)
    }

    #[inline(always)]
    fn add(self, sums: Self::Sums, pair: [i16; 2], weights: &[[i16; 2]; PANEL]) -> Self::Sums {
        let pair = self.simd128.i32x4_splat(pulp::cast(pair));
        let weights: [pulp::i16x8; 4] = pulp::cast(*weights);
        std::array::from_fn(|i| {
            let products = self.simd128.i32x4_dot_i16x8(pair, pulp::cast(weights[i]));
            pulp::cast(self.simd128.i32x4_add(pulp::cast(sums[i]), products))
        })
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [i32; PANEL] {
        pulp::cast(sums)
    }
}

#[cfg(target_arch = "wasm32")]
impl FloatDot<Self, 4> for pulp::wasm::Simd128 {
    #[inline(always)]
    fn floats(self, sums: Self::Sums) -> [pulp::f32x4; 4] {
        sums.map(
            #[inline(always)]
            |sum| pulp::cast(self.simd128.f32x4_convert_i32x4(pulp::cast(sum))),
        )
    }
}
