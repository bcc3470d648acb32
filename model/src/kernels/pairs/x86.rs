//! Products of pairs on x86: AVX2, and VNNI where it is.
#![expect(unsafe_code, reason = "pulp has no VNNI")]

use super::{FloatDot, PANEL, PairDot, PairWork, Portable, Work};
use crate::kernels::fixed::FixedPoint;
use pulp::x86::V3;
#[cfg(target_arch = "x86")]
use std::arch::x86::_mm256_dpwssd_epi32;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::_mm256_dpwssd_epi32;

/// Runs `work` in fixed point.
pub(super) fn multiply(simd: V3, work: impl Work) {
    match Vnni::new(simd) {
        // SAFETY: a Vnni exists only where these features do.
        Some(dot) => unsafe { multiply_vnni(dot, work) },
        None => simd.vectorize(
            #[inline(always)]
            || work.run(simd, FixedPoint::new(simd)),
        ),
    }
}

// Those of V3, too, so that its code can be inlined.
#[target_feature(enable = "avx,avx2,bmi1,bmi2,fma,fxsr,lzcnt,popcnt,sse,sse2,sse3,sse4.1,sse4.2,ssse3")]
#[target_feature(enable = "avx512vl,avx512vnni")]
fn multiply_vnni(dot: Vnni, work: impl Work) {
    work.run(dot.0, FixedPoint::new(dot));
}

/// Runs `work` on integers.
pub(super) fn dot(simd: V3, work: impl PairWork) {
    match Vnni::new(simd) {
        // SAFETY: a Vnni exists only where these features do.
        Some(dot) => unsafe { dot_vnni(dot, work) },
        None => simd.vectorize(
            #[inline(always)]
            || work.run(simd),
        ),
    }
}

#[target_feature(enable = "avx,avx2,bmi1,bmi2,fma,fxsr,lzcnt,popcnt,sse,sse2,sse3,sse4.1,sse4.2,ssse3")]
#[target_feature(enable = "avx512vl,avx512vnni")]
fn dot_vnni(dot: Vnni, work: impl PairWork) {
    work.run(dot);
}

/// AVX-512's products of pairs that add to their sums at once, in vectors of 256 bits.
#[derive(Clone, Copy)]
struct Vnni(V3);

impl Vnni {
    fn new(simd: V3) -> Option<Vnni> {
        (is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vnni")).then_some(Vnni(simd))
    }
}

impl PairDot for Vnni {
    type Sums = [pulp::i32x8; 2];

    #[inline(always)]
    fn start(self, bias: &[i32; PANEL]) -> Self::Sums {
        pulp::cast(*bias)
    }

    #[inline(always)]
    fn add(self, sums: Self::Sums, pair: [i16; 2], weights: &[[i16; 2]; PANEL]) -> Self::Sums {
        let pair = self.0.avx._mm256_set1_epi32(pulp::cast(pair));
        let weights: [pulp::i16x16; 2] = pulp::cast(*weights);
        // SAFETY: a Vnni exists only where these features do.
        std::array::from_fn(|i| unsafe {
            pulp::cast(_mm256_dpwssd_epi32(pulp::cast(sums[i]), pair, pulp::cast(weights[i])))
        })
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [i32; PANEL] {
        pulp::cast(sums)
    }

    #[inline(always)]
    fn round(self, x: &[f32], norms: &[f32], scale: f32, out: &mut [i16]) {
        self.0.round(x, norms, scale, out);
    }
}

impl FloatDot<V3, 2> for Vnni {
    #[inline(always)]
    fn floats(self, sums: Self::Sums) -> [pulp::f32x8; 2] {
        self.0.floats(sums)
    }
}

impl PairDot for V3 {
    type Sums = [pulp::i32x8; 2];

    #[inline(always)]
    fn start(self, bias: &[i32; PANEL]) -> Self::Sums {
        pulp::cast(*bias)
    }

    #[inline(always)]
    fn add(self, sums: Self::Sums, pair: [i16; 2], weights: &[[i16; 2]; PANEL]) -> Self::Sums {
        let pair = self.avx._mm256_set1_epi32(pulp::cast(pair));
        let weights: [pulp::i16x16; 2] = pulp::cast(*weights);
        std::array::from_fn(|i| {
            let products = self.avx2._mm256_madd_epi16(pair, pulp::cast(weights[i]));
            pulp::cast(self.avx2._mm256_add_epi32(pulp::cast(sums[i]), products))
        })
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [i32; PANEL] {
        pulp::cast(sums)
    }

    #[inline(always)]
    fn round(self, x: &[f32], norms: &[f32], scale: f32, out: &mut [i16]) {
        let (by, avx) = (self.avx._mm256_set1_ps(scale), self.avx);
        let (groups, x_left) = x.as_chunks::<16>();
        let (norms, norms_left) = norms.as_chunks::<16>();
        let (whole, out_left) = out.as_chunks_mut::<16>();
        for (i, (x, out)) in groups.iter().zip(whole).enumerate() {
            let [a, b]: [pulp::f32x8; 2] = pulp::cast(*x);
            let mut a = avx._mm256_mul_ps(pulp::cast(a), by);
            let mut b = avx._mm256_mul_ps(pulp::cast(b), by);
            if let Some(norms) = norms.get(i) {
                let [norms_a, norms_b]: [pulp::f32x8; 2] = pulp::cast(*norms);
                a = avx._mm256_mul_ps(a, pulp::cast(norms_a));
                b = avx._mm256_mul_ps(b, pulp::cast(norms_b));
            }
            let packed = self.avx2._mm256_packs_epi32(avx._mm256_cvtps_epi32(a), avx._mm256_cvtps_epi32(b));
            // Packed within halves of vectors: the inner quarters change places.
            *out = pulp::cast(self.avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
        }
        Portable.round(x_left, norms_left, scale, out_left);
    }
}

impl FloatDot<V3, 2> for V3 {
    #[inline(always)]
    fn floats(self, sums: Self::Sums) -> [pulp::f32x8; 2] {
        sums.map(
            #[inline(always)]
            |sum| pulp::cast(self.avx._mm256_cvtepi32_ps(pulp::cast(sum))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(dot: impl PairDot, weights: &[[i16; 2]; PANEL]) -> [i32; PANEL] {
        let pairs = [[8191, -8191], [-1, 0], [77, 8191], [0, i16::MAX]];
        dot.finish(pairs.into_iter().fold(dot.start(&[5; PANEL]), |sums, pair| dot.add(sums, pair, weights)))
    }

    #[target_feature(enable = "avx512vl,avx512vnni")]
    fn vnni_sums(dot: Vnni, weights: &[[i16; 2]; PANEL]) -> [i32; PANEL] {
        sums(dot, weights)
    }

    #[test]
    fn pairs_add_up_alike() {
        let weights = std::array::from_fn(|i| [i16::MAX - 2000 * i as i16, 37 * i as i16 - i16::MAX]);
        let expected = sums(Portable, &weights);
        if let Some(simd) = V3::try_new() {
            assert_eq!(simd.vectorize(|| sums(simd, &weights)), expected);
            if let Some(dot) = Vnni::new(simd) {
                // SAFETY: a Vnni exists only where these features do.
                assert_eq!(unsafe { vnni_sums(dot, &weights) }, expected);
            }
        }
    }
}
