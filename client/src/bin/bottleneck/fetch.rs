//! `bottleneck fetch`: a code from a server, to a file of it or of its picture.

use std::path::PathBuf;

use anyhow::Context;
use bottleneck_client::{FetchEvent, Limits, PictureFormat, fetch, fetch_model};
use bottleneck_proto::Container;
use clap::Args;

use crate::files::{self, Output};
use crate::models::{self, FoundModel};
use crate::summary::Summary;
use crate::terminal::{self, Progress};
use crate::{Outcome, Usage, decode};

/// Fetch a code from a server, and show its picture
#[derive(Args)]
pub(crate) struct Arguments {
    /// The code's address, such as http://127.0.0.1:8080/v1/images/ID
    url: String,
    /// The picture to write: .png, .ppm, .jpg, .jpeg or .webp (lossless); or the code itself: .bnk
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Refuse pictures of more pixels
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_pixels)]
    max_pixels: u64,
    /// File of a further model (can be repeated); one that is not at hand is fetched from the server
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// API key to show, where the server wants one
    #[arg(long, env = "BOTTLENECK_KEY", value_name = "KEY", hide_env_values = true)]
    key: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let Arguments { url, output: path, .. } = &arguments;
    let format = match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("bnk") => None,
        _ if files::is_dash(path) => Some(PictureFormat::Png),
        _ => Some(PictureFormat::from_path(path).ok_or_else(|| {
            let output = path.display();
            Usage(format!("{output}: the extension is none of .bnk .png .ppm .jpg .jpeg .webp"))
        })?),
    };
    if arguments.json && files::is_dash(path) {
        return Err(Usage("--json needs an output file".into()).into());
    }
    // An address is no file, so it cannot be the output too.
    let output = Output::open(path, "".as_ref())?;
    let limits = decode::limits(arguments.max_pixels);
    let mut progress = Progress::new();
    let mut told = |event| match event {
        FetchEvent::Progress { bytes, total: Some(total) } => {
            progress.show(&format!("fetched {bytes} of {total} bytes"));
        }
        FetchEvent::Progress { bytes, total: None } => progress.show(&format!("fetched {bytes} bytes")),
        FetchEvent::Waiting(wait) => progress.show(&format!("asking again in {} s", wait.as_secs())),
    };
    let context = || format!("cannot fetch {url}");
    let code = fetch(url, arguments.key.as_deref(), &limits, &mut told).with_context(context)?;
    let summary = Summary::of(path.display().to_string(), &code)?;
    match format {
        None => output.write_all(&code).with_context(|| format!("cannot write {}", path.display()))?,
        Some(format) => {
            let id = Container::parse(&code, &limits).with_context(context)?.model;
            let model = match models::find(id, &arguments.model) {
                Ok(model) => model,
                Err(absent) => FoundModel::Loaded(Box::new(
                    fetch_model(url, id, &mut told)
                        .with_context(|| format!("{absent:#}"))
                        .with_context(context)?,
                )),
            };
            decode::write((&code, url), &model, &limits, format, (output, path))?;
        }
    }
    drop(progress);
    if !files::is_dash(path) {
        terminal::print(&if arguments.json { summary.json().to_string() } else { summary.line() })?;
    }
    Ok(Outcome::Done)
}
