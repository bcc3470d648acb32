//! Where the time of a decode goes, against what this machine could do at most.

use crate::decode::{Symbol, strip_latents, strip_rows};
use crate::entropy;
use crate::kernels::{Matrix, matmul};
use crate::latents::Grid;
use crate::plain::Scratch;
use crate::synthesis::Synthesis;
use crate::{DecodeError, Model};
use bottleneck_proto::Container;
use std::hint::black_box;
use std::time::Instant;

/// Time of one stage on one core, the best of several runs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What was timed.
    pub name: &'static str,
    /// Seconds.
    pub seconds: f64,
    /// Multiply–accumulates of its float networks, 0 where it has none.
    pub macs: f64,
}

/// Multiply–accumulates a second of the matrix product on one core: the best over square sizes, through the
/// `gemm` crate, which the decoder does not use.
pub fn matrix_product_rate() -> f64 {
    let rates = [256usize, 384, 512, 768].map(|n| {
        let (a, b) = (vec![0.5f32; n * n], vec![0.25f32; n * n]);
        let mut out = vec![0.0f32; n * n];
        let product = || matmul(Matrix::new(&a, n, n), Matrix::new(&b, n, n), &mut out, false);
        (n * n * n) as f64 / best_of(5, product)
    });
    rates.into_iter().fold(0.0, f64::max)
}

/// Times the stages of decoding `container`, each the best of `runs`. Call it where rayon has one thread.
///
/// # Errors
/// Those of decoding.
pub fn decode_stages(
    container: &Container<'_>,
    model: &Model,
    runs: usize,
) -> Result<Vec<Stage>, DecodeError> {
    let (width, height) = (usize::from(container.width), usize::from(container.height));
    let quality = container.quality;
    let (mut entropy, mut scale, mut latents, mut synthesis) = (0.0, 0.0, 0.0, 0.0);
    let mut maps = Vec::new();
    let mut scratch = Scratch::default();
    for (strip, data) in container.strips.iter().enumerate() {
        let grid = Grid::new(width, strip_rows(height, strip));
        let damaged = |what| DecodeError::Damaged { strip, what };
        let mut symbols = Vec::new();
        let mut z = Vec::new();
        let seen = |value, symbol| {
            symbols.push(symbol);
            if let Symbol::Z(_) = symbol {
                z.push(value);
            }
        };
        maps.push(strip_latents(model, quality, grid, data, &mut scratch, seen).map_err(damaged)?);
        entropy += best_of(runs, || {
            let mut coder = entropy::Decoder::new(data);
            for &symbol in &symbols {
                let _ = black_box(coder.get(model.tables.of(quality, symbol)));
            }
        });
        scale += best_of(runs, || drop(black_box(model.scale.levels(&z, grid.z_h, grid.z_w, quality))));
        latents += best_of(runs, || {
            let map = black_box(strip_latents(model, quality, grid, data, &mut scratch, |_, _| {}));
            map.into_iter().for_each(|map| scratch.give(map));
        });
    }
    let networks = Synthesis::new(model, quality);
    for (strip, map) in maps.iter().enumerate() {
        let above = strip.checked_sub(1).map(|i| &maps[i]);
        let size = (width, strip_rows(height, strip));
        synthesis += best_of(runs, || {
            black_box(networks.strip(above, map, maps.get(strip + 1), size, &mut scratch));
        });
    }
    let pixels = (width * height) as f64;
    let kmacs = |wanted: bool| -> f64 {
        let networks = model.architecture.decoder_networks();
        let of = networks.iter().filter(|n| (n.name == "synthesis") == wanted);
        of.map(|n| n.kmac_per_pixel()).sum::<f64>() * 1000.0 * pixels
    };
    Ok(vec![
        Stage { name: "entropy decoding", seconds: entropy, macs: 0.0 },
        Stage { name: "scale network", seconds: scale, macs: 0.0 },
        Stage { name: "latent networks", seconds: latents - entropy - scale, macs: kmacs(false) },
        Stage { name: "synthesis", seconds: synthesis, macs: kmacs(true) },
    ])
}

fn best_of(runs: usize, mut run: impl FnMut()) -> f64 {
    let timed = (0..runs).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    timed.fold(f64::INFINITY, f64::min)
}
