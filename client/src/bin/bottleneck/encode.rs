//! `bottleneck encode`: a picture to a code.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bottleneck_client::Image;
use bottleneck_model::ingest::{self, Options, parse_background};
use bottleneck_model::target::{Search, largest_within};
use bottleneck_model::{Backend, Encoder, Metric, Quality, Refinement, WITHOUT_IDLE_THREADS, restart_with};
use clap::{Args, ValueEnum};

use crate::files::{self, Output};
use crate::terminal::{self, Progress};
use crate::{Outcome, Usage, percent, summary};

/// Encode a picture (JPEG, PNG, WebP) to a code
#[derive(Args)]
pub(crate) struct Arguments {
    /// The picture
    input: PathBuf,
    /// The code to write (.bnk)
    output: PathBuf,
    /// Quality, 0 (smallest code) to 100 (finest picture); fractions allowed
    #[arg(short, long, default_value_t = 75.0, value_parser = percent)]
    quality: f64,
    /// Largest code that may come out, in bytes: the finest quality that fits is searched
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["quality", "target_bpp"])]
    target_size: Option<u64>,
    /// Like --target-size, in bits per pixel
    #[arg(long, value_name = "B", conflicts_with = "quality", value_parser = positive)]
    target_bpp: Option<f64>,
    /// Smallest code that is as good: jpeg:QUALITY, as that JPEG by SSIMULACRA2 (needs cjpeg), or METRIC=VALUE
    #[cfg(feature = "compare")]
    #[arg(long = "match", value_name = "GOAL", conflicts_with_all = ["quality", "target_size", "target_bpp"])]
    wanted: Option<bottleneck_client::compare::Match>,
    /// Time to spend on a better code, 0 to 9: the latents of the picture are refined
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9))]
    effort: u8,
    /// What --effort refines for: mixed (what the built-in models were trained for), psnr, ms-ssim or ssimulacra2-proxy
    #[arg(long, value_name = "METRIC", default_value = "mixed")]
    metric: Metric,
    /// Ends refining a code after so many seconds, with the best found until then
    #[arg(long, value_name = "S", value_parser = positive)]
    max_seconds: Option<f64>,
    /// Model in this build to encode with
    #[arg(long, default_value = "lite")]
    profile: Profile,
    /// File of another model, with its encoder
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    model: Option<PathBuf>,
    /// Where the networks run; auto takes a GPU where there is one
    #[arg(long, default_value = "auto")]
    device: Device,
    /// Colour behind transparent pixels: white, black or rrggbb [default: white]
    #[arg(long, value_name = "COLOR", value_parser = colour)]
    background: Option<[u8; 3]>,
    /// Frame of an animation to take: 0, the first
    #[arg(long, value_name = "N")]
    frame: Option<u32>,
    /// Refuse pictures of more pixels
    #[arg(long, value_name = "N", default_value_t = Options::default().max_pixels)]
    max_pixels: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Profile {
    /// The quickest to decode
    Lite,
    /// Higher PSNR and qualities, twice as long to decode
    Base,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Device {
    Auto,
    Cpu,
    Cuda,
}

fn colour(text: &str) -> Result<[u8; 3], String> {
    parse_background(text).ok_or_else(|| "allowed are white, black and six hexadecimal digits".into())
}

fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| (0.0..1e9).contains(value) && *value > 0.0);
    value.ok_or_else(|| "allowed are numbers above 0 and below a thousand million".into())
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    if arguments.effort > 0 {
        restart_with(&[WITHOUT_IDLE_THREADS]).context("cannot start again to refine")?;
    }
    let to_stdout = files::is_dash(&arguments.output);
    ensure!(!(arguments.json && to_stdout), Usage("--json needs an output file".into()));
    let output = Output::open(&arguments.output, &arguments.input)?;
    let context = || format!("cannot encode {}", arguments.input.display());
    let image = load(&arguments).with_context(context)?;
    let encoder = encoder(&arguments)?;
    let code = encode(&encoder, &image, &arguments).with_context(context)?;
    summary::write_code(output, &arguments.output, &code, arguments.json)
}

fn load(arguments: &Arguments) -> anyhow::Result<Image> {
    let bytes = files::read(&arguments.input, files::IMAGE_BYTES)?;
    let mut options =
        Options { frame: arguments.frame, max_pixels: arguments.max_pixels, ..Options::default() };
    if let Some(background) = arguments.background {
        options.background = background;
    }
    Ok(ingest::load(&bytes, &options)?)
}

fn encoder(arguments: &Arguments) -> anyhow::Result<Encoder> {
    ensure!(
        arguments.device != Device::Cuda || cfg!(feature = "cuda"),
        "this build cannot use a GPU: build bottleneck-client with its feature `cuda`"
    );
    let file = match &arguments.model {
        Some(path) => Some((path, files::read(path, files::MODEL_BYTES)?)),
        None => None,
    };
    let open = |backend| match &file {
        Some((path, bytes)) => Encoder::from_bytes(bytes, backend)
            .with_context(|| format!("{} is not a model that can encode", path.display())),
        None => match arguments.profile {
            Profile::Lite => Encoder::lite(backend).context("cannot open the lite model"),
            Profile::Base => Encoder::base(backend).context("cannot open the base model"),
        },
    };
    match arguments.device {
        Device::Cuda => open(Backend::Cuda),
        Device::Auto if cfg!(feature = "cuda") => open(Backend::Cuda).or_else(|_| open(Backend::Cpu)),
        Device::Auto | Device::Cpu => open(Backend::Cpu),
    }
}

fn encode(encoder: &Encoder, image: &Image, arguments: &Arguments) -> anyhow::Result<Vec<u8>> {
    let progress = Mutex::new(Progress::new());
    let show = |text: &str| progress.lock().expect("no thread panics with it").show(text);
    let (width, height) = (image.width, image.height);
    let refine = |quality: Quality| {
        let text = format!("encoding {width}×{height} at quality {:.2}", quality.percent());
        show(&text);
        let share = |share: f64| show(&format!("{text}, refining: {:.0} %", 100.0 * share));
        let limit = arguments.max_seconds.map(Duration::from_secs_f64);
        let how = Refinement {
            effort: arguments.effort,
            metric: arguments.metric,
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
            progress: Some(&share),
            ..Refinement::default()
        };
        encoder.encode_refined(image, quality, &how)
    };
    let pixels = f64::from(width) * f64::from(height);
    #[cfg(feature = "compare")]
    if let Some(wanted) = arguments.wanted {
        let found = bottleneck_client::compare::smallest_as_good(image, wanted, encoder.model(), refine);
        return found.with_context(|| format!("no code is {}", wanted.words()));
    }
    let target = arguments.target_size.or(arguments.target_bpp.map(|bpp| (bpp * pixels / 8.0) as u64));
    let Some(target) = target else {
        return Ok(refine(Quality::from_percent(arguments.quality).context("the quality is out of range")?)?);
    };
    let search = largest_within(target, refine)?;
    match search {
        Search::Found(code) => {
            // Whoever asked for a size learns that it was not met.
            if (code.len() as u64) < target - target / 50 {
                progress.lock().expect("no thread panics with it").clear();
                terminal::note(&format!(
                    "the code has {} bytes, more than 2 % below the {target} asked for: no quality comes closer",
                    code.len()
                ));
            }
            Ok(code)
        }
        Search::Unreachable { smallest } => {
            bail!("the smallest code of this picture has {smallest} bytes, and {target} are asked for")
        }
    }
}
