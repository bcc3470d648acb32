use super::*;
use image::ExtendedColorType::Rgb8;

#[test]
fn other_types_are_named() {
    let ftyp = |brands: &[u8]| {
        let length = u32::try_from(8 + brands.len()).unwrap().to_be_bytes();
        [&length, &b"ftyp"[..], brands, b"\0\0\0\x08mdat"].concat()
    };
    // One directory with the tags given, each of one value; a make is at offset 100.
    let tiff = |tags: &[u16], make: &[u8]| {
        let mut bytes = [&b"II*\0\x08\0\0\0"[..], &u16::try_from(tags.len()).unwrap().to_le_bytes()].concat();
        for tag in tags {
            bytes.extend([tag.to_le_bytes(), [2, 0], [20, 0], [0, 0], [100, 0], [0, 0]].concat());
        }
        bytes.resize(100, 0);
        [bytes, make.to_vec()].concat()
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (ftyp(b"heic\0\0\0\0mif1heic"), "a HEIC photograph"),
        (ftyp(b"mif1\0\0\0\0mif1heic"), "a HEIC photograph"),
        (ftyp(b"mif1\0\0\0\0"), "a HEIF picture"),
        (ftyp(b"avif\0\0\0\0mif1miaf"), "an AVIF picture"),
        (ftyp(b"crx \0\0\0\x01"), "a Canon CR3 camera raw file"),
        (ftyp(b"isom\0\0\0\x01"), "an MP4 or QuickTime video"),
        (b"\xff\x0a\x7f\0".to_vec(), "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n".to_vec(), "a JPEG XL picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n".to_vec(), "a JPEG 2000 picture"),
        (b"\xff\x4f\xff\x51\0".to_vec(), "a JPEG 2000 picture"),
        (tiff(&[0x100], b""), "a TIFF picture"),
        (b"MM\0*\xff\xff\xff\xff".to_vec(), "a TIFF picture"),
        (tiff(&[0x10f], b"NIKON CORPORATION\0"), "a TIFF picture"),
        (tiff(&[0x10f, 0x14a], b"NIKON CORPORATION\0"), "a Nikon NEF camera raw file"),
        (tiff(&[0x10f, 0x14a], b"SONY\0"), "a Sony ARW camera raw file"),
        (tiff(&[0x10f, 0x14a, 0xc612], b"SONY\0"), "a DNG camera raw file"),
        (b"II*\0\x10\0\0\0CR\x02\0".to_vec(), "a Canon CR2 camera raw file"),
        (b"FUJIFILMCCD-RAW 0201".to_vec(), "a Fujifilm RAF camera raw file"),
        (b"IIRO\x08\0\0\0".to_vec(), "an Olympus ORF camera raw file"),
        (b"IIU\0\x08\0\0\0".to_vec(), "a Panasonic RW2 camera raw file"),
        (b"GIF89a\x01\0".to_vec(), "a GIF picture"),
        (b"BM\x46\0\0\0".to_vec(), "a BMP picture"),
        (b"%PDF-1.7\n".to_vec(), "a PDF document"),
        (b"<?xml version=\"1.0\"?>\n<svg width=\"4\"/>".to_vec(), "an SVG drawing"),
    ];
    for (bytes, name) in cases {
        let error = refused(&bytes);
        assert_eq!(error.to_string(), format!("this is {name}; convert it to JPEG, PNG or WebP first"));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn what_is_no_picture_is_told_so() {
    let long = ["é".repeat(4095).as_bytes(), b"\0"].concat();
    let messages: [(&[u8], &str, ErrorKind); 6] = [
        (b"", "the picture is empty: found 0 bytes", ErrorKind::BadImage),
        (b"<html>404 not found</html>", "this is text, not a picture", ErrorKind::Unsupported),
        (b"BMs and PKs are words", "this is text, not a picture", ErrorKind::Unsupported),
        (&long, "this is text, not a picture", ErrorKind::Unsupported),
        (b"BNK\x01rest", "this is already a bottleneck code", ErrorKind::Unsupported),
        (&[0, 1, 2], "the file's type is unknown: it begins with [00, 01, 02]", ErrorKind::Unsupported),
    ];
    for (bytes, start, kind) in messages {
        let error = refused(bytes);
        assert!(error.to_string().starts_with(start), "{error}");
        assert_eq!(error.kind(), kind);
    }
}

#[test]
fn sizes_are_refused_from_the_header_alone() {
    let size = |w: u32, h: u32| [w.to_be_bytes(), h.to_be_bytes(), [8, 2, 0, 0]].concat();
    let claim =
        |w, h| [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &[size(w, h), vec![0]].concat())].concat();
    let mut frame = vec![0xff, 0xd8, 0xff, 0xc0, 0, 17, 8];
    frame.extend([60_000_u16.to_be_bytes(), 60_000_u16.to_be_bytes()].concat());
    frame.extend([3, 1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1]);
    let lossless = 16_382_u32 | 16_382 << 14;
    for file in [
        claim(60_000, 60_000),
        frame,
        webp_file(&[vp8x(0, 60_000, 60_000)]),
        webp_file(&[riff(b"VP8L", &[&[0x2f], &lossless.to_le_bytes()[..]].concat())]),
        webp_file(&[riff(b"VP8 ", b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f")]),
    ] {
        let error = refused(&file);
        assert!(matches!(error, LoadError::TooManyPixels { max_pixels: 100_000_000, .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
    let error = refused(&claim(70_000, 1));
    assert!(
        matches!(error, LoadError::SideTooLong { width: 70_000, height: 1, max_dimension: 65_535 }),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::TooLarge);

    let small = png(&noise(20 * 10 * 3), (20, 10), Rgb8, Extras::default());
    let tight = |max_pixels, max_dimension| Options { max_pixels, max_dimension, ..Options::default() };
    assert!(load(&small, &tight(200, 20)).is_ok());
    assert_eq!(super::super::size(&small, &tight(200, 20)).unwrap(), (20, 10));
    assert_eq!(super::super::size(&small, &tight(199, 20)).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(load(&small, &tight(199, 20)).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(load(&small, &tight(200, 19)).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(refused(&claim(0, 5)).kind(), ErrorKind::BadImage);
}

#[test]
fn a_webp_may_not_hold_more_than_it_says() {
    let large = riff(b"VP8 ", b"\0\0\0\x9d\x01\x2a\0\x20\0\x20");
    let mut frame = vec![0; 16];
    (frame[6], frame[9]) = (9, 9);
    frame.extend(&large);
    for file in [
        webp_file(&[vp8x(0, 16, 16), large.clone()]),
        webp_file(&[vp8x(2, 16, 16), riff(b"ANIM", &[0; 6]), riff(b"ANMF", &frame)]),
    ] {
        let error = refused(&file);
        assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("8192 x 8192"), "{error}");
    }
    let (anim, wide) = (riff(b"ANIM", &[0; 6]), [&[0; 6], &[16, 0, 0, 9, 0, 0, 0, 0, 0, 0][..]].concat());
    assert_eq!(
        refused(&webp_file(&[vp8x(2, 16, 16), anim, riff(b"ANMF", &wide)])).kind(),
        ErrorKind::BadImage
    );
    let endless = Options { max_pixels: u64::MAX, max_dimension: u32::MAX, ..Options::default() };
    let error = load(&webp_file(&[vp8x(2, 60_000, 60_000)]), &endless).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[test]
fn a_picture_cut_anywhere_is_an_error() {
    let raw = noise(40 * 40 * 3);
    let smooth = vec![128; 40 * 40 * 3];
    for (raw, step) in [(&raw, 7), (&smooth, 1)] {
        for file in [
            jpeg(raw, (40, 40), Rgb8, Extras::default()),
            png(raw, (40, 40), Rgb8, Extras::default()),
            webp(raw, (40, 40), Rgb8, Extras::default()),
        ] {
            assert!(load(&file, &Options::default()).is_ok());
            // WebP's signature takes twelve bytes, and its last may be padding, which may lack.
            let end = if file.starts_with(b"RIFF") { file.len() - 1 } else { file.len() };
            for cut in (12..end).step_by(step).chain([end - 2, end - 1]) {
                let error = load(&file[..cut], &Options::default()).expect_err("a cut picture was accepted");
                assert_eq!(error.kind(), ErrorKind::BadImage, "{error}");
                assert!(!matches!(error, LoadError::Empty));
            }
        }
    }
}

#[test]
fn a_jpeg_whose_data_stops_early_is_an_error() {
    let file = jpeg(&noise(64 * 64 * 3), (64, 64), Rgb8, Extras::default());
    let data = file.len() / 2;
    // Picture data ends in the middle, though the end marker is there: other decoders paint the rest grey.
    let mut holed = file.clone();
    holed[data..data + 12].copy_from_slice(&[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0]);
    let error = refused(&holed);
    assert_eq!(error.kind(), ErrorKind::BadImage, "{error}");
}

#[test]
fn damage_is_an_error_or_a_picture_of_the_right_size() {
    let raw = noise(24 * 16 * 3);
    for file in [
        jpeg(&raw, (24, 16), Rgb8, Extras::default()),
        png(&raw, (24, 16), Rgb8, Extras::default()),
        webp(&raw, (24, 16), Rgb8, Extras::default()),
    ] {
        let options = Options { max_pixels: 1 << 20, ..Options::default() };
        for (at, flip) in (0..file.len()).zip(noise(file.len()).into_iter().cycle()) {
            let mut broken = file.clone();
            broken[at] ^= flip | 1;
            if let Ok(picture) = load(&broken, &options) {
                assert_eq!(
                    picture.rgb.len() as u64,
                    u64::from(picture.width) * u64::from(picture.height) * 3
                );
            }
        }
    }
}
