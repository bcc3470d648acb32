use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Where images are kept. As text: `memory`, `s3://BUCKET/PREFIX`, or a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StorePlace {
    /// In this process, as long as it lives: for tests.
    #[default]
    Memory,
    /// In files below this folder, which is made with the first of them.
    Folder(PathBuf),
    /// In an S3-compatible service. Region and credentials are taken from the environment's `AWS_…` variables.
    S3 {
        /// The bucket, which must be there.
        bucket: String,
        /// What all names in it begin with; may be empty.
        prefix: String,
    },
}

/// A store, and how it is reached.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Where it is.
    pub place: StorePlace,
    /// Address of the S3 service where it is not Amazon's, such as `http://127.0.0.1:9000`.
    pub s3_endpoint: Option<String>,
    /// Longest time for one operation; then 503.
    pub timeout: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        StoreConfig { place: StorePlace::default(), s3_endpoint: None, timeout: Duration::from_secs(10) }
    }
}

/// A place that cannot be one of a store.
#[derive(Debug, thiserror::Error)]
pub enum StorePlaceError {
    /// Not the name of a place.
    #[error("the store {found:?} is none of: memory, s3://BUCKET/PREFIX, a folder")]
    Unknown {
        /// What was given.
        found: String,
    },
    /// Settings that do not fit together.
    #[error("cannot use the store {place}")]
    Unusable {
        /// The place.
        place: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl FromStr for StorePlace {
    type Err = StorePlaceError;

    fn from_str(text: &str) -> Result<StorePlace, StorePlaceError> {
        let unknown = || StorePlaceError::Unknown { found: text.to_owned() };
        match text.split_once("://") {
            None if text == "memory" => Ok(StorePlace::Memory),
            None if text.is_empty() => Err(unknown()),
            None => Ok(StorePlace::Folder(text.into())),
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(unknown());
                }
                Ok(StorePlace::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            Some(_) => Err(unknown()),
        }
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorePlace::Memory => f.write_str("memory"),
            StorePlace::Folder(folder) => folder.display().fmt(f),
            StorePlace::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl StoreConfig {
    /// The store, and what the names of all objects in it begin with.
    pub(super) fn open(&self) -> Result<(Arc<dyn ObjectStore>, Path), StorePlaceError> {
        self.connect().map_err(|source| StorePlaceError::Unusable { place: self.place.to_string(), source })
    }

    fn connect(&self) -> Result<(Arc<dyn ObjectStore>, Path), Box<dyn std::error::Error + Send + Sync>> {
        Ok(match &self.place {
            StorePlace::Memory => (Arc::new(InMemory::new()), Path::default()),
            StorePlace::Folder(folder) => {
                let root = Path::from_absolute_path(std::path::absolute(folder)?)?;
                // From the root of the file system, so that the folder need not be there yet.
                (Arc::new(LocalFileSystem::new().with_fsync(true)), root)
            }
            StorePlace::S3 { bucket, prefix } => {
                // The client's TLS wants one. Only the first in a process is kept, and is as good as this.
                let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
                let text = |duration: Duration| format!("{}ms", duration.as_millis());
                let mut s3 = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), text(self.timeout))
                    .with_config(
                        AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout),
                        text(self.timeout.min(Duration::from_secs(3))),
                    )
                    // A client that is told to come back soon is better off than one that hangs.
                    .with_retry(RetryConfig {
                        max_retries: 3,
                        retry_timeout: self.timeout,
                        ..RetryConfig::default()
                    });
                if let Some(endpoint) = &self.s3_endpoint {
                    s3 = s3.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
                }
                (Arc::new(s3.build()?), Path::parse(prefix)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_text_and_written_back() {
        let s3 = |bucket: &str, prefix: &str| StorePlace::S3 { bucket: bucket.into(), prefix: prefix.into() };
        for (text, place) in [
            ("memory", StorePlace::Memory),
            ("images", StorePlace::Folder("images".into())),
            ("/var/lib/bottleneck", StorePlace::Folder("/var/lib/bottleneck".into())),
            ("s3://pictures/a/b", s3("pictures", "a/b")),
        ] {
            assert_eq!(text.parse::<StorePlace>().unwrap(), place);
            assert_eq!(place.to_string(), text);
        }
        assert_eq!("s3://pictures".parse::<StorePlace>().unwrap(), s3("pictures", ""));
        for bad in ["", "s3://", "s3:///a", "gs://bucket", "http://a/b"] {
            assert!(bad.parse::<StorePlace>().is_err(), "{bad}");
        }
    }
}
