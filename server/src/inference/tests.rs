use super::*;
use crate::codec::ServedModel;
use axum::body::Bytes;
use bottleneck_model::{DecodeError, EncodeError, Image, Refinement};
use bottleneck_proto::ModelId;
use bottleneck_proto::http::ModelInfo;
use std::future::ready;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Says which widths it is given, batch by batch, and waits for a word before each batch. Widths of 13 fail
/// their batch, and those of 14 panic.
struct Gated(Mutex<(Receiver<()>, Sender<Vec<u32>>)>);

impl Codec for Gated {
    fn analyse(self: Arc<Self>, strips: &[Strip<'_>]) -> Result<Vec<Coding>, EncodeError> {
        let gate = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let widths: Vec<u32> = strips.iter().map(|strip| strip.image().width).collect();
        gate.1.send(widths.clone()).unwrap();
        gate.0.recv().unwrap();
        assert!(!widths.contains(&14), "fourteen");
        if widths.contains(&13) {
            return Err(EncodeError::Size { width: 13, height: 0 });
        }
        let coding = |strip: &Strip<'_>| -> Coding {
            let byte = strip.image().width as u8;
            Box::new(move || vec![byte])
        };
        Ok(strips.iter().map(coding).collect())
    }

    fn assemble(&self, _: (u32, u32), _: Quality, strips: &[Vec<u8>]) -> Result<Vec<u8>, EncodeError> {
        Ok(strips.concat())
    }

    fn encode_refined(&self, _: &Image, _: Quality, _: &Refinement<'_>) -> Result<Vec<u8>, EncodeError> {
        unreachable!()
    }

    fn decode(&self, _: &[u8]) -> Result<Image, DecodeError> {
        unreachable!()
    }

    fn device(&self) -> &'static str {
        "none"
    }
}

/// Fails its self-test: nothing here waits for one.
struct Broken;

impl Codec for Broken {
    fn analyse(self: Arc<Self>, _: &[Strip<'_>]) -> Result<Vec<Coding>, EncodeError> {
        Err(EncodeError::Size { width: 0, height: 0 })
    }

    fn assemble(&self, _: (u32, u32), _: Quality, _: &[Vec<u8>]) -> Result<Vec<u8>, EncodeError> {
        unreachable!()
    }

    fn encode_refined(&self, _: &Image, _: Quality, _: &Refinement<'_>) -> Result<Vec<u8>, EncodeError> {
        unreachable!()
    }

    fn decode(&self, _: &[u8]) -> Result<Image, DecodeError> {
        unreachable!()
    }

    fn device(&self) -> &'static str {
        "none"
    }
}

struct Bench {
    inference: Inference,
    codec: Arc<dyn Codec>,
    queue: Arc<Queue>,
    open: Sender<()>,
    seen: Receiver<Vec<u32>>,
}

type Encoding<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, ApiError>> + 'a>>;

impl Bench {
    fn new(config: &Config) -> Bench {
        let (open, opened) = channel();
        let (seeing, seen) = channel();
        let queue = Arc::new(Queue::new(config));
        let phase = watch::Sender::new(Phase::Starting);
        let info = ModelInfo {
            id: ModelId([0; 8]),
            profile: String::new(),
            experimental: true,
            decoder_bytes: 0,
            kmac_per_pixel_decoder: 0.0,
            default: true,
        };
        let model = ServedModel { info, decoder: Bytes::new(), codec: Arc::new(Broken) };
        let models = Arc::new(Catalogue::new(vec![model], None).unwrap());
        Bench {
            inference: Inference::start(models, config, queue.clone(), Arc::new(Metrics::new()), phase)
                .unwrap(),
            codec: Arc::new(Gated(Mutex::new((opened, seeing)))),
            queue,
            open,
            seen,
        }
    }

    /// Puts a picture into the queue.
    async fn encode(&self, width: u32, height: u32) -> Encoding<'_> {
        let image = Image { width, height, rgb: vec![0; (width * height) as usize * 3] };
        let picture =
            Arc::new(Picture { image, place: Arc::new(self.queue.enter((width, height)).unwrap()) });
        let mut encoding = Box::pin(self.inference.encode(self.codec.clone(), picture, Quality(0)));
        tokio::select! {
            biased;
            _ = &mut encoding => unreachable!("the gate is shut"),
            // Polled once, it is in the queue.
            () = ready(()) => {}
        }
        encoding
    }

    /// The widths of the next batch.
    fn arrived(&self) -> Vec<u32> {
        self.seen.recv().unwrap()
    }
}

