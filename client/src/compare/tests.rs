//! A codec with a known curve: what is said of it must be what is known.

use std::path::Path;

use bottleneck_model::evaluate::codec::{CodecError, Scale};

use super::*;

/// Adds an error of the same size to every sample, chosen so that PSNR is `setting` dB as nearly as whole numbers
/// allow, and makes files of `rate`·2^(dB / 6) bytes for each thousand pixels.
struct Fake {
    name: &'static str,
    rate: f64,
    finest: f64,
    /// Refuses pictures of this width.
    refuses: u32,
}

impl Codec for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> &str {
        "1"
    }

    fn scale(&self) -> Scale {
        Scale { parameter: "dB", coarsest: 20.0, finest: self.finest, step: 0.01 }
    }

    fn settings(&self) -> Vec<f64> {
        (0..6).map(|k| 24.0 + f64::from(k) * (self.finest - 24.0) / 5.0).collect()
    }

    fn encode(&self, picture: &Workbench<'_>, setting: f64) -> Result<Vec<u8>, CodecError> {
        let image = picture.image();
        if image.width == self.refuses {
            return Err(CodecError::Refused(format!("a width of {} is too odd", image.width)));
        }
        // The error of whole samples: what it really amounts to decides the bytes.
        let error = 255.0 / 10f64.powf(setting / 20.0);
        let off = (error * error * f64::from(image.width * image.height * 3)).round() as usize;
        let psnr = 10.0 * (255.0 * 255.0 * f64::from(image.width * image.height * 3) / off as f64).log10();
        let pixels = f64::from(image.width * image.height);
        let mut file = vec![0; (self.rate * pixels * 2f64.powf(psnr / 6.0)).round() as usize];
        file[..8].copy_from_slice(&(off as u64).to_le_bytes());
        Ok(file)
    }

    /// Spreads the squared error over the samples: steps of 8 while they fit, then of 1.
    fn decode(&self, picture: &Workbench<'_>, file: &[u8]) -> Result<Image, CodecError> {
        let mut image = picture.image().clone();
        let mut left = u64::from_le_bytes(file[..8].try_into().unwrap());
        let count = image.rgb.len() as u64;
        for (index, sample) in image.rgb.iter_mut().enumerate() {
            let share = left / (count - index as u64);
            let step = (share as f64).sqrt().ceil() as u64;
            let step = if step * step <= left { step } else { u64::from(left > 0) };
            *sample = sample.wrapping_add(step as u8);
            left -= step * step;
        }
        Ok(image)
    }
}

fn contestant(fake: Fake, ours: bool) -> Contestant {
    Contestant { codec: Box::new(fake), programs: None, ours, download: 1_000_000, model: None }
}

fn picture(folder: &Path, name: &str, width: u32, height: u32) -> PathBuf {
    let sample = |i: u32| 60 + ((i * 7919) % 97) as u8;
    let rgb = (0..width * height * 3).map(sample).collect();
    let path = folder.join(name);
    bottleneck_model::evaluate::picture::write_png(&Image { width, height, rgb }, &path).unwrap();
    path
}

fn options(matches: &[&str]) -> Options {
    let matches = matches.iter().map(|text| text.parse().unwrap()).collect();
    Options { metrics: vec![Metric::Psnr, Metric::Ssimulacra2], matches, timed: 0, crops: 1 }
}

fn run(pictures: &[PathBuf], contestants: &[Contestant], matches: &[&str]) -> Comparison {
    compare(pictures, contestants, &options(matches), &mut |_| ()).unwrap()
}

const OURS: Fake = Fake { name: "ours", rate: 0.0016, finest: 42.0, refuses: 0 };
const OTHER: Fake = Fake { name: "other", rate: 0.002, finest: 42.0, refuses: 0 };

