//! What an evaluation says: comparisons, a table, CSV, JSON and curves.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::anchors::{self, Anchor, MAIN_ANCHORS, VTM};
use super::bd_rate::{BdRate, Curve, PSNR_SPAN, PSNR_WINDOW, PsnrBdRate, bd_rate, psnr_bd_rate};
use super::metrics::{Blockiness, Metric};
use super::svg::{self, Chart, Series};
use super::{BOTTLENECK, CodecResult, Evaluation};

/// A codec of this run against an anchor or against a peer of this run.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Codec under test.
    pub codec: String,
    /// What it is compared with: a peer of this run, or an anchor's label and curve.
    pub reference: String,
    /// Whether the reference is an anchor.
    pub anchor: bool,
    /// BD-rate over PSNR-RGB.
    pub psnr: PsnrBdRate,
    /// BD-rate over SSIMULACRA2, over all of the overlap; anchors have none.
    pub ssimulacra2: Option<BdRate>,
}

/// An anchor's own BD-rate against the VTM anchor: a check of method and files against published tables.
#[derive(Clone, Debug, Serialize)]
pub struct AnchorCheck {
    /// Name of the anchor's curve.
    pub anchor: String,
    /// BD-rate over PSNR-RGB in the window, however little of it the anchor reaches.
    pub against_vtm: Option<BdRate>,
}

/// An evaluation with what follows from it.
#[derive(Serialize)]
pub struct Report {
    /// The measurements.
    pub evaluation: Evaluation,
    /// Every comparison that the curves allow.
    pub comparisons: Vec<Comparison>,
    /// Every anchor against VTM.
    pub anchor_check: Vec<AnchorCheck>,
    /// What a reader must know before quoting a figure.
    pub notes: Vec<String>,
    #[serde(skip)]
    main_anchors: Vec<(&'static str, Vec<(f64, f64)>)>,
}

impl Report {
    /// Draws the comparisons. `missing` says which peers were asked for and cannot be run, and why.
    pub fn new(evaluation: Evaluation, anchors: &[Anchor], missing: &[String]) -> Report {
        let mut notes: Vec<String> = missing.iter().map(|reason| format!("MISSING PEER: {reason}")).collect();
        if !evaluation.too_small.is_empty() {
            notes.push(format!("too small, left out: {}", evaluation.too_small.join(", ")));
        }
        let comparable = is_kodak(&evaluation);
        if !anchors.is_empty() && !comparable {
            notes.push("these are not the 24 pictures of the Kodak set: no comparison with anchors".into());
        }
        let main: Vec<(&str, &Anchor)> = MAIN_ANCHORS
            .iter()
            .filter(|_| comparable)
            .filter_map(|(label, _)| anchors::find(anchors, label).map(|anchor| (*label, anchor)))
            .collect();
        let mut comparisons = Vec::new();
        for result in &evaluation.codecs {
            match result.curve(Metric::Psnr) {
                Ok(curve) => {
                    if !curve.spans(PSNR_SPAN) {
                        notes.push(span_note(&result.codec, &curve));
                    }
                    comparisons.extend(main.iter().map(|(label, anchor)| Comparison {
                        codec: result.codec.clone(),
                        reference: format!("{label} ({})", anchor.name),
                        anchor: true,
                        psnr: psnr_bd_rate(&curve, &anchor.curve),
                        ssimulacra2: None,
                    }));
                }
                Err(error) => notes.push(format!("{} is compared with nothing: {error}", result.codec)),
            }
        }
        if let Some(ours) = evaluation.codecs.iter().find(|result| result.codec == BOTTLENECK) {
            let peers = evaluation.codecs.iter().filter(|result| result.codec != BOTTLENECK);
            comparisons.extend(peers.filter_map(|peer| compare(ours, peer)));
        }
        let vtm = anchors::find(anchors, VTM);
        if !anchors.is_empty() && vtm.is_none() {
            notes.push(format!("no anchor is {VTM}: the anchors are not checked"));
        }
        let check = |vtm: &Anchor| {
            let against_vtm = |anchor: &Anchor| bd_rate(&anchor.curve, &vtm.curve, Some(PSNR_WINDOW));
            anchors
                .iter()
                .map(|anchor| AnchorCheck { anchor: anchor.name.clone(), against_vtm: against_vtm(anchor) })
                .collect()
        };
        let anchor_check = vtm.map(check).unwrap_or_default();
        let main_anchors = main.into_iter().map(|(label, anchor)| (label, anchor.points.clone())).collect();
        Report { evaluation, comparisons, anchor_check, notes, main_anchors }
    }

