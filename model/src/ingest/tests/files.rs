use super::super::Format;
use super::*;
use image::ExtendedColorType::{L8, Rgb8};

#[test]
fn lossless_pictures_come_back_exactly() {
    let raw = noise(37 * 21 * 3);
    for file in [png(&raw, (37, 21), Rgb8, Extras::default()), webp(&raw, (37, 21), Rgb8, Extras::default())]
    {
        assert_eq!(plain(&file), Image { width: 37, height: 21, rgb: raw.clone() });
    }
    let grey = noise(5 * 3);
    let right: Vec<u8> = grey.iter().flat_map(|&v| [v; 3]).collect();
    assert_eq!(plain(&png(&grey, (5, 3), L8, Extras::default())).rgb, right);
}

#[test]
fn jpeg_is_decoded_as_others_decode_it() {
    let smooth: Vec<u8> = (0..48 * 40).flat_map(|i| [i % 48 * 5, i / 48 * 6, 90]).map(|v| v as u8).collect();
    let found = plain(&jpeg(&smooth, (48, 40), Rgb8, Extras::default()));
    assert_eq!((found.width, found.height), (48, 40));
    assert!(found.rgb.iter().zip(&smooth).all(|(a, b)| a.abs_diff(*b) < 8));
    let flat = plain(&jpeg(&[128; 24 * 24], (24, 24), L8, Extras::default()));
    assert_eq!(flat.rgb, vec![128; 24 * 24 * 3]);
}

/// The corners' greys, in reading order.
fn corners(picture: &Image) -> [u8; 4] {
    let (w, h) = (picture.width as usize, picture.height as usize);
    [(0, 0), (w - 1, 0), (0, h - 1), (w - 1, h - 1)].map(|(x, y)| picture.rgb[(y * w + x) * 3] / 60)
}

#[test]
fn all_orientations_are_applied() {
    let raw: Vec<u8> = (0..32 * 16).map(|i| 60 * (i / (32 * 8) * 2 + i % 32 / 16) as u8 + 20).collect();
    let wide: Vec<u8> = raw.iter().flat_map(|&v| [v; 3]).collect();
    let stored = jpeg(&raw, (32, 16), L8, Extras::default());
    let right = [
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [3, 2, 1, 0],
        [2, 3, 0, 1],
        [0, 2, 1, 3],
        [2, 0, 3, 1],
        [3, 1, 2, 0],
        [1, 3, 0, 2],
    ];
    for (orientation, right) in (1..).zip(right) {
        for big_endian in [false, true] {
            let block = exif(orientation, big_endian);
            let prefixed = [b"Exif\0\0", &block[..]].concat();
            for file in [
                jpeg_with_exif(&stored, &block),
                png(&raw, (32, 16), L8, Extras { exif: Some(&block), ..Extras::default() }),
                webp(&wide, (32, 16), Rgb8, Extras { exif: Some(&block), ..Extras::default() }),
                webp(&wide, (32, 16), Rgb8, Extras { exif: Some(&prefixed), ..Extras::default() }),
            ] {
                let found = plain(&file);
                let size = if orientation < 5 { (32, 16) } else { (16, 32) };
                assert_eq!((found.width, found.height), size, "orientation {orientation}");
                assert_eq!(corners(&found), right, "orientation {orientation}");
            }
        }
    }
    for block in [exif(0, true), exif(9, false), b"MM\0*".to_vec(), b"rubbish".to_vec()] {
        assert_eq!(plain(&jpeg_with_exif(&stored, &block)), plain(&stored));
    }
}

#[test]
fn what_follows_the_picture_is_ignored() {
    let raw = noise(16 * 16 * 3);
    for file in [
        jpeg(&raw, (16, 16), Rgb8, Extras::default()),
        png(&raw, (16, 16), Rgb8, Extras::default()),
        webp(&raw, (16, 16), Rgb8, Extras::default()),
    ] {
        // A second picture, cut short, as in the multi-picture files of phones.
        let longer = [&file[..], b"\xff\xd8\xff\xe1\x40\0"].concat();
        assert_eq!(plain(&longer), plain(&file));
    }
}

/// `png` with an animation header of so many frames.
fn apng(png: &[u8], frames: u32) -> Vec<u8> {
    let control = chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat());
    [&png[..33], &control, &png[33..]].concat()
}

/// An animation that shows `webp`, a lossless one, so many times.
fn animated_webp(webp: &[u8], size: (u32, u32), frames: usize) -> Vec<u8> {
    let mut frame = vec![0; 6];
    frame.extend(&(size.0 - 1).to_le_bytes()[..3]);
    frame.extend(&(size.1 - 1).to_le_bytes()[..3]);
    // 100 ms; drawn without blending, in which the decoder loses a step.
    frame.extend([100, 0, 0, 2]);
    frame.extend(&webp[12..]);
    let mut chunks = vec![vp8x(2, size.0, size.1), riff(b"ANIM", &[0; 6])];
    chunks.extend(vec![riff(b"ANMF", &frame); frames]);
    webp_file(&chunks)
}

#[test]
fn of_an_animation_the_first_frame_is_taken_when_asked_for() {
    let raw = noise(12 * 9 * 3);
    let still = png(&raw, (12, 9), Rgb8, Extras::default());
    let moving = webp(&raw, (12, 9), Rgb8, Extras::default());
    for (format, file) in [(Format::Png, apng(&still, 3)), (Format::WebP, animated_webp(&moving, (12, 9), 3))]
    {
        let error = refused(&file);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            format!(
                "this {format} is an animation of 3 frames; pass frame=0 to take the first, or send a still picture"
            )
        );
        let first = load(&file, &Options { frame: Some(0), ..Options::default() }).unwrap();
        assert_eq!(first.rgb, raw);
    }
    for file in [&still, &moving, &apng(&still, 1), &animated_webp(&moving, (12, 9), 1), &apng(&still, 9)] {
        assert_eq!(load(file, &Options { frame: Some(0), ..Options::default() }).unwrap().rgb, raw);
        let error = load(file, &Options { frame: Some(4), ..Options::default() }).unwrap_err();
        assert!(matches!(error, LoadError::NoSuchFrame { asked: 4 }));
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    for file in [&apng(&still, 1), &animated_webp(&moving, (12, 9), 1)] {
        assert_eq!(plain(file).rgb, raw);
    }
}
