//! The thread that runs the networks, on batches of what is waiting.
//!
//! A batch takes one strip of each picture, oldest first. After two megapixels, or one strip that is larger, a
//! picture's turn is over and it goes to the back: so a huge picture keeps a small one waiting for one strip of
//! its own, not for all of them, and one of a few strips is done in a turn. There is no timer:
//! a batch is what has come while the one before was run. Uploads are decoded meanwhile, and strips whose
//! networks have run are entropy-coded on the thread pool.

use crate::catalogue::Catalogue;
use crate::codec::{Codec, Coding};
use crate::config::Config;
use crate::error::ApiError;
use crate::guard::guarded;
use crate::job::{Job, Picture};
use crate::metrics::{Metrics, Stage};
use crate::queue::{Queue, padded_pixels};
use crate::state::Phase;
use bottleneck_model::{Quality, Strip};
use bottleneck_proto::STRIP_ROWS;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Pixels that a picture may have analysed before others have their turn, unless a single strip has more.
const TURN: u64 = 2_000_000;

enum Message {
    Job(Arc<Job>),
    /// A strip has been entropy-coded: its picture's next may be due.
    Coded,
}

/// Handle to the one thread that runs the networks. It ends when this is dropped.
pub(crate) struct Inference {
    // Not bounded here: every job's picture has a place in the queue.
    inbox: mpsc::UnboundedSender<Message>,
    queue: Arc<Queue>,
    queue_timeout: Duration,
    encode_timeout: Duration,
}

impl Inference {
    /// Starts the thread, which tests every model before it takes pictures.
    pub(crate) fn start(
        models: Arc<Catalogue>,
        config: &Config,
        queue: Arc<Queue>,
        metrics: Arc<Metrics>,
        phase: watch::Sender<Phase>,
    ) -> std::io::Result<Inference> {
        let (inbox, messages) = mpsc::unbounded_channel();
        let worker = Worker {
            waiting: VecDeque::new(),
            again: vec![],
            later: vec![],
            // Weak, so that the thread does not keep itself going.
            inbox: inbox.downgrade(),
            queue: queue.clone(),
            metrics,
            items: config.batch,
            pixels: config.batch_pixels,
        };
        std::thread::Builder::new().name("inference".to_owned()).spawn(move || {
            warm_up(&models, &phase);
            // Those that it serves may be others by now.
            drop(models);
            worker.run(messages);
        })?;
        let &Config { queue_timeout, encode_timeout, .. } = config;
        Ok(Inference { inbox, queue, queue_timeout, encode_timeout })
    }

    /// Waits for the code of `picture`. Dropping the future takes the picture out of the queue.
    pub(crate) async fn encode(
        &self,
        codec: Arc<dyn Codec>,
        picture: Arc<Picture>,
        quality: Quality,
    ) -> Result<Vec<u8>, ApiError> {
        let (job, mut ticket) = Job::new(codec, picture, quality)?;
        let gone = || ApiError::Internal("the inference thread is gone".to_owned());
        self.inbox.send(Message::Job(job)).map_err(|_| gone())?;
        let late = |_| ApiError::QueueTimeout { retry_after: self.queue.retry_after() };
        // Where the sender is gone, the job has ended, and the next line has its answer.
        let _ = timeout(self.queue_timeout, &mut ticket.started).await.map_err(late)?;
        let code =
            timeout(self.encode_timeout, &mut ticket.code).await.map_err(|_| ApiError::EncodeTimeout)?;
        code.map_err(|_| gone())?
    }
}

fn warm_up(models: &Catalogue, phase: &watch::Sender<Phase>) {
    let outcome = models.self_test();
    phase.send_if_modified(|phase| {
        let starting = *phase == Phase::Starting;
        if starting {
            *phase = outcome.map_or_else(|error| Phase::Failed(error.to_string()), |()| Phase::Ready);
        }
        starting
    });
}

struct Worker {
    waiting: VecDeque<Waiting>,
    /// Pictures whose turn goes on.
    again: Vec<Waiting>,
    /// Pictures that had their turn: they go behind those that came meanwhile.
    later: Vec<Waiting>,
    inbox: mpsc::WeakUnboundedSender<Message>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    items: usize,
    pixels: u64,
}

/// A job of which strips are left to analyse.
struct Waiting {
    job: Arc<Job>,
    next: usize,
    /// Pixels analysed in this turn.
    turn: u64,
}

