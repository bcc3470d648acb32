use super::fit::{Settings, fit};
use super::*;
use crate::{Backend, Encoder, Quality};

/// Pictures of 64×48 whose left part is a road, grey, and whose right part is a tree, green; a strip is void.
fn write_scenes(folder: &Path) {
    for (split, count) in [("train", 6), ("test", 2)] {
        let labels = format!("{split}annot");
        std::fs::create_dir_all(folder.join(split)).unwrap();
        std::fs::create_dir_all(folder.join(&labels)).unwrap();
        let mut names = String::new();
        for k in 0..count {
            let border = 20 + 4 * k;
            let tree = |x| x >= border;
            let picture = image::RgbImage::from_fn(64, 48, |x, y| {
                let noise = ((x * 7 + y * 13 + k) % 9) as u8;
                if tree(x) { image::Rgb([20 + noise, 150, 30]) } else { image::Rgb([120 + noise; 3]) }
            });
            let classes = image::GrayImage::from_fn(64, 48, |x, y| {
                image::Luma([if y > 44 {
                    11
                } else if tree(x) {
                    5
                } else {
                    3
                }])
            });
            picture.save(folder.join(split).join(format!("s{k}.png"))).unwrap();
            classes.save(folder.join(&labels).join(format!("s{k}.png"))).unwrap();
            names += &format!("s{k}\n");
        }
        std::fs::write(folder.join(format!("{split}.txt")), names).unwrap();
    }
}

fn settings(data: &Path, out: &Path) -> Settings {
    Settings {
        data: data.into(),
        out: out.into(),
        inputs: Input::ALL.to_vec(),
        profile: "lite".into(),
        epochs: 45,
        batch: 3,
        learning_rate: 3e-3,
        seed: 1,
        workers: 2,
    }
}

#[test]
fn heads_learn_a_tiny_set_and_draw_from_a_code() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_scenes(data.path());
    let outcomes = fit(&settings(data.path(), out.path()), &mut |_| ()).unwrap();
    for outcome in &outcomes {
        for (quality, score) in &outcome.scores {
            assert!(score.accuracy > 0.9, "{} at {quality:?}: {score:?}", outcome.input.name());
        }
    }
    // Equal but for the biases of the stem.
    let [codes, pixels, _] = &outcomes[..] else { panic!("three heads") };
    assert_eq!(codes.parameters.abs_diff(pixels.parameters), 216 - 88);
    assert!((codes.kmac_per_pixel - pixels.kmac_per_pixel).abs() < 1e-9);
    assert!(pixels.synthesis_kmac_per_pixel > 1.0);

    let image = crate::evaluate::picture::read_original(&data.path().join("test/s1.png")).unwrap();
    let encoder = Encoder::lite(Backend::Cpu).unwrap();
    let code = encoder.encode(&image, Quality::from_percent(60.0).unwrap()).unwrap();
    let weights = std::fs::read(out.path().join("codes.safetensors")).unwrap();
    let (mask, overlay) = apply(&code, &weights, true).unwrap();
    let at = |x: usize, y: usize| &mask.rgb[(y * 64 + x) * 3..][..3];
    assert_eq!((mask.width, mask.height), (64, 48));
    assert_eq!((at(4, 20), at(58, 20)), (&CLASSES[3].1[..], &CLASSES[5].1[..]));
    assert_eq!(overlay.unwrap().rgb.len(), mask.rgb.len());

    // What does not fit is refused in words.
    let refused = |code: &[u8], weights: &[u8]| apply(code, weights, false).unwrap_err().to_string();
    let of_pixels = std::fs::read(out.path().join("pixels.safetensors")).unwrap();
    assert!(refused(&code, &of_pixels).contains("for pixels, not for codes"));
    assert!(refused(&code[..code.len() - 1], &weights).contains("cannot be decoded"));
    assert!(refused(&code, &weights[..100]).contains("weights cannot be used"));
    let base = Encoder::base(Backend::Cpu).unwrap().encode(&image, Quality(40_000)).unwrap();
    assert!(refused(&base, &weights).contains("understand codes of model"));
}

#[test]
fn damaged_data_is_refused_by_name() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let error = || fit(&settings(data.path(), out.path()), &mut |_| ()).unwrap_err().to_string();
    assert!(error().contains("train.txt"));
    write_scenes(data.path());
    let labels = data.path().join("trainannot/s0.png");
    image::GrayImage::from_pixel(64, 48, image::Luma([12])).save(&labels).unwrap();
    assert!(error().contains("holds a class 12"), "{}", error());
    image::GrayImage::new(8, 8).save(&labels).unwrap();
    assert!(error().contains("it is 8×8, and its picture 64×48"));
    image::RgbImage::new(64, 48).save(&labels).unwrap();
    assert!(error().contains("8-bit grey"));
    std::fs::remove_file(data.path().join("train/s0.png")).unwrap();
    assert!(error().contains("s0.jpg"));
}

/// Along its own gradient the weighted cross-entropy falls as the gradient says.
#[test]
fn cross_entropy_has_the_gradient_of_finite_differences() {
    use candle_core::{D, Var};
    let logits: Vec<f32> = (0..33).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    let targets = Tensor::new(&[2u32, 10, 0], &Device::Cpu).unwrap();
    let weights = Tensor::new(&[1.0f32, 0.5, 0.0], &Device::Cpu).unwrap();
    let x = Var::from_vec(logits.clone(), (3, 11), &Device::Cpu).unwrap();
    let loss = |x: &Tensor| head::cross_entropy(x, &targets, &weights).unwrap();
    let value = loss(&x).to_scalar::<f32>().unwrap();
    let nll = |row: usize, target: usize| {
        let row = &logits[row * 11..][..11];
        row.iter().map(|l| l.exp()).sum::<f32>().ln() - row[target]
    };
    assert!((value - (nll(0, 2) + 0.5 * nll(1, 10)) / 1.5).abs() < 1e-5);
    let gradient = loss(&x).backward().unwrap().remove(&x).unwrap();
    let squares = gradient.sqr().unwrap().sum(D::Minus1).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(squares[2], 0.0);
    let norm = squares.iter().sum::<f32>();
    let along = |by: f64| {
        f64::from(loss(&(x.as_tensor() + (&gradient * by).unwrap()).unwrap()).to_scalar::<f32>().unwrap())
    };
    let difference = (along(0.01) - along(-0.01)) / 0.02;
    assert!((difference / f64::from(norm) - 1.0).abs() < 0.02, "{difference} against {norm}");
}
