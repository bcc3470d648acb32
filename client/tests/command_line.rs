//! Arguments, exit status and files of the `bottleneck` command line. No picture is decoded here.

mod common;

use std::fs;
use std::io::Write;

use bottleneck_proto::{Container, ModelId, Quality, write};
use common::{command, names, run, run_with};
use tempfile::tempdir;

/// A well-formed code of a model that nobody has, with rubbish in its strip.
fn foreign_code(width: u16, height: u16) -> Vec<u8> {
    let rubbish = [0xa5; 40];
    let strips = vec![&rubbish[..]; bottleneck_proto::strip_count(height)];
    let model = ModelId([0xab; 8]);
    write(&Container { experimental: false, model, width, height, quality: Quality(32768), strips }).unwrap()
}

#[test]
fn wrong_usage_exits_2() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("a.bnk"), b"x").unwrap();
    for arguments in [
        &["decode"][..],
        &["decode", "a.bnk"],
        &["decode", "a.bnk", "a.gif"],
        &["decode", "a.bnk", "noextension"],
        &["decode", "a.bnk", "a.png", "--max-pixels", "-1"],
        &["decode", "a.bnk", "a.png", "--format", "gif"],
        &["decode", "a.bnk", "a.bnk", "--format", "png"],
        &["info"],
        &["info", "a.bnk", "--model"],
        &["upload", "a.png"],
        &["upload", "-", "--server", "http://127.0.0.1:9"],
        &["upload", "a.png", "--server", "http://127.0.0.1:9", "-q", "100.1"],
        &["upload", "a.png", "--server", "http://127.0.0.1:9", "-q", "nan"],
        &["upload", "a.png", "--server", "http://127.0.0.1:9", "--json", "-o", "-"],
        &["frobnicate"],
    ] {
        run(folder.path(), arguments).failed(2, &[]);
    }
    assert_eq!(run::<&str>(folder.path(), &[]).status, 2);
    assert_eq!(fs::read(folder.path().join("a.bnk")).unwrap(), b"x");
    assert_eq!(names(folder.path()), ["a.bnk"]);
}

#[test]
fn help_and_version_exit_0() {
    let folder = tempdir().unwrap();
    let help = run(folder.path(), &["--help"]);
    for command in ["encode", "decode", "info", "upload"] {
        assert!(help.succeeded().text().contains(command), "{}", help.text());
    }
    for command in ["decode", "info", "upload"] {
        assert!(run(folder.path(), &[command, "--help"]).succeeded().text().contains("Usage"));
    }
    assert!(run(folder.path(), &["--version"]).succeeded().text().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn missing_inputs_are_named() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    for arguments in [
        &["decode", "none.bnk", "a.png"][..],
        &["info", "none.bnk"],
        &["upload", "none.bnk", "--server", "http://127.0.0.1:9", "-o", "a.bnk"],
    ] {
        run(folder.path(), arguments).failed(1, &["cannot read none.bnk"]);
    }
    run(folder.path(), &["info", "folder"]).failed(1, &["folder", "it is a folder"]);
    assert_eq!(names(folder.path()), ["folder"]);
}

#[test]
fn bad_outputs_are_told_before_the_input_is_read() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("out.png")).unwrap();
    run(folder.path(), &["decode", "none.bnk", "out.png"]).failed(1, &["out.png is a folder"]);
    run(folder.path(), &["decode", "none.bnk", "no/where/a.png"]).failed(1, &["no/where", "does not exist"]);
    let upload = ["upload", "none.png", "--server", "http://127.0.0.1:9", "-o", "gone/a.bnk"];
    run(folder.path(), &upload).failed(1, &["gone", "does not exist"]);
}

#[test]
fn what_is_no_code_leaves_no_picture() {
    let folder = tempdir().unwrap();
    let mut damaged = foreign_code(40, 30);
    damaged[30] ^= 1;
    let cut = &foreign_code(40, 30)[..30];
    let inputs: [(&str, &[u8], &str); 5] = [
        ("empty.bnk", b"", "empty"),
        ("text.bnk", b"<!doctype html><title>Not found</title>", "not a bottleneck code"),
        ("photo.bnk", b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xdb", "a JPEG picture"),
        ("damaged.bnk", &damaged, "damaged"),
        ("cut.bnk", cut, "cut short"),
    ];
    let output = folder.path().join("old.png");
    fs::write(&output, b"an older picture").unwrap();
    for (name, bytes, words) in inputs {
        let input = folder.path().join(name);
        fs::write(&input, bytes).unwrap();
        run(folder.path(), &["decode", name, "old.png"]).failed(1, &[name, words]);
        run(folder.path(), &["decode", name, "new.png"]).failed(1, &[name, words]);
        run(folder.path(), &["info", name]).failed(1, &[name, words]);
        run_with(folder.path(), &["decode", "-", "-"], bytes).failed(1, &[words]);
        fs::remove_file(input).unwrap();
    }
    assert_eq!(fs::read(&output).unwrap(), b"an older picture");
    assert_eq!(names(folder.path()), ["old.png"]);
}

#[test]
fn pictures_over_the_limit_are_refused() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("a.bnk"), foreign_code(65535, 65535)).unwrap();
    run(folder.path(), &["decode", "a.bnk", "a.png"]).failed(1, &["65535×65535", "100000000"]);
    let small = foreign_code(20, 10);
    let limited = ["decode", "-", "a.png", "--max-pixels", "199"];
    run_with(folder.path(), &limited, &small).failed(1, &["20×10", "199"]);
}

