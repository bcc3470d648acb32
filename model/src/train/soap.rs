//! SOAP (Vyas et al. 2024): Adam in the eigenbasis of Shampoo's preconditioner.
//!
//! Zhang & Zhu 2026 (arXiv:2601.20769) found that it trains learned image codecs in a third of Adam's steps: the
//! gradients of rate and of distortion pull against each other less in that basis.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

/// Decay of the running covariances.
const DECAY: f32 = 0.95;
/// Steps between two refinements of a basis.
pub(crate) const EVERY: u64 = 10;
/// A side above this stays as it is: its basis would cost more than the networks' own products.
const LARGEST: usize = 512;

/// One side of a matrix of parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Eigenbasis {
    pub(crate) size: usize,
    /// Running mean of the gradients' covariance, (size, size).
    pub(crate) covariance: Vec<f32>,
    /// Its eigenvectors in columns, roughly, by falling eigenvalue, (size, size).
    pub(crate) vectors: Vec<f32>,
}

/// The bases of a matrix's rows and columns; `None` for a side that is too large.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bases {
    pub(crate) left: Option<Eigenbasis>,
    pub(crate) right: Option<Eigenbasis>,
}

fn view(values: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(values, rows, columns)
}

fn view_mut(values: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(values, rows, columns)
}

fn row_major(matrix: MatRef<'_, f32>) -> Vec<f32> {
    (0..matrix.nrows()).flat_map(|i| (0..matrix.ncols()).map(move |j| matrix[(i, j)])).collect()
}

fn product(a: MatRef<'_, f32>, b: MatRef<'_, f32>) -> Mat<f32> {
    let mut c = Mat::zeros(a.nrows(), b.ncols());
    matmul(c.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
    c
}

impl Eigenbasis {
    /// From the first gradient, whose side lies along the rows.
    fn new(gradient: MatRef<'_, f32>) -> Option<Eigenbasis> {
        let size = gradient.nrows();
        if size > LARGEST {
            return None;
        }
        let covariance = product(gradient, gradient.transpose());
        // Eigenvectors of a first gradient of low rank are partly arbitrary; a failure to find them is no loss.
        let vectors = match covariance.self_adjoint_eigen(Side::Lower) {
            Ok(eigen) => row_major(eigen.U().reverse_cols()),
            Err(_) => row_major(Mat::<f32>::identity(size, size).as_ref()),
        };
        Some(Eigenbasis { size, covariance: row_major(covariance.as_ref()), vectors })
    }

    fn vectors(&self) -> MatRef<'_, f32> {
        view(&self.vectors, self.size, self.size)
    }

    fn observe(&mut self, gradient: MatRef<'_, f32>) {
        for value in &mut self.covariance {
            *value *= DECAY;
        }
        let covariance = view_mut(&mut self.covariance, self.size, self.size);
        matmul(covariance, Accum::Add, gradient, gradient.transpose(), 1.0 - DECAY, Par::Seq);
    }

    /// One step of power iteration and a QR decomposition. Returns the order in which the old axes now come, and what
    /// takes coordinates in the old basis, in the old order, to the new.
    fn refine(&mut self) -> (Vec<usize>, Mat<f32>) {
        let covariance = view(&self.covariance, self.size, self.size);
        let old = self.vectors();
        let powered = product(covariance, old);
        let eigenvalue = |k: usize| (0..self.size).map(|i| old[(i, k)] * powered[(i, k)]).sum::<f32>();
        let eigenvalues: Vec<f32> = (0..self.size).map(eigenvalue).collect();
        let mut order: Vec<usize> = (0..self.size).collect();
        order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
        let sorted = Mat::from_fn(self.size, self.size, |i, k| powered[(i, order[k])]);
        let new = sorted.qr().compute_thin_Q();
        let turn = product(new.transpose(), old);
        self.vectors = row_major(new.as_ref());
        (order, turn)
    }
}

impl Bases {
    /// From the first gradient of a matrix, (rows, columns).
    pub(crate) fn new(gradient: &[f32], rows: usize, columns: usize) -> Bases {
        let gradient = view(gradient, rows, columns);
        Bases { left: Eigenbasis::new(gradient), right: Eigenbasis::new(gradient.transpose()) }
    }

    /// Takes a gradient into the covariances.
    pub(crate) fn observe(&mut self, gradient: &[f32], rows: usize, columns: usize) {
        let gradient = view(gradient, rows, columns);
        if let Some(left) = &mut self.left {
            left.observe(gradient);
        }
        if let Some(right) = &mut self.right {
            right.observe(gradient.transpose());
        }
    }

    /// Brings the bases up to date; `first` and `second` are Adam's moments in them.
    pub(crate) fn refine(&mut self, first: &mut [f32], second: &mut [f32], rows: usize, columns: usize) {
        if let Some(left) = &mut self.left {
            let (order, turn) = left.refine();
            let turned = product(turn.as_ref(), view(first, rows, columns));
            view_mut(first, rows, columns).copy_from(&turned);
            let sorted = Mat::from_fn(rows, columns, |i, j| second[order[i] * columns + j]);
            view_mut(second, rows, columns).copy_from(&sorted);
        }
        if let Some(right) = &mut self.right {
            let (order, turn) = right.refine();
            let turned = product(view(first, rows, columns), turn.transpose());
            view_mut(first, rows, columns).copy_from(&turned);
            let sorted = Mat::from_fn(rows, columns, |i, j| second[i * columns + order[j]]);
            view_mut(second, rows, columns).copy_from(&sorted);
        }
    }

