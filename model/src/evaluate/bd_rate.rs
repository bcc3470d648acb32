//! Bjøntegaard delta rate: the mean change of bit rate at equal quality, in percent.
//!
//! G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33 (2001), with the
//! cubic fit replaced by the monotone interpolation of Fritsch and Carlson (SIAM J. Numer. Anal. 17, 1980) in
//! the form of F. N. Fritsch and J. Butland (1984), which is what `scipy.interpolate.PchipInterpolator`
//! computes. The integral is exact: each piece is a cubic polynomial.

use serde::Serialize;

/// PSNR range, in dB, inside which BD-rates are taken.
pub const PSNR_WINDOW: (f64, f64) = (28.5, 37.5);

/// PSNR range, in dB, that a curve must span before its BD-rate may be called one.
pub const PSNR_SPAN: (f64, f64) = (28.5, 37.0);

/// Why points are not a rate–distortion curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurveError {
    /// Fewer than two points of different quality.
    #[error("a rate–distortion curve needs two points of different quality")]
    TooFewPoints,
    /// A rate is not positive, or a number is infinite or NaN.
    #[error("a rate–distortion point needs a positive rate and a finite quality")]
    NotANumber,
}

/// A rate–distortion curve: the logarithm of the rate as a function of quality.
#[derive(Clone, Debug)]
pub struct Curve {
    log_rate: Pchip,
}

impl Curve {
    /// From points `(bits per pixel, quality)` in any order, quality being PSNR in dB or any other figure that
    /// grows with fidelity. Of points of exactly equal quality the cheapest counts.
    pub fn new(points: &[(f64, f64)]) -> Result<Curve, CurveError> {
        if points.iter().any(|&(bpp, quality)| !(bpp > 0.0 && bpp.is_finite() && quality.is_finite())) {
            return Err(CurveError::NotANumber);
        }
        let mut sorted = points.to_vec();
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0)));
        sorted.dedup_by(|next, kept| next.1 == kept.1);
        if sorted.len() < 2 {
            return Err(CurveError::TooFewPoints);
        }
        let (rate, quality): (Vec<f64>, Vec<f64>) = sorted.into_iter().map(|(b, q)| (b.ln(), q)).unzip();
        Ok(Curve { log_rate: Pchip::new(quality, rate) })
    }

    /// Lowest and highest quality of the curve.
    pub fn range(&self) -> (f64, f64) {
        (self.log_rate.x[0], self.log_rate.x[self.log_rate.x.len() - 1])
    }

    /// Whether the curve reaches from `low` or below to `high` or above.
    pub fn spans(&self, (low, high): (f64, f64)) -> bool {
        let (first, last) = self.range();
        first <= low && last >= high
    }
}

/// A mean difference of rate over a range of quality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BdRate {
    /// Percent of the reference's rate; negative where the curve under test needs fewer bits.
    pub percent: f64,
    /// Lower end of the range, in units of quality.
    pub low: f64,
    /// Upper end of the range, in units of quality.
    pub high: f64,
}

/// BD-rate of `test` against `reference` over the qualities that both reach, inside `window` where there is
/// one. `None` where the curves have no quality in common.
pub fn bd_rate(test: &Curve, reference: &Curve, window: Option<(f64, f64)>) -> Option<BdRate> {
    let window = window.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let (a, b) = (test.range(), reference.range());
    let low = a.0.max(b.0).max(window.0);
    let high = a.1.min(b.1).min(window.1);
    if low >= high {
        return None;
    }
    let difference = test.log_rate.integral(low, high) - reference.log_rate.integral(low, high);
    Some(BdRate { percent: (difference / (high - low)).exp_m1() * 100.0, low, high })
}

/// BD-rate over PSNR under the rule that a curve which does not reach far enough has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PsnrBdRate {
    /// The BD-rate, where the curve under test spans [`PSNR_SPAN`].
    pub full: Option<BdRate>,
    /// Where it does not: the figure over the overlap alone. Not to be compared with full ones.
    pub partial: Option<BdRate>,
}

/// BD-rate of `test` against `reference`, both over PSNR in dB, inside [`PSNR_WINDOW`].
pub fn psnr_bd_rate(test: &Curve, reference: &Curve) -> PsnrBdRate {
    let rate = bd_rate(test, reference, Some(PSNR_WINDOW));
    if test.spans(PSNR_SPAN) {
        PsnrBdRate { full: rate, partial: None }
    } else {
        PsnrBdRate { full: None, partial: rate }
    }
}

