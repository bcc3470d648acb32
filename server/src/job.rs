//! A picture on its way through inference: strip by strip, until its code is whole.

use crate::codec::{Codec, Coding};
use crate::error::ApiError;
use crate::guard::guarded;
use crate::metrics::{Metrics, Stage};
use crate::queue::{Place, Queue};
use bottleneck_model::{EncodeError, Image, Quality, Strip};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;
use tracing::Span;

/// A decoded upload. Its place in the queue is given back when the pixels are.
pub(crate) struct Picture {
    pub(crate) image: Image,
    /// Shared with the narrower pictures made of this one.
    pub(crate) place: Arc<Place>,
}

/// Strips of one picture that may be in entropy coding at once. Two keep a lone picture's coding and its
/// next strip's networks busy together; more would only hold memory.
const CODING: usize = 2;

pub(crate) struct Job {
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) quality: Quality,
    pub(crate) span: Span,
    size: (u32, u32),
    progress: Mutex<Progress>,
}

struct Progress {
    /// Taken when the code is whole.
    picture: Option<Arc<Picture>>,
    queued: Instant,
    /// When the first strip was taken.
    begun: Option<Instant>,
    started: Option<oneshot::Sender<()>>,
    /// Taken when the job has ended, well or not.
    reply: Option<oneshot::Sender<Result<Vec<u8>, ApiError>>>,
    /// Bytes of the strips, from the top; empty where one is not coded yet.
    strips: Vec<Vec<u8>>,
    coding: usize,
    uncoded: usize,
}

/// What a job tells the request that waits for it. Dropping it takes the picture out of the queue.
pub(crate) struct Ticket {
    /// Resolves when the first strip is in work.
    pub(crate) started: oneshot::Receiver<()>,
    pub(crate) code: oneshot::Receiver<Result<Vec<u8>, ApiError>>,
    job: Arc<Job>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.job.abandon();
    }
}

impl Job {
    pub(crate) fn new(
        codec: Arc<dyn Codec>,
        picture: Arc<Picture>,
        quality: Quality,
    ) -> Result<(Arc<Job>, Ticket), EncodeError> {
        let strips = Strip::all(&picture.image, quality)?.len();
        let (begin, started) = oneshot::channel();
        let (reply, code) = oneshot::channel();
        let progress = Progress {
            queued: Instant::now(),
            begun: None,
            started: Some(begin),
            reply: Some(reply),
            strips: vec![vec![]; strips],
            coding: 0,
            uncoded: strips,
            picture: Some(picture.clone()),
        };
        let size = (picture.image.width, picture.image.height);
        let progress = Mutex::new(progress);
        let job = Arc::new(Job { codec, quality, span: Span::current(), size, progress });
        Ok((job.clone(), Ticket { started, code, job }))
    }

    pub(crate) fn strips(&self) -> usize {
        self.progress().strips.len()
    }

    /// Whether nobody waits for the code any more, or there will be none.
    pub(crate) fn is_over(&self) -> bool {
        self.progress().reply.is_none()
    }

    /// Whether its next strip must wait for the coding of earlier ones.
    pub(crate) fn is_behind(&self) -> bool {
        self.progress().coding >= CODING
    }

    /// Takes a strip into work: its picture, which is to be given back before the coding begins.
    pub(crate) fn begin_strip(&self, metrics: &Metrics) -> Option<Arc<Picture>> {
        let mut progress = self.progress();
        progress.coding += 1;
        if let Some(started) = progress.started.take() {
            progress.begun = Some(Instant::now());
            metrics.time(Stage::Queue, progress.queued.elapsed());
            // An error means that the client went away meanwhile.
            let _ = started.send(());
        }
        progress.picture.clone()
    }

    /// Runs the entropy coding of a strip; after the last one the request has its answer.
    pub(crate) fn code_strip(&self, index: usize, coding: Coding, queue: &Queue, metrics: &Metrics) {
        let _in_request = self.span.enter();
        let _stage = tracing::info_span!("entropy", strip = index).entered();
        let start = Instant::now();
        let bytes = match guarded(coding) {
            Ok(bytes) => bytes,
            Err(panic) => return self.fail(ApiError::Internal(format!("the codec panicked: {panic}"))),
        };
        metrics.time(Stage::Entropy, start.elapsed());
        let mut progress = self.progress();
        progress.strips[index] = bytes;
        progress.coding -= 1;
        progress.uncoded -= 1;
        if progress.uncoded > 0 {
            return;
        }
        let (strips, begun) = (std::mem::take(&mut progress.strips), progress.begun);
        // Before the reply, so that a client that has its answer finds the place free.
        progress.picture = None;
        drop(progress);
        if let Some(begun) = begun {
            queue.encoded(self.size, begun);
        }
        self.answer(match guarded(|| self.codec.assemble(self.size, self.quality, &strips)) {
            Ok(code) => code.map_err(ApiError::from),
            Err(panic) => Err(ApiError::Internal(format!("the codec panicked: {panic}"))),
        });
    }

    /// Lets go of the picture, and with it of its place, where the job is not over yet.
    fn abandon(&self) {
        let mut progress = self.progress();
        (progress.picture, progress.reply) = (None, None);
    }

    pub(crate) fn fail(&self, error: ApiError) {
        self.progress().picture = None;
        self.answer(Err(error));
    }

    fn answer(&self, answer: Result<Vec<u8>, ApiError>) {
        let reply = self.progress().reply.take();
        // An error means that the client went away meanwhile.
        let _ = reply.map(|reply| reply.send(answer));
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics while it is locked.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
