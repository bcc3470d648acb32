//! Every stage of encoding and decoding on one core, against the machine's matrix product in the same run.
//!
//!     cargo bench -p bottleneck-model --features evaluate --bench stages

use std::cell::Cell;
use std::time::{Duration, Instant};

use bottleneck_model::{Backend, Encoder, Image, Quality, speed};
use criterion::{Criterion, Throughput};

/// A picture as large as a strip gets at this width, with edges, gradients and texture.
fn picture() -> Image {
    let (width, height) = (768u32, 512u32);
    let sample = |x: u32, y: u32, c: u32| {
        let shade =
            90.0 + 60.0 * (f64::from(x) / 90.0 + f64::from(c)).sin() + 40.0 * (f64::from(y) / 60.0).cos();
        let texture = (x * 7 + y * 13 + x * y % 17) % 23;
        (shade + f64::from(texture) + f64::from((x / 64 + y / 64) % 2 * 30)).clamp(0.0, 255.0) as u8
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Image { width, height, rgb: pixels.flat_map(|(x, y)| [0, 1, 2].map(|c| sample(x, y, c))).collect() }
}

fn main() {
    // One thread, so that a stage can be compared with the matrix product of one core.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("rayon has not begun");
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let roofline = speed::matrix_product_rate();
    let image = picture();
    let quality = Quality::from_percent(75.0).expect("75 is a quality");
    let mut lines = Vec::new();
    for (profile, encoder) in [("lite", Encoder::lite(Backend::Cpu)), ("base", Encoder::base(Backend::Cpu))] {
        let encoder = encoder.expect("the model of this build");
        let mut group = criterion.benchmark_group(profile);
        for mut stage in speed::benches(&encoder, &image, quality).expect("the picture can be encoded") {
            if stage.macs > 0.0 {
                group.throughput(Throughput::Elements(stage.macs as u64));
            } else {
                group.throughput(Throughput::Elements(image.rgb.len() as u64 / 3));
            }
            let best = Cell::new(f64::INFINITY);
            group.bench_function(stage.name, |bencher| {
                bencher.iter_custom(|times| {
                    let begun = Instant::now();
                    (0..times).for_each(|_| (stage.run)());
                    let spent = begun.elapsed();
                    best.set(best.get().min(spent.as_secs_f64() / times as f64));
                    spent
                });
            });
            lines.push((profile, stage.name, stage.macs, best.get()));
        }
        group.finish();
    }
    criterion.final_summary();
    let again = speed::matrix_product_rate().max(roofline);
    println!("\nbest of each, 768×512, one core; matrix product {:.1} GMAC/s", again / 1e9);
    for (profile, stage, macs, seconds) in lines.into_iter().filter(|line| line.3.is_finite()) {
        print!("{profile:5} {stage:27} {:8.2} ms", seconds * 1e3);
        if macs > 0.0 {
            let rate = macs / seconds;
            print!("  {:6.1} GMAC/s, {:4.1} % of the matrix product", rate / 1e9, 100.0 * rate / again);
        }
        println!();
    }
}
