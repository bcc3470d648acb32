use crate::codec::ServedModel;
use crate::error::ApiError;
use crate::inference::Inference;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Limits of the service. Together they bound its memory, whatever is uploaded.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest request body, in bytes.
    pub max_body_bytes: usize,
    /// Bytes of upload held at once, over all requests.
    pub upload_memory: usize,
    /// Largest picture, in pixels.
    pub max_pixels: u64,
    /// Longest side of a picture, in pixels.
    pub max_dimension: u32,
    /// Uploaded pictures that may wait or be in work at once; more get 429.
    pub queue: usize,
    /// Pictures held decoded at once: waiting for inference, or in it.
    pub pictures: usize,
    /// Longest time from the head of a request to its answer.
    pub timeout: Duration,
    /// Longest pause within an upload.
    pub upload_pause: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            max_body_bytes: 64 << 20,
            upload_memory: 256 << 20,
            max_pixels: 100_000_000,
            max_dimension: 65_535,
            queue: 64,
            // One in inference and a few decoded ahead of it; each may be 300 MB.
            pictures: (processors + 1).min(4),
            timeout: Duration::from_secs(60),
            upload_pause: Duration::from_secs(15),
        }
    }
}

/// Where the service is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Draining,
    Failed(String),
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No model was given.
    #[error("there is no model to serve")]
    NoModel,
    /// Two models of one profile: a request could not name the second.
    #[error("two models have the profile {0:?}")]
    DuplicateProfile(String),
    /// A size of zero, or one that the counters cannot hold.
    #[error("the limit {name} must be from 1 to {max}")]
    Limit {
        /// Name of the field of [`Config`].
        name: &'static str,
        /// Largest value allowed.
        max: usize,
    },
    /// The inference thread could not be started.
    #[error("cannot start the inference thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The first encode failed.
    #[error("the warm-up encode failed: {0}")]
    WarmUp(String),
}

/// Everything the handlers share. Clones are handles to the same service.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

struct Shared {
    config: Config,
    models: Vec<ServedModel>,
    inference: Inference,
    phase: watch::Sender<Phase>,
    uploads: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    pictures: Arc<Semaphore>,
}

impl AppState {
    /// Starts the inference thread, which warms up every model before it takes requests.
    /// The first model is the one used where a request names no profile.
    pub fn new(mut models: Vec<ServedModel>, config: Config) -> Result<AppState, StartError> {
        if models.is_empty() {
            return Err(StartError::NoModel);
        }
        for i in 0..models.len() {
            models[i].info.default = i == 0;
            let profile = &models[i].info.profile;
            if models[..i].iter().any(|earlier| earlier.info.profile == *profile) {
                return Err(StartError::DuplicateProfile(profile.clone()));
            }
        }
        let uploads = counter("upload_memory", config.upload_memory)?;
        let queue = counter("queue", config.queue)?;
        let pictures = counter("pictures", config.pictures)?;
        let phase = watch::Sender::new(Phase::Starting);
        let codecs = models.iter().map(|model| model.codec.clone()).collect();
        let inference = Inference::start(codecs, config.pictures, phase.clone())?;
        Ok(AppState(Arc::new(Shared { config, models, inference, phase, uploads, queue, pictures })))
    }

    /// Waits until the warm-up has run, and says how it went.
    pub async fn ready(&self) -> Result<(), StartError> {
        let mut phase = self.0.phase.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        match phase.wait_for(|phase| *phase != Phase::Starting).await.as_deref() {
            Ok(Phase::Failed(why)) => Err(StartError::WarmUp(why.clone())),
            _ => Ok(()),
        }
    }

    /// From now on the service is not ready and takes no new pictures; those it has, it finishes.
    pub fn drain(&self) {
        self.0.phase.send_replace(Phase::Draining);
    }

    pub(crate) async fn draining(&self) {
        let mut phase = self.0.phase.subscribe();
        // As in `ready`: cannot fail.
        let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.0.phase.borrow().clone()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn models(&self) -> &[ServedModel] {
        &self.0.models
    }

    /// The model of a profile, or the default one.
    pub(crate) fn model(&self, profile: Option<&str>) -> Result<&ServedModel, ApiError> {
        let wanted = |model: &&ServedModel| profile.is_none_or(|profile| profile == model.info.profile);
        self.models().iter().find(wanted).ok_or_else(|| {
            let known: Vec<_> = self.models().iter().map(|model| model.info.profile.as_str()).collect();
            let found = profile.unwrap_or_default();
            ApiError::Parameter(format!("profile: found {found:?}, served here: {}", known.join(", ")))
        })
    }

    pub(crate) fn inference(&self) -> &Inference {
        &self.0.inference
    }

    /// Counts the bytes of upload that are held.
    pub(crate) fn uploads(&self) -> &Arc<Semaphore> {
        &self.0.uploads
    }

    /// Counts the decoded pictures that are held.
    pub(crate) fn pictures(&self) -> &Arc<Semaphore> {
        &self.0.pictures
    }

    /// Takes a place in the queue, or says why there is none.
    pub(crate) fn enter_queue(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        if self.phase() == Phase::Draining {
            return Err(ApiError::Draining);
        }
        self.0.queue.clone().try_acquire_owned().map_err(|_| ApiError::QueueFull)
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("config", self.config()).field("phase", &self.phase()).finish()
    }
}

fn counter(name: &'static str, size: usize) -> Result<Arc<Semaphore>, StartError> {
    if (1..=Semaphore::MAX_PERMITS).contains(&size) {
        Ok(Arc::new(Semaphore::new(size)))
    } else {
        Err(StartError::Limit { name, max: Semaphore::MAX_PERMITS })
    }
}
