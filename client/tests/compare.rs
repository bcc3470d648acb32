//! `bottleneck compare` and `bottleneck encode --match` as they are run.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use bottleneck_model::evaluate::metrics::Reference;
use bottleneck_model::evaluate::peers::{Peer, PeerError, Workbench};
use bottleneck_model::evaluate::picture::{read_decoded, read_original};
use common::{names, run};
use tempfile::tempdir;

/// A part of a photograph that the project owns.
fn picture(path: &Path, width: u32, height: u32) {
    let cat = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/page/samples/cat.jpg");
    image::open(cat).unwrap().crop_imm(80, 40, width, height).into_rgb8().save(path).unwrap();
}

/// Whether the JPEG tools are there; where not, it is said.
fn has_jpeg(test: &str) -> bool {
    match Peer::Jpeg.detect() {
        Ok(_) => true,
        Err(error @ PeerError::Missing { .. }) => {
            assert!(std::env::var_os("BOTTLENECK_SKIP_NOTHING").is_none(), "{test}: {error}");
            // Not through the macros, of which the output is kept from those who run the tests.
            let _ = writeln!(std::io::stderr(), "############ SKIPPED: {test}: {error} ############");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_folder_is_compared_and_the_report_written() {
    if !has_jpeg("comparing with JPEG") {
        return;
    }
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    picture(&folder.path().join("pictures/a.png"), 192, 176);
    picture(&folder.path().join("pictures/b.png"), 176, 200);
    let arguments = "compare pictures --codecs bottleneck,jpeg --qualities 10,60,100 --timed 1 --crops 1 \
                     --match jpeg:30,psnr=99 --json --report out";
    let made = run(folder.path(), &arguments.split_whitespace().collect::<Vec<_>>());
    let json: serde_json::Value = serde_json::from_str(made.succeeded().text()).unwrap();
    let files = names(&folder.path().join("out"));
    for file in
        ["index.html", "report.md", "report.json", "curve-psnr.svg", "waiting.svg", "crop-1-jpeg.webp"]
    {
        assert!(files.iter().any(|name| name == file), "{file} is not in {files:?}");
    }
    let results = &json["results"];
    assert_eq!(results["pictures"].as_array().unwrap().len(), 2);
    // JPEG meets its own quality at its own size, whatever a search does.
    for picture in results["pictures"].as_array().unwrap() {
        let jpeg = &picture["series"][1]["found"][0]["size"];
        assert_eq!(jpeg["setting"], 30.0, "{jpeg}");
        let (exact, file) = (jpeg["bytes"].as_f64().unwrap(), jpeg["file_bytes"].as_f64().unwrap());
        assert!((exact - file).abs() < 1.0, "{jpeg}");
    }
    // Nobody reaches 99 dB by a lossy code.
    assert_eq!(results["savings"][1][0]["unreached"], 2);
    for times in results["times"].as_array().unwrap() {
        assert!(times["decode"]["all_cores"].as_f64().unwrap() > 0.0, "{times}");
    }
    let page = fs::read_to_string(folder.path().join("out/index.html")).unwrap();
    assert!(page.contains("does not reach the quality (psnr 99) on 2 of 2 pictures"), "{page}");
    for outside in ["src=\"http", "href=\"http", "url(http", "@import"] {
        assert!(!page.contains(outside), "the page loads {outside}");
    }
    let command = json["setting"]["command"].as_str().unwrap();
    assert_eq!(command, format!("bottleneck {}", arguments.split_whitespace().collect::<Vec<_>>().join(" ")));
}

#[test]
fn what_cannot_be_compared_says_why() {
    let folder = tempdir().unwrap();
    picture(&folder.path().join("a.png"), 64, 64);
    run(folder.path(), &["compare", "a.png", "--codecs", "bottleneck,heic"]).failed(2, &["`heic`", "avif"]);
    run(folder.path(), &["compare", "a.png", "--match", "vmaf=90"]).failed(2, &["METRIC=VALUE"]);
    run(folder.path(), &["compare", "a.png", "--metrics", "vmaf"]).failed(2, &["butteraugli"]);
    run(folder.path(), &["compare", "gone.png"]).failed(1, &["gone.png"]);
    // Without its tools a codec is missing, and that is said first.
    let mut alone = common::command(folder.path());
    alone.args(["compare", "a.png", "--codecs", "bottleneck,webp", "--match", "psnr=30"]).env("PATH", "");
    let output = alone.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("webp cannot be compared: `cwebp` does not start"), "{said}");
    let alone = ["compare", "a.png", "--codecs", "bottleneck", "--match", "psnr=30"];
    run(folder.path(), &alone).failed(1, &["this codec and another"]);
}

#[test]
fn a_code_is_as_good_as_the_jpeg_that_it_matches_and_hardly_better() {
    if !has_jpeg("encode --match") {
        return;
    }
    let folder = tempdir().unwrap();
    picture(&folder.path().join("in.png"), 192, 176);
    run(folder.path(), &["encode", "in.png", "out.bnk", "--match", "jpeg:30"]).succeeded();
    run(folder.path(), &["decode", "out.bnk", "out.png"]).succeeded();
    let original = read_original(&folder.path().join("in.png")).unwrap();
    let reference = Reference::new(&original).unwrap();
    let bench = Workbench::new(&original).unwrap();
    let jpeg = bench.decode(Peer::Jpeg, &bench.encode(Peer::Jpeg, 30.0).unwrap()).unwrap();
    let wanted = reference.measure(&jpeg).unwrap().ssimulacra2;
    let decoded = read_decoded(&folder.path().join("out.png")).unwrap();
    let found = reference.measure(&decoded).unwrap().ssimulacra2;
    assert!(found >= wanted && found < wanted + 0.1, "{found} for {wanted}");

    run(folder.path(), &["encode", "in.png", "fine.bnk", "--match", "psnr=99"])
        .failed(1, &["quality 100", "99"]);
    run(folder.path(), &["encode", "in.png", "a.bnk", "--match", "jpeg:30", "-q", "3"])
        .failed(2, &["--quality"]);
}
