//! `bottleneck upload`: have a server encode pictures.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bottleneck_client::{BatchEvent, BatchItem, BatchOptions, BatchOutcome, Limits, Server, find_pictures};
use clap::Args;
use serde_json::json;

use crate::files::{self, Output};
use crate::summary::Summary;
use crate::terminal::{self, Progress};
use crate::{Outcome, Usage, percent, summary};

/// Have a server encode pictures, and keep their codes
#[derive(Args)]
pub(crate) struct Arguments {
    /// The pictures (JPEG, PNG, WebP), or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The server's address, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    server: String,
    /// The code to write, or the folder for those of many pictures [default: beside the pictures, with .bnk]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Quality, 0 (smallest code) to 100 (finest picture) [default: the server's]
    #[arg(short, long, value_parser = percent)]
    quality: Option<f64>,
    /// Pictures on their way at once
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Send pictures again whose codes are there already
    #[arg(long)]
    again: bool,
    /// API key to show, where the server wants one
    #[arg(long, env = "BOTTLENECK_KEY", value_name = "KEY", hide_env_values = true)]
    key: Option<String>,
    /// Print the result as JSON, a line for each picture
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    match &arguments.images[..] {
        [image] if !image.is_dir() => one(image, &arguments),
        _ => many(&arguments),
    }
}

fn one(image: &Path, arguments: &Arguments) -> anyhow::Result<Outcome> {
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => {
            let usage = || Usage("a picture from standard input needs -o".into());
            ensure!(!files::is_dash(image), usage());
            image.with_extension("bnk")
        }
    };
    ensure!(!(arguments.json && files::is_dash(&path)), Usage("--json needs an output file".into()));
    let server = Server::new(&arguments.server)?.with_key(arguments.key.clone());
    let output = Output::open(&path, image)?;
    let bytes = files::read(image, files::IMAGE_BYTES)?;

    let mut progress = Progress::new();
    progress.show(&format!("waiting for {}", arguments.server));
    let limits = Limits::default();
    let code = server
        .encode(&bytes, arguments.quality, &limits, |wait| {
            progress.show(&format!("the server is busy, asking again in {} s", wait.as_secs()));
        })
        .with_context(|| format!("cannot upload {}", image.display()))?;
    drop(progress);
    summary::write_code(output, &path, &code, arguments.json)
}

fn many(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let usage = || Usage("standard input is one picture: it cannot be part of a batch".into());
    ensure!(!arguments.images.iter().any(|image| files::is_dash(image)), usage());
    let items = find_pictures(&arguments.images, arguments.output.as_deref())?;
    ensure!(!items.is_empty(), "there are no pictures (.jpg, .jpeg, .png, .webp) in the folders given");
    let server = Server::new(&arguments.server)?.with_key(arguments.key.clone());
    let options = BatchOptions {
        jobs: arguments.jobs.into(),
        quality: arguments.quality,
        limits: Limits::default(),
        again: arguments.again,
    };
    let mut tally = Tally { pictures: items.len(), json: arguments.json, ..Tally::default() };
    let mut progress = Progress::new();
    let mut unprinted = None;
    server.encode_batch(&items, &options, |event| match event {
        BatchEvent::Waiting(..) => progress.show(&format!("{}; the server is busy", tally.line())),
        BatchEvent::Done(item, outcome) => {
            progress.clear();
            if let Err(error) = tally.done(item, outcome) {
                unprinted.get_or_insert(error);
            }
            progress.show(&tally.line());
        }
    });
    drop(progress);
    if let Some(error) = unprinted {
        return Err(error);
    }
    match tally.failed {
        0 => Ok(Outcome::Done),
        failed if failed == items.len() => bail!("none of the {failed} pictures could be uploaded"),
        _ => Ok(Outcome::Partial),
    }
}

/// How far a batch is.
#[derive(Default)]
struct Tally {
    pictures: usize,
    json: bool,
    coded: usize,
    kept: usize,
    failed: usize,
    image_bytes: u64,
    code_bytes: u64,
}

impl Tally {
    /// Counts a picture, and prints what became of it.
    fn done(
        &mut self,
        item: &BatchItem,
        outcome: Result<BatchOutcome, bottleneck_client::BatchError>,
    ) -> anyhow::Result<()> {
        match outcome {
            Ok(BatchOutcome::Coded { image_bytes, code }) => {
                self.coded += 1;
                self.image_bytes += image_bytes;
                self.code_bytes += code.len() as u64;
                let summary = Summary::of(item.code.display().to_string(), &code)?;
                terminal::print(&if self.json { summary.json().to_string() } else { summary.line() })
            }
            Ok(BatchOutcome::Kept) => {
                self.kept += 1;
                let (code, kept) = (item.code.display(), "kept: it is newer than its picture");
                terminal::print(&if self.json {
                    json!({ "file": code.to_string(), "kept": true }).to_string()
                } else {
                    format!("{code}: {kept}")
                })
            }
            Err(error) => {
                self.failed += 1;
                let image = item.image.display().to_string();
                let error = anyhow::Error::new(error).context(format!("cannot upload {image}"));
                if self.json {
                    terminal::print(
                        &json!({ "image": image, "error": terminal::sentence(&error) }).to_string(),
                    )?;
                }
                terminal::report(&error);
                Ok(())
            }
        }
    }

    fn line(&self) -> String {
        let Tally { pictures, coded, kept, failed, image_bytes, code_bytes, .. } = self;
        let done = coded + kept + failed;
        const WIDTH: usize = 20;
        let filled = done * WIDTH / pictures.max(&1);
        let bar = "#".repeat(filled) + &"-".repeat(WIDTH - filled);
        format!(
            "[{bar}] {done} of {pictures} pictures, {failed} failed, {} kB to {} kB",
            image_bytes / 1000,
            code_bytes / 1000
        )
    }
}
