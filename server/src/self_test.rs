//! What a model must pass before it serves: a small picture goes through every stage and back.

use crate::codec::Codec;
use crate::guard::guarded;
use bottleneck_model::{Image, Quality, Strip, psnr};
use std::sync::Arc;

const SIDE: u32 = 64;
/// A working model is far above; one that learnt nothing is still above; NaNs are below.
const LEAST_PSNR: f64 = 10.0;

/// Runs every stage once, and so pays for what is made lazily too (threads, buffers, GPU kernels).
pub(crate) fn self_test(codec: &Arc<dyn Codec>) -> Result<(), String> {
    guarded(|| round_trip(codec)).map_err(|panic| format!("the codec panicked: {panic}"))?
}

fn round_trip(codec: &Arc<dyn Codec>) -> Result<(), String> {
    // A slope from 96 to 159 in every direction.
    let value = |i: u32| (96 + (i / 3 % SIDE + i / 3 / SIDE) / 2) as u8;
    let image = Image { width: SIDE, height: SIDE, rgb: (0..SIDE * SIDE * 3).map(value).collect() };
    let quality = Quality(u16::MAX / 2);
    let strips: Vec<_> = Strip::all(&image, quality).map_err(|error| error.to_string())?.collect();
    let codings = codec.clone().analyse(&strips).map_err(|error| error.to_string())?;
    let strips: Vec<_> = codings.into_iter().map(|coding| coding()).collect();
    let code = codec.assemble((SIDE, SIDE), quality, &strips).map_err(|error| error.to_string())?;
    let decoded = codec.decode(&code).map_err(|error| format!("its own code does not decode: {error}"))?;
    if (decoded.width, decoded.height) != (SIDE, SIDE) {
        return Err(format!("a picture of {SIDE}×{SIDE} came back as {}×{}", decoded.width, decoded.height));
    }
    let psnr = psnr(&image, &decoded);
    if psnr < LEAST_PSNR {
        return Err(format!("a smooth picture came back at {psnr:.1} dB, below {LEAST_PSNR} dB"));
    }
    Ok(())
}
