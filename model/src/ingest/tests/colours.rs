use super::super::{colour, dither, parse_background};
use super::*;
use image::ExtendedColorType::{L8, L16, La8, La16, Rgb8, Rgb16, Rgba8, Rgba16};
use moxcms::ColorProfile;

fn from_srgb(v: f64) -> f64 {
    if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

fn to_srgb(v: f64) -> f64 {
    let v = v.clamp(0.0, 1.0);
    if v <= 0.003_130_8 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
}

/// Display P3 to sRGB by the published matrix.
fn p3_to_srgb(pixel: [f64; 3]) -> [f64; 3] {
    let [r, g, b] = pixel.map(from_srgb);
    [
        1.224_940 * r - 0.224_940 * g,
        -0.042_057 * r + 1.042_057 * g,
        -0.019_638 * r - 0.078_636 * g + 1.098_274 * b,
    ]
    .map(to_srgb)
}

fn icc(profile: &ColorProfile) -> Vec<u8> {
    profile.encode().unwrap()
}

const COLOURS: [[u8; 3]; 6] =
    [[200, 100, 50], [128, 128, 128], [30, 160, 90], [255, 0, 0], [0, 0, 255], [245, 220, 190]];

#[test]
fn display_p3_becomes_srgb() {
    let profile = icc(&ColorProfile::new_display_p3());
    let extras = || Extras { icc: Some(&profile), ..Extras::default() };
    let opaque: Vec<u8> = COLOURS.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
    for file in [
        png(COLOURS.as_flattened(), (6, 1), Rgb8, extras()),
        webp(COLOURS.as_flattened(), (6, 1), Rgb8, extras()),
        png(&opaque, (6, 1), Rgba8, extras()),
    ] {
        for (found, colour) in plain(&file).rgb.chunks_exact(3).zip(COLOURS) {
            let right = p3_to_srgb(colour.map(|v| f64::from(v) / 255.0));
            for (found, right) in found.iter().zip(right) {
                assert!((f64::from(*found) - right * 255.0).abs() < 1.1, "{colour:?}: {found}, not {right}");
            }
        }
    }
    let flat = [200, 100, 50].repeat(64);
    let found = plain(&jpeg(&flat, (8, 8), Rgb8, extras())).rgb;
    assert!(found[0] >= 210 && found[2] <= 40, "{found:?}");
}

#[test]
fn sixteen_bit_colours_are_converted_in_sixteen_bits() {
    let profile = icc(&ColorProfile::new_display_p3());
    for colour in [[0.4_f64, 0.5, 0.6], [0.1, 0.11, 0.09], [0.8, 0.4, 0.2]] {
        let pixel = colour.map(|v| (v * 65535.0).round() as u16);
        let file =
            png16(&pixel.repeat(64), (8, 8), Rgb16, Extras { icc: Some(&profile), ..Extras::default() });
        let found = plain(&file);
        for (c, right) in p3_to_srgb(colour).into_iter().enumerate() {
            let mean = found.rgb.iter().skip(c).step_by(3).map(|&v| f64::from(v)).sum::<f64>() / 64.0;
            // One pixel of the pattern, and a little for the converter.
            assert!((mean - right * 255.0).abs() < 0.05, "{colour:?}: {mean}, not {}", right * 255.0);
        }
    }
}

#[test]
fn grey_profiles_become_srgb() {
    let profile = icc(&ColorProfile::new_gray_with_gamma(1.8));
    let extras = || Extras { icc: Some(&profile), ..Extras::default() };
    let right = |v: u8| to_srgb((f64::from(v) / 255.0).powf(1.8)) * 255.0;
    let levels = [0, 20, 60, 128, 200, 255];
    let opaque: Vec<u8> = levels.iter().flat_map(|&v| [v, 255]).collect();
    let deep: Vec<u16> = levels.iter().map(|&v| u16::from(v) * 257).collect();
    for file in [
        png(&levels, (6, 1), L8, extras()),
        png(&opaque, (6, 1), La8, extras()),
        png16(&deep, (6, 1), L16, extras()),
        jpeg(&[60; 64], (8, 8), L8, extras()),
    ] {
        let found = plain(&file).rgb;
        for (pixel, level) in found.chunks_exact(3).zip(if found.len() == 18 { levels } else { [60; 6] }) {
            assert!(pixel.iter().all(|&v| v == pixel[0]), "{pixel:?} is not grey");
            assert!(
                (f64::from(pixel[0]) - right(level)).abs() < 1.6,
                "{level}: {pixel:?}, not {}",
                right(level)
            );
        }
    }
}

#[test]
fn a_colour_profile_applies_to_a_grey_picture() {
    let profile = icc(&ColorProfile::new_adobe_rgb());
    let right = to_srgb((40.0_f64 / 255.0).powf(563.0 / 256.0)) * 255.0;
    for (raw, colour) in [(vec![40; 4], L8), ([40, 255].repeat(4), La8)] {
        let found =
            plain(&png(&raw, (2, 2), colour, Extras { icc: Some(&profile), ..Extras::default() })).rgb;
        assert!(
            found.iter().all(|&v| v == found[0] && (f64::from(v) - right).abs() < 1.1),
            "{found:?}, not {right}"
        );
    }
}

#[test]
fn a_profile_that_does_not_fit_counts_as_srgb() {
    let mut cmyk = icc(&ColorProfile::new_display_p3());
    cmyk[16..20].copy_from_slice(b"CMYK");
    let grey = icc(&ColorProfile::new_gray_with_gamma(1.8));
    let srgb = icc(&ColorProfile::new_srgb());
    let cut = &icc(&ColorProfile::new_display_p3())[..200];
    let raw = noise(16 * 16 * 3);
    for profile in [&cmyk, &grey, &srgb, cut, b"no profile at all"] {
        let extras = || Extras { icc: Some(profile), ..Extras::default() };
        assert_eq!(plain(&png(&raw, (16, 16), Rgb8, extras())).rgb, raw);
        assert_eq!(plain(&webp(&raw, (16, 16), Rgb8, extras())).rgb, raw);
        assert_eq!(
            plain(&jpeg(&raw, (16, 16), Rgb8, extras())),
            plain(&jpeg(&raw, (16, 16), Rgb8, Extras::default()))
        );
    }
}

#[test]
fn eight_bit_rgb_passes_through_without_a_copy() {
    let picture = image::RgbImage::from_pixel(4, 4, image::Rgb([1, 2, 3]));
    let place = picture.as_ptr();
    let rgb = colour::to_srgb8(picture.into(), None, [0; 3]).unwrap();
    assert_eq!(rgb.as_ptr(), place);
}

#[test]
fn whole_sixteen_bit_steps_come_back_exactly() {
    let samples: Vec<u16> = (0..=255u16).flat_map(|v| [v * 257; 64]).collect();
    let right: Vec<u8> = (0..=255u8).flat_map(|v| [v; 192]).collect();
    assert_eq!(plain(&png16(&samples, (64, 256), L16, Extras::default())).rgb, right);
    for threshold in (0..8).flat_map(|y| *dither::row(y)) {
        assert!((0..=255u16).all(|v| u16::from(dither::to_u8(v * 257, threshold)) == v));
    }
}

#[test]
fn dither_keeps_the_mean_and_is_reproducible() {
    for level in [1_u16, 100, 12_345, 40_000, 65_300] {
        let file = png16(&vec![level; 64 * 3], (8, 8), Rgb16, Extras::default());
        let found = plain(&file);
        assert_eq!(found, plain(&file));
        assert!(found.rgb.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
        assert!(found.rgb.iter().all(|&v| (f64::from(v) - f64::from(level) / 257.0).abs() < 1.0));
        let mean = found.rgb.iter().map(|&v| f64::from(v)).sum::<f64>() / 192.0;
        assert!((mean - f64::from(level) / 257.0).abs() < 0.01, "{level}: {mean}");
    }
    let ranks: std::collections::BTreeSet<u32> = (0..8).flat_map(|y| *dither::row(y)).collect();
    assert_eq!(ranks, (0..64).map(|rank| rank * 4 + 2).collect());
}

#[test]
fn alpha_is_mixed_with_the_background() {
    let rgba = [200, 100, 0, 255, 200, 100, 0, 0, 200, 100, 0, 128];
    let deep: Vec<u16> = rgba.iter().map(|&v| v * 257).collect();
    let shallow: Vec<u8> = rgba.iter().map(|&v| v as u8).collect();
    let white = [200, 100, 0, 255, 255, 255, 227, 177, 127];
    let black = [200, 100, 0, 0, 0, 0, 100, 50, 0];
    for file in [
        png(&shallow, (3, 1), Rgba8, Extras::default()),
        webp(&shallow, (3, 1), Rgba8, Extras::default()),
        png16(&deep, (3, 1), Rgba16, Extras::default()),
    ] {
        assert_near(&plain(&file).rgb, &white);
        assert_near(&load(&file, &Options { background: [0; 3], ..Options::default() }).unwrap().rgb, &black);
    }
    let grey = png(&[80, 0, 80, 255], (2, 1), La8, Extras::default());
    let deep = png16(&[80 * 257, 0, 80 * 257, 65_535], (2, 1), La16, Extras::default());
    for file in [grey, deep] {
        let found = load(&file, &Options { background: [1, 2, 3], ..Options::default() }).unwrap();
        assert_eq!(found.rgb, [1, 2, 3, 80, 80, 80]);
    }
}

fn assert_near(found: &[u8], right: &[u8]) {
    assert!(
        found.len() == right.len() && found.iter().zip(right).all(|(f, r)| f.abs_diff(*r) <= 1),
        "{found:?}"
    );
}

#[test]
fn a_palette_with_transparency_is_looked_up() {
    let mut header = [2_u32.to_be_bytes(), 2_u32.to_be_bytes()].concat();
    header.extend([8, 3, 0, 0, 0]);
    // A stored deflate block: a filter byte before each row of indices.
    let rows = [0, 0, 1, 0, 2, 0];
    let (a, b) = rows.iter().fold((1, 0), |(a, b), &row| (a + u32::from(row), b + a + u32::from(row)));
    let mut data = vec![0x78, 0x01, 1, 6, 0, 0xf9, 0xff];
    data.extend(rows);
    data.extend((b << 16 | a).to_be_bytes());
    let file = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunk(b"PLTE", &[9, 8, 7, 40, 50, 60, 70, 80, 90]),
        chunk(b"tRNS", &[255, 0]),
        chunk(b"IDAT", &data),
        chunk(b"IEND", &[]),
    ]
    .concat();
    assert_eq!(plain(&file).rgb, [9, 8, 7, 255, 255, 255, 70, 80, 90, 9, 8, 7]);
}

#[test]
fn backgrounds_are_read() {
    for (text, right) in [
        ("white", Some([255; 3])),
        ("Black", Some([0; 3])),
        ("102aFF", Some([16, 42, 255])),
        ("#102aff", Some([16, 42, 255])),
        ("", None),
        ("#", None),
        ("fff", None),
        ("+12345", None),
        ("##12345", None),
        ("12345g", None),
        ("éééé", None),
        ("red", None),
    ] {
        assert_eq!(parse_background(text), right, "{text}");
    }
}
