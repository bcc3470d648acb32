//! What the report says, section by section.

use bottleneck_model::evaluate::metrics::Metric;
use bottleneck_model::evaluate::svg;

use super::format::{bytes, count, dash, percent, seconds};
use super::waiting::{self, Race, Waiting};
use super::{Block, Section, Setting, Table, chart};
use crate::compare::link::{LINKS, Million};
use crate::compare::results::{Comparison, Times};

pub(super) fn sections(results: &Comparison, setting: &Setting, losses: &[String]) -> Vec<Section> {
    let mut sections = vec![
        Section {
            title: "Where it loses".into(),
            anchor: "losses",
            blocks: vec![Block::List(losses.to_vec())],
        },
        savings(results),
        curves(results),
    ];
    if !results.times.is_empty() {
        sections.push(times(results, setting));
        sections.push(time_to_picture(results, setting));
        sections.push(first_visit(results, setting));
        sections.push(cost(results, setting));
    }
    if !results.walls.is_empty() {
        sections.push(wall(results));
    }
    sections.push(pictures(results));
    sections.push(method(results, setting));
    sections
}

fn section(title: &str, anchor: &'static str, blocks: Vec<Block>) -> Section {
    Section { title: title.into(), anchor, blocks }
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> Block {
    Block::Table(Table { head: head.iter().map(|text| text.to_string()).collect(), rows, sortable: false })
}

fn paragraph(text: impl Into<String>) -> Block {
    Block::Paragraph(text.into())
}

fn savings(results: &Comparison) -> Section {
    let mut blocks = vec![paragraph(
        "Bytes of real files at equal quality. For each picture each codec's quality is searched until its file is \
         as good as asked for; the size at exactly that quality is interpolated between the two nearest files. \
         A saving is what the codec under test needs less than the other, in percent of the other's bytes; the \
         spread is over pictures, the interval is a 95 % bootstrap interval of the median.",
    )];
    for (wanted, savings) in results.matches.iter().zip(&results.savings) {
        blocks.push(paragraph(format!("Quality: {}.", wanted.words())));
        let rows = savings.iter().map(|saving| {
            let spread =
                |figure: &dyn Fn(&super::super::Spread) -> String| dash(saving.spread.as_ref().map(figure));
            vec![
                saving.codec.clone(),
                saving.against.clone(),
                spread(&|s| percent(s.median)),
                spread(&|s| percent(s.p10)),
                spread(&|s| percent(s.p90)),
                spread(&|s| format!("{} … {}", percent(s.interval.0), percent(s.interval.1))),
                spread(&|s| percent(s.total)),
                saving.pictures.to_string(),
                format!("{} / {}", saving.unreached, saving.unreached_by_other),
            ]
        });
        let head = [
            "codec",
            "against",
            "median saving",
            "10th percentile",
            "90th percentile",
            "interval",
            "of all bytes",
            "pictures",
            "not reached, by it / by the other",
        ];
        blocks.push(table(&head, rows.collect()));
    }
    section("Savings at equal quality", "savings", blocks)
}

fn curves(results: &Comparison) -> Section {
    let metrics: Vec<Metric> = results.metrics.clone();
    let mut head = vec!["codec", "against"];
    head.extend(metrics.iter().map(|metric| metric.name()));
    let rows = results.pairs().into_iter().map(|(codec, against)| {
        let mut row = vec![codec.clone(), against.clone()];
        row.extend(metrics.iter().map(|metric| {
            let of = results
                .bd_rates
                .iter()
                .find(|bd| bd.codec == codec && bd.against == against && bd.metric == *metric);
            dash(of.and_then(|bd| bd.rate).map(|rate| {
                format!("{} ({:.1}–{:.1})", percent(rate.percent), rate.low, rate.high).replace("-", "−")
            }))
        }));
        row
    });
    let mut blocks = vec![
        paragraph(
            "BD-rate: mean difference of bits at equal quality over the whole curve, below zero in favour of the \
             codec under test; in brackets the qualities that both curves reach. Bits per pixel and metrics are \
             averaged over pictures, interpolated by monotone cubics; for PSNR inside 28.5–37.5 dB. MS-SSIM is \
             taken as −10·log₁₀(1 − x), Butteraugli negated, so that up is better everywhere.",
        ),
        table(&head, rows.collect()),
    ];
    for metric in metrics {
        let series: Vec<svg::Series> = results
            .curves
            .iter()
            .map(|curve| svg::Series {
                name: curve.codec.clone(),
                points: curve.points(metric),
                reference: false,
            })
            .collect();
        let title = format!("{} over rate, means over pictures", metric.label());
        blocks.push(Block::Figure(
            format!("curve-{}.svg", metric.name()),
            svg::draw(&svg::Chart { title: &title, y: metric.label(), ..svg::RATE_DISTORTION }, &series),
            title,
        ));
    }
    section("Rate and distortion", "curves", blocks)
}

fn times(results: &Comparison, setting: &Setting) -> Section {
    let timed: std::collections::BTreeSet<&str> = results.times.iter().map(|t| t.picture.as_str()).collect();
    let megapixels = |codec: &str, of: &dyn Fn(&Times) -> f64| {
        dash(results.per_pixel(codec, of).map(|per_pixel| format!("{:.2}", 1e-6 / per_pixel)))
    };
    let rows = results.contenders.iter().map(|contender| {
        let name = contender.name.as_str();
        let memory = |of: &dyn Fn(&Times) -> Option<u64>| {
            let most = results.times.iter().filter(|times| times.codec == name).filter_map(of).max();
            dash(most.map(|most| format!("{:.0}", most as f64 / 1e6)))
        };
        vec![
            name.to_owned(),
            megapixels(name, &|t| t.encode.one_core),
            megapixels(name, &|t| t.encode.all_cores),
            memory(&|t| t.encode.memory),
            megapixels(name, &|t| t.decode.one_core),
            megapixels(name, &|t| t.decode.all_cores),
            memory(&|t| t.decode.memory),
        ]
    });
    let head = [
        "codec",
        "encode, one core, Mpixel/s",
        "all cores",
        "memory, MB",
        "decode, one core, Mpixel/s",
        "all cores",
        "memory, MB",
    ];
    let load = setting.load.map_or(String::new(), |load| {
        format!(
            " When the run began {load:.1} other processes wanted a core: compare within this table only."
        )
    });
    let how = format!(
        "Whole programs, their start included, on {} at the first quality above: processor time of one thread, and \
         time that passes with all {}; medians of three runs, then over pictures. Memory is the largest peak of \
         one thread. Decoders write PPM, avifdec Y4M.{load}",
        count(timed.len(), "picture"),
        count(setting.cores, "core"),
    );
    section("Time and memory", "times", vec![paragraph(how), table(&head, rows.collect())])
}

fn time_to_picture(results: &Comparison, setting: &Setting) -> Section {
    let all = waiting::all(results, setting);
    let mut blocks = vec![paragraph(
        "From the request to the picture on an open connection: a round trip, the bytes at the link's rate (TCP and \
         Ethernet framing and an HTTP head included), then decoding on one core. Bytes are means over the pictures \
         at the first quality above, decoding is scaled to their mean size. In a browser decoding is the time that \
         passes, with whatever else the machine does.",
    )];
    for in_browser in [false, true] {
        let shown: Vec<&Waiting> = all.iter().filter(|waiting| waiting.in_browser == in_browser).collect();
        if shown.is_empty() {
            blocks.push(paragraph(
                "Decoding in a browser was not measured in this run: ask for it with --browser.",
            ));
            continue;
        }
        let (words, file) = match &setting.browser {
            Some(browser) if in_browser => (format!("decoded in {}", browser.browser), "waiting-browser.svg"),
            _ => ("native decoders".to_owned(), "waiting.svg"),
        };
        let names: Vec<String> = shown.iter().map(|waiting| waiting.codec.clone()).collect();
        let row = |(at, link): (usize, &crate::compare::Link)| {
            let values = shown.iter().map(|waiting| waiting.seconds[at]).collect();
            (format!("{}, {} Mbit/s", link.name, link.megabits), values)
        };
        let rows: Vec<(String, Vec<f64>)> = LINKS.iter().enumerate().map(row).collect();
        let title = format!("Time to picture, {words}");
        blocks.push(Block::Figure(file.into(), chart::draw(&title, &names, &rows), title.clone()));
        let mut head = vec!["codec".to_owned(), "bytes".into(), "decode".into()];
        head.extend(
            LINKS.iter().map(|l| format!("{}: {} Mbit/s, {} ms", l.name, l.megabits, l.round_trip_ms)),
        );
        let rows = shown.iter().map(|waiting| {
            let mut row = vec![waiting.codec.clone(), bytes(waiting.bytes), seconds(waiting.decode)];
            row.extend(waiting.seconds.iter().map(|&s| seconds(s)));
            row
        });
        blocks.push(Block::Table(Table { head, rows: rows.collect(), sortable: false }));
        let mut rows = Vec::new();
        for waiting in &shown {
            for against in &waiting.against {
                let who = match against.race {
                    Race::Always => format!("{} on every link", waiting.codec),
                    Race::Never => format!("{} on every link", against.codec),
                    Race::Below(rate) => {
                        format!("{} below {rate:.1} Mbit/s, {} above", waiting.codec, against.codec)
                    }
                    Race::Above(rate) => {
                        format!("{} above {rate:.1} Mbit/s, {} below", waiting.codec, against.codec)
                    }
                };
                rows.push(vec![waiting.codec.clone(), against.codec.clone(), who]);
            }
        }
        blocks.push(table(&["codec", "against", "sooner seen"], rows));
    }
    match &setting.network {
        Ok(transfers) => {
            blocks.push(paragraph(
                "The arithmetic, held against transfers between two network namespaces (veth, rate by tc tbf, delay \
                 by a relay), without decoding:",
            ));
            let rows = transfers.iter().map(|transfer| {
                vec![
                    transfer.link.to_owned(),
                    transfer.codec.clone(),
                    bytes(transfer.bytes as f64),
                    seconds(transfer.computed),
                    seconds(transfer.measured),
                    percent(100.0 * (transfer.measured / transfer.computed - 1.0)),
                ]
            });
            let head = ["link", "codec", "bytes", "computed", "measured", "difference"];
            blocks.push(table(&head, rows.collect()));
        }
        Err(why) => blocks.push(paragraph(format!("The arithmetic was not measured in this run: {why}."))),
    }
    section("Time to picture", "waiting", blocks)
}

fn first_visit(results: &Comparison, setting: &Setting) -> Section {
    let (mut gain, mut first) = (Vec::new(), Vec::new());
    for waiting in waiting::all(results, setting).iter().filter(|waiting| !waiting.against.is_empty()) {
        let download = results.contenders.iter().find(|c| c.name == waiting.codec).map_or(0, |c| c.download);
        for against in waiting.against.iter().filter(|_| !waiting.in_browser) {
            gain.push(vec![
                waiting.codec.clone(),
                against.codec.clone(),
                bytes(download as f64),
                against.pictures_to_gain.map_or("never".into(), |pictures| bytes(pictures as f64)),
            ]);
        }
        let decoder = if waiting.in_browser { "in the browser" } else { "native" };
        let mut row = vec![format!("{}, decoded {decoder}", waiting.codec)];
        row.extend(waiting.first_seconds.iter().map(|&s| seconds(s)));
        first.push(row);
    }
    let mut head = vec!["time to the first picture".to_owned()];
    head.extend(LINKS.iter().map(|link| link.name.to_owned()));
    section(
        "First visit",
        "first-visit",
        vec![
            paragraph(
                "A browser loads decoder and weights once (gzipped, then cached). After so many pictures of the mean \
                 size above it has received fewer bytes in all than with the other codec:",
            ),
            table(&["codec", "against", "bytes once", "pictures until gained"], gain),
            Block::Table(Table { head, rows: first, sortable: false }),
        ],
    )
}

fn cost(results: &Comparison, setting: &Setting) -> Section {
    let prices = setting.prices;
    let rows = results.contenders.iter().filter_map(|contender| {
        let name = &contender.name;
        let encode = results.per_pixel(name, |times| times.encode.one_core)? * results.mean_pixels()?;
        let Million { gigabytes, core_seconds, price } = prices.million(results.mean_bytes(name)?, encode);
        let row = [format!("{gigabytes:.1}"), bytes(core_seconds), format!("{price:.2}")];
        Some([name.clone()].into_iter().chain(row).collect())
    });
    let how = format!(
        "At {} for a gigabyte (10⁹ bytes) sent and {} for an hour of a core, pictures sent {} for each encoding \
         (flags --price-gigabyte, --price-core-hour, --views).",
        prices.gigabyte,
        prices.core_hour,
        if prices.views == 1.0 { "once".into() } else { format!("{} times", prices.views) }
    );
    let head = ["codec", "gigabytes", "core seconds", "price"];
    section("A million pictures served", "cost", vec![paragraph(how), table(&head, rows.collect())])
}

fn wall(results: &Comparison) -> Section {
    let ours = results.contenders.iter().find(|contender| contender.ours).map_or("", |c| c.name.as_str());
    let how = format!(
        "The pictures on which {ours} saves least against the best of the others, worst first. Each codec has no more \
         bytes for the whole picture than {ours}; the region is where {ours} is furthest behind in squared error."
    );
    section("Worst cases, at equal bytes", "wall", vec![paragraph(how), Block::Wall])
}

fn pictures(results: &Comparison) -> Section {
    let mut head = vec!["picture".to_owned(), "pixels".into()];
    head.push(results.matches[0].metric().name().into());
    head.extend(results.contenders.iter().map(|contender| format!("{}, bytes", contender.name)));
    let pairs = results.pairs();
    head.extend(pairs.iter().map(|(codec, against)| format!("{codec} against {against}")));
    let rows = results.pictures.iter().map(|picture| {
        let name =
            if picture.graphic { format!("{} (graphics)", picture.name) } else { picture.name.clone() };
        let mut row = vec![name, format!("{}×{}", picture.width, picture.height)];
        row.push(dash(picture.targets[0].map(|target| format!("{target:.2}"))));
        row.extend(results.contenders.iter().map(|c| dash(picture.bytes(&c.name, 0).map(bytes))));
        row.extend(pairs.iter().map(|(codec, against)| {
            let saving = picture.bytes(codec, 0).zip(picture.bytes(against, 0));
            dash(saving.map(|(ours, theirs)| percent(100.0 * (1.0 - ours / theirs))))
        }));
        row
    });
    let table = Table { head, rows: rows.collect(), sortable: true };
    let words = results.matches[0].words();
    let how = format!("Bytes at equal quality ({words}), and savings. A dash: the codec does not reach it.");
    section("Every picture", "pictures", vec![paragraph(how), Block::Table(table)])
}

fn method(results: &Comparison, setting: &Setting) -> Section {
    let versions = results.contenders.iter().map(|c| vec![c.name.clone(), c.version.clone()]).collect();
    section(
        "How it was made",
        "method",
        vec![
            paragraph(format!(
                "On {}, {}, {}. All metrics on 8-bit sRGB; every file decoded by its own codec's decoder. \
                 PSNR over R, G and B; MS-SSIM as pytorch-msssim; SSIMULACRA2 by fast-ssim2; Butteraugli, where \
                 asked for, by the butteraugli crate (3-norm).",
                setting.date,
                setting.machine,
                count(setting.cores, "core")
            )),
            table(&["codec", "version"], versions),
            paragraph(format!("To repeat it: {}", setting.command)),
        ],
    )
}
