//! A whole training step against the machine's matrix product in the same run: steps on noise, with the settings of the
//! built-in models' runs.
//!
//!     cargo bench -p bottleneck-model --features train --bench training

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bottleneck_model::train::{self, Method, Progress, Settings, Weights};
use bottleneck_model::{Architecture, speed};

const STEPS: u64 = 30;
const CORES: usize = 2;
const SIDE: u32 = 256;

/// Pictures of noise, which costs a step what photographs cost.
fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for k in 0..24u32 {
        let mut state = k;
        let picture = image::RgbImage::from_fn(SIDE, SIDE, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([24, 16, 8].map(|shift| (state >> shift) as u8))
        });
        picture.save(folder.path().join(format!("noise{k}.png"))).expect("a picture is written");
    }
    folder
}

/// Multiply–accumulates a second of the matrix product on all cores at once.
fn roofline() -> f64 {
    let cores = (0..CORES).map(|_| std::thread::spawn(speed::matrix_product_rate));
    let cores: Vec<_> = cores.collect();
    cores.into_iter().map(|core| core.join().expect("no panic")).sum()
}

/// Pixels a second.
fn rate(architecture: &Architecture, method: Method, data: &std::path::Path) -> f64 {
    let out = tempfile::tempdir().expect("a temporary folder");
    let (batch, crop) = (6, 192);
    let settings = Settings {
        data: data.into(),
        out: out.path().into(),
        architecture: architecture.clone(),
        init: None,
        random_start: false,
        steps: STEPS,
        batch,
        crop,
        method,
        learning_rate: 1e-4,
        final_rate: 1e-4,
        warm_up: 1,
        hold: 1.0,
        weights: Weights { border: 0.05, structure: 0.0 },
        weight_decay: 0.0,
        clip: 1.0,
        average: 0.9,
        seed: 1,
        workers: CORES,
        validate_every: u64::MAX,
        device: candle_core::Device::Cpu,
    };
    let (mut begun, mut seconds) = (Instant::now(), 0.0);
    train::fit(&settings, &AtomicBool::new(false), &mut |progress| match progress {
        Progress::Data { .. } => begun = Instant::now(),
        Progress::Steps { step: STEPS, .. } => seconds = begun.elapsed().as_secs_f64(),
        _ => {}
    })
    .expect("the run succeeds");
    (STEPS as usize * batch * crop * crop) as f64 / seconds
}

fn main() {
    train::ensure_environment().expect("the process starts again");
    let data = pictures();
    let before = roofline();
    let mut lines = Vec::new();
    for architecture in [Architecture::lite(), Architecture::base()] {
        for method in [Method::AdamW, Method::Soap] {
            lines.push((architecture.clone(), method, rate(&architecture, method, data.path())));
        }
    }
    let roofline = before.max(roofline());
    println!("matrix product on {CORES} cores {:.1} GMAC/s", roofline / 1e9);
    for (architecture, method, pixels) in lines {
        // Forward, and once more for the gradients of inputs and of weights each. SOAP's own products are not counted.
        let macs = 3.0 * architecture.kmac_per_pixel() * 1e3 * pixels;
        println!(
            "{:5} {method:?}: {:.2} steps/s, {:.2} Mpixel/s, {:.1} GMAC/s, {:.0} % of the matrix product",
            architecture.profile,
            pixels / f64::from(6 * 192 * 192),
            pixels / 1e6,
            macs / 1e9,
            100.0 * macs / roofline
        );
    }
}
