use super::super::soap;
use super::*;

/// Four pictures of 256×256 on disk.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for k in 0..4u32 {
        let image = image::RgbImage::from_fn(256, 256, |x, y| {
            let texture = ((x * x + k * y * y) % 31) as u8;
            image::Rgb([(x / 2) as u8 + texture, (y / 2) as u8, (x + y) as u8 / 4 + 3 * texture])
        });
        image.save(folder.path().join(format!("p{k}.png"))).unwrap();
    }
    folder
}

fn settings(data: &std::path::Path, out: &std::path::Path, steps: u64) -> Settings {
    Settings {
        data: data.into(),
        out: out.into(),
        architecture: Architecture::tiny(),
        init: None,
        random_start: false,
        steps,
        batch: 2,
        crop: 64,
        method: Method::AdamW,
        learning_rate: 2e-3,
        final_rate: 2e-3,
        warm_up: 1,
        hold: 1.0,
        weights: Weights { border: 0.25, structure: 0.0 },
        weight_decay: 0.0,
        clip: 1.0,
        average: 0.9,
        seed: 3,
        workers: 2,
        validate_every: 1000,
        device: Device::Cpu,
    }
}

fn run(settings: &Settings) -> (Parameters, Vec<f64>) {
    let mut costs = Vec::new();
    let (_, weights) = fit(settings, &AtomicBool::new(false), &mut |progress| {
        if let Progress::Validated { points, .. } = progress {
            costs.push(points.iter().map(|p| p.log_cost).sum::<f64>());
        }
    })
    .unwrap();
    (weights, costs)
}

#[test]
fn a_resumed_run_equals_one_that_was_not_stopped() {
    let data = folder();
    for method in [Method::AdamW, Method::Soap] {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let settings =
            |out: &std::path::Path, steps| Settings { method, ..settings(data.path(), out, steps) };
        // Two of SOAP's refinements on either side.
        let (straight, _) = run(&settings(a.path(), 2 * soap::EVERY));
        run(&settings(b.path(), soap::EVERY));
        let (resumed, _) = run(&settings(b.path(), 2 * soap::EVERY));
        for (name, tensor) in &straight {
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(flat(tensor), flat(&resumed[name]), "{name}, {method:?}");
        }
    }
}

/// A run that changes its method goes on, and learns.
#[test]
fn a_run_may_change_its_optimiser() {
    let (data, out) = (folder(), tempfile::tempdir().unwrap());
    let settings = |method, steps| Settings { method, ..settings(data.path(), out.path(), steps) };
    let (_, start) = run(&settings(Method::AdamW, 2));
    let (_, between) = run(&settings(Method::Soap, 40));
    let (_, end) = run(&settings(Method::AdamW, 60));
    assert!(between[0] < start[0] - 0.1, "from {start:?} to {between:?}");
    assert!(end[0] < between[0], "from {between:?} to {end:?}");
}

#[test]
fn training_lowers_the_cost() {
    let (data, out) = (folder(), tempfile::tempdir().unwrap());
    let settings = |steps| Settings {
        weights: Weights { border: 0.25, structure: 0.5 },
        ..settings(data.path(), out.path(), steps)
    };
    let (_, start) = run(&settings(1));
    let (_, end) = run(&settings(60));
    assert!(end[0] < start[0] - 0.3, "from {start:?} to {end:?}");
}

#[test]
fn pictures_as_small_as_the_crops_are_trained_and_validated_on() {
    let (data, out) = (folder(), tempfile::tempdir().unwrap());
    let small = image::RgbImage::from_fn(70, 130, |x, y| image::Rgb([x as u8, y as u8, 90]));
    for k in 0..4 {
        std::fs::remove_file(data.path().join(format!("p{k}.png"))).unwrap();
        small.save(data.path().join(format!("small{k}.png"))).unwrap();
    }
    let (_, costs) = run(&settings(data.path(), out.path(), 1));
    assert!(costs[0].is_finite());
}

#[test]
fn a_folder_without_pictures_is_refused() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(data.path().join("note.txt"), "no picture").unwrap();
    let error = fit(&settings(data.path(), out.path(), 1), &AtomicBool::new(false), &mut |_| {});
    let error = error.err().unwrap().to_string();
    assert!(error.contains("no usable picture") && error.contains("1 unreadable"), "{error}");
}
