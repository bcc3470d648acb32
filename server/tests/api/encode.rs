use crate::common::{WARM_UP, get, plain, png, post, post_form, with};
use bottleneck_model::{EncodeError, Quality};
use bottleneck_server::Config;
use sha2::{Digest, Sha256};

#[tokio::test]
async fn a_raw_body_and_a_form_field_give_the_same_code() {
    let state = plain();
    let raw = post(&state, "?q=40", png(20)).await;
    assert_eq!(raw.status, 200);
    assert_eq!(raw.header("content-type"), "image/vnd.bottleneck");
    assert_eq!(raw.header("x-bottleneck-width"), "20");
    assert_eq!(raw.header("x-bottleneck-height"), "8");
    assert_eq!(raw.header("x-bottleneck-model"), "6c6c6c6c6c6c6c6c");
    // 13 bytes for 160 pixels.
    assert_eq!(raw.header("x-bottleneck-bpp"), "0.6500");
    assert!(!raw.headers.contains_key("x-bottleneck-psnr"));

    let form = post_form(&state, "?q=40", &[("image", &png(20))]).await;
    assert_eq!((form.status, &form.body), (raw.status, &raw.body));
    assert_eq!(form.header("etag"), raw.header("etag"));
}

#[tokio::test]
async fn the_etag_is_a_hash_of_the_bytes_sent() {
    let state = plain();
    let first = post(&state, "", png(20)).await;
    let hash: String = Sha256::digest(&first.body)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(first.header("etag"), format!("\"{hash}\""));
    assert_eq!(post(&state, "", png(20)).await.header("etag"), first.header("etag"));
    assert_ne!(post(&state, "?q=10", png(20)).await.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn quality_may_be_fractional_and_is_75_by_default() {
    let state = plain();
    for (query, percent) in [("", 75.0), ("?q=0", 0.0), ("?q=37.5", 37.5), ("?q=100", 100.0)] {
        let code = post(&state, query, png(20)).await.body;
        assert_eq!(code[8..10], Quality::from_percent(percent).unwrap().0.to_le_bytes(), "{query}");
    }
}

#[tokio::test]
async fn psnr_is_measured_on_demand() {
    let state = plain();
    // The fake codec keeps the first pixel only: (0, 0, 200).
    let squares: u32 = (0..20 * 8).map(|i| (i % 20u32).pow(2) + (i / 20u32).pow(2)).sum();
    let psnr = 10.0 * (255.0 * 255.0 / (f64::from(squares) / 480.0)).log10();
    let answer = post(&state, "?measure=psnr", png(20)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-bottleneck-psnr"), format!("{psnr:.2}"));
    // One pixel survives whole.
    let pixel = post(&state, "?measure=psnr&background=%23ff0000&frame=0", pixel()).await;
    assert_eq!(pixel.header("x-bottleneck-psnr"), "inf");
}

#[tokio::test]
async fn a_size_is_met_or_told_to_be_out_of_reach() {
    let state = plain();
    // The fake codec's codes all have 13 bytes.
    assert_eq!(post(&state, "?target_size=13", png(20)).await.body.len(), 13);
    let told = post(&state, "?target_size=12", png(20)).await.problem(422);
    assert!(told.contains("13 bytes"), "{told}");
}

#[tokio::test]
async fn effort_is_passed_on_up_to_the_services_own() {
    let state = with(Config { max_effort: 4, ..Config::default() }, |_| Ok(()));
    // The fake codec's refined codes end in the effort.
    for (asked, given) in [("?effort=2", Some(&2)), ("?effort=9", Some(&4)), ("?effort=0", None)] {
        let code = post(&state, asked, png(20)).await.body;
        assert_eq!(code.get(13), given, "{asked}");
    }
}

fn pixel() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbaImage::from_pixel(1, 1, image::Rgba([0; 4]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn the_background_shows_through() {
    let code = post(&plain(), "?background=0a141e", pixel()).await.body;
    assert_eq!(code[10..], [10, 20, 30]);
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let state = plain();
    for (query, named) in [
        ("?q=101", "q: "),
        ("?q=-1", "q: "),
        ("?q=NaN", "q: "),
        ("?q=inf", "q: "),
        ("?q=high", "\"high\""),
        ("?q=", "q: "),
        ("?q=75&q=80", "twice"),
        ("?profile=best", "served here: lite"),
        ("?quality=80", "known are q, target_size, effort, profile, background, frame, measure"),
        ("?background=mauve", "background: "),
        ("?frame=-1", "frame: "),
        ("?measure=ssim", "allowed psnr"),
        ("?target_size=0", "target_size: "),
        ("?target_size=9000&q=75", "exclude each other"),
        ("?target_size=9000&effort=3", "exclude each other"),
        ("?effort=10", "effort: "),
        ("?effort=-1", "effort: "),
    ] {
        let detail = post(&state, query, png(20)).await.problem(422);
        assert!(detail.contains(named), "{query}: {detail}");
    }
}

#[tokio::test]
async fn what_is_not_a_picture_is_refused() {
    let state = plain();
    assert!(post(&state, "", "").await.problem(400).contains("empty"));
    post(&state, "", "Dear Sir or Madam,").await.problem(415);
    let whole = png(200);
    post(&state, "", whole[..whole.len() / 2].to_vec()).await.problem(400);
    post(&state, "?frame=1", whole).await.problem(422);
}

#[tokio::test]
async fn forms_must_hold_one_image_and_nothing_else() {
    let state = plain();
    let picture = png(20);
    let missing = post_form(&state, "", &[]).await.problem(400);
    assert!(missing.contains("\"image\" is missing"), "{missing}");
    let parameter = post_form(&state, "", &[("image", &picture), ("q", b"30")]).await.problem(400);
    assert!(parameter.contains("\"q\"") && parameter.contains("query"), "{parameter}");
    let twice = post_form(&state, "", &[("image", &picture), ("image", &picture)]).await.problem(400);
    assert!(twice.contains("more than one"), "{twice}");
    assert!(post_form(&state, "", &[("image", b"")]).await.problem(400).contains("empty"));
    post_form(&state, "", &[("image", b"some text")]).await.problem(415);
}

#[tokio::test]
async fn what_the_codec_refuses_is_told_and_what_breaks_in_it_is_not() {
    let state = with(Config::default(), |image| match image.width {
        13 => Err(EncodeError::Size { width: 13, height: 8 }),
        14 => panic!("secret of the codec"),
        _ => Ok(()),
    });
    assert!(post(&state, "", png(13)).await.problem(422).contains("13"));
    // A panic costs its own request only.
    for _ in 0..2 {
        let detail = post(&state, "", png(14)).await.problem(500);
        assert!(!detail.contains("secret"), "{detail}");
        assert_eq!(post(&state, "", png(WARM_UP)).await.status, 200);
    }
    assert_eq!(get(&state, "/readyz").await.status, 200);
}
