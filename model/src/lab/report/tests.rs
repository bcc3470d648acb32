use super::super::tests::{settings, write_idx};
use super::super::{Settings, fit};
use super::*;
use std::sync::atomic::AtomicBool;

fn trained(kind: Kind, bottleneck: usize, beta: f64, data: &Path) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let settings = Settings { bottleneck, beta, epochs: 3, ..settings(kind, data) };
    fit(&settings, out.path(), &AtomicBool::new(false), &mut |_| ()).unwrap().unwrap();
    out
}

#[test]
fn a_page_of_every_model_is_whole_and_self_contained() {
    let data = tempfile::tempdir().unwrap();
    write_idx(data.path(), 240, 120);
    let runs = [
        trained(Kind::DenseAe, 2, 1.0, data.path()),
        trained(Kind::ConvAe, 4, 1.0, data.path()),
        trained(Kind::Vae, 2, 1.0, data.path()),
        trained(Kind::BetaVae, 3, 0.5, data.path()),
        trained(Kind::BetaVae, 3, 8.0, data.path()),
    ];
    let folders: Vec<PathBuf> = runs.iter().map(|run| run.path().into()).collect();
    let page = report(&folders, None).unwrap();
    for id in ["runs", "reconstructions", "errors", "plane", "samples", "beta", "traversals", "rate"] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
        assert!(page.contains(&format!("href=\"#{id}\"")), "{id}");
    }
    assert!(!page.contains("class=\"missing\""));
    // Nothing is fetched: every picture is inside, and no style or script comes from elsewhere.
    assert_eq!(page.matches("src=").count(), page.matches("src=\"data:image/png;base64,").count());
    assert!(!page.contains("<script") && !page.contains("@import") && !page.contains("url(http"));
    assert_eq!(page.matches("http://www.w3.org/2000/svg").count(), page.matches("http").count());
    // What is not a picture's bytes.
    let text: String =
        page.split("base64,").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect();
    assert!(!text.contains("NaN") && !text.contains("inf"));
    // Figures are those of the runs.
    for run in &runs {
        let test = load(run.path()).unwrap().run().test.clone();
        assert!(page.contains(&format!("<td>{:.5}</td>", test.mse)), "{test:?}");
    }
    assert!(page.contains("right class for"));
}

#[test]
fn what_was_not_trained_is_named_with_its_command() {
    let data = tempfile::tempdir().unwrap();
    write_idx(data.path(), 60, 30);
    let run = trained(Kind::DenseAe, 3, 1.0, data.path());
    let page = report(&[run.path().into()], None).unwrap();
    assert_eq!(page.matches("class=\"missing\"").count(), 4);
    assert!(page.contains("fit --model vae --bottleneck 2"));
    assert!(report(&[], None).unwrap_err().to_string().contains("name the folder"));
    let gone = data.path().join("gone");
    let error = report(&[run.path().into()], Some(&gone)).unwrap_err().to_string();
    assert!(error.contains("gone"), "{error}");
}
