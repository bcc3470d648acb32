//! Matrix products through the `gemm` crate.

use rayon::prelude::*;

/// Rows that one task multiplies.
const ROWS: usize = 512;

/// A strided view of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `data` holds `rows * columns` values, row after row.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns);
        Matrix { data, rows, columns, transposed: false }
    }

    /// The transpose, without a copy.
    #[cfg(feature = "nn")]
    pub(crate) fn t(self) -> Self {
        Matrix { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    fn strides(&self) -> (isize, isize) {
        if self.transposed { (1, self.rows as isize) } else { (self.columns as isize, 1) }
    }
}

/// `out = a · b`, or `out += a · b` when `accumulate`; `out` is row after row. One thread.
pub(crate) fn matmul(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], accumulate: bool) {
    assert_eq!(a.columns, b.rows);
    assert_eq!(out.len(), a.rows * b.columns);
    let (a_row, a_column) = a.strides();
    let (b_row, b_column) = b.strides();
    // SAFETY: the lengths asserted here and in `Matrix::new` cover every element that the given
    // sizes and strides address, and `out` is borrowed mutably, so it does not overlap the inputs.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            accumulate,
            a.data.as_ptr(),
            a_column,
            a_row,
            b.data.as_ptr(),
            b_column,
            b_row,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// 1×1 convolution: `out[r] = bias + x[r] · weight` for every row of `x`, with `weight` (K, N).
pub(crate) fn linear(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let n = bias.len();
    let k = weight.len() / n;
    assert_eq!(x.len() / k, out.len() / n);
    x.par_chunks(ROWS * k).zip(out.par_chunks_mut(ROWS * n)).for_each(|(x, out)| {
        for row in out.chunks_exact_mut(n) {
            row.copy_from_slice(bias);
        }
        matmul(Matrix::new(x, x.len() / k, k), Matrix::new(weight, k, n), out, true);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_by_hand() {
        let mut out = vec![0.0; 4];
        linear(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], &[10.0, 20.0], &mut out);
        assert_eq!(out, [14.0, 25.0, 20.0, 31.0]);
    }
}
