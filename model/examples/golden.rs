//! Decodes the golden streams with nothing but the decoder core, with and without SIMD, and prints a hash of
//! their symbols: `cargo run -p bottleneck-model --example golden -- tests/data`. For machines that cannot run
//! the tests, such as emulated ones.

use bottleneck_model::{Limits, Model, decode, symbols};
use bottleneck_proto::Container;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = PathBuf::from(std::env::args().nth(1).ok_or("usage: golden DATA-FOLDER")?);
    let file = std::fs::read(data.join("tiny.safetensors"))?;
    let models = [Model::from_bytes(&file)?, Model::from_bytes(&file)?.scalar()];
    let limits = Limits::default();
    let mut failed = false;
    for line in std::fs::read_to_string(data.join("golden.txt"))?.lines() {
        let (name, expected) = line.split_once(' ').ok_or("golden.txt: a line has no hash")?;
        let bytes = std::fs::read(data.join(format!("{name}.bnk")))?;
        let pixels = std::fs::read(data.join(format!("{name}.rgb")))?;
        for (model, path) in models.iter().zip(["best", "scalar"]) {
            let symbols = symbols(&Container::parse(&bytes, &limits)?, model)?;
            let bytes_of = symbols.iter().flatten().flat_map(|s| s.to_le_bytes());
            let hash = bytes_of
                .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
            let image = decode(&bytes, model, &limits)?;
            let worst = image.rgb.iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max();
            let good = format!("{hash:016x}") == expected && worst <= Some(1);
            failed |= !good;
            println!(
                "{name} {path}: {hash:016x}, worst pixel {worst:?}: {}",
                if good { "equal" } else { "WRONG" }
            );
        }
    }
    if failed { Err("some streams decode differently here".into()) } else { Ok(()) }
}
