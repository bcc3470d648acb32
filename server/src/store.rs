//! Where codes are kept: a folder, an S3-compatible service, or memory.
//!
//! An image is one object, named by the SHA-256 of its code. So writing it twice changes nothing, nothing is
//! ever changed in place, and any number of servers may share a store without knowing of each other.

mod id;
mod place;

use axum::body::Bytes;
use object_store::path::Path;
use object_store::{Error, GetResult, ObjectStore, ObjectStoreExt, PutPayload};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::timeout;

pub(crate) use id::ImageId;
pub use place::{StoreConfig, StorePlace, StorePlaceError};

/// Longest wait for the answer to "can you be written?", below what load balancers wait.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long that answer holds.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// The store did not do what was asked, for no fault of the request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{doing}: {cause}")]
pub(crate) struct StoreFailure {
    doing: &'static str,
    cause: String,
}

pub(crate) struct ImageStore {
    objects: Arc<dyn ObjectStore>,
    /// What all names begin with.
    root: Path,
    timeout: Duration,
    /// When the store was last tried, and how that went.
    checked: Mutex<Option<(Instant, Result<(), StoreFailure>)>>,
}

impl ImageStore {
    /// Nothing is read or written yet.
    pub(crate) fn open(config: &StoreConfig) -> Result<ImageStore, StorePlaceError> {
        let (objects, root) = config.open()?;
        Ok(ImageStore { objects, root, timeout: config.timeout, checked: Mutex::default() })
    }

    /// Keeps a code. Once this has returned, it outlives a crash: a folder's files are synced, and S3 promises
    /// as much. Until then nobody sees it.
    pub(crate) async fn put(&self, code: Bytes) -> Result<ImageId, StoreFailure> {
        let id = ImageId::of(&code);
        let name = self.name(&id);
        match self.within("writing", self.objects.put(&name, PutPayload::from_bytes(code))).await? {
            Some(_) => Ok(id),
            None => {
                Err(StoreFailure { doing: "writing", cause: "there is no such bucket or folder".to_owned() })
            }
        }
    }

    /// The code of an image, of which the bytes are still to be read; `None` where there is no such image.
    pub(crate) async fn get(&self, id: &ImageId) -> Result<Option<GetResult>, StoreFailure> {
        let name = self.name(id);
        self.within("reading", self.objects.get(&name)).await
    }

    /// The bytes of what [`ImageStore::get`] found.
    pub(crate) async fn bytes(&self, found: GetResult) -> Result<Bytes, StoreFailure> {
        let bytes = self.within("reading", found.bytes()).await?;
        bytes.ok_or_else(|| StoreFailure { doing: "reading", cause: "it went away meanwhile".to_owned() })
    }

    /// All bytes of a code.
    pub(crate) async fn read(&self, id: &ImageId) -> Result<Option<Bytes>, StoreFailure> {
        let name = self.name(id);
        let read = async { self.objects.get(&name).await?.bytes().await };
        self.within("reading", read).await
    }

    /// Some bytes of a code.
    pub(crate) async fn read_range(
        &self,
        id: &ImageId,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StoreFailure> {
        let name = self.name(id);
        self.within("reading", self.objects.get_range(&name, range)).await
    }

    /// Bytes of an image's code; `None` where there is no such image.
    pub(crate) async fn size(&self, id: &ImageId) -> Result<Option<u64>, StoreFailure> {
        let name = self.name(id);
        Ok(self.within("asking", self.objects.head(&name)).await?.map(|meta| meta.size))
    }

    /// Forgets an image; `false` where there was none.
    pub(crate) async fn delete(&self, id: &ImageId) -> Result<bool, StoreFailure> {
        // S3 deletes what is not there without a word.
        if self.size(id).await?.is_none() {
            return Ok(false);
        }
        let name = self.name(id);
        Ok(self.within("deleting", self.objects.delete(&name)).await?.is_some())
    }

    /// Whether images can be written now.
    pub(crate) async fn check(&self) -> Result<(), StoreFailure> {
        let mut checked = self.checked.lock().await;
        if let Some((when, outcome)) = &*checked
            && when.elapsed() < CHECK_EVERY
        {
            return outcome.clone();
        }
        let name = self.root.clone().join("probe");
        let write = self.objects.put(&name, PutPayload::from_static(b"Bottleneck can write here.\n"));
        let outcome = match timeout(CHECK_TIMEOUT, write).await {
            Ok(written) => written.map(drop).map_err(|error| failure("probing", &error)),
            Err(_) => Err(StoreFailure { doing: "probing", cause: "no answer in time".to_owned() }),
        };
        *checked = Some((Instant::now(), outcome.clone()));
        outcome
    }

    fn name(&self, id: &ImageId) -> Path {
        let id = id.to_string();
        // File systems grow slow on millions of files in one folder.
        self.root.clone().join(&id[..2]).join(format!("{id}.bnk"))
    }

    /// Bounds an operation in time. `None` inside stands for "no such object".
    async fn within<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, StoreFailure> {
        match timeout(self.timeout, work).await {
            Ok(Ok(done)) => Ok(Some(done)),
            Ok(Err(Error::NotFound { .. })) => Ok(None),
            Ok(Err(error)) => Err(failure(doing, &error)),
            Err(_) => Err(StoreFailure { doing, cause: format!("no answer within {:?}", self.timeout) }),
        }
    }
}

/// With the errors behind it: they say what the system or the service said.
fn failure(doing: &'static str, error: &Error) -> StoreFailure {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let mut text = String::new();
    for cause in causes.map(ToString::to_string) {
        if !text.contains(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    StoreFailure { doing, cause: text }
}
