//! Ordered dithering of 16-bit samples to 8 bits. The pattern depends on the pixel's place alone, so one
//! picture always gives the same bytes; all channels share it, so that greys stay grey.

/// The side of the pattern, in pixels.
const SIDE: usize = 8;

/// Bayer's matrix scaled to the 257 16-bit values between two 8-bit ones: 2, 6, … 254. The least is above 0,
/// so that `v * 257` gives `v`; the mean is half a step, so that no picture gets lighter or darker.
const THRESHOLDS: [[u32; SIDE]; SIDE] = thresholds();

const fn thresholds() -> [[u32; SIDE]; SIDE] {
    let mut table = [[0; SIDE]; SIDE];
    let mut y = 0;
    while y < SIDE {
        let mut x = 0;
        while x < SIDE {
            let mut rank = 0;
            let mut bit = 0;
            while bit < 3 {
                rank = (rank << 2) | ((((x ^ y) >> bit) & 1) << 1) | ((y >> bit) & 1);
                bit += 1;
            }
            table[y][x] = rank as u32 * 4 + 2;
            x += 1;
        }
        y += 1;
    }
    table
}

/// The thresholds along row `y`, to be indexed by `x % 8`.
pub(super) fn row(y: usize) -> &'static [u32; SIDE] {
    &THRESHOLDS[y % SIDE]
}

/// The 8-bit value of a 16-bit `sample` where the pattern has `threshold`: it is off by less than one step, and
/// right on average over the pattern.
pub(super) fn to_u8(sample: u16, threshold: u32) -> u8 {
    let sample = u32::from(sample);
    // At most 65535 / 257 = 255, and then nothing is left over.
    (sample / 257 + u32::from(sample % 257 > threshold)) as u8
}
