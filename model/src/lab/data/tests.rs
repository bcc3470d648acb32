use super::*;
use crate::lab::tests::write_idx;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const IMAGES: &str = "train-images-idx3-ubyte";

fn set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path(), 24, 10);
    folder
}

fn error(folder: &Path) -> String {
    Pictures::load(folder, 28).unwrap_err().to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_sets_are_read_plain_and_gzipped() {
    let folder = set();
    let plain = Pictures::load(folder.path(), 28).unwrap();
    assert_eq!((plain.height, plain.width), (8, 8));
    let counts = [&plain.train, &plain.validation, &plain.test].map(|split| plain.count(split));
    assert_eq!(counts, [22, 2, 10]);
    assert_eq!(plain.test.labels, (0..10).collect::<Vec<u8>>());
    // Label 7: columns 2..6 of the lower half.
    assert_eq!(plain.test.pixels[7 * 64 + 4 * 8..][..8], [0, 0, 255, 255, 255, 255, 0, 0]);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(format!("{}.gz", path.display()), gzip(&bytes)).unwrap();
        std::fs::remove_file(path).unwrap();
    }
    let zipped = Pictures::load(folder.path(), 28).unwrap();
    assert_eq!(zipped.train.pixels, plain.train.pixels);
    assert_eq!(zipped.test.labels, plain.test.labels);
    let x = plain.tensor(&plain.test, &[7, 0]).unwrap();
    assert_eq!(x.dims(), [2, 8, 8, 1]);
    assert_eq!(x.flatten_all().unwrap().to_vec1::<f32>().unwrap()[34], 1.0);
}

#[test]
fn damaged_idx_files_are_refused_by_name() {
    let folder = set();
    let path = folder.path().join(IMAGES);
    let good = std::fs::read(&path).unwrap();
    let mut wrong_magic = good.clone();
    wrong_magic[2] = 9;
    let mut huge = good.clone();
    huge[4..16].fill(0xff);
    let mut empty = good.clone();
    empty[4..8].fill(0);
    let cases: [(&[u8], &str); 7] = [
        (&good[..good.len() - 1], "holds 1535 of the 1536 values"),
        (&good[..9], "ends within its header"),
        (&good[..2], "ends within its header"),
        (&[&good[..], &[0]].concat(), "goes on after the 1536 values"),
        (&wrong_magic, "begins with [00, 00, 09, 03]"),
        (&huge, "1 to 2^30"),
        (&empty, "1 to 2^30"),
    ];
    for (bytes, message) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = error(folder.path());
        assert!(error.contains(message) && error.contains(IMAGES), "{error}");
    }
}

#[test]
fn damaged_gzip_files_are_refused_by_name() {
    let folder = set();
    let path = folder.path().join(IMAGES);
    let good = gzip(&std::fs::read(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    let path = folder.path().join(format!("{IMAGES}.gz"));
    let mut flipped = good.clone();
    flipped[good.len() - 6] ^= 0xff;
    for bytes in [&good[..good.len() / 2], &flipped, b"no gzip at all"] {
        std::fs::write(&path, bytes).unwrap();
        let error = error(folder.path());
        assert!(error.contains(&format!("{IMAGES}.gz is no usable IDX file")), "{error}");
    }
}

#[test]
fn missing_files_and_labels_are_named() {
    let folder = set();
    let labels = folder.path().join("t10k-labels-idx1-ubyte");
    std::fs::write(&labels, [&[0, 0, 8, 1, 0, 0, 0, 2][..], &[1, 2]].concat()).unwrap();
    assert!(error(folder.path()).contains("2 labels for 10 pictures"));
    std::fs::remove_file(&labels).unwrap();
    assert!(error(folder.path()).contains("t10k-labels-idx1-ubyte (or with .gz) is missing"));
    assert!(error(&folder.path().join("gone")).contains("gone"));
}

#[test]
fn folders_of_pictures_become_grey_squares() {
    let folder = tempfile::tempdir().unwrap();
    assert!(error(folder.path()).contains("no picture"));
    for k in 0..24u8 {
        // The outer thirds are white and fall away; the middle is a shade of its own.
        let shade = |x| if (20..40).contains(&x) { image::Rgb([10 * k; 3]) } else { image::Rgb([255; 3]) };
        let picture = image::RgbImage::from_fn(60, 20, |x, _| shade(x));
        if k == 23 {
            assert!(error(folder.path()).contains("23 pictures"));
        }
        picture.save(folder.path().join(format!("{k:02}.png"))).unwrap();
    }
    let pictures = Pictures::load(folder.path(), 16).unwrap();
    assert_eq!((pictures.height, pictures.width, pictures.count(&pictures.train)), (16, 16, 20));
    assert!(pictures.train.labels.is_empty());
    let chosen = [pictures.validation.pixels, pictures.test.pixels].concat();
    let shades: Vec<u8> = chosen.chunks(256).map(|p| p[100]).collect();
    assert_eq!(shades, [0, 120, 10, 130]);
}
