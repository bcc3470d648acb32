//! Pictures through `bottleneck encode` and `decode`, with the model in this build.

mod common;

use std::fs;
use std::path::Path;

use common::{names, run, run_with};
use image::{Rgb, RgbImage};
use tempfile::{TempDir, tempdir};

/// A smooth picture, in which every pixel differs a little from its neighbours.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([90 + (x * 2 % 100) as u8, 60 + (y * 3 % 120) as u8, 120 + ((x + y) % 80) as u8])
    })
}

fn folder_with(name: &str, picture: &RgbImage) -> TempDir {
    let folder = tempdir().unwrap();
    picture.save(folder.path().join(name)).unwrap();
    folder
}

fn json(run: &common::Run) -> serde_json::Value {
    serde_json::from_slice(&run.succeeded().stdout).unwrap()
}

/// Over all samples, in dB.
fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let squares = a.iter().zip(b.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    let mse = squares.sum::<f64>() / a.len() as f64;
    10.0 * (255.0f64.powi(2) / mse.max(1e-9)).log10()
}

fn read(path: &Path) -> RgbImage {
    image::open(path).unwrap().into_rgb8()
}

#[test]
fn pictures_of_any_size_come_back() {
    for (width, height) in [(1, 1), (3, 5), (17, 1), (65, 33)] {
        let original = picture(width, height);
        let folder = folder_with("in.png", &original);
        let made = json(&run(folder.path(), &["encode", "in.png", "out.bnk", "-q", "100", "--json"]));
        assert_eq!(
            (made["width"].as_u64(), made["height"].as_u64()),
            (Some(width.into()), Some(height.into()))
        );
        assert_eq!(made["model_at_hand"], true);
        assert_eq!(made["quality"], 100.0);
        let bytes = fs::metadata(folder.path().join("out.bnk")).unwrap().len();
        assert_eq!(made["bytes"].as_u64(), Some(bytes));

        run(folder.path(), &["decode", "out.bnk", "back.png"]).succeeded();
        let back = read(&folder.path().join("back.png"));
        assert!(psnr(&original, &back) > 25.0, "{width}×{height}: {} dB", psnr(&original, &back));
        assert_eq!(names(folder.path()), ["back.png", "in.png", "out.bnk"]);
    }
}

#[test]
fn every_format_holds_the_same_picture() {
    let folder = folder_with("in.png", &picture(65, 33));
    let made = run(folder.path(), &["encode", "in.png", "out.bnk"]);
    assert!(made.succeeded().text().starts_with("out.bnk: 65×33, "), "{}", made.text());
    for name in ["a.png", "a.webp", "a.jpg", "a.PPM"] {
        run(folder.path(), &["decode", "out.bnk", name]).succeeded();
    }
    let png = read(&folder.path().join("a.png"));
    assert_eq!(read(&folder.path().join("a.webp")), png);
    assert!(psnr(&read(&folder.path().join("a.jpg")), &png) > 30.0);
    let ppm = fs::read(folder.path().join("a.PPM")).unwrap();
    assert_eq!(ppm, [b"P6\n65 33\n255\n", png.as_raw().as_slice()].concat());
}

#[test]
fn standard_input_and_output_serve_too() {
    let folder = folder_with("in.png", &picture(33, 17));
    let photo = fs::read(folder.path().join("in.png")).unwrap();
    let code = run_with(folder.path(), &["encode", "-", "-"], &photo);
    run(folder.path(), &["encode", "in.png", "out.bnk"]).succeeded();
    assert_eq!(code.succeeded().stdout, fs::read(folder.path().join("out.bnk")).unwrap());

    let png = run_with(folder.path(), &["decode", "-", "-"], &code.stdout);
    let picture = image::load_from_memory(&png.succeeded().stdout).unwrap().into_rgb8();
    let ppm = run_with(folder.path(), &["decode", "-", "-", "--format", "ppm"], &code.stdout);
    assert_eq!(ppm.succeeded().stdout, [b"P6\n33 17\n255\n", picture.as_raw().as_slice()].concat());
}

#[test]
fn both_built_in_models_make_codes_that_open() {
    let folder = folder_with("in.png", &picture(96, 64));
    for profile in ["lite", "base"] {
        run(folder.path(), &["encode", "in.png", "a.bnk", "--profile", profile]);
        assert_eq!(run(folder.path(), &["decode", "a.bnk", "a.png"]).status, 0, "{profile}");
        let info = json(&run(folder.path(), &["info", "a.bnk", "--json"]));
        assert_eq!(info["model_at_hand"], true, "{profile}");
        let model = json(&run(folder.path(), &["info", "--model", profile, "--json"]));
        assert_eq!((&model["profile"], &model["id"]), (&profile.into(), &info["model"]));
    }
}