#[test]
fn a_codec_with_four_fifths_of_the_bytes_saves_twenty_percent() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = [(64, 64), (96, 80), (128, 64)]
        .map(|(width, height)| picture(folder.path(), &format!("{width}.png"), width, height));
    let results = run(&pictures, &[contestant(OURS, true), contestant(OTHER, false)], &["psnr=33"]);
    let savings = &results.savings[0][0];
    assert_eq!((savings.codec.as_str(), savings.against.as_str(), savings.pictures), ("ours", "other", 3));
    let spread = savings.spread.unwrap();
    for figure in [spread.median, spread.p10, spread.p90, spread.total, spread.interval.0, spread.interval.1]
    {
        assert!((figure - 20.0).abs() < 0.5, "{spread:?}");
    }
    let rate = results.bd_rates.iter().find(|bd| bd.metric == Metric::Psnr).unwrap().rate.unwrap();
    assert!((rate.percent + 20.0).abs() < 0.2, "{rate:?}");
    assert_eq!((rate.low, rate.high), (28.5, 37.5));
    // The size at 33 dB is that of the formula.
    let bytes = results.pictures[0].bytes("other", 0).unwrap();
    let known = 0.002 * 64.0 * 64.0 * 2f64.powf(33.0 / 6.0);
    assert!((bytes / known - 1.0).abs() < 0.005, "{bytes} for {known}");
}

#[test]
fn what_cannot_be_compared_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut pictures =
        [64, 72, 80].map(|width| picture(folder.path(), &format!("{width}.png"), width, 64)).to_vec();
    pictures.push(picture(folder.path(), "small.png", 16, 64));
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, "no picture").unwrap();
    pictures.push(broken);
    let ours = Fake { refuses: 72, finest: 38.0, ..OURS };
    let contestants = [contestant(ours, true), contestant(OTHER, false)];
    let results = run(&pictures, &contestants, &["psnr=33", "psnr=40", "psnr=15"]);
    let unusable: Vec<_> = results.unusable.iter().map(|u| u.picture.as_str()).collect();
    assert_eq!(unusable, ["small.png", "broken.png"]);
    let failures: Vec<_> = results.failures().map(|(p, s)| (p.name.as_str(), s.codec.as_str())).collect();
    assert_eq!(failures, [("72.png", "ours")]);
    let counts = |at: usize| {
        let savings = &results.savings[at][0];
        (savings.pictures, savings.unreached, savings.unreached_by_other)
    };
    assert_eq!(counts(0), (2, 1, 0));
    // Finer than the codec under test gets, and coarser than any.
    assert_eq!(counts(1), (0, 3, 0));
    assert_eq!(results.pictures[0].series[0].found[1], Found::TooCoarse);
    assert_eq!(results.pictures[0].series[1].found[2], Found::TooFine);
    assert_eq!(results.savings[1][0].spread, None);

    let setting = Setting::example();
    let report = Report::new(&results, &setting);
    for text in [report.markdown(), report.html()] {
        for words in ["small.png", "broken.png", "72.png", "a width of 72 is too odd", "heic cannot"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
    }
}

#[test]
fn losses_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = [picture(folder.path(), "a.png", 64, 64)];
    let ours = Fake { rate: 0.003, ..OURS };
    let results = run(&pictures, &[contestant(ours, true), contestant(OTHER, false)], &["psnr=33"]);
    let text = Report::new(&results, &Setting::example()).markdown();
    let (loss, table) = (text.find("% more bytes than other"), text.find("## Savings"));
    assert!(loss.is_some() && loss < table, "{text}");
}

#[test]
fn crops_are_of_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = [picture(folder.path(), "a.png", 300, 200)];
    let results = run(&pictures, &[contestant(OURS, true), contestant(OTHER, false)], &["psnr=33"]);
    let [wall] = &results.walls[..] else { panic!("one wall") };
    let bytes: Vec<_> = wall.crops.iter().map(|crop| (crop.codec.as_str(), crop.bytes)).collect();
    let (ours, theirs) = (bytes[1].1.unwrap(), bytes[2].1.unwrap());
    assert_eq!((bytes[0], bytes[1].0, bytes[2].0), (("original", None), "ours", "other"));
    assert!(theirs <= ours && theirs >= ours - ours / 50, "{bytes:?}");
}

#[test]
fn comparisons_without_a_partner_are_refused() {
    let alone = [contestant(OURS, true)];
    let error = compare(&[], &alone, &options(&["psnr=33"]), &mut |_| ()).unwrap_err();
    assert!(matches!(error, CompareError::NoCodec), "{error}");
    let both = [contestant(OURS, true), contestant(OTHER, false)];
    let error = compare(&["gone.png".into()], &both, &options(&["psnr=33"]), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("gone.png"), "{error}");
}