#[test]
fn an_unknown_model_is_named_with_what_to_do() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("a.bnk"), foreign_code(20, 10)).unwrap();
    run(folder.path(), &["decode", "a.bnk", "a.png"]).failed(1, &["abababababababab", "--model"]);
    fs::write(folder.path().join("junk.model"), b"no weights").unwrap();
    let arguments = ["decode", "a.bnk", "a.png", "--model", "junk.model"];
    run(folder.path(), &arguments).failed(1, &["junk.model is not a model"]);
    run(folder.path(), &["info", "--model", "junk.model"]).failed(1, &["junk.model is not a model"]);
    assert_eq!(names(folder.path()), ["a.bnk", "junk.model"]);
}

#[test]
fn info_tells_the_header() {
    let folder = tempdir().unwrap();
    let code = foreign_code(20, 600);
    fs::write(folder.path().join("a.bnk"), &code).unwrap();
    let json = run(folder.path(), &["info", "a.bnk", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.succeeded().stdout).unwrap();
    let expected = serde_json::json!({
        "file": "a.bnk",
        "bytes": code.len(),
        "bpp": code.len() as f64 * 8.0 / 12_000.0,
        "width": 20,
        "height": 600,
        "quality": 50.0,
        "model": "abababababababab",
        "model_at_hand": false,
        "strips": 2,
        "experimental": false,
    });
    assert_eq!(json, expected);
    let text = run_with(folder.path(), &["info", "-"], &code);
    for words in ["20 × 600", "abababababababab (not at hand)", "strips   2"] {
        assert!(text.succeeded().text().contains(words), "{}", text.text());
    }
}

#[test]
fn a_batch_that_failed_in_part_exits_3() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("a.bnk"), foreign_code(20, 10)).unwrap();
    fs::write(folder.path().join("b.bnk"), foreign_code(20, 10)).unwrap();
    let run = run(folder.path(), &["info", "--json", "a.bnk", "none.bnk", "b.bnk"]);
    run.failed(3, &["none.bnk"]);
    assert_eq!(run.text().lines().count(), 2, "{}", run.text());
    let both = common::run(folder.path(), &["info", "none.bnk", "nothing.bnk"]);
    assert_eq!(both.status, 1);
    assert_eq!(both.stderr.lines().count(), 2, "{}", both.stderr);
}

#[test]
fn info_tells_the_model_of_this_build() {
    let folder = tempdir().unwrap();
    let json = run(folder.path(), &["info", "--model", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.succeeded().stdout).unwrap();
    assert_eq!(json["id"].as_str().unwrap().len(), 16);
    assert_eq!(json["profile"], "lite");
    let total = json["decoder_kmac_per_pixel"].as_f64().unwrap();
    let networks = json["decoder"].as_array().unwrap();
    let sum: f64 = networks.iter().map(|network| network["kmac_per_pixel"].as_f64().unwrap()).sum();
    assert!(total > 0.0 && (sum - total).abs() < 1e-9);
    assert_eq!(json["encoder"].as_array().unwrap().is_empty(), !cfg!(feature = "encode"));
    let text = run(folder.path(), &["info", "--model"]);
    assert!(text.succeeded().text().contains(json["id"].as_str().unwrap()));
    assert!(text.text().contains("decoder total"));
}

#[test]
fn a_closed_output_is_no_failure() {
    let folder = tempdir().unwrap();
    let mut child = command(folder.path()).args(["info", "-"]).spawn().unwrap();
    drop(child.stdout.take());
    // Only now can it have something to print.
    child.stdin.take().unwrap().write_all(&foreign_code(20, 10)).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}

#[cfg(not(feature = "encode"))]
#[test]
fn without_an_encoder_it_says_how_to_get_one() {
    let folder = tempdir().unwrap();
    run(folder.path(), &["encode", "a.png", "a.bnk", "-q", "50"]).failed(1, &["feature `encode`", "upload"]);
}
