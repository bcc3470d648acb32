use serde::{Deserialize, Serialize};

/// What a reader is willing to accept before it allocates anything (FORMAT.md, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest picture, in pixels (width × height). Default: 100 million.
    pub max_pixels: u64,
    /// Longest stream, in bytes. Default: 64 MiB.
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_pixels: 100_000_000, max_bytes: 64 << 20 }
    }
}
