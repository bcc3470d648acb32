//! `bottleneck upload`: have a server encode a picture.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use bottleneck_client::{Limits, Server};
use clap::Args;

use crate::files::{self, Output};
use crate::terminal::Progress;
use crate::{Outcome, Usage, percent, summary};

/// Have a server encode a picture, and keep its code
#[derive(Args)]
pub(crate) struct Arguments {
    /// The picture (JPEG, PNG, WebP)
    image: PathBuf,
    /// The server's address, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    server: String,
    /// The code to write [default: the picture's name with .bnk]
    #[arg(short, long, value_name = "OUT.bnk")]
    output: Option<PathBuf>,
    /// Quality, 0 (smallest code) to 100 (finest picture) [default: the server's]
    #[arg(short, long, value_parser = percent)]
    quality: Option<f64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let path = match arguments.output {
        Some(path) => path,
        None => {
            let usage = || Usage("a picture from standard input needs -o".into());
            ensure!(!files::is_dash(&arguments.image), usage());
            arguments.image.with_extension("bnk")
        }
    };
    ensure!(!(arguments.json && files::is_dash(&path)), Usage("--json needs an output file".into()));
    let server = Server::new(&arguments.server)?;
    let output = Output::open(&path, &arguments.image)?;
    let image = files::read(&arguments.image, files::IMAGE_BYTES)?;

    let mut progress = Progress::new();
    progress.show(&format!("waiting for {}", arguments.server));
    let limits = Limits::default();
    let code = server
        .encode(&image, arguments.quality, &limits, |wait| {
            progress.show(&format!("the server is busy, asking again in {} s", wait.as_secs()));
        })
        .with_context(|| format!("cannot upload {}", arguments.image.display()))?;
    drop(progress);
    summary::write_code(output, &path, &code, arguments.json)
}
