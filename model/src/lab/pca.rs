//! Principal component analysis (Pearson 1901): the best linear bottleneck, which an autoencoder must beat.

use crate::kernels::{Matrix, matmul};

/// Rounds of orthogonal iteration. The components' order is settled long before, but neighbours of nearly the same
/// variance part slowly; that changes none of the errors, which depend on the subspace.
const ROUNDS: usize = 120;
/// Directions more than are asked for, so that the last of them settles too.
const SPARE: usize = 8;
/// Rows that the covariance is summed over at a time.
const ROWS: usize = 2048;

/// The directions of largest variance.
pub(crate) struct Pca {
    mean: Vec<f32>,
    /// (K, pixels), orthonormal rows, by falling variance.
    components: Vec<f32>,
    k: usize,
}

impl Pca {
    /// Of pictures `pixels` (N, size), scaled to 0..1; `k` directions at most.
    pub(crate) fn new(pixels: &[u8], size: usize, k: usize) -> Pca {
        let n = pixels.len() / size;
        let k = k.min(size);
        let mut mean = vec![0.0f64; size];
        for row in pixels.chunks_exact(size) {
            mean.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v) / 255.0 / n as f64);
        }
        let mean: Vec<f32> = mean.into_iter().map(|v| v as f32).collect();
        let mut covariance = vec![0.0; size * size];
        for rows in pixels.chunks(ROWS * size) {
            let centred = centred(rows, &mean);
            let x = Matrix::new(&centred, centred.len() / size, size);
            matmul(x.t(), x, &mut covariance, true);
        }
        let wide = (k + SPARE).min(size);
        // Any start that is not orthogonal to the answer.
        let mut basis: Vec<f32> = (0..wide * size)
            .map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 1e7 - 0.8)
            .collect();
        orthonormalise(&mut basis, size);
        for _ in 0..ROUNDS {
            let mut next = vec![0.0; wide * size];
            let b = Matrix::new(&basis, wide, size);
            matmul(b, Matrix::new(&covariance, size, size), &mut next, false);
            orthonormalise(&mut next, size);
            basis = next;
        }
        basis.truncate(k * size);
        Pca { mean, components: basis, k }
    }

    /// The first `k` coordinates of each picture: (N, k).
    pub(crate) fn encode(&self, pixels: &[u8], k: usize) -> Vec<f32> {
        assert!(k <= self.k, "{k} of {} components", self.k);
        let size = self.mean.len();
        let centred = centred(pixels, &self.mean);
        let n = centred.len() / size;
        let mut out = vec![0.0; n * k];
        let components = Matrix::new(&self.components[..k * size], k, size);
        matmul(Matrix::new(&centred, n, size), components.t(), &mut out, false);
        out
    }

    /// The pictures of coordinates (N, k), rounded to 8 bits: (N, size).
    pub(crate) fn decode(&self, coordinates: &[f32], k: usize) -> Vec<u8> {
        let size = self.mean.len();
        let n = coordinates.len() / k;
        let mut out = vec![0.0; n * size];
        let components = Matrix::new(&self.components[..k * size], k, size);
        matmul(Matrix::new(coordinates, n, k), components, &mut out, false);
        let pixels = out.iter().enumerate().map(|(i, v)| ((v + self.mean[i % size]) * 255.0).round() as u8);
        pixels.collect()
    }
}

fn centred(pixels: &[u8], mean: &[f32]) -> Vec<f32> {
    pixels.iter().enumerate().map(|(i, &v)| f32::from(v) / 255.0 - mean[i % mean.len()]).collect()
}

/// Gram–Schmidt over rows of `size`; a row that vanishes stays zero.
fn orthonormalise(rows: &mut [f32], size: usize) {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    for at in 0..rows.len() / size {
        let (before, rest) = rows.split_at_mut(at * size);
        let row = &mut rest[..size];
        for other in before.chunks_exact(size) {
            let along = dot(row, other) as f32;
            row.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
        }
        let norm = dot(row, row).sqrt();
        let scale = if norm > 1e-12 { (1.0 / norm) as f32 } else { 0.0 };
        row.iter_mut().for_each(|v| *v *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// Pictures on a plane in 12 dimensions are kept by two components, and not by one.
    #[test]
    fn finds_the_plane_that_the_data_lies_in() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut pixels = vec![];
        for _ in 0..400 {
            let (a, b) = (rng.random_range(-60.0..60.0f64), rng.random_range(-30.0..30.0f64));
            let value = |i: usize| 128.0 + a * (i as f64).cos() + b * (2.0 * i as f64).sin();
            pixels.extend((0..12).map(|i| value(i).round() as u8));
        }
        let pca = Pca::new(&pixels, 12, 3);
        let error = |k: usize| {
            let back = pca.decode(&pca.encode(&pixels, k), k);
            let squares = back.iter().zip(&pixels).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
            squares.sum::<f64>() / pixels.len() as f64
        };
        assert!(error(1) > 50.0, "{}", error(1));
        assert!(error(2) < 0.5, "{}", error(2));
        for i in 0..3 {
            for j in 0..3 {
                let dot: f32 = (0..12).map(|p| pca.components[i * 12 + p] * pca.components[j * 12 + p]).sum();
                assert!((dot - if i == j { 1.0 } else { 0.0 }).abs() < 1e-4, "{i} {j}: {dot}");
            }
        }
    }
}
