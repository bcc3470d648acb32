//! Where the time of encoding and decoding goes, against what this machine could do at most.

use crate::decode::{Symbol, strip_latents, strip_rows};
use crate::entropy;
use crate::kernels::{Matrix, matmul};
use crate::latents::{Grid, walk};
use crate::plain::Scratch;
use crate::synthesis::Synthesis;
use crate::{DecodeError, EncodeError, Encoder, Image, Limits, Model, Quality, Strip, decode};
use bottleneck_proto::Container;
use std::convert::Infallible;
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
    synthesis += best_of(runs, || {
        let mut networks =
            Synthesis::new(&model.networks, crate::quality::position(quality), (width, height));
        for (strip, map) in maps.iter().enumerate() {
            black_box(networks.strip(map, strip + 1 == maps.len(), &mut scratch));
        }
    });
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

/// One stage, ready to be run again and again: what `cargo bench` times.
pub struct Bench<'a> {
    /// The stage.
    pub name: &'static str,
    /// Multiply–accumulates of its float networks, 0 where it has none.
    pub macs: f64,
    /// Runs it once, on as many threads as rayon has.
    pub run: Box<dyn FnMut() + 'a>,
}

/// The stages of encoding and decoding a picture of one strip (at most 512 rows), in the order of the data, each on
/// what the stage before it made; then the whole ways.
///
/// # Errors
/// Those of encoding.
pub fn benches<'a>(
    encoder: &'a Encoder,
    image: &'a Image,
    quality: Quality,
) -> Result<Vec<Bench<'a>>, EncodeError> {
    let model = encoder.model();
    let strip = Strip::all(image, quality)?.next().ok_or(EncodeError::Size { width: 0, height: 0 })?;
    let latents = encoder.analyse(&[strip])?.remove(0);
    let data = encoder.code(&latents);
    let (width, rows) = (image.width, strip.rows() as u32);
    let file = encoder.assemble(width, rows, quality, std::slice::from_ref(&data))?;
    let grid = latents.grid;
    let (mut symbols, mut residuals, mut z) = (Vec::new(), Vec::new(), Vec::new());
    let seen = |value, symbol| {
        symbols.push((value, symbol));
        if let Symbol::Z(_) = symbol { z.push(value) } else { residuals.push(value) }
    };
    let y_hat = strip_latents(model, quality, grid, &data, &mut Scratch::default(), seen)
        .expect("what was just encoded can be decoded");
    let (decoded, coded) = (data.clone(), symbols.clone());
    let hyper_z = z.clone();

    let pixels = f64::from(width) * f64::from(rows);
    let networks: Vec<_> = model
        .architecture
        .encoder_networks()
        .into_iter()
        .chain(model.architecture.decoder_networks())
        .collect();
    let macs = |wanted: &dyn Fn(&str) -> bool| {
        let of = networks.iter().filter(|network| wanted(&network.name));
        of.map(|network| network.kmac_per_pixel()).sum::<f64>() * 1000.0 * pixels
    };
    let encoder_only = |name: &str| name == "analysis" || name == "hyper_analysis";
    let bench = |name, macs, run: Box<dyn FnMut() + 'a>| Bench { name, macs, run };
    let container = move |data: &[u8]| {
        black_box(encoder.assemble(width, rows, quality, std::slice::from_ref(&data.to_vec()))).is_ok()
    };
    let (mut walked, mut painted) = (Scratch::default(), Scratch::default());
    let (parsed, whole) = (file.clone(), file);
    let y = latents.y;
    Ok(vec![
        bench(
            "analysis",
            macs(&|name| name == "analysis"),
            Box::new(move || drop(black_box(encoder.analysis().strips(&[&strip])))),
        ),
        bench(
            "hyper-analysis",
            macs(&|name| name == "hyper_analysis"),
            Box::new(move || drop(black_box(encoder.analysis().hyper(&[&strip], std::slice::from_ref(&y))))),
        ),
        bench(
            "scale network",
            0.0,
            Box::new(move || drop(black_box(model.scale.levels(&hyper_z, grid.z_h, grid.z_w, quality)))),
        ),
        bench(
            "scale and latent networks",
            macs(&|name| name != "synthesis" && !encoder_only(name)),
            Box::new(move || {
                let mut next = residuals.iter();
                let known = |_, _, _, _, _| Ok::<_, Infallible>(next.next().copied().unwrap_or(0));
                let Ok(map) = walk(model, quality, grid, &z, &mut walked, known);
                walked.give(black_box(map));
            }),
        ),
        bench(
            "entropy encoding",
            0.0,
            Box::new(move || {
                let mut coder = entropy::Encoder::default();
                coded.iter().for_each(|&(value, symbol)| coder.put(value, model.tables.of(quality, symbol)));
                black_box(coder.finish());
            }),
        ),
        bench(
            "entropy decoding",
            0.0,
            Box::new(move || {
                let mut coder = entropy::Decoder::new(&decoded);
                for &(_, symbol) in &symbols {
                    let _ = black_box(coder.get(model.tables.of(quality, symbol)));
                }
            }),
        ),
        bench(
            "synthesis",
            macs(&|name| name == "synthesis"),
            Box::new(move || {
                let size = (width as usize, rows as usize);
                let mut synthesis = Synthesis::new(&model.networks, crate::quality::position(quality), size);
                black_box(synthesis.strip(&y_hat, true, &mut painted));
            }),
        ),
        bench("container, writing", 0.0, Box::new(move || assert!(container(&data)))),
        bench(
            "container, reading",
            0.0,
            Box::new(move || assert!(black_box(Container::parse(&parsed, &Limits::default())).is_ok())),
        ),
        bench(
            "encoding, whole",
            macs(&|name| name != "synthesis"),
            Box::new(move || drop(black_box(encoder.encode(image, quality)))),
        ),
        bench(
            "decoding, whole",
            macs(&|name| !encoder_only(name)),
            Box::new(move || drop(black_box(decode(&whole, model, &Limits::default())))),
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;

    #[test]
    fn every_stage_can_be_run_again() {
        let encoder = Encoder::from_bytes(crate::TINY, Backend::Cpu).unwrap();
        let image = crate::pixels::test_picture(70, 45);
        let mut stages = benches(&encoder, &image, Quality(40_000)).unwrap();
        for _ in 0..2 {
            stages.iter_mut().for_each(|stage| (stage.run)());
        }
        // The whole ways are the sum of their networks.
        let macs = |name: &str| stages.iter().find(|stage| stage.name == name).unwrap().macs;
        let latents = macs("scale and latent networks");
        assert_eq!(macs("decoding, whole"), latents + macs("synthesis"));
        let encoding = macs("analysis") + macs("hyper-analysis") + latents;
        assert!((macs("encoding, whole") / encoding - 1.0).abs() < 1e-9);
    }
}
