use crate::access::AccessConfig;
use crate::store::StoreConfig;
use bottleneck_proto::Limits;
use std::time::Duration;

/// Limits of the service, which together bound its memory and every wait, whatever is uploaded; and its
/// default model.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections held at once; further ones wait in the kernel's backlog.
    pub connections: usize,
    /// Longest request body, in bytes.
    pub max_body_bytes: usize,
    /// Bytes of upload held at once, over all requests; more get 429.
    pub upload_memory: usize,
    /// Largest picture, in pixels.
    pub max_pixels: u64,
    /// Longest side of a picture, in pixels.
    pub max_dimension: u32,
    /// Pictures that may wait or be in work at once; more get 429.
    pub queue: usize,
    /// Pixels of all those pictures, padded to whole cells of the networks; more get 429. Each takes three
    /// bytes while it waits.
    pub queue_pixels: usize,
    /// Uploads decoded at once.
    pub decoders: usize,
    /// Most strips in one batch of the networks.
    pub batch: usize,
    /// Most pixels in one batch, unless a single strip has more.
    pub batch_pixels: u64,
    /// Longest pause within an upload; then 408.
    pub upload_pause: Duration,
    /// Longest upload; then 408.
    pub upload_timeout: Duration,
    /// Longest pause in which a client takes nothing of its answer; then the connection is closed.
    pub download_pause: Duration,
    /// Longest time to decode an upload; then 504.
    pub decode_timeout: Duration,
    /// Longest wait for the networks; then 503.
    pub queue_timeout: Duration,
    /// Longest time to encode a picture, from its first strip on; then 504.
    pub encode_timeout: Duration,
    /// Highest effort, 0 to 9; requests for more get this.
    pub max_effort: u8,
    /// Longest time to refine one code; the best found until then is sent.
    pub effort_time: Duration,
    /// Bytes of transcoded images that are kept in memory.
    pub transcode_cache: u64,
    /// Where images are kept.
    pub store: StoreConfig,
    /// Who may do what.
    pub access: AccessConfig,
    /// Time for which a service that is to end still serves, but is not ready any more: in it load balancers
    /// learn to ask others.
    pub drain_delay: Duration,
    /// Profile or id of the model used where a request names none; without one, the first.
    pub default_model: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            // Stays below the 1024 file descriptors that a process has by default.
            connections: 960,
            max_body_bytes: 64 << 20,
            upload_memory: 256 << 20,
            max_pixels: 100_000_000,
            max_dimension: 65_535,
            queue: 64,
            queue_pixels: 200_000_000,
            // One more than can run, so that a huge upload does not keep small ones from being decoded.
            decoders: processors + 1,
            batch: processors,
            batch_pixels: 8_000_000,
            upload_pause: Duration::from_secs(15),
            upload_timeout: Duration::from_secs(120),
            download_pause: Duration::from_secs(60),
            decode_timeout: Duration::from_secs(20),
            queue_timeout: Duration::from_secs(90),
            encode_timeout: Duration::from_secs(180),
            max_effort: 6,
            effort_time: Duration::from_secs(20),
            transcode_cache: 64 << 20,
            store: StoreConfig::default(),
            access: AccessConfig::default(),
            drain_delay: Duration::ZERO,
            default_model: None,
        }
    }
}

/// A limit that is outside of what can work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A size of zero, or one that the counters cannot hold.
    #[error("the limit {name} must be from 1 to {max}")]
    Range {
        /// Name of the field of [`Config`].
        name: &'static str,
        /// Largest value allowed.
        max: usize,
    },
    /// Not an origin.
    #[error("{found:?} is not an origin such as https://example.org, nor *")]
    Origin {
        /// What was given.
        found: String,
    },
    /// The largest picture allowed would never be taken.
    #[error("the limit queue_pixels ({queue_pixels}) must be at least max_pixels ({max_pixels})")]
    QueueBelowPicture {
        /// The limit of the queue.
        queue_pixels: usize,
        /// The limit of a picture.
        max_pixels: u64,
    },
}

impl Config {
    /// What a code may be that is taken in, or decoded here.
    pub(crate) fn code_limits(&self) -> Limits {
        Limits { max_pixels: self.max_pixels, max_bytes: self.max_body_bytes as u64 }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        // The counters are semaphores, of which a request takes 32 bits' worth at most.
        const MAX: usize = u32::MAX as usize;
        let counters = [
            ("connections", self.connections),
            ("upload_memory", self.upload_memory),
            ("queue", self.queue),
            ("queue_pixels", self.queue_pixels),
            ("decoders", self.decoders),
            ("batch", self.batch),
        ];
        if let Some(&(name, _)) = counters.iter().find(|(_, size)| !(1..=MAX).contains(size)) {
            return Err(ConfigError::Range { name, max: MAX });
        }
        if (self.queue_pixels as u64) < self.max_pixels {
            return Err(ConfigError::QueueBelowPicture {
                queue_pixels: self.queue_pixels,
                max_pixels: self.max_pixels,
            });
        }
        Ok(())
    }
}
