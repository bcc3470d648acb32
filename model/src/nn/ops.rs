//! Candle operations on NHWC maps: our kernels on the CPU, candle's own primitives elsewhere.
//!
//! Candle's grouped convolution and its convolution gradients are one to two orders of magnitude
//! slower than these on a CPU. The fallback (`composed`) is also the oracle of the gradient checks.

#[cfg(any(test, feature = "train"))]
mod host;

use candle_core::{CpuStorage, D, Layout, Result, Tensor, bail};
#[cfg(any(test, feature = "train"))]
pub(crate) use host::{linear, unfold3};

/// [`unshuffle`] with patches centred on the corners: (N, H, W, C) → (N, H/k + 1, W/k + 1, k·k·C).
pub(crate) fn lapped_unshuffle(x: &Tensor, k: usize) -> Result<Tensor> {
    unshuffle(&x.pad_with_same(1, k / 2, k / 2)?.pad_with_same(2, k / 2, k / 2)?, k)
}

/// [`shuffle`] of such patches: (N, H + 1, W + 1, k·k·C) → (N, H·k, W·k, C).
pub(crate) fn lapped_shuffle(x: &Tensor, k: usize) -> Result<Tensor> {
    let (_, h, w, _) = x.dims4()?;
    shuffle(x, k)?.narrow(1, k / 2, (h - 1) * k)?.narrow(2, k / 2, (w - 1) * k)?.contiguous()
}

/// Space to depth by `k`: (N, H, W, C) → (N, H/k, W/k, k·k·C), channel order (dy, dx, c).
pub(crate) fn unshuffle(x: &Tensor, k: usize) -> Result<Tensor> {
    let (n, h, w, c) = x.dims4()?;
    x.contiguous()?.reshape((n, h / k, k, w / k, k, c))?.permute((0, 1, 3, 2, 4, 5))?.contiguous()?.reshape((
        n,
        h / k,
        w / k,
        k * k * c,
    ))
}

/// Depth to space by `k`: the inverse of [`unshuffle`].
pub(crate) fn shuffle(x: &Tensor, k: usize) -> Result<Tensor> {
    let (n, h, w, c) = x.dims4()?;
    let c = c / (k * k);
    x.contiguous()?.reshape((n, h, w, k, k, c))?.permute((0, 1, 3, 2, 4, 5))?.contiguous()?.reshape((
        n,
        h * k,
        w * k,
        c,
    ))
}

/// The layers from candle's primitives: what a GPU runs, and the oracle of the gradient checks.
pub(crate) mod composed {
    use super::*;

    pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (k, n) = weight.dims2()?;
        let mut shape = x.dims().to_vec();
        let rows = x.elem_count() / k;
        *shape.last_mut().expect("x has a channel axis") = n;
        x.contiguous()?.reshape((rows, k))?.matmul(weight)?.broadcast_add(bias)?.reshape(shape)
    }

    fn taps(x: &Tensor) -> Result<Vec<Tensor>> {
        let (_, h, w, _) = x.dims4()?;
        let padded = x.pad_with_same(1, 1, 1)?.pad_with_same(2, 1, 1)?;
        (0..9).map(|k| padded.narrow(1, k / 3, h)?.narrow(2, k % 3, w)).collect()
    }

    /// Depthwise 3×3: x (N, H, W, C), weight (9, C), bias (C), border replicated.
    pub(crate) fn depthwise3(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (k, tap) in taps(x)?.into_iter().enumerate() {
            let term = tap.broadcast_mul(&weight.get(k)?)?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
        sum.expect("nine taps").broadcast_add(bias)
    }

    /// Gated linear unit with an algebraic sigmoid: (…, 2C) → (…, C).
    pub(crate) fn gate(x: &Tensor) -> Result<Tensor> {
        let halves = x.chunk(2, D::Minus1)?;
        let sigmoid = ((&halves[1] / (halves[1].abs()? + 1.0)?)? * 0.5)? + 0.5;
        &halves[0] * sigmoid?
    }

    /// `x + scale ∘ branch` for x, branch (N, H, W, C) and scale (N, C).
    pub(crate) fn scaled_add(x: &Tensor, branch: &Tensor, scale: &Tensor) -> Result<Tensor> {
        let (n, c) = scale.dims2()?;
        x + branch.broadcast_mul(&scale.reshape((n, 1, 1, c))?)?
    }

    pub(crate) fn unfold3(x: &Tensor) -> Result<Tensor> {
        Tensor::cat(&taps(x)?, D::Minus1)
    }

    /// 2×2 neighbourhoods on the grid of corners: (N, H, W, C) → (N, H ± 1, W ± 1, 4·C), border replicated.
    pub(crate) fn unfold2(x: &Tensor, grow: bool) -> Result<Tensor> {
        let x = if grow { x.pad_with_same(1, 1, 1)?.pad_with_same(2, 1, 1)? } else { x.clone() };
        let (_, h, w, _) = x.dims4()?;
        let taps: Vec<Tensor> =
            (0..4).map(|k| x.narrow(1, k / 2, h - 1)?.narrow(2, k % 2, w - 1)).collect::<Result<_>>()?;
        Tensor::cat(&taps, D::Minus1)
    }
}

/// The values of a contiguous f32 CPU tensor.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a contiguous tensor is needed"),
    }
}

/// Runs `f` on the values of contiguous f32 CPU tensors.
pub(crate) fn with_values<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let contiguous: Vec<Tensor> = tensors.iter().map(|t| t.contiguous()).collect::<Result<_>>()?;
    let guards: Vec<_> = contiguous.iter().map(|t| t.storage_and_layout()).collect();
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let candle_core::Storage::Cpu(cpu) = &**storage else { bail!("a CPU tensor is needed") };
        *slice = values(cpu, layout)?;
    }
    f(slices)
}
