use bottleneck_server::{Config, StoreConfig, StorePlace};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Where the networks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// This machine's processor.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
    /// The GPU where there is one that works, else the processor.
    Auto,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Turns photographs into bottleneck codes over HTTP.
#[derive(Debug, Parser)]
#[command(name = "bottleneck-server", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) args: Args,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Asks a running server whether it is ready: exit status 0 if it is, for a container's health check
    Health {
        /// Address and port that the server listens on
        #[arg(long, env = "BOTTLENECK_LISTEN", default_value = "127.0.0.1:8080")]
        listen: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address and port to listen on.
    #[arg(long, env = "BOTTLENECK_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,
    /// Address and port of the Prometheus metrics, at /metrics; none without it.
    #[arg(long, env = "BOTTLENECK_METRICS", value_name = "LISTEN")]
    pub(crate) metrics: Option<String>,
    /// Model file to serve, in place of the lite model built in; may be given many times. They are read
    /// again on SIGHUP.
    #[arg(long, env = "BOTTLENECK_MODEL", value_name = "FILE", value_delimiter = ',')]
    pub(crate) model: Vec<PathBuf>,
    /// Profile or id of the model used where a request names none: the first by default.
    #[arg(long, env = "BOTTLENECK_DEFAULT", value_name = "MODEL")]
    default: Option<String>,
    /// Where images are kept: a folder, which is made with the first image; s3://BUCKET/PREFIX, with region and
    /// credentials from the usual AWS_… variables; or `memory`, which forgets.
    #[arg(long, env = "BOTTLENECK_STORE", value_name = "STORE", default_value = "bottleneck-images")]
    store: StorePlace,
    /// Address of an S3-compatible service that is not Amazon's, such as http://127.0.0.1:9000.
    #[arg(long, env = "BOTTLENECK_S3_ENDPOINT", value_name = "URL")]
    s3_endpoint: Option<String>,
    /// Where to run the networks.
    #[arg(long, env = "BOTTLENECK_DEVICE", value_enum, default_value = "auto")]
    pub(crate) device: Device,
    /// How log lines look. RUST_LOG says which are written.
    #[arg(long, env = "BOTTLENECK_LOG_FORMAT", value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Collector of OpenTelemetry traces, such as http://127.0.0.1:4318 (OTLP over HTTP).
    #[cfg(feature = "otel")]
    #[arg(long, env = "BOTTLENECK_OTLP", value_name = "URL")]
    pub(crate) otlp: Option<String>,
    #[command(flatten)]
    limits: Limits,
}

/// Every limit, shown at /info.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Connections held at once; further ones wait in the kernel's backlog.
    #[arg(long, env = "BOTTLENECK_CONNECTIONS", value_name = "N", default_value_t = Config::default().connections)]
    connections: usize,
    /// Longest request body, in bytes.
    #[arg(long, env = "BOTTLENECK_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = Config::default().max_body_bytes)]
    max_body_bytes: usize,
    /// Bytes of upload held at once, over all requests; more get 429.
    #[arg(long, env = "BOTTLENECK_UPLOAD_MEMORY", value_name = "BYTES", default_value_t = Config::default().upload_memory)]
    upload_memory: usize,
    /// Largest picture, in pixels.
    #[arg(long, env = "BOTTLENECK_MAX_PIXELS", value_name = "PIXELS", default_value_t = Config::default().max_pixels)]
    max_pixels: u64,
    /// Longest side of a picture, in pixels.
    #[arg(long, env = "BOTTLENECK_MAX_DIMENSION", value_name = "PIXELS", default_value_t = Config::default().max_dimension)]
    max_dimension: u32,
    /// Pictures that may wait or be in work at once; more get 429.
    #[arg(long, env = "BOTTLENECK_QUEUE", value_name = "PICTURES", default_value_t = Config::default().queue)]
    queue: usize,
    /// Pixels of all those pictures; more get 429. Each takes three bytes of memory.
    #[arg(long, env = "BOTTLENECK_QUEUE_PIXELS", value_name = "PIXELS", default_value_t = Config::default().queue_pixels)]
    queue_pixels: usize,
    /// Uploads decoded at once.
    #[arg(long, env = "BOTTLENECK_DECODERS", value_name = "N", default_value_t = Config::default().decoders)]
    decoders: usize,
    /// Most strips of pictures in one batch of the networks.
    #[arg(long, env = "BOTTLENECK_BATCH", value_name = "STRIPS", default_value_t = Config::default().batch)]
    batch: usize,
    /// Most pixels in one batch, unless a single strip has more.
    #[arg(long, env = "BOTTLENECK_BATCH_PIXELS", value_name = "PIXELS", default_value_t = Config::default().batch_pixels)]
    batch_pixels: u64,
    /// Longest pause within an upload; then 408.
    #[arg(long, env = "BOTTLENECK_UPLOAD_PAUSE", value_name = "SECONDS", default_value_t = Config::default().upload_pause.as_secs())]
    upload_pause: u64,
    /// Longest upload; then 408.
    #[arg(long, env = "BOTTLENECK_UPLOAD_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().upload_timeout.as_secs())]
    upload_timeout: u64,
    /// Longest time to decode an upload; then 504.
    #[arg(long, env = "BOTTLENECK_DECODE_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().decode_timeout.as_secs())]
    decode_timeout: u64,
    /// Longest wait for the networks; then 503.
    #[arg(long, env = "BOTTLENECK_QUEUE_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().queue_timeout.as_secs())]
    queue_timeout: u64,
    /// Longest time to encode a picture once it is begun; then 504.
    #[arg(long, env = "BOTTLENECK_ENCODE_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().encode_timeout.as_secs())]
    encode_timeout: u64,
    /// Longest time for one operation of the image store; then 503.
    #[arg(long, env = "BOTTLENECK_STORE_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().store.timeout.as_secs())]
    store_timeout: u64,
    /// Bytes of transcoded images that are kept in memory.
    #[arg(long, env = "BOTTLENECK_TRANSCODE_CACHE", value_name = "BYTES", default_value_t = Config::default().transcode_cache)]
    transcode_cache: u64,
}

impl Args {
    pub(crate) fn config(&self) -> Config {
        let limits = &self.limits;
        Config {
            connections: limits.connections,
            max_body_bytes: limits.max_body_bytes,
            upload_memory: limits.upload_memory,
            max_pixels: limits.max_pixels,
            max_dimension: limits.max_dimension,
            queue: limits.queue,
            queue_pixels: limits.queue_pixels,
            decoders: limits.decoders,
            batch: limits.batch,
            batch_pixels: limits.batch_pixels,
            upload_pause: Duration::from_secs(limits.upload_pause),
            upload_timeout: Duration::from_secs(limits.upload_timeout),
            decode_timeout: Duration::from_secs(limits.decode_timeout),
            queue_timeout: Duration::from_secs(limits.queue_timeout),
            encode_timeout: Duration::from_secs(limits.encode_timeout),
            transcode_cache: limits.transcode_cache,
            store: StoreConfig {
                place: self.store.clone(),
                s3_endpoint: self.s3_endpoint.clone(),
                timeout: Duration::from_secs(limits.store_timeout),
            },
            default_model: self.default.clone(),
        }
    }
}