#[test]
fn effort_is_taken_and_bounded() {
    let folder = folder_with("in.png", &picture(96, 64));
    let made = run(folder.path(), &["encode", "in.png", "a.bnk", "--effort", "2", "--json"]);
    assert!(json(&made)["bytes"].as_u64().unwrap() > 0);
    assert_eq!(run(folder.path(), &["decode", "a.bnk", "a.png"]).status, 0);
    // No time at all leaves the plain code.
    run(folder.path(), &["encode", "in.png", "plain.bnk"]);
    run(folder.path(), &["encode", "in.png", "b.bnk", "--effort", "9", "--max-seconds", "1e-9"]);
    let read = |name| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("b.bnk"), read("plain.bnk"));
    assert_eq!(run(folder.path(), &["encode", "in.png", "c.bnk", "--effort", "10"]).status, 2);
}

#[test]
fn a_target_is_met_from_below() {
    let folder = folder_with("in.png", &picture(256, 256));
    let size = |quality: &str| {
        let made = run(folder.path(), &["encode", "in.png", "q.bnk", "-q", quality, "--json"]);
        json(&made)["bytes"].as_u64().unwrap()
    };
    let (least, most) = (size("0"), size("100"));
    let target = (least + most) / 2;
    let made =
        run(folder.path(), &["encode", "in.png", "a.bnk", "--json", "--target-size", &target.to_string()]);
    let bytes = json(&made)["bytes"].as_u64().unwrap();
    assert!(bytes <= target && bytes >= target - target / 50, "{bytes} for {target}");

    let bpp = target as f64 * 8.0 / 65536.0;
    let by_bpp =
        run(folder.path(), &["encode", "in.png", "b.bnk", "--json", "--target-bpp", &bpp.to_string()]);
    assert_eq!(json(&by_bpp)["bytes"].as_u64(), Some(bytes));

    // More than the finest code needs: that is said.
    let high = (2 * most).to_string();
    let finest = run(folder.path(), &["encode", "in.png", "finest.bnk", "--target-size", &high]);
    assert_eq!((finest.status, finest.stderr.lines().count()), (0, 1), "{}", finest.stderr);
    for words in ["note: ", &most.to_string(), "2 % below", &high] {
        assert!(finest.stderr.contains(words), "{words}: {}", finest.stderr);
    }

    let low = (least - 1).to_string();
    run(folder.path(), &["encode", "in.png", "c.bnk", "--target-size", &low])
        .failed(1, &["smallest code", &least.to_string()]);
    assert!(!folder.path().join("c.bnk").exists());
}

#[test]
fn wrong_usage_exits_2() {
    let folder = folder_with("in.png", &picture(3, 5));
    for arguments in [
        &["-q", "101"][..],
        &["-q", "-1"],
        &["-q", "50", "--target-size", "100"],
        &["--target-size", "100", "--target-bpp", "1"],
        &["--target-bpp", "0"],
        &["--profile", "huge"],
        &["--profile", "lite", "--model", "other.model"],
        &["--device", "abacus"],
        &["--background", "mauve"],
        &["--frame", "first"],
    ] {
        let arguments = [&["encode", "in.png", "out.bnk"], arguments].concat();
        run(folder.path(), &arguments).failed(2, &[]);
    }
    run(folder.path(), &["encode", "in.png", "-", "--json"]).failed(2, &["--json"]);
    run(folder.path(), &["encode", "in.png", "in.png"]).failed(2, &["both input and output"]);
    assert_eq!(names(folder.path()), ["in.png"]);
}

#[test]
fn what_cannot_be_encoded_leaves_no_code() {
    let folder = folder_with("in.png", &picture(30, 20));
    fs::write(folder.path().join("text.png"), b"<!doctype html><title>Not found</title>").unwrap();
    fs::write(folder.path().join("old.bnk"), b"older").unwrap();
    run(folder.path(), &["encode", "text.png", "old.bnk"]).failed(1, &["text.png", "not a picture"]);
    run(folder.path(), &["encode", "none.png", "old.bnk"]).failed(1, &["cannot read none.png"]);
    run(folder.path(), &["encode", "in.png", "none/a.bnk"]).failed(1, &["does not exist"]);
    run(folder.path(), &["encode", "in.png", "new.bnk", "--max-pixels", "599"])
        .failed(1, &["30 x 20", "599"]);
    run(folder.path(), &["encode", "in.png", "new.bnk", "--model", "text.png"]).failed(1, &["not a model"]);
    assert_eq!(fs::read(folder.path().join("old.bnk")).unwrap(), b"older");
    assert_eq!(names(folder.path()), ["in.png", "old.bnk", "text.png"]);
}

#[test]
fn a_picture_that_fails_on_the_way_is_not_left_half_written() {
    let folder = folder_with("wide.png", &picture(16_384, 1));
    run(folder.path(), &["encode", "wide.png", "wide.bnk"]).succeeded();
    fs::write(folder.path().join("old.webp"), b"older").unwrap();
    run(folder.path(), &["decode", "wide.bnk", "old.webp"]).failed(1, &["WebP", "16384×1"]);
    assert_eq!(fs::read(folder.path().join("old.webp")).unwrap(), b"older");
    assert_eq!(names(folder.path()), ["old.webp", "wide.bnk", "wide.png"]);
    #[cfg(target_os = "linux")]
    for format in ["png", "ppm", "jpeg"] {
        let full = run(folder.path(), &["decode", "wide.bnk", "/dev/full", "--format", format]);
        full.failed(1, &["No space left on device"]);
    }
}
