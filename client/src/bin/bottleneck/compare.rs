//! `bottleneck compare`: what this codec saves, against installed ones.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use bottleneck_client::compare::{
    Comparison, Contestant, Match, Options, Prices, Programs, Report, Setting, Transfer, compare,
    measure_browser,
};
#[cfg(target_os = "linux")]
use bottleneck_client::compare::{LINKS, measure_transfers};
use bottleneck_client::find_pictures;
use bottleneck_model::evaluate::codec::Bottleneck;
use bottleneck_model::evaluate::metrics::Metric;
use bottleneck_model::evaluate::peers::Peer;
use bottleneck_model::{Backend, Encoder, Model, Quality};
use clap::Args;
use flate2::{Compression, write::GzEncoder};

use crate::terminal::{self, Progress};
use crate::{Outcome, Usage, files};

/// Measure what this codec saves on your pictures, against JPEG, WebP, AVIF and JPEG XL
#[derive(Args)]
pub(crate) struct Arguments {
    /// The pictures (JPEG, PNG, WebP), or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Codecs: bottleneck (profile lite), bottleneck-base, jpeg, webp, avif, jxl
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "bottleneck,bottleneck-base,jpeg,webp,avif,jxl"
    )]
    codecs: Vec<String>,
    /// File of a further model, with its encoder, to compare as bottleneck-own
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Metrics of the curves: psnr, ms-ssim, ssimulacra2, butteraugli (slow)
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = metric,
          default_value = "psnr,ms-ssim,ssimulacra2")]
    metrics: Vec<Metric>,
    /// Qualities of this codec's curves, 0 to 100
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = quality,
          default_value = "0,10,25,40,55,70,85,100")]
    qualities: Vec<Quality>,
    /// Qualities at which sizes are compared: METRIC=VALUE, or jpeg:QUALITY for as good as that JPEG by SSIMULACRA2;
    /// times and crops are taken at the first
    #[arg(long = "match", value_name = "LIST", value_delimiter = ',', default_value = "jpeg:75")]
    matches: Vec<Match>,
    /// Time to spend on this codec's codes, 0 to 9
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9))]
    effort: u8,
    /// Folder for the report: index.html, report.md and report.json
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print all numbers as JSON instead of the report in Markdown
    #[arg(long)]
    json: bool,
    /// Pictures to time the programs on
    #[arg(long, value_name = "N", default_value_t = 4)]
    timed: usize,
    /// Pictures to show crops of, the worst first
    #[arg(long, value_name = "N", default_value_t = 6)]
    crops: usize,
    /// Measure transfers between two network namespaces as well (Linux, as root, with ip and tc)
    #[arg(long)]
    network: bool,
    /// Browser to measure decoding in as well, such as chromium
    #[arg(long, value_name = "PROGRAM")]
    browser: Option<PathBuf>,
    /// Price of a gigabyte sent, for the cost of a million pictures
    #[arg(long, value_name = "PRICE", default_value_t = 0.05, value_parser = price)]
    price_gigabyte: f64,
    /// Price of an hour of one core
    #[arg(long, value_name = "PRICE", default_value_t = 0.04, value_parser = price)]
    price_core_hour: f64,
    /// How often a picture is sent for each time that it is encoded
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = views)]
    views: f64,
}

fn metric(name: &str) -> Result<Metric, String> {
    let found = Metric::ALL.into_iter().find(|metric| metric.name() == name);
    found.ok_or_else(|| "allowed are psnr, ms-ssim, ssimulacra2 and butteraugli".into())
}

fn quality(text: &str) -> Result<Quality, String> {
    crate::percent(text).and_then(|percent| Quality::from_percent(percent).ok_or_else(String::new))
}

fn price(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| "allowed are numbers from 0".into())
}

