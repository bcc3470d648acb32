use bottleneck_model::Image;

/// PSNR over RGB, in dB; infinite where the pictures, which are of one size, are the same.
pub(crate) fn psnr(a: &Image, b: &Image) -> f64 {
    let squares = a.rgb.iter().zip(&b.rgb).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2));
    let mse = squares.sum::<u64>() as f64 / a.rgb.len() as f64;
    10.0 * (255.0 * 255.0 / mse).log10()
}
