//! `bottleneck-train speed`: where the time of a decode goes.

use anyhow::Context;
use bottleneck_model::{Limits, Model, speed};
use bottleneck_proto::Container;
use std::path::PathBuf;

/// Times the stages of decoding codes on one core, against the machine's matrix product.
#[derive(clap::Args, Debug)]
pub(crate) struct SpeedArgs {
    /// Codes to decode
    #[arg(required = true, value_name = "FILE.bnk")]
    codes: Vec<PathBuf>,
    /// Model that they were made with, if it is none of this build
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Runs of each stage, of which the best counts
    #[arg(long, default_value_t = 7)]
    runs: usize,
}

pub(crate) fn run(args: SpeedArgs) -> anyhow::Result<()> {
    let read =
        |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let own = args.model.as_ref().map(|path| anyhow::Ok(Model::from_bytes(&read(path)?)?)).transpose()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    for path in &args.codes {
        let bytes = read(path)?;
        let container = Container::parse(&bytes, &Limits::default())?;
        let built_in = Model::built_in(container.model);
        let model =
            own.as_ref().or(built_in).context("the code is of another model: give its file with --model")?;
        let (rate, stages) = pool
            .install(|| (speed::matrix_product_rate(), speed::decode_stages(&container, model, args.runs)));
        let stages = stages?;
        let total: f64 = stages.iter().map(|s| s.seconds).sum();
        println!(
            "{}: {}×{}, {} bytes; matrix product {:.1} GMAC/s; decode {:.1} ms",
            path.display(),
            container.width,
            container.height,
            bytes.len(),
            rate / 1e9,
            total * 1e3
        );
        for stage in stages {
            print!(
                "{:>18} {:8.2} ms {:5.1} %",
                stage.name,
                stage.seconds * 1e3,
                100.0 * stage.seconds / total
            );
            if stage.macs > 0.0 {
                let own = stage.macs / stage.seconds;
                print!("  {:6.1} GMAC/s, {:4.1} % of the matrix product", own / 1e9, 100.0 * own / rate);
            }
            println!();
        }
    }
    Ok(())
}
