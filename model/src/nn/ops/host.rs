//! Single layers as operations, for graphs that are no chains of layers.

use super::{composed, values, with_values};
use crate::kernels::{self, Dims};
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail};

/// 1×1 convolution: x (…, K) · weight (K, N) + bias (N) → (…, N).
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op3(weight, bias, Linear);
    }
    composed::linear(x, weight, bias)
}

/// 3×3 neighbourhoods: (N, H, W, C) → (N, H, W, 9·C), border replicated.
pub(crate) fn unfold3(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Unfold3);
    }
    composed::unfold3(x)
}

fn dims4(layout: &Layout) -> Result<(usize, Dims)> {
    let (n, h, w, c) = layout.shape().dims4()?;
    Ok((n, Dims { h, w, c }))
}

type Grads3 = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (k, n) = wl.shape().dims2()?;
        let mut shape = xl.dims().to_vec();
        if shape.last() != Some(&k) {
            bail!("linear: x is {shape:?}, weight ({k}, {n})");
        }
        *shape.last_mut().expect("checked above") = n;
        let x = values(x, xl)?;
        let mut out = vec![0.0; x.len() / k * n];
        kernels::linear(x, values(w, wl)?, values(b, bl)?, &mut out);
        Ok((CpuStorage::F32(out), shape.into()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Grads3> {
        let n = b.elem_count();
        let device = x.device();
        // Pictures need no gradient.
        let dx = match x.track_op() {
            true => {
                let dx = with_values([w, grad], |[ws, gs]| Ok(kernels::linear_backward(ws, gs, n)))?;
                Some(Tensor::from_vec(dx, x.shape(), device)?)
            }
            false => None,
        };
        if !w.track_op() {
            return Ok((dx, None, None));
        }
        let (dw, db) = with_values([x, grad], |[xs, gs]| Ok(kernels::linear_backward_weights(xs, gs, n)))?;
        Ok((dx, Some(Tensor::from_vec(dw, w.shape(), device)?), Some(Tensor::from_vec(db, n, device)?)))
    }
}

struct Unfold3;

impl CustomOp1 for Unfold3 {
    fn name(&self) -> &'static str {
        "unfold3"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, dims) = dims4(xl)?;
        let x = values(x, xl)?;
        let mut out = vec![0.0; 9 * x.len()];
        for (x, out) in x.chunks_exact(dims.len()).zip(out.chunks_exact_mut(9 * dims.len())) {
            kernels::unfold3(x, dims, 0..dims.h, out);
        }
        Ok((CpuStorage::F32(out), (n, dims.h, dims.w, 9 * dims.c).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, h, w, c) = x.dims4()?;
        let dims = Dims { h, w, c };
        let mut dx = vec![0.0; x.elem_count()];
        with_values([grad], |[grad]| {
            for (dx, grad) in dx.chunks_exact_mut(dims.len()).zip(grad.chunks_exact(9 * dims.len())) {
                kernels::unfold3_backward(grad, dims, dx);
            }
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}