fn config(batch: usize) -> Config {
    Config { batch, ..Config::default() }
}

#[tokio::test]
async fn what_waits_is_the_next_batch() {
    let bench = Bench::new(&config(3));
    let mut jobs = vec![bench.encode(1, 1).await];
    assert_eq!(bench.arrived(), [1]);
    for width in 2..=5 {
        jobs.push(bench.encode(width, 1).await);
    }
    bench.open.send(()).unwrap();
    assert_eq!(bench.arrived(), [2, 3, 4]);
    bench.open.send(()).unwrap();
    assert_eq!(bench.arrived(), [5]);
    bench.open.send(()).unwrap();
    for (job, byte) in jobs.into_iter().zip(1..) {
        assert_eq!(job.await.unwrap(), [byte]);
    }
    assert_eq!(bench.queue.held_pixels(), 0);
}

#[tokio::test]
async fn pixels_bound_a_batch_too() {
    let bench = Bench::new(&Config { batch_pixels: 2 * 64 * 64, ..config(9) });
    let first = bench.encode(1, 1).await;
    assert_eq!(bench.arrived(), [1]);
    let jobs = [bench.encode(64, 64).await, bench.encode(65, 64).await, bench.encode(66, 512).await];
    bench.open.send(()).unwrap();
    assert_eq!(bench.arrived(), [64, 65]);
    bench.open.send(()).unwrap();
    assert_eq!(bench.arrived(), [66]);
    bench.open.send(()).unwrap();
    first.await.unwrap();
    for job in jobs {
        job.await.unwrap();
    }
}

#[tokio::test]
async fn strips_of_a_huge_picture_take_turns_with_others() {
    let bench = Bench::new(&config(1));
    let huge = bench.encode(4000, 512 * 2 + 1).await;
    assert_eq!(bench.arrived(), [4000]);
    let small = bench.encode(8, 1).await;
    bench.open.send(()).unwrap();
    assert_eq!(bench.arrived(), [8]);
    bench.open.send(()).unwrap();
    small.await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.arrived(), [4000]);
        bench.open.send(()).unwrap();
    }
    assert_eq!(huge.await.unwrap(), [4000_u32 as u8; 3]);
}

#[tokio::test]
async fn a_picture_of_a_few_strips_is_done_in_one_turn() {
    let bench = Bench::new(&config(1));
    let tall = bench.encode(7, 512 + 1).await;
    assert_eq!(bench.arrived(), [7]);
    let small = bench.encode(8, 1).await;
    for width in [7, 8] {
        bench.open.send(()).unwrap();
        assert_eq!(bench.arrived(), [width]);
    }
    bench.open.send(()).unwrap();
    assert_eq!((tall.await.unwrap(), small.await.unwrap()), (vec![7; 2], vec![8]));
}

#[tokio::test]
async fn a_job_whose_client_went_away_is_not_encoded() {
    let bench = Bench::new(&config(1));
    let first = bench.encode(1, 1).await;
    assert_eq!(bench.arrived(), [1]);
    let (second, third) = (bench.encode(2, 1).await, bench.encode(3, 1).await);
    drop(second);
    bench.open.send(()).unwrap();
    assert_eq!(bench.arrived(), [3]);
    bench.open.send(()).unwrap();
    first.await.unwrap();
    third.await.unwrap();
    assert_eq!(bench.queue.held_pixels(), 0);
}

#[tokio::test]
async fn a_failure_costs_its_own_request_only() {
    for culprit in [13, 14] {
        let bench = Bench::new(&config(3));
        let first = bench.encode(1, 1).await;
        assert_eq!(bench.arrived(), [1]);
        let jobs = [bench.encode(2, 1).await, bench.encode(culprit, 1).await, bench.encode(3, 1).await];
        bench.open.send(()).unwrap();
        for batch in [&[2, culprit, 3][..], &[2], &[culprit], &[3]] {
            assert_eq!(bench.arrived(), batch);
            bench.open.send(()).unwrap();
        }
        first.await.unwrap();
        let [second, culprit, third] = jobs;
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (vec![2], vec![3]));
        assert!(culprit.await.is_err());
        assert_eq!(bench.queue.held_pixels(), 0);
    }
}
