use crate::etag;
use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Write;
use std::sync::LazyLock;

/// Stands in the page for where the assets are.
const PLACE: &str = "{{assets}}";

/// A file as it is sent.
pub(super) struct Asset {
    pub(super) content_type: &'static str,
    pub(super) bytes: Bytes,
    /// Compressed, where that makes it smaller.
    pub(super) gzip: Option<Bytes>,
    pub(super) tag: String,
}

/// All that the page is made of.
pub(super) struct Assets {
    /// Part of the assets' paths: a hash of their content.
    pub(super) version: String,
    pub(super) page: Asset,
    pub(super) files: HashMap<&'static str, Asset>,
}

/// Compressed once, when they are first asked for.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    FILES.iter().for_each(|(path, bytes)| hash.update([path.as_bytes(), bytes].concat()));
    let version: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let page =
        include_str!("../../../client/web/page/index.html").replace(PLACE, &format!("/assets/{version}"));
    let files = FILES.iter().map(|&(path, bytes)| (path, Asset::new(path, Bytes::from_static(bytes))));
    Assets { page: Asset::new("index.html", page.into()), files: files.collect(), version }
});

impl Asset {
    fn new(path: &str, bytes: Bytes) -> Asset {
        let content_type = match path.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            Some((_, "wasm")) => "application/wasm",
            Some((_, "jpg")) => "image/jpeg",
            _ => "application/octet-stream",
        };
        let gzip = (content_type != "image/jpeg").then(|| compress(&bytes));
        Asset { content_type, tag: etag::of(&bytes), gzip, bytes }
    }
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail").into()
}

macro_rules! files {
    ($($path:literal)*) => {
        [$(($path, include_bytes!(concat!("../../../client/web/", $path)))),*]
    };
}

const FILES: [(&str, &[u8]); 25] = files![
    "js/error.js" "js/fetch.js" "js/index.js" "js/models.js" "js/queue.js" "js/worker.js" "js/element.js"
    "wasm/bottleneck_web.js" "wasm/bottleneck_web_bg.wasm"
    "page/page.css" "page/icon.svg"
    "page/main.js" "page/encode.js" "page/figures.js" "page/format.js" "page/rivals.js"
    "page/rivals-worker.js" "page/viewer.js" "page/work.js"
    "page/samples/coffee.jpg" "page/samples/cat.jpg" "page/samples/raccoon.jpg"
    "page/samples/coffee-thumb.jpg" "page/samples/cat-thumb.jpg" "page/samples/raccoon-thumb.jpg"
];
