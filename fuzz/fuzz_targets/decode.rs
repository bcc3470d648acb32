//! Any stream of the golden tests' model gives a picture of the size that it claims or an error. The checksum
//! is not looked at, and the model's name is made right, so that what lies behind them is reached.
#![no_main]

use bottleneck_model::{Image, Limits, Model, decode_container};
use bottleneck_proto::Container;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TINY: LazyLock<Model> = LazyLock::new(|| {
    Model::from_bytes(include_bytes!("../../tests/data/tiny.safetensors"))
        .expect("the file is the project's own")
});

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_pixels: 1 << 13, max_bytes: 1 << 16 };
    if let Ok(mut container) = Container::parse_unverified(bytes, &limits) {
        container.model = TINY.id();
        let mut image = Image { width: 0, height: 0, rgb: vec![] };
        if decode_container(&container, &TINY, &mut image).is_ok() {
            assert_eq!((image.width, image.height), (container.width.into(), container.height.into()));
            assert_eq!(image.rgb.len(), image.width as usize * image.height as usize * 3);
        }
    }
});
