//! Any upload gives a picture no larger than its header claims, or an error.
#![no_main]

use bottleneck_model::ingest::{Options, load, size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options =
        Options { max_pixels: 1 << 16, max_dimension: 1 << 12, frame: Some(0), ..Options::default() };
    let claimed = size(bytes, &options);
    if let Ok(image) = load(bytes, &options) {
        let (width, height) = claimed.expect("it was loaded");
        let pixels = image.width as usize * image.height as usize;
        assert_eq!(image.rgb.len(), pixels * 3);
        assert!(pixels <= width as usize * height as usize, "{width}×{height} was claimed");
    }
});
