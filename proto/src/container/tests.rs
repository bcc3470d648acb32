use super::*;
use proptest::prelude::*;

const OPEN: Limits = Limits { max_pixels: u64::MAX, max_bytes: u64::MAX };

/// The picture of the worked example in FORMAT.md.
fn example() -> Container<'static> {
    Container {
        experimental: true,
        model: ModelId([0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]),
        width: 640,
        height: 600,
        quality: Quality(49151),
        strips: vec![&[0xde, 0xad, 0xbe, 0xef], &[1, 2, 3]],
    }
}

fn example_bytes() -> Vec<u8> {
    write(&example()).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Container<'_>, ContainerError> {
    Container::parse(bytes, &Limits::default())
}

fn parse_resealed(mut bytes: Vec<u8>) -> Result<(), ContainerError> {
    reseal(&mut bytes);
    parse(&bytes).map(|_| ())
}

/// The bytes of the fenced `hex` block in FORMAT.md, comments (`; …`) left out.
fn bytes_in_format_md() -> Vec<u8> {
    let page = include_str!("../../../FORMAT.md");
    let block = page.split("```hex\n").nth(1).expect("a hex block").split("```").next().unwrap();
    let digits = block.lines().flat_map(|line| line.split(';').next().unwrap().split_whitespace());
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn exact_bytes_of_a_header() {
    let container = Container { experimental: false, height: 512, strips: vec![&[]], ..example() };
    let mut expected = vec![
        b'B', b'N', b'K', 0x01, // magic, version and flags
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, // model
        0x80, 0x02, 0x00, 0x02, 0xff, 0xbf, // width, height, quality
    ];
    let sum = crc32fast::hash(&expected);
    expected.extend(sum.to_le_bytes());
    assert_eq!(write(&container).unwrap(), expected);
    assert_eq!(expected.len(), HEADER_BYTES);
    assert_eq!(parse(&expected), Ok(container));
}

#[test]
fn worked_example_of_the_format_page() {
    let bytes = bytes_in_format_md();
    assert_eq!(bytes, example_bytes());
    assert_eq!(parse(&bytes), Ok(example()));
}

#[test]
fn strips_follow_from_the_height() {
    for (height, count) in [(0, 0), (1, 1), (512, 1), (513, 2), (1024, 2), (1025, 3), (65535, 128)] {
        assert_eq!(strip_count(height), count, "{height}");
    }
}

#[test]
fn peek_needs_the_header_only() {
    let bytes = example_bytes();
    let header = Header::peek(&bytes[..HEADER_BYTES]).unwrap();
    assert_eq!((header.width, header.height, header.strip_count()), (640, 600, 2));
    assert_eq!((header.model, header.quality), (example().model, example().quality));
    assert!(header.experimental);
    assert_eq!(Header::peek(&bytes), Ok(header));
    assert_eq!(header.to_bytes(), bytes[..HEADER_BYTES]);
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_last_strip() {
    let whole = example_bytes();
    let behind_table = HEADER_BYTES + TABLE_ENTRY_BYTES;
    for length in 0..whole.len() {
        let cut = &whole[..length];
        assert!(parse(cut).is_err(), "{length}");
        let result = parse_resealed(cut.to_vec());
        let expected = match length {
            0 => Err(ContainerError::Empty),
            1..HEADER_BYTES => Err(ContainerError::HeaderCut { found: length }),
            _ if length < behind_table => {
                Err(ContainerError::TableCut { declared: 4, present: length - HEADER_BYTES })
            }
            _ if length < behind_table + 4 => {
                Err(ContainerError::StripCut { strip: 0, declared: 4, present: length - behind_table })
            }
            _ => Ok(()),
        };
        assert_eq!(result, expected, "{length}");
    }
}

#[test]
fn every_bit_flip_is_caught_and_harmless_when_resealed() {
    let whole = example_bytes();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&flipped).is_err(), "bit {bit}");
        let unverified = Container::parse_unverified(&flipped, &OPEN).map(|_| ());
        reseal(&mut flipped);
        assert_eq!(Container::parse(&flipped, &OPEN).map(|_| ()), unverified, "bit {bit}");
        let refused = unverified.is_err();
        match bit / 8 {
            0..3 => assert!(refused, "bit {bit} of the magic"),
            3 => assert_eq!(refused, bit % 8 != 7, "bit {bit} of the flags"),
            4..14 | 16..HEADER_BYTES => assert!(!refused, "bit {bit} of the header"),
            // The strip table here declares 4 bytes of the 7: only 0, 5 and 6 leave the strips whole.
            HEADER_BYTES => assert_eq!(refused, bit % 8 > 2, "bit {bit} of the table"),
            23..26 => assert!(refused, "bit {bit} of the table"),
            26.. => assert!(!refused, "bit {bit} of the strips"),
            _ => {}
        }
    }
}

