//! The dissimilarity of a batch as an operation of the training graph.

use super::{STEP, picture};
use crate::nn::ops::values;
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::OnceLock;

/// Mean structural dissimilarity of each picture of x and x_hat (N, H, W, 3) on the −1..=1 scale, sides multiples of
/// 16: (N), 0 where equal, up to 2. Its gradient goes to x_hat alone. Computed on the host.
pub(crate) fn dissimilarity(x: &Tensor, x_hat: &Tensor) -> Result<Tensor> {
    let device = x_hat.device();
    let x = x.to_device(&Device::Cpu)?.contiguous()?;
    let x_hat = x_hat.to_device(&Device::Cpu)?.contiguous()?;
    let op = Dissimilarity { wanted: x_hat.track_op(), gradient: OnceLock::new() };
    x_hat.apply_op2(&x, op)?.to_device(device)
}

/// Computes the gradient on the way forward, where one is asked for: it takes the same sums.
struct Dissimilarity {
    wanted: bool,
    gradient: OnceLock<Vec<f32>>,
}

impl CustomOp2 for Dissimilarity {
    fn name(&self) -> &'static str {
        "dissimilarity"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        yl: &Layout,
        x: &CpuStorage,
        xl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, h, w, c) = yl.shape().dims4()?;
        if xl.shape() != yl.shape() || c != 3 || h % STEP != 0 || w % STEP != 0 {
            bail!(
                "dissimilarity: pictures {:?} and {:?}; sides must be multiples of 16",
                xl.shape(),
                yl.shape()
            );
        }
        let (x, y, size) = (values(x, xl)?, values(y, yl)?, h * w * 3);
        let pictures = x.chunks_exact(size).zip(y.chunks_exact(size));
        let means = if self.wanted {
            let mut back = vec![0.0; y.len()];
            let means = pictures
                .zip(back.chunks_exact_mut(size))
                .map(|((x, y), back)| picture(x, y, h, w, Some(back)));
            let means = means.collect();
            self.gradient.set(back).expect("an operation runs once");
            means
        } else {
            pictures.map(|(x, y)| picture(x, y, h, w, None)).collect()
        };
        Ok((CpuStorage::F32(means), n.into()))
    }

    fn bwd(
        &self,
        y: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = self.gradient.get().expect("it was computed on the way forward");
        let n = grad.elem_count();
        let gradient = Tensor::from_slice(gradient, y.shape(), y.device())?;
        Ok((Some(gradient.broadcast_mul(&grad.reshape((n, 1, 1, 1))?)?), None))
    }
}
