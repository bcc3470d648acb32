//! How well the bottleneck separates classes that the model was never told of.

use rayon::prelude::*;

/// Share of `queries` (N, K) whose nearest neighbour among `known` (M, K), by Euclidean distance, has their label (Cover
/// & Hart 1967).
pub(super) fn accuracy(known: &[f32], labels: &[u8], queries: &[f32], expected: &[u8], k: usize) -> f64 {
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let right = queries.par_chunks_exact(k).zip(expected).filter(|(query, expected)| {
        let mut best = (f32::INFINITY, 0);
        for (other, label) in known.chunks_exact(k).zip(labels) {
            let far = distance(query, other);
            if far < best.0 {
                best = (far, *label);
            }
        }
        best.1 == **expected
    });
    right.count() as f64 / expected.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_label_is_taken() {
        let known = [0.0, 0.0, 1.0, 0.0, 0.0, 5.0];
        let queries = [0.2, 0.1, 0.9, -0.3, 0.1, 4.0, 0.6, 0.0];
        assert_eq!(accuracy(&known, &[3, 4, 5], &queries, &[3, 4, 5, 4], 2), 1.0);
        assert_eq!(accuracy(&known, &[3, 4, 5], &queries, &[3, 4, 4, 3], 2), 0.5);
    }
}
