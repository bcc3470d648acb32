use crate::access::{Access, cors};
use crate::catalogue::{Catalogue, ModelsError};
use crate::codec::ServedModel;
use crate::config::{Config, ConfigError};
use crate::error::ApiError;
use crate::images::Renditions;
use crate::inference::Inference;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::store::{ImageStore, StorePlaceError};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Semaphore, watch};
use tower_http::cors::CorsLayer;

/// Where the service is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    /// Serving still, but not for long: see [`Config::drain_delay`].
    Leaving,
    Draining,
    Failed(String),
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Models that cannot be served.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// A limit that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Images cannot be kept where they should be.
    #[error(transparent)]
    Store(#[from] StorePlaceError),
    /// A model failed its self-test.
    #[error("{0}")]
    SelfTest(String),
    /// The inference thread could not be started.
    #[error("cannot start the inference thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Everything the handlers share. Clones are handles to the same service.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

struct Shared {
    config: Config,
    models: RwLock<Arc<Catalogue>>,
    inference: Inference,
    phase: watch::Sender<Phase>,
    uploads: Arc<Semaphore>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    decoders: Arc<Semaphore>,
    /// One picture at a time has its code refined.
    refining: Arc<Semaphore>,
    store: ImageStore,
    renditions: Renditions,
    access: Access,
    cors: Option<CorsLayer>,
}

impl AppState {
    /// Starts the inference thread. It tests every model before it takes pictures.
    pub fn new(models: Vec<ServedModel>, config: Config) -> Result<AppState, StartError> {
        config.check()?;
        let queue = Arc::new(Queue::new(&config));
        let phase = watch::Sender::new(Phase::Starting);
        let models = Arc::new(Catalogue::new(models, config.default_model.as_deref())?);
        let metrics = Arc::new(Metrics::new());
        let inference =
            Inference::start(models.clone(), &config, queue.clone(), metrics.clone(), phase.clone())?;
        let uploads = Arc::new(Semaphore::new(config.upload_memory));
        let decoders = Arc::new(Semaphore::new(config.decoders));
        let models = RwLock::new(models);
        let store = ImageStore::open(&config.store)?;
        let renditions = Renditions::new(config.transcode_cache);
        let access = Access::new(&config.access);
        let cors = cors::layer(&config.access.origins)?;
        let shared = Shared {
            config,
            models,
            inference,
            phase,
            uploads,
            queue,
            metrics,
            decoders,
            refining: Arc::new(Semaphore::new(1)),
            store,
            renditions,
            access,
            cors,
        };
        Ok(AppState(Arc::new(shared)))
    }

    /// Waits until the models have been tested, and says how it went.
    pub async fn ready(&self) -> Result<(), StartError> {
        let mut phase = self.0.phase.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        match phase.wait_for(|phase| *phase != Phase::Starting).await.as_deref() {
            Ok(Phase::Failed(why)) => Err(StartError::SelfTest(why.clone())),
            _ => Ok(()),
        }
    }

    /// From now on the service is not ready, but serves as before.
    pub fn leave(&self) {
        self.0.phase.send_replace(Phase::Leaving);
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

    /// The models that are served now. A request keeps to those that it began with.
    pub(crate) fn models(&self) -> Arc<Catalogue> {
        // Nothing panics while it is locked.
        self.0.models.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves other models from now on, if each passes its self-test; else everything stays as it is.
    /// Requests in work finish with the models that they began with, and the decoders of those replaced can
    /// still be fetched.
    ///
    /// # Errors
    /// Models that cannot be served.
    pub async fn reload(&self, models: Vec<ServedModel>) -> Result<(), ModelsError> {
        let default = self.0.config.default_model.as_deref();
        let replaced = Arc::new(self.models().replaced(models, default)?);
        let tested = replaced.clone();
        // Fails only where the test itself panicked, which it does not: it guards the codecs.
        if let Ok(outcome) = tokio::task::spawn_blocking(move || tested.self_test()).await {
            outcome?;
            *self.0.models.write().unwrap_or_else(PoisonError::into_inner) = replaced;
        }
        Ok(())
    }

    /// Where the networks run.
    pub(crate) fn device(&self) -> &'static str {
        // One thread runs them all, on one device; there is at least one model.
        self.models().models().first().map_or("", |model| model.codec.device())
    }

    pub(crate) fn inference(&self) -> &Inference {
        &self.0.inference
    }

    /// Counts the bytes of upload that are held.
    pub(crate) fn uploads(&self) -> &Arc<Semaphore> {
        &self.0.uploads
    }

    /// Counts the uploads that are being decoded.
    pub(crate) fn refining(&self) -> &Arc<Semaphore> {
        &self.0.refining
    }

    pub(crate) fn decoders(&self) -> &Arc<Semaphore> {
        &self.0.decoders
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Where images are kept.
    pub(crate) fn store(&self) -> &ImageStore {
        &self.0.store
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.access
    }

    /// What tells browsers that pages of other origins may use the service, where they may.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        self.0.cors.clone()
    }

    /// Images in other forms, made lately.
    pub(crate) fn renditions(&self) -> &Renditions {
        &self.0.renditions
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
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