    /// The report as text for a terminal.
    pub fn table(&self) -> String {
        let mut text = String::new();
        self.write_table(&mut text).expect("writing to a string cannot fail");
        text
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let evaluation = &self.evaluation;
        writeln!(out, "{} pictures; figures are means over pictures", evaluation.pictures.len())?;
        writeln!(out, "blockiness of the originals (8 / 16 px): {}", pair(evaluation.original_blockiness))?;
        for result in &evaluation.codecs {
            writeln!(out, "\n{} ({})", result.codec, result.version)?;
            let parameter = &result.parameter;
            writeln!(
                out,
                "{parameter:>10} {:>8} {:>12} {:>8} {:>12}  blockiness 8 / 16 px",
                "bpp", "PSNR-RGB dB", "MS-SSIM", "SSIMULACRA2"
            )?;
            for mean in &result.means {
                let ms_ssim = mean.ms_ssim.map_or("–".into(), |value| format!("{value:.4}"));
                writeln!(
                    out,
                    "{:>10} {:>8.4} {:>12.3} {ms_ssim:>8} {:>12.2}  {}",
                    mean.setting,
                    mean.bpp,
                    mean.psnr,
                    mean.ssimulacra2,
                    pair(mean.blockiness)
                )?;
            }
        }
        if !self.comparisons.is_empty() {
            let ((low, high), (from, to)) = (PSNR_WINDOW, PSNR_SPAN);
            writeln!(out, "\nBD-rate, % (below 0: fewer bits), over PSNR-RGB inside {low}–{high} dB.")?;
            writeln!(
                out,
                "`partial`: the codec does not span {from}–{to} dB; over the overlap alone, no BD-rate."
            )?;
            writeln!(
                out,
                "{:12} {:28} {:>8} {:>8}  {:14} {:>12}  its overlap",
                "codec", "against", "BD-rate", "partial", "PSNR dB", "SSIMULACRA2"
            )?;
            for comparison in &self.comparisons {
                let PsnrBdRate { full, partial } = comparison.psnr;
                writeln!(
                    out,
                    "{:12} {:28} {:>8} {:>8}  {:14} {:>12}  {}",
                    comparison.codec,
                    comparison.reference,
                    percent(full),
                    percent(partial),
                    range(full.or(partial)),
                    percent(comparison.ssimulacra2),
                    range(comparison.ssimulacra2)
                )?;
            }
        }
        if !self.anchor_check.is_empty() {
            writeln!(out, "\nAnchors against {VTM}, % (a check of the method)")?;
            for check in &self.anchor_check {
                let rate = check.against_vtm;
                writeln!(out, "{:45} {:>8}  {}", check.anchor, percent(rate), range(rate))?;
            }
        }
        if !self.notes.is_empty() {
            writeln!(out)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
    }

    /// One row for each codec, picture and setting.
    pub fn points_csv(&self) -> String {
        let mut csv = String::from(
            "codec,picture,setting,width,height,bytes,bpp,psnr_rgb_db,ms_ssim,ssimulacra2,\
             blockiness_8,blockiness_16,original_blockiness_8,original_blockiness_16\n",
        );
        let optional = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        for point in &self.evaluation.points {
            let metrics = &point.metrics;
            let cells = [
                quoted(&point.codec),
                quoted(&point.picture),
                point.setting.to_string(),
                point.width.to_string(),
                point.height.to_string(),
                point.bytes.to_string(),
                point.bpp.to_string(),
                metrics.psnr.to_string(),
                optional(metrics.ms_ssim),
                metrics.ssimulacra2.to_string(),
                optional(metrics.blockiness.map(|b| b.at_8)),
                optional(metrics.blockiness.map(|b| b.at_16)),
                optional(point.original_blockiness.map(|b| b.at_8)),
                optional(point.original_blockiness.map(|b| b.at_16)),
            ];
            csv.push_str(&cells.join(","));
            csv.push('\n');
        }
        csv
    }

    /// Means, comparisons and notes as JSON. Infinite figures are `null`.
    pub fn summary_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("the report has only string keys");
        json.push('\n');
        json
    }

