//! Published and measured rate–distortion points to compare with, read from a folder of JSON files.
//!
//! Two forms are understood: CompressAI's, `{"name": …, "results": {"bpp": […], "psnr-rgb": […]}}`, which gives
//! one curve named after its file; and `{"curve": {"bpp": […], "psnr": […]}, …}`, which gives one for each key.
//! Codecs trained for MS-SSIM are left out, for a BD-rate over their PSNR says nothing; so are files without
//! PSNR. The points hold for the pictures that they were measured on, and are compared with no others.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bd_rate::{Curve, CurveError};

/// Anchors that a codec is compared with by default: label, then the names of curves that will do, best first.
pub const MAIN_ANCHORS: [(&str, &[&str]); 5] = [
    (VTM, &["vtm"]),
    ("JPEG", &["jpeg"]),
    ("WebP", &["webp-m6", "webp"]),
    ("AVIF s6", &["avif444-s6"]),
    ("BPG", &["bpg_444_x265_ycbcr"]),
];

/// Label of the anchor that the others are checked against: H.266's reference encoder.
pub const VTM: &str = "VTM";

/// Why anchors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// What could not be read.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not JSON.
    #[error("{path} is not JSON: {source}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// A file's `bpp` and PSNR are not two lists of numbers of one length.
    #[error("{path}: `{curve}` does not hold two number lists of one length", path = path.display())]
    Points {
        /// The file.
        path: PathBuf,
        /// The curve in it.
        curve: String,
    },
    /// The points of a curve cannot be interpolated.
    #[error("{path}: `{curve}`: {source}", path = path.display())]
    Curve {
        /// The file.
        path: PathBuf,
        /// The curve in it.
        curve: String,
        /// What is wrong with the points.
        source: CurveError,
    },
    /// The folder holds no curve at all.
    #[error("no rate–PSNR curve in {folder}: expected *.json with `bpp` and `psnr-rgb` or `psnr`", folder = .0.display())]
    Empty(PathBuf),
}

/// One anchor.
#[derive(Clone, Debug)]
pub struct Anchor {
    /// File stem, or key inside the file where it holds several curves.
    pub name: String,
    /// Points `(bits per pixel, PSNR-RGB in dB)`, as the file has them.
    pub points: Vec<(f64, f64)>,
    /// The same, ready to compare.
    pub curve: Curve,
}

/// Reads every anchor of a folder, ordered by name.
pub fn read_anchors(folder: &Path) -> Result<Vec<Anchor>, AnchorError> {
    let read_error = |path: &Path| {
        let path = path.to_path_buf();
        move |source| AnchorError::Read { path, source }
    };
    let mut anchors = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read_error(folder))? {
        let path = entry.map_err(read_error(folder))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read(&path).map_err(read_error(&path))?;
        let json = serde_json::from_slice(&text)
            .map_err(|source| AnchorError::Json { path: path.clone(), source })?;
        anchors.extend(curves(&path, &json)?);
    }
    if anchors.is_empty() {
        return Err(AnchorError::Empty(folder.to_path_buf()));
    }
    anchors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(anchors)
}

/// The anchor for a label of [`MAIN_ANCHORS`].
pub fn find<'a>(anchors: &'a [Anchor], label: &str) -> Option<&'a Anchor> {
    let (_, names) = MAIN_ANCHORS.iter().find(|(known, _)| *known == label)?;
    names.iter().find_map(|name| anchors.iter().find(|anchor| anchor.name == *name))
}

fn curves(path: &Path, json: &Value) -> Result<Vec<Anchor>, AnchorError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let trained_for_ms_ssim = stem.contains("_ms-ssim")
        || json.pointer("/meta/opt_metric").and_then(Value::as_str).is_some_and(|m| m.starts_with("ms-ssim"));
    if trained_for_ms_ssim {
        return Ok(Vec::new());
    }
    let named: Vec<(String, &Value)> = match (json.get("results"), json.as_object()) {
        (Some(results), _) => vec![(stem, results)],
        (None, Some(map)) => map.iter().map(|(name, curve)| (name.clone(), curve)).collect(),
        (None, None) => Vec::new(),
    };
    let mut anchors = Vec::new();
    for (name, results) in named {
        let (Some(bpp), Some(psnr)) =
            (results.get("bpp"), results.get("psnr-rgb").or_else(|| results.get("psnr")))
        else {
            continue;
        };
        let points = numbers(bpp)
            .zip(numbers(psnr))
            .filter(|(bpp, psnr)| bpp.len() == psnr.len())
            .map(|(bpp, psnr)| bpp.into_iter().zip(psnr).collect::<Vec<_>>())
            .ok_or_else(|| AnchorError::Points { path: path.to_path_buf(), curve: name.clone() })?;
        let curve = Curve::new(&points).map_err(|source| AnchorError::Curve {
            path: path.to_path_buf(),
            curve: name.clone(),
            source,
        })?;
        anchors.push(Anchor { name, points, curve });
    }
    Ok(anchors)
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn both_forms_are_read_and_others_left_out() {
        let folder = folder(&[
            ("vtm.json", r#"{"name": "V", "results": {"bpp": [0.1, 0.2], "psnr-rgb": [28, 30.5], "x": 1}}"#),
            (
                "own.json",
                r#"{"webp-m6": {"bpp": [1, 2], "psnr": [30, 33], "enc": [1]}, "note": {"bpp": [1]}}"#,
            ),
            ("net_ms-ssim_cpu.json", r#"{"results": {"bpp": [0.1, 0.2], "psnr-rgb": [28, 30.5]}}"#),
            (
                "net.json",
                r#"{"meta": {"opt_metric": "ms-ssim-rgb"}, "results": {"bpp": [1, 2], "psnr-rgb": [3, 4]}}"#,
            ),
            ("paper.json", r#"{"results": {"bpp": [0.1, 0.2], "ms-ssim-db-rgb": [8, 10.5]}}"#),
            ("README.md", "not JSON"),
        ]);
        let anchors = read_anchors(folder.path()).unwrap();
        let names: Vec<_> = anchors.iter().map(|anchor| anchor.name.as_str()).collect();
        assert_eq!(names, ["vtm", "webp-m6"]);
        assert_eq!(find(&anchors, VTM).unwrap().points, [(0.1, 28.0), (0.2, 30.5)]);
        assert_eq!(find(&anchors, "WebP").unwrap().name, "webp-m6");
        assert!(find(&anchors, "BPG").is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |files: &[(&str, &str)]| read_anchors(folder(files).path()).unwrap_err().to_string();
        assert!(message(&[("a.json", "{")]).contains("a.json is not JSON"));
        assert!(
            message(&[("a.json", r#"{"c": {"bpp": [1, 2], "psnr": [3]}}"#)]).contains("`c` does not hold")
        );
        assert!(message(&[("a.json", r#"{"c": {"bpp": [1], "psnr": [3]}}"#)]).contains("two points"));
        assert!(message(&[("a.txt", "")]).contains("no rate–PSNR curve"));
        let missing = read_anchors(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(missing.contains("no/such/folder"), "{missing}");
    }
}
