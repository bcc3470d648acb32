//! PSNR, the one definition of it.

use crate::Image;

/// PSNR in dB of two pictures of one size: 10·log₁₀(255² / MSE), the MSE over all samples of R, G and B.
/// Infinite where nothing differs.
pub fn psnr(original: &Image, decoded: &Image) -> f64 {
    let squares: u64 =
        original.rgb.iter().zip(&decoded.rgb).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    let mse = squares as f64 / original.rgb.len() as f64;
    10.0 * (255.0 * 255.0 / mse).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psnr_is_exact() {
        let black = Image { width: 4, height: 4, rgb: vec![0; 48] };
        let mut other = black.clone();
        // One sample of 48 off by 255: MSE = 255² / 48.
        other.rgb[7] = 255;
        assert!((psnr(&black, &other) - 10.0 * 48f64.log10()).abs() < 1e-12);
        assert_eq!(psnr(&black, &Image { rgb: vec![255; 48], ..black.clone() }), 0.0);
        assert_eq!(psnr(&black, &black), f64::INFINITY);
    }
}
