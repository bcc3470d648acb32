//! The rate scale: where a quality lies between the knots of the quality-dependent vectors.

use crate::network::QUALITY_KNOTS;
use bottleneck_proto::Quality;

/// Position 0..=1 on the rate scale.
pub(crate) fn position(quality: Quality) -> f32 {
    f32::from(quality.0) / 65535.0
}

/// Interpolation weights of the knots at `position` (0..=1).
pub(crate) fn knot_weights(position: f32) -> [f32; QUALITY_KNOTS] {
    let at = position.clamp(0.0, 1.0) * (QUALITY_KNOTS - 1) as f32;
    let left = (at as usize).min(QUALITY_KNOTS - 2);
    let mut weights = [0.0; QUALITY_KNOTS];
    weights[left + 1] = at - left as f32;
    weights[left] = 1.0 - weights[left + 1];
    weights
}

/// Interpolates `vectors` (QUALITY_KNOTS, C) at `position`.
pub(crate) fn interpolate(vectors: &[f32], position: f32) -> Vec<f32> {
    let c = vectors.len() / QUALITY_KNOTS;
    let mut out = vec![0.0; c];
    for (vector, weight) in vectors.chunks_exact(c).zip(knot_weights(position)) {
        if weight != 0.0 {
            out.iter_mut().zip(vector).for_each(|(o, v)| *o += weight * v);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_the_outer_knots() {
        assert_eq!(knot_weights(0.0)[0], 1.0);
        assert_eq!(knot_weights(1.0)[QUALITY_KNOTS - 1], 1.0);
        let vectors: Vec<f32> = (0..QUALITY_KNOTS).map(|k| k as f32).collect();
        assert_eq!(interpolate(&vectors, 0.5), [4.0]);
    }
}
