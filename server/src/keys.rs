//! `bottleneck-server new-key` and `sign`.

use crate::args::read_keys;
use anyhow::{Context, Result, anyhow, ensure};
use bottleneck_server::{ApiKey, UrlKey};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Prints a new API key, and what the server keeps of it.
pub(crate) fn new(name: &str) -> Result<()> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no random numbers: {error}"))?;
    let secret = hex::encode(random);
    let kept = ApiKey::new(name, &secret).to_string();
    // Refuses names that could not be read back.
    kept.parse::<ApiKey>()?;
    println!("key, for the client, shown this once: {secret}");
    println!("line for the file of --api-keys: {kept}");
    Ok(())
}

/// Prints the address of an image, made good for some seconds by the last of the keys in a file.
pub(crate) fn sign(url_keys: &Path, seconds: u64, path: &str) -> Result<()> {
    ensure!(path.starts_with('/'), "give path and query only, such as /v1/images/ID.webp?w=640");
    let keys: Vec<UrlKey> = read_keys(url_keys)?;
    let key = keys.last().context("there is no key")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    println!("{}", key.sign(path, now.saturating_add(seconds)));
    Ok(())
}