    /// Mean curves of every codec and of the main anchors as SVG.
    pub fn curves_svg(&self) -> String {
        let measured = self.evaluation.codecs.iter().map(|result| Series {
            name: result.codec.clone(),
            points: by_rate(result.means.iter().map(|mean| (mean.bpp, mean.psnr)).collect()),
            reference: false,
        });
        let anchors = self.main_anchors.iter().map(|(label, points)| Series {
            name: format!("{label}, published"),
            points: by_rate(points.clone()),
            reference: true,
        });
        let pictures = self.evaluation.pictures.len();
        let title = format!("Rate and distortion, means over {pictures} pictures");
        let chart = Chart { title: &title, ..svg::RATE_DISTORTION };
        svg::draw(&chart, &measured.chain(anchors).collect::<Vec<_>>())
    }

    /// Writes `points.csv`, `summary.json` and `curves.svg` into a folder, which is made where it is not there.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("points.csv"), self.points_csv())?;
        std::fs::write(folder.join("summary.json"), self.summary_json())?;
        std::fs::write(folder.join("curves.svg"), self.curves_svg())
    }
}

fn compare(ours: &CodecResult, peer: &CodecResult) -> Option<Comparison> {
    let psnr = psnr_bd_rate(&ours.curve(Metric::Psnr).ok()?, &peer.curve(Metric::Psnr).ok()?);
    let ssimulacra2 =
        bd_rate(&ours.curve(Metric::Ssimulacra2).ok()?, &peer.curve(Metric::Ssimulacra2).ok()?, None);
    let (codec, reference) = (ours.codec.clone(), peer.codec.clone());
    Some(Comparison { codec, reference, anchor: false, psnr, ssimulacra2 })
}

fn span_note(codec: &str, curve: &Curve) -> String {
    let ((low, high), (from, to)) = (curve.range(), PSNR_SPAN);
    format!(
        "{codec} spans {low:.2}–{high:.2} dB, not {from}–{to} dB: it has no BD-rate, only partial figures"
    )
}

/// Whether the pictures can be the Kodak set, which the anchors were measured on: 24 of 768×512.
fn is_kodak(evaluation: &Evaluation) -> bool {
    let mut sizes = evaluation.points.iter().map(|p| (p.width.max(p.height), p.width.min(p.height)));
    evaluation.pictures.len() == 24 && sizes.all(|size| size == (768, 512))
}