/// Piecewise cubic Hermite interpolation that keeps the data's monotonicity.
#[derive(Clone, Debug)]
struct Pchip {
    x: Vec<f64>,
    y: Vec<f64>,
    slope: Vec<f64>,
}

impl Pchip {
    /// `x` strictly increasing, at least two points.
    fn new(x: Vec<f64>, y: Vec<f64>) -> Pchip {
        let width: Vec<f64> = x.windows(2).map(|p| p[1] - p[0]).collect();
        let secant: Vec<f64> = y.windows(2).zip(&width).map(|(p, h)| (p[1] - p[0]) / h).collect();
        let last = secant.len() - 1;
        let slope = if last == 0 {
            vec![secant[0]; 2]
        } else {
            let mut slope = Vec::with_capacity(x.len());
            slope.push(end_slope(width[0], width[1], secant[0], secant[1]));
            slope.extend((0..last).map(|k| inner_slope(width[k], width[k + 1], secant[k], secant[k + 1])));
            slope.push(end_slope(width[last], width[last - 1], secant[last], secant[last - 1]));
            slope
        };
        Pchip { x, y, slope }
    }

    /// Exact integral from `low` to `high`, both inside the data.
    fn integral(&self, low: f64, high: f64) -> f64 {
        let piece = |k: usize| {
            let (start, end) = (self.x[k].max(low), self.x[k + 1].min(high));
            if start >= end {
                return 0.0;
            }
            let h = self.x[k + 1] - self.x[k];
            let secant = (self.y[k + 1] - self.y[k]) / h;
            let (d0, d1) = (self.slope[k], self.slope[k + 1]);
            let (c2, c3) = ((3.0 * secant - 2.0 * d0 - d1) / h, (d0 + d1 - 2.0 * secant) / (h * h));
            let primitive = |t: f64| t * (self.y[k] + t * (d0 / 2.0 + t * (c2 / 3.0 + t * c3 / 4.0)));
            primitive(end - self.x[k]) - primitive(start - self.x[k])
        };
        (0..self.x.len() - 1).map(piece).sum()
    }
}

/// Weighted harmonic mean of the secants on both sides; 0 at a local extremum.
fn inner_slope(h0: f64, h1: f64, m0: f64, m1: f64) -> f64 {
    if m0 * m1 <= 0.0 {
        return 0.0;
    }
    let (w0, w1) = (2.0 * h1 + h0, h1 + 2.0 * h0);
    (w0 + w1) / (w0 / m0 + w1 / m1)
}

