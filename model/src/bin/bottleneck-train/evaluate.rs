//! `bottleneck-train evaluate`: rate and distortion on a folder of pictures.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, bail};
use bottleneck_model::evaluate::anchors::read_anchors;
use bottleneck_model::evaluate::codec::{Bottleneck, Codec};
use bottleneck_model::evaluate::peers::{Peer, PeerTool};
use bottleneck_model::evaluate::picture::list_pictures;
use bottleneck_model::evaluate::report::Report;
use bottleneck_model::evaluate::{BOTTLENECK, evaluate};
use bottleneck_model::{Backend, Encoder, Metric, Quality};

/// Measures rate and distortion on a folder of pictures: real file bytes, pictures from each codec's decoder.
#[derive(clap::Args, Debug)]
pub(crate) struct EvaluateArgs {
    /// Folder of pictures (PNG, JPEG, WebP)
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Model to evaluate: a file, or `lite` or `base` of this build
    #[arg(long, value_name = "FILE", default_value = "lite", conflicts_with = "no_bottleneck")]
    model: PathBuf,
    /// Qualities to encode at, 0 to 100
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = quality,
          default_value = "0,10,25,40,55,70,85,100")]
    qualities: Vec<Quality>,
    /// Time to spend on better codes, 0 to 9
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9))]
    effort: u8,
    /// What --effort refines for: mixed (what the built-in models were trained for), psnr, ms-ssim or ssimulacra2-proxy
    #[arg(long, value_name = "METRIC", default_value = "mixed")]
    metric: Metric,
    /// Folder of published rate–distortion points (JSON) to compare with, if the
    /// pictures are the 24 of the Kodak set, which they were measured on
    #[arg(long, value_name = "DIR")]
    anchors: Option<PathBuf>,
    /// Installed codecs to run on the same pictures: any of jpeg, webp, avif, jxl, or none
    #[arg(long, value_name = "LIST", default_value = "jpeg,webp,avif,jxl", value_parser = peers)]
    peers: Peers,
    /// Folder for points.csv, summary.json and curves.svg
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Evaluate the peers alone
    #[arg(long)]
    no_bottleneck: bool,
}

/// A list of peers, as one argument.
#[derive(Clone, Debug)]
struct Peers(Vec<Peer>);

fn peers(list: &str) -> Result<Peers, String> {
    if list == "none" {
        return Ok(Peers(Vec::new()));
    }
    let find = |name: &str| Peer::ALL.into_iter().find(|peer| peer.name() == name);
    let mut peers = Vec::new();
    for name in list.split(',') {
        let peer = find(name)
            .ok_or_else(|| format!("no peer is called `{name}`: jpeg, webp, avif, jxl, or none"))?;
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    Ok(Peers(peers))
}

fn quality(text: &str) -> Result<Quality, String> {
    let percent: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Quality::from_percent(percent).ok_or_else(|| "a quality is 0 to 100".into())
}

/// Runs the subcommand.
pub(crate) fn run(args: EvaluateArgs) -> anyhow::Result<()> {
    // Everything that can be wrong with the arguments is found before hours of encoding.
    let pictures = list_pictures(&args.images)?;
    let anchors = args.anchors.as_deref().map(read_anchors).transpose()?.unwrap_or_default();
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    }
    let (mut tools, mut missing): (Vec<PeerTool>, Vec<String>) = (Vec::new(), Vec::new());
    for peer in args.peers.0 {
        match peer.detect() {
            Ok(tool) => {
                eprintln!("{}: {}", peer.name(), tool.version);
                tools.push(tool);
            }
            Err(error) => {
                eprintln!("warning: {error}");
                missing.push(error.to_string());
            }
        }
    }
    if args.no_bottleneck && tools.is_empty() {
        bail!("nothing to evaluate: no peer is at hand, and --no-bottleneck leaves this codec out");
    }
    let bottleneck = if args.no_bottleneck {
        None
    } else {
        let encoder = match args.model.to_str() {
            Some("lite") => Encoder::lite(Backend::Cpu).context("the lite model of this build")?,
            Some("base") => Encoder::base(Backend::Cpu).context("the base model of this build")?,
            _ => {
                let path = &args.model;
                let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                Encoder::from_bytes(&bytes, Backend::Cpu).with_context(|| path.display().to_string())?
            }
        };
        Some(Bottleneck::new(BOTTLENECK, encoder, args.qualities, args.effort).refined_for(args.metric))
    };

    let terminal = std::io::stderr().is_terminal();
    let mut progress = |index: usize, name: &str| {
        if terminal {
            eprint!("\r\x1b[K{} of {}: {name}", index + 1, pictures.len());
        }
    };
    let ours = bottleneck.iter().map(|codec| codec as &dyn Codec);
    let codecs: Vec<&dyn Codec> = ours.chain(tools.iter().map(|tool| tool as &dyn Codec)).collect();
    let evaluation = evaluate(&pictures, &codecs, &mut progress);
    if terminal {
        eprint!("\r\x1b[K");
    }
    let report = Report::new(evaluation?, &anchors, &missing);
    print!("{}", report.table());
    if let Some(out) = &args.out {
        report.write(out).with_context(|| format!("cannot write into {}", out.display()))?;
        eprintln!("points.csv, summary.json and curves.svg are in {}", out.display());
    }
    Ok(())
}