fn by_rate(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.retain(|(bpp, psnr)| bpp.is_finite() && psnr.is_finite());
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn percent(rate: Option<BdRate>) -> String {
    rate.map_or("–".into(), |rate| format!("{:+.1}", rate.percent))
}

fn range(rate: Option<BdRate>) -> String {
    rate.map_or("–".into(), |rate| format!("{:.2}–{:.2}", rate.low, rate.high))
}

fn pair(blockiness: Option<Blockiness>) -> String {
    blockiness.map_or("–".into(), |b| format!("{:.3} / {:.3}", b.at_8, b.at_16))
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Metrics;
    use super::super::{MeanPoint, Point};
    use super::*;

    const PSNRS: [f64; 5] = [27.0, 29.5, 32.0, 35.0, 38.5];

    /// A codec whose rate doubles every 3 dB from `rate` at 27 dB.
    fn codec(name: &str, rate: f64, psnrs: &[f64]) -> CodecResult {
        let mean = |&psnr: &f64| MeanPoint {
            setting: psnr,
            bpp: rate * 2f64.powf((psnr - 27.0) / 3.0),
            psnr,
            ms_ssim: None,
            ssimulacra2: psnr * 3.0 - 50.0,
            butteraugli: None,
            blockiness: Some(Blockiness { at_8: 1.5, at_16: 1.25 }),
        };
        let (version, parameter) = ("1.0".into(), "quality".into());
        CodecResult { codec: name.into(), version, parameter, means: psnrs.iter().map(mean).collect() }
    }

    fn evaluation(codecs: Vec<CodecResult>) -> Evaluation {
        let point = |index: usize| Point {
            codec: codecs[0].codec.clone(),
            picture: format!("a, \"{index}\".png"),
            setting: 27.0,
            width: 512,
            height: 768,
            bytes: 4096,
            bpp: 0.1,
            metrics: Metrics {
                psnr: f64::INFINITY,
                ms_ssim: None,
                ssimulacra2: 100.0,
                butteraugli: None,
                blockiness: None,
            },
            original_blockiness: None,
        };
        let points: Vec<Point> = (0..24).map(point).collect();
        let pictures = points.iter().map(|point| point.picture.clone()).collect();
        Evaluation { pictures, too_small: Vec::new(), original_blockiness: None, codecs, points }
    }

    fn vtm() -> Vec<Anchor> {
        let points: Vec<_> = codec("", 0.08, &PSNRS).means.iter().map(|mean| (mean.bpp, mean.psnr)).collect();
        vec![Anchor { name: "vtm".into(), curve: Curve::new(&points).unwrap(), points }]
    }

    #[test]
    fn a_codec_is_compared_with_peers_and_anchors() {
        let codecs = vec![codec(BOTTLENECK, 0.1, &PSNRS), codec("jpeg", 0.2, &PSNRS)];
        let report = Report::new(evaluation(codecs), &vtm(), &[]);
        let rates: Vec<_> = report
            .comparisons
            .iter()
            .map(|c| (c.codec.as_str(), c.reference.as_str(), c.psnr.full.unwrap().percent.round()))
            .collect();
        let expected =
            [(BOTTLENECK, "VTM (vtm)", 25.0), ("jpeg", "VTM (vtm)", 150.0), (BOTTLENECK, "jpeg", -50.0)];
        assert_eq!(rates, expected);
        let overlap = report.comparisons[2].ssimulacra2.unwrap();
        assert!((overlap.percent + 50.0).abs() < 1e-9);
        assert_eq!((overlap.low, overlap.high), (31.0, 65.5));
        assert_eq!(report.anchor_check[0].against_vtm.unwrap().percent, 0.0);
        assert!(report.notes.is_empty(), "{:?}", report.notes);
    }

    #[test]
    fn a_codec_that_does_not_span_the_range_has_no_bd_rate_and_the_report_says_so() {
        let codecs = vec![codec(BOTTLENECK, 0.1, &PSNRS[..3]), codec("jpeg", 0.2, &PSNRS)];
        let report = Report::new(evaluation(codecs), &[], &[]);
        let comparison = &report.comparisons[0];
        assert_eq!(comparison.psnr.full, None);
        assert_eq!(comparison.psnr.partial.unwrap().high, 32.0);
        let table = report.table();
        assert!(table.contains("note: bottleneck spans 27.00–32.00 dB, not 28.5–37 dB: it has no BD-rate"));
        let row = table.lines().find(|line| line.starts_with("bottleneck   jpeg")).unwrap();
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!(cells, [BOTTLENECK, "jpeg", "–", "-50.0", "28.50–32.00", "-50.0", "31.00–46.00"]);
    }

    #[test]
    fn what_is_missing_or_cannot_be_compared_is_noted() {
        let mut evaluation = evaluation(vec![codec("jpeg", 0.2, &PSNRS[..1])]);
        evaluation.pictures.pop();
        evaluation.too_small.push("icon.png".into());
        let report = Report::new(evaluation, &vtm(), &["`avifenc` does not start".into()]);
        assert!(report.comparisons.is_empty());
        let table = report.table();
        for words in
            ["MISSING PEER: `avifenc`", "left out: icon.png", "not the 24", "jpeg is compared with nothing"]
        {
            assert!(table.contains(words), "{words}: {table}");
        }
    }

    #[test]
    fn files_hold_every_point_and_valid_json() {
        let folder = tempfile::tempdir().unwrap();
        let report = Report::new(evaluation(vec![codec("jpeg", 0.2, &PSNRS)]), &vtm(), &[]);
        report.write(&folder.path().join("new")).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join("new").join(name)).unwrap();
        let csv = read("points.csv");
        assert_eq!(csv.lines().count(), 1 + 24);
        assert!(
            csv.lines()
                .nth(1)
                .unwrap()
                .starts_with("jpeg,\"a, \"\"0\"\".png\",27,512,768,4096,0.1,inf,,100,,")
        );
        let json: serde_json::Value = serde_json::from_str(&read("summary.json")).unwrap();
        assert_eq!(json["evaluation"]["codecs"][0]["means"][1]["psnr"], 29.5);
        assert!(read("curves.svg").contains("VTM, published"));
    }
}