/// One-sided three-point estimate, limited so that the end stays monotone.
fn end_slope(h0: f64, h1: f64, m0: f64, m1: f64) -> f64 {
    let slope = ((2.0 * h0 + h1) * m0 - h0 * m1) / (h0 + h1);
    if slope * m0 <= 0.0 {
        0.0
    } else if m0 * m1 <= 0.0 && slope.abs() > 3.0 * m0.abs() {
        3.0 * m0
    } else {
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [(f64, f64); 6] =
        [(0.10, 26.0), (0.18, 28.1), (0.33, 30.6), (0.61, 33.4), (1.02, 36.2), (1.90, 39.5)];
    const B: [(f64, f64); 5] = [(0.14, 27.0), (0.25, 28.9), (0.52, 31.9), (1.05, 35.0), (1.80, 38.2)];

    #[test]
    fn a_curve_with_nine_tenths_of_the_rate_is_ten_percent_better() {
        let scaled = A.map(|(bpp, psnr)| (0.9 * bpp, psnr));
        let rate = psnr_bd_rate(&Curve::new(&scaled).unwrap(), &Curve::new(&A).unwrap());
        let full = rate.full.unwrap();
        assert!((full.percent + 10.0).abs() < 1e-10, "{}", full.percent);
        assert_eq!((full.low, full.high), PSNR_WINDOW);
        assert_eq!(rate.partial, None);
    }

    /// Numbers of scipy 1.17.1: `PchipInterpolator(x, y)`, its `derivative()(x)` and `integrate(low, high)`.
    #[test]
    fn interpolation_equals_scipy() {
        let check = |x: &[f64], y: &[f64], slopes: &[f64], (low, high): (f64, f64), integral: f64| {
            let pchip = Pchip::new(x.to_vec(), y.to_vec());
            for (ours, theirs) in pchip.slope.iter().zip(slopes) {
                assert!((ours - theirs).abs() < 1e-12, "{:?} for {slopes:?}", pchip.slope);
            }
            let ours = pchip.integral(low, high);
            assert!((ours - integral).abs() < 1e-12, "{ours} for {integral}");
        };
        let (x, y) = ([0.0, 1.0, 2.5, 3.0, 5.0], [1.0, 2.0, 1.5, 4.0, 4.0]);
        let slopes = [1.5333333333333334, 0.0, 0.0, 0.0, 0.0];
        check(&x, &y, &slopes, (0.0, 5.0), 13.627777777777776);
        check(&x, &y, &slopes, (0.25, 4.5), 11.330664062499999);
        check(&[0.0, 1.0, 2.0], &[0.0, 1.0, -9.0], &[3.0, 0.0, -15.5], (0.0, 2.0), -1.958333333333333);
        let slopes = [0.0, 0.22025316455696203, 7.699999999999999];
        check(&[0.0, 1.0, 1.5], &[0.0, 0.1, 3.0], &slopes, (0.0, 1.5), 0.6508175105485232);
        check(&[0.0, 2.0], &[1.0, 2.0], &[0.5, 0.5], (0.0, 2.0), 3.0);
    }

    /// Numbers of scipy 1.17.1 by the same definition.
    #[test]
    fn bd_rates_equal_scipy() {
        let (a, b) = (Curve::new(&A).unwrap(), Curve::new(&B).unwrap());
        let percent = |rate: PsnrBdRate| rate.full.or(rate.partial).unwrap().percent;
        assert!((percent(psnr_bd_rate(&a, &b)) + 17.39870523095893).abs() < 1e-9);
        assert!((percent(psnr_bd_rate(&b, &a)) - 21.063477612072457).abs() < 1e-9);
        let short = Curve::new(&B[..4]).unwrap();
        assert!((percent(psnr_bd_rate(&short, &a)) - 18.226351356511493).abs() < 1e-9);
    }

    #[test]
    fn a_curve_that_stops_early_has_only_a_partial_figure() {
        let reference = Curve::new(&A).unwrap();
        let rate = psnr_bd_rate(&Curve::new(&B[..4]).unwrap(), &reference);
        assert_eq!(rate.full, None);
        let partial = rate.partial.unwrap();
        assert_eq!((partial.low, partial.high), (28.5, 35.0));
        let starts_late = psnr_bd_rate(&Curve::new(&B[1..]).unwrap(), &reference);
        assert_eq!(starts_late.full, None);
        let touches = Curve::new(&[(0.2, 28.5), (0.5, 32.0), (1.2, 37.0)]).unwrap();
        let full = psnr_bd_rate(&touches, &reference).full.unwrap();
        assert_eq!((full.low, full.high), (28.5, 37.0));
    }

    #[test]
    fn curves_without_common_quality_have_no_figure() {
        let low = Curve::new(&[(0.1, 20.0), (0.2, 25.0)]).unwrap();
        assert_eq!(bd_rate(&low, &Curve::new(&A).unwrap(), None), None);
    }

    #[test]
    fn order_and_duplicates_do_not_matter() {
        let mut shuffled = A.to_vec();
        shuffled.reverse();
        shuffled.push((0.5, 30.6));
        let rate = bd_rate(&Curve::new(&shuffled).unwrap(), &Curve::new(&A).unwrap(), None).unwrap();
        assert_eq!(rate.percent, 0.0);
    }

    #[test]
    fn points_that_are_no_curve_are_refused() {
        assert_eq!(Curve::new(&[(0.1, 30.0)]).unwrap_err(), CurveError::TooFewPoints);
        assert_eq!(Curve::new(&[(0.1, 30.0), (0.2, 30.0)]).unwrap_err(), CurveError::TooFewPoints);
        assert_eq!(Curve::new(&[(0.0, 30.0), (0.2, 31.0)]).unwrap_err(), CurveError::NotANumber);
        assert_eq!(Curve::new(&[(0.1, f64::INFINITY), (0.2, 31.0)]).unwrap_err(), CurveError::NotANumber);
    }
}
