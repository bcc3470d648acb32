//! Which instructions the decoder's inner loops run on.

use pulp::{Arch, Scalar, Simd, WithSimd};

/// An instruction set, chosen at run time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Isa {
    /// The best of this machine: AVX2 and FMA, NEON, wasm SIMD128, or none.
    Best(Arch),
    /// One value at a time: the oracle of the others.
    Scalar,
}

impl Isa {
    /// The best of this machine.
    pub(crate) fn best() -> Isa {
        Isa::Best(Arch::new())
    }

    /// Compiles a loop for these instructions.
    pub(super) fn vectorize<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            Isa::Best(arch) => arch.dispatch(work),
            Isa::Scalar => work(),
        }
    }

    pub(super) fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        match self {
            Isa::Best(arch) => arch.dispatch(op),
            Isa::Scalar => op.with_simd(Scalar),
        }
    }
}

/// Asks for `data` to be brought near, where there is an instruction for it.
#[inline(always)]
pub(super) fn prefetch(data: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in data.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and a prefetch reads nothing that the program could see.
        #[expect(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = data;
}

/// The vector from value `at` on.
#[inline(always)]
pub(super) fn vector<S: Simd>(values: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&values[at..][..S::F32_LANES]).0[0]
}

/// The same, to be written.
#[inline(always)]
pub(super) fn vector_mut<S: Simd>(values: &mut [f32], at: usize) -> &mut S::f32s {
    &mut S::as_mut_simd_f32s(&mut values[at..][..S::F32_LANES]).0[0]
}