    /// Takes a matrix into the bases, in place.
    pub(crate) fn enter(&self, matrix: &mut [f32], rows: usize, columns: usize) {
        let left = self.left.as_ref().map(|side| side.vectors().transpose());
        self.turn(left, self.right.as_ref().map(Eigenbasis::vectors), view_mut(matrix, rows, columns));
    }

    /// Takes a matrix back out of the bases, in place.
    pub(crate) fn leave(&self, matrix: &mut [f32], rows: usize, columns: usize) {
        let right = self.right.as_ref().map(|side| side.vectors().transpose());
        self.turn(self.left.as_ref().map(Eigenbasis::vectors), right, view_mut(matrix, rows, columns));
    }

    fn turn(
        &self,
        left: Option<MatRef<'_, f32>>,
        right: Option<MatRef<'_, f32>>,
        mut matrix: MatMut<'_, f32>,
    ) {
        if let Some(left) = left {
            let turned = product(left, matrix.as_ref());
            matrix.copy_from(&turned);
        }
        if let Some(right) = right {
            let turned = product(matrix.as_ref(), right);
            matrix.copy_from(&turned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::optimiser::{Method, Optimiser, Rates, Slot};
    use candle_core::{Device, Tensor};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::collections::BTreeMap;

    const ROWS: usize = 6;
    const COLUMNS: usize = 4;

    fn noise(rng: &mut StdRng, count: usize) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn what_enters_the_bases_leaves_as_it_was_also_after_refinements() {
        let mut rng = StdRng::seed_from_u64(5);
        let mut bases = Bases::new(&noise(&mut rng, ROWS * COLUMNS), ROWS, COLUMNS);
        let momentum = noise(&mut rng, ROWS * COLUMNS);
        let (mut first, mut second) = (momentum.clone(), vec![1.0; ROWS * COLUMNS]);
        bases.enter(&mut first, ROWS, COLUMNS);
        for _ in 0..20 {
            bases.observe(&noise(&mut rng, ROWS * COLUMNS), ROWS, COLUMNS);
            bases.refine(&mut first, &mut second, ROWS, COLUMNS);
        }
        // The bases have turned, and the momentum in them with them.
        bases.leave(&mut first, ROWS, COLUMNS);
        for (before, after) in momentum.iter().zip(&first) {
            assert!((before - after).abs() < 1e-4, "{before} became {after}");
        }
    }

    #[test]
    fn a_side_that_is_too_large_stays_as_it_is() {
        let bases = Bases::new(&vec![0.5; (LARGEST + 1) * 2], LARGEST + 1, 2);
        assert!(bases.left.is_none() && bases.right.is_some());
    }

    /// Half of ‖A (X − target) B‖² with A and B far from diagonal: Adam zigzags, SOAP sees the axes.
    fn loss_after(method: Method, steps: usize) -> f32 {
        let mut rng = StdRng::seed_from_u64(9);
        let mut skewed = |size: usize| {
            let spread = Mat::from_fn(size, size, |i, j| if i == j { 4f32.powi(-(i as i32)) } else { 0.0 });
            let random = noise(&mut rng, size * size);
            let turn = view(&random, size, size).qr().compute_thin_Q();
            product(product(turn.as_ref(), spread.as_ref()).as_ref(), turn.transpose())
        };
        let (a, b) = (skewed(ROWS), skewed(COLUMNS));
        let target = Mat::from_fn(ROWS, COLUMNS, |i, j| ((i * 5 + j * 3) % 7) as f32 / 3.0 - 1.0);
        let slot = Slot::new(vec![ROWS, COLUMNS], vec![0.0; ROWS * COLUMNS]);
        let mut optimiser = Optimiser { slots: BTreeMap::from([("x".to_string(), slot)]), step: 0 };
        let error = |value: &[f32]| {
            let away = view(value, ROWS, COLUMNS) - &target;
            product(product(a.as_ref(), away.as_ref()).as_ref(), b.as_ref())
        };
        for step in 0..steps {
            let error = error(&optimiser.slots["x"].value);
            let gradient = product(product(a.transpose(), error.as_ref()).as_ref(), b.transpose());
            let gradient = row_major(gradient.as_ref());
            let gradient = Tensor::from_vec(gradient, (ROWS, COLUMNS), &Device::Cpu).unwrap();
            let learning = 0.05 * (1.0 - step as f64 / steps as f64);
            let rates = Rates { method, learning, weight_decay: 0.0, clip: 100.0, average: 0.5 };
            optimiser.step(&[BTreeMap::from([("x".to_string(), gradient)])], &rates).unwrap();
        }
        error(&optimiser.slots["x"].value).squared_norm_l2()
    }

    #[test]
    fn a_skewed_valley_is_descended_faster_than_by_adam() {
        let (adam, soap) = (loss_after(Method::AdamW, 400), loss_after(Method::Soap, 400));
        assert!(soap < 0.2 * adam, "SOAP ends at {soap}, Adam at {adam}");
    }
}
