use crate::codec::Codec;
use crate::error::ApiError;
use crate::state::Phase;
use bottleneck_model::{Image, Quality};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tracing::Span;

/// A decoded upload. Its slot is given back when the pixels are.
pub(crate) struct Picture {
    pub(crate) image: Image,
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) slot: OwnedSemaphorePermit,
}

struct Job {
    codec: Arc<dyn Codec>,
    picture: Arc<Picture>,
    quality: Quality,
    reply: oneshot::Sender<Result<Vec<u8>, ApiError>>,
    span: Span,
}

/// The one thread that encodes. It ends when this handle is dropped.
pub(crate) struct Inference {
    jobs: mpsc::Sender<Job>,
}

impl Inference {
    /// `pictures` bounds the jobs that wait: each holds a slot of that many.
    pub(crate) fn start(
        codecs: Vec<Arc<dyn Codec>>,
        pictures: usize,
        phase: watch::Sender<Phase>,
    ) -> std::io::Result<Inference> {
        let (jobs, waiting) = mpsc::channel(pictures);
        std::thread::Builder::new().name("inference".to_owned()).spawn(move || {
            warm_up(&codecs, &phase);
            run(waiting);
        })?;
        Ok(Inference { jobs })
    }

    /// Waits for the code of `picture`. Dropping the future takes the picture out of the queue.
    pub(crate) async fn encode(
        &self,
        codec: Arc<dyn Codec>,
        picture: Arc<Picture>,
        quality: Quality,
    ) -> Result<Vec<u8>, ApiError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { codec, picture, quality, reply, span: Span::current() };
        let gone = || ApiError::Internal("the inference thread is gone".to_owned());
        self.jobs.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The first encode pays for what is made lazily (threads, buffers, GPU kernels).
fn warm_up(codecs: &[Arc<dyn Codec>], phase: &watch::Sender<Phase>) {
    let image = Image { width: 64, height: 64, rgb: vec![128; 64 * 64 * 3] };
    let outcome = codecs.iter().try_for_each(|codec| encode(&**codec, &image, Quality(32768)).map(drop));
    phase.send_if_modified(|phase| {
        let starting = *phase == Phase::Starting;
        if starting {
            *phase = outcome.map_or_else(|error| Phase::Failed(error.to_string()), |()| Phase::Ready);
        }
        starting
    });
}

fn run(mut waiting: mpsc::Receiver<Job>) {
    while let Some(Job { codec, picture, quality, reply, span }) = waiting.blocking_recv() {
        let _in_request = span.enter();
        if reply.is_closed() {
            tracing::debug!("the client went away before inference");
            continue;
        }
        let code = encode(&*codec, &picture.image, quality);
        // Before the reply, so that a client that has its answer finds the slot free.
        drop(picture);
        // An error means that the client went away meanwhile.
        let _ = reply.send(code);
    }
}

fn encode(codec: &dyn Codec, image: &Image, quality: Quality) -> Result<Vec<u8>, ApiError> {
    // A codec keeps nothing from one picture to the next, so none is left half-changed.
    match catch_unwind(AssertUnwindSafe(|| codec.encode(image, quality))) {
        Ok(code) => Ok(code?),
        Err(panic) => Err(ApiError::Internal(format!("the codec panicked: {}", panic_message(&*panic)))),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bottleneck_model::{DecodeError, EncodeError};
    use std::future::ready;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use tokio::sync::Semaphore;

    /// Says which widths it is given, and waits for a word before each.
    struct Gated(Mutex<(Receiver<()>, Sender<u32>)>);

    impl Codec for Gated {
        fn encode(&self, image: &Image, _: Quality) -> Result<Vec<u8>, EncodeError> {
            let gate = self.0.lock().unwrap();
            gate.0.recv().unwrap();
            gate.1.send(image.width).unwrap();
            Ok(Vec::new())
        }

        fn decode(&self, _: &[u8]) -> Result<Image, DecodeError> {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn a_job_whose_client_went_away_is_not_encoded() {
        let (open, opened) = channel();
        let (seeing, seen) = channel();
        let codec: Arc<dyn Codec> = Arc::new(Gated(Mutex::new((opened, seeing))));
        let inference = Inference::start(Vec::new(), 3, watch::Sender::new(Phase::Starting)).unwrap();
        let slots = Arc::new(Semaphore::new(3));
        let encode = |width| {
            let image = Image { width, height: 1, rgb: vec![0; width as usize * 3] };
            let slot = slots.clone().try_acquire_owned().unwrap();
            Box::pin(inference.encode(codec.clone(), Arc::new(Picture { image, slot }), Quality(0)))
        };
        let (mut first, mut second, mut third) = (encode(1), encode(2), encode(3));
        for job in [&mut first, &mut second, &mut third] {
            tokio::select! {
                biased;
                _ = job => unreachable!("the gate is shut"),
                // Polled once, the job is in the channel.
                () = ready(()) => {}
            }
        }
        drop(second);
        open.send(()).unwrap();
        open.send(()).unwrap();
        first.await.unwrap();
        third.await.unwrap();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(slots.available_permits(), 3);
    }
}