#[test]
fn appended_bytes_are_caught() {
    let mut bytes = example_bytes();
    bytes.push(0);
    assert!(matches!(parse(&bytes), Err(ContainerError::Checksum { .. })));
}

#[test]
fn limits_come_before_the_rest() {
    let header = Header::peek(&example_bytes()).unwrap();
    let huge = Header { width: 65535, height: 65535, ..header }.to_bytes().to_vec();
    // 22 bytes that claim 4 gigapixels: neither strips nor table are looked for.
    let refused = ContainerError::TooManyPixels { width: 65535, height: 65535, allowed: 100_000_000 };
    assert_eq!(Container::parse_unverified(&huge, &Limits::default()), Err(refused.clone()));
    assert_eq!(parse_resealed(huge), Err(refused));

    let bytes = example_bytes();
    let at = |max_pixels, max_bytes| Container::parse(&bytes, &Limits { max_pixels, max_bytes });
    let (pixels, length) = (640 * 600, bytes.len() as u64);
    assert_eq!(at(pixels, length), Ok(example()));
    assert!(matches!(at(pixels - 1, length), Err(ContainerError::TooManyPixels { .. })));
    let refused = ContainerError::TooManyBytes { found: length, allowed: length - 1 };
    assert_eq!(at(pixels, length - 1), Err(refused));
}

#[test]
fn no_strip_is_allocated_for_what_is_absent() {
    let header = Header::peek(&example_bytes()).unwrap();
    let tall = Header { width: 1, height: 65535, ..header }.to_bytes().to_vec();
    assert_eq!(parse_resealed(tall), Err(ContainerError::TableCut { declared: 508, present: 0 }));
}

#[test]
fn empty_strips_are_kept() {
    let container = Container { strips: vec![&[], &[]], ..example() };
    assert_eq!(parse(&write(&container).unwrap()), Ok(container));
}

#[test]
fn write_refuses_what_could_not_be_read() {
    let strips = |strips| write(&Container { strips, ..example() });
    for found in [0, 1, 3] {
        let refused = ContainerError::StripCount { found, allowed: 2, height: 600 };
        assert_eq!(strips(vec![&[0; 9]; found]), Err(refused));
    }
    let sides = |width, height| write(&Container { width, height, strips: vec![], ..example() });
    assert_eq!(sides(0, 1), Err(ContainerError::ZeroSide { field: "width" }));
    assert_eq!(sides(1, 0), Err(ContainerError::ZeroSide { field: "height" }));
    assert_eq!(table_entry(3, 0xffff_ffff), Ok(0xffff_ffff));
    #[cfg(target_pointer_width = "64")]
    assert_eq!(table_entry(3, 1 << 32), Err(ContainerError::StripTooLong { strip: 3, found: 1 << 32 }));
}

#[test]
fn reseal_leaves_short_bytes_alone() {
    let mut short = [7; HEADER_BYTES - 1];
    reseal(&mut short);
    assert_eq!(short, [7; HEADER_BYTES - 1]);
}

#[test]
fn parse_unverified_skips_the_checksum_only() {
    let mut bytes = example_bytes();
    bytes[CHECKSUM].fill(0);
    assert_eq!(Container::parse_unverified(&bytes, &Limits::default()), Ok(example()));
    assert!(matches!(parse(&bytes), Err(ContainerError::Checksum { found: 0, .. })));
}