/// A strip in work.
struct Item {
    job: Arc<Job>,
    picture: Arc<Picture>,
    strip: usize,
}

impl Worker {
    fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        loop {
            while let Ok(message) = messages.try_recv() {
                self.take(message);
            }
            self.again.drain(..).rev().for_each(|picture| self.waiting.push_front(picture));
            self.waiting.extend(self.later.drain(..));
            let batch = self.batch();
            if batch.is_empty() {
                match messages.blocking_recv() {
                    Some(message) => self.take(message),
                    None => return,
                }
            }
            // Models cannot share a batch.
            let mut rest = batch;
            while let Some(codec) = rest.first().map(|item| item.job.codec.clone()) {
                let same = |item: &mut Item| Arc::ptr_eq(&item.job.codec, &codec);
                let batch = rest.extract_if(.., same).collect();
                self.process(&codec, batch);
            }
        }
    }

    fn take(&mut self, message: Message) {
        if let Message::Job(job) = message {
            self.waiting.push_back(Waiting { job, next: 0, turn: 0 });
        }
    }

    /// The next strip of each picture that is due, as many as fit, dropping those that nobody waits for.
    fn batch(&mut self) -> Vec<Item> {
        let (mut batch, mut pixels) = (vec![], 0);
        while let Some(Waiting { job, next, turn }) = self.waiting.pop_front() {
            if job.is_over() {
                job.span.in_scope(|| tracing::debug!(strip = next, "nobody waits for this picture"));
                continue;
            }
            if job.is_behind() {
                self.again.push(Waiting { job, next, turn });
                continue;
            }
            let Some(picture) = job.begin_strip(&self.metrics) else { continue };
            let cost = padded_pixels(picture.image.width, picture.image.height.min(STRIP_ROWS));
            batch.push(Item { job: job.clone(), picture, strip: next });
            let (next, turn) = (next + 1, turn + cost);
            if next < job.strips() {
                match turn + cost <= TURN {
                    true => self.again.push(Waiting { job, next, turn }),
                    false => self.later.push(Waiting { job, next, turn: 0 }),
                }
            }
            pixels += cost;
            if batch.len() == self.items || pixels >= self.pixels {
                break;
            }
        }
        batch
    }

    fn process(&self, codec: &Arc<dyn Codec>, batch: Vec<Item>) {
        let start = Instant::now();
        // One in each request's trace; they end together.
        let span = |item: &Item| tracing::info_span!(parent: &item.job.span, "analysis", strip = item.strip, batch = batch.len());
        let spans: Vec<_> = batch.iter().map(span).collect();
        let codings = analyse(codec, &batch);
        drop(spans);
        self.metrics.time(Stage::Analysis, start.elapsed());
        self.metrics.batch(batch.len());
        for (Item { job, picture, strip }, coding) in batch.into_iter().zip(codings) {
            drop(picture);
            let coding = match coding {
                Ok(coding) => coding,
                Err(error) => {
                    job.fail(error);
                    continue;
                }
            };
            let (queue, metrics, inbox) = (self.queue.clone(), self.metrics.clone(), self.inbox.clone());
            rayon::spawn(move || {
                job.code_strip(strip, coding, &queue, &metrics);
                // With nobody at the other end there is nothing left to do.
                let _ = inbox.upgrade().map(|inbox| inbox.send(Message::Coded));
            });
        }
    }
}

/// Runs the networks on a batch. If that fails, on each strip alone, so that only the culprit's request does.
fn analyse(codec: &Arc<dyn Codec>, batch: &[Item]) -> Vec<Result<Coding, ApiError>> {
    let strips = batch.iter().filter_map(|item| {
        Strip::all(&item.picture.image, item.job.quality).ok().and_then(|mut all| all.nth(item.strip))
    });
    let strips: Vec<_> = strips.collect();
    let error = match guarded(|| codec.clone().analyse(&strips)) {
        Ok(Ok(codings)) => return codings.into_iter().map(Ok).collect(),
        Ok(Err(error)) => ApiError::from(error),
        Err(panic) => ApiError::Internal(format!("the codec panicked: {panic}")),
    };
    if batch.len() == 1 {
        return vec![Err(error)];
    }
    tracing::warn!(%error, strips = batch.len(), "a batch failed: trying its strips one by one");
    batch.chunks(1).flat_map(|item| analyse(codec, item)).collect()
}

#[cfg(test)]
mod tests;
