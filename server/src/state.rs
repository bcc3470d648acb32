use crate::codec::ServedModel;
use crate::config::{Config, ConfigError};
use crate::error::ApiError;
use crate::inference::Inference;
use crate::queue::Queue;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

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
    /// A limit that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The inference thread could not be started.
    #[error("cannot start the inference thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A model failed its self-test.
    #[error("the self-test of a model failed: {0}")]
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
    queue: Arc<Queue>,
    decoders: Arc<Semaphore>,
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
        config.check()?;
        let queue = Arc::new(Queue::new(&config));
        let phase = watch::Sender::new(Phase::Starting);
        let codecs = models.iter().map(|model| model.codec.clone()).collect();
        let inference = Inference::start(codecs, &config, queue.clone(), phase.clone())?;
        let uploads = Arc::new(Semaphore::new(config.upload_memory));
        let decoders = Arc::new(Semaphore::new(config.decoders));
        Ok(AppState(Arc::new(Shared { config, models, inference, phase, uploads, queue, decoders })))
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

    /// Where the networks run.
    pub(crate) fn device(&self) -> &'static str {
        // One thread runs them all, on one device; there is at least one model.
        self.models().first().map_or("", |model| model.codec.device())
    }

    pub(crate) fn inference(&self) -> &Inference {
        &self.0.inference
    }

    /// Counts the bytes of upload that are held.
    pub(crate) fn uploads(&self) -> &Arc<Semaphore> {
        &self.0.uploads
    }

    /// Counts the uploads that are being decoded.
    pub(crate) fn decoders(&self) -> &Arc<Semaphore> {
        &self.0.decoders
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Whether pictures are taken at all.
    pub(crate) fn check_open(&self) -> Result<(), ApiError> {
        if self.phase() == Phase::Draining { Err(ApiError::Draining) } else { Ok(()) }
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("config", self.config()).field("phase", &self.phase()).finish()
    }
}
