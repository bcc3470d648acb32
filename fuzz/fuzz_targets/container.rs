//! Any bytes give a container or an error, and a container gives its bytes back.
#![no_main]

use bottleneck_proto::{Container, Limits, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_pixels: 1 << 22, max_bytes: 1 << 16 };
    if let Ok(container) = Container::parse(bytes, &limits) {
        assert_eq!(write(&container).expect("it was read"), bytes);
    }
    if let Ok(container) = Container::parse_unverified(bytes, &limits) {
        let written = write(&container).expect("it was read");
        assert_eq!(Container::parse(&written, &limits).expect("its checksum is right now"), container);
    }
});