fn views(text: &str) -> Result<f64, String> {
    price(text).ok().filter(|value| *value > 0.0).ok_or_else(|| "allowed are numbers above 0".into())
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    // Everything that can be wrong with the arguments is found before minutes of encoding.
    let pictures: Vec<PathBuf> =
        find_pictures(&arguments.images, None)?.into_iter().map(|item| item.image).collect();
    ensure!(!pictures.is_empty(), "there are no pictures (.jpg, .jpeg, .png, .webp) in the folders given");
    if let Some(folder) = &arguments.report {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let (contestants, missing) = contestants(&arguments)?;
    if arguments.matches.iter().any(|wanted| matches!(wanted, Match::Jpeg(_))) {
        Peer::Jpeg.detect().context("--match jpeg:QUALITY needs the JPEG encoder")?;
    }
    let prices = Prices {
        gigabyte: arguments.price_gigabyte,
        core_hour: arguments.price_core_hour,
        views: arguments.views,
    };
    let mut setting = setting(prices, missing);
    let options = Options {
        metrics: arguments.metrics.clone(),
        matches: arguments.matches.clone(),
        timed: arguments.timed,
        crops: if arguments.report.is_some() { arguments.crops } else { 0 },
    };
    let mut progress = Progress::new();
    let results = compare(&pictures, &contestants, &options, &mut |text| progress.show(text))?;
    if let Some(browser) = &arguments.browser {
        progress.show("decoding in the browser");
        setting.browser = Some(measure_browser(browser, &results, &contestants, arguments.timed)?);
    }
    if arguments.network {
        setting.network = transfers(&results, &mut progress);
    }
    drop(progress);
    finish(&arguments, &results, &setting)
}

fn finish(arguments: &Arguments, results: &Comparison, setting: &Setting) -> anyhow::Result<Outcome> {
    let report = Report::new(results, setting);
    if let Some(folder) = &arguments.report {
        report.write(folder).with_context(|| format!("cannot write into {}", folder.display()))?;
    }
    terminal::print(if arguments.json { report.json() } else { report.markdown() }.trim_end())?;
    let failed = results.failures().next().is_some() || !results.unusable.is_empty();
    Ok(if failed { Outcome::Partial } else { Outcome::Done })
}

/// The codecs asked for that are at hand, and why others are missing, which is said on standard error as well.
fn contestants(arguments: &Arguments) -> anyhow::Result<(Vec<Contestant>, Vec<String>)> {
    let mut missing = Vec::new();
    let mut contestants: Vec<Contestant> = Vec::new();
    let mut add = |contestant: Contestant| {
        if !contestants.iter().any(|known| known.codec.name() == contestant.codec.name()) {
            contestants.push(contestant);
        }
    };
    for name in &arguments.codecs {
        match name.as_str() {
            "bottleneck" | "bottleneck-lite" => {
                add(ours("bottleneck", Encoder::lite(Backend::Cpu)?, &["--profile", "lite"], arguments)?);
            }
            "bottleneck-base" => {
                add(ours(name, Encoder::base(Backend::Cpu)?, &["--profile", "base"], arguments)?);
            }
            _ => {
                let peer = Peer::ALL.into_iter().find(|peer| peer.name() == name);
                let peer = peer.ok_or_else(|| {
                    Usage(format!(
                        "no codec is called `{name}`: allowed are bottleneck, bottleneck-base, jpeg, webp, avif, jxl"
                    ))
                })?;
                match peer.detect() {
                    Ok(tool) => add(Contestant {
                        codec: Box::new(tool),
                        programs: Some(Programs::Peer(peer)),
                        ours: false,
                        download: 0,
                        model: None,
                    }),
                    Err(error) => {
                        missing.push(error.to_string());
                        terminal::report(&error.into());
                    }
                }
            }
        }
    }
    if let Some(path) = &arguments.model {
        let bytes = files::read(path, files::MODEL_BYTES)?;
        let encoder = Encoder::from_bytes(&bytes, Backend::Cpu)
            .with_context(|| format!("{} is not a model that can encode", path.display()))?;
        let path = path.to_str().context("the model's path is not UTF-8: move it elsewhere")?;
        add(ours("bottleneck-own", encoder, &["--model", path], arguments)?);
    }
    Ok((contestants, missing))
}

fn ours(name: &str, encoder: Encoder, model: &[&str], arguments: &Arguments) -> anyhow::Result<Contestant> {
    let download = download(encoder.model())?;
    let file = (encoder.model().id().to_string(), encoder.model().decoder_bytes().to_vec());
    let mut encode: Vec<String> = model.iter().map(|argument| argument.to_string()).collect();
    encode.extend(["--effort".into(), arguments.effort.to_string()]);
    let decode = if model[0] == "--model" { encode[..2].to_vec() } else { Vec::new() };
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let codec = Bottleneck::new(name, encoder, arguments.qualities.clone(), arguments.effort);
    let programs = Some(Programs::Bottleneck { program, encode, decode });
    Ok(Contestant { codec: Box::new(codec), programs, ours: true, download, model: Some(file) })
}

/// Bytes that a browser loads before its first picture: the decoder and its model, gzipped.
fn download(model: &Model) -> anyhow::Result<u64> {
    const DECODER: &[u8] = include_bytes!("../../../web/wasm/bottleneck_web_bg.wasm");
    let gzipped = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).map(|bytes| bytes.len() as u64)
    };
    Ok(gzipped(DECODER)? + gzipped(model.decoder_bytes())?)
}

fn setting(prices: Prices, missing: Vec<String>) -> Setting {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let cpu = read("/proc/cpuinfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let load = read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok());
    let system = format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
    let machine = cpu.map_or(system.clone(), |cpu| format!("{cpu}, {system}"));
    let date = time::OffsetDateTime::now_utc().date().to_string();
    let quoted = |argument: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        if argument.chars().all(plain) { argument } else { format!("'{}'", argument.replace('\'', "'\\''")) }
    };
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| quoted(argument.to_string_lossy().into_owned())).collect();
    Setting {
        command: format!("bottleneck {}", arguments.join(" ")),
        date,
        machine,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load,
        prices,
        missing,
        browser: None,
        network: Err("ask for it with --network".into()),
    }
}

/// Files of each codec's mean size over every link; or why not, in words.
#[cfg(target_os = "linux")]
fn transfers(results: &Comparison, progress: &mut Progress) -> Result<Vec<Transfer>, String> {
    let known = |name: &String| Some((name.clone(), results.mean_bytes(name)?.round() as u64));
    let files: Vec<(String, u64)> =
        results.contenders.iter().filter_map(|contender| known(&contender.name)).collect();
    let sizes: Vec<u64> = files.iter().map(|(_, size)| *size).collect();
    let mut transfers = Vec::new();
    for link in &LINKS {
        progress.show(&format!("transfers over {}", link.name));
        let seconds = measure_transfers(link, &sizes).map_err(|error| error.to_string())?;
        transfers.extend(files.iter().zip(seconds).map(|((codec, bytes), measured)| Transfer {
            link: link.name,
            codec: codec.clone(),
            bytes: *bytes,
            computed: link.transfer(*bytes as f64),
            measured,
        }));
    }
    Ok(transfers)
}

#[cfg(not(target_os = "linux"))]
fn transfers(_: &Comparison, _: &mut Progress) -> Result<Vec<Transfer>, String> {
    Err("network namespaces are a matter of Linux".into())
}