#[test]
fn messages_name_field_found_and_allowed() {
    let message = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
    let with = |at: usize, bytes: &[u8]| {
        let mut stream = example_bytes();
        stream[at..at + bytes.len()].copy_from_slice(bytes);
        message(&stream)
    };
    let resealed = |at: usize, bytes: &[u8]| {
        let mut stream = example_bytes();
        stream[at..at + bytes.len()].copy_from_slice(bytes);
        parse_resealed(stream).unwrap_err().to_string()
    };
    let cases = [
        (
            message(b""),
            "the input is empty: found 0 bytes, allowed 22 or more; check that it was saved or sent whole",
        ),
        (
            message(b"\xff\xd8\xff\xe0\0\x10JFIF"),
            "this is a JPEG picture, not a bottleneck code: encode it first",
        ),
        (message(b"\x89PNG\r\n\x1a\n"), "this is a PNG picture, not a bottleneck code: encode it first"),
        (
            message(b"RIFF\x24\0\0\0WEBPVP8 "),
            "this is a WebP picture, not a bottleneck code: encode it first",
        ),
        (message(b"\0\0\0\x20ftypavif"), "this is an AVIF picture, not a bottleneck code: encode it first"),
        (
            message(b"<!DOCTYPE html>"),
            "magic: found [3c, 21, 44], allowed [42, 4e, 4b] (\"BNK\"); this is not a bottleneck code",
        ),
        (
            message(b"BNK\x01"),
            "header: found 4 bytes, allowed 22 or more; the code is cut short, fetch it again",
        ),
        (
            with(3, &[0x02]),
            "format version: found 2, allowed 1; the code was made by a newer version, update this program",
        ),
        (
            with(3, &[0x00]),
            "format version: found 0, allowed 1; no version ever wrote this, the code is damaged",
        ),
        (
            with(3, &[0xd1]),
            "reserved flags: found 0b101, allowed 0b000; the code is damaged, or made by a newer version",
        ),
        (
            with(18, &[0xef, 0xbe, 0xad, 0xde]),
            "checksum: found deadbeef, the bytes give b40b0441; the code is damaged or cut short, fetch it again",
        ),
        (resealed(12, &[0, 0]), "width: found 0 pixels, allowed 1 to 65535; the code is damaged"),
        (resealed(14, &[0, 0]), "height: found 0 pixels, allowed 1 to 65535; the code is damaged"),
        (
            resealed(12, &[0xff; 4]),
            "picture size: found 65535×65535 = 4294836225 pixels, allowed 100000000; \
             raise the pixel limit if you trust the source",
        ),
        (
            resealed(22, &[8]),
            "strip 0: declares 8 bytes, 7 are present; the code is cut short, fetch it again",
        ),
        (
            resealed(14, &[0x01, 0x10]),
            "strip table: declares 32 bytes, 11 are present; the code is cut short, fetch it again",
        ),
        (
            ContainerError::TooManyBytes { found: 11, allowed: 10 }.to_string(),
            "stream length: found 11 bytes, allowed 10; raise the byte limit if you trust the source",
        ),
        (
            ContainerError::StripCount { found: 1, allowed: 2, height: 600 }.to_string(),
            "strips: found 1, allowed 2 for a height of 600 pixels; give one for each 512 rows begun",
        ),
        (
            ContainerError::StripTooLong { strip: 3, found: 5_000_000_000_u64 as usize }.to_string(),
            "strip 3: found 5000000000 bytes, allowed 4294967295; encode at a lower quality",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

/// Fields and strips of a picture that can be written.
fn parts() -> impl Strategy<Value = (bool, [u8; 8], u16, u16, u16, Vec<Vec<u8>>)> {
    let strips =
        |height| prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), strip_count(height));
    (any::<bool>(), any::<[u8; 8]>(), 1..=u16::MAX, 1..=u16::MAX, any::<u16>())
        .prop_flat_map(move |(e, m, w, h, q)| (Just(e), Just(m), Just(w), Just(h), Just(q), strips(h)))
}

proptest! {
    #[test]
    fn round_trip((experimental, model, width, height, quality, strips) in parts()) {
        let container = Container {
            experimental,
            model: ModelId(model),
            width,
            height,
            quality: Quality(quality),
            strips: strips.iter().map(Vec::as_slice).collect(),
        };
        let bytes = write(&container).unwrap();
        let table = 4 * (strip_count(height) - 1);
        prop_assert_eq!(bytes.len(), HEADER_BYTES + table + strips.iter().map(Vec::len).sum::<usize>());
        prop_assert_eq!(Container::parse(&bytes, &OPEN), Ok(container));
    }

    #[test]
    fn any_bytes_give_a_result(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(parse(&bytes).is_err(), "a checksum by chance");
        let _ = Header::peek(&bytes);
        let _ = Container::parse_unverified(&bytes, &OPEN);
    }

    /// Behind a valid start, so that strips are reached; what parses is written back as it was.
    #[test]
    fn any_bytes_behind_the_magic_give_a_result(tail in prop::collection::vec(any::<u8>(), 18..600), tall: bool) {
        let mut bytes = [b"BNK\x01".as_slice(), &tail].concat();
        if !tall {
            bytes[15] = 2 * (bytes[15] % 3);
        }
        reseal(&mut bytes);
        if let Ok(container) = Container::parse(&bytes, &OPEN) {
            prop_assert_eq!(write(&container).unwrap(), bytes);
        }
    }
}
