use anyhow::{Context, Result, ensure};
use bottleneck_server::{AccessConfig, Config, KeyError, StoreConfig, StorePlace, Tls};
use clap::{Parser, ValueEnum};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
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
    /// Makes an API key: prints it, and the line that the server keeps of it
    NewKey {
        /// Name of the key: letters, digits, - and _
        name: String,
    },
    /// Signs the address of an image, so that it can be had for a while
    Sign {
        /// File with the keys, of which the last signs
        #[arg(long, env = "BOTTLENECK_URL_KEYS", value_name = "FILE")]
        url_keys: PathBuf,
        /// For how long it holds
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        expires: u64,
        /// Path and query, such as /v1/images/ID.webp?w=640
        path: String,
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
    /// Model file to serve, in place of the models built in; may be given many times. They are read
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
    /// Time for which the service still serves after SIGTERM, when it says already that it is not ready: as long as
    /// load balancers take to see that.
    #[arg(long, env = "BOTTLENECK_DRAIN_DELAY", value_name = "SECONDS", default_value_t = 0)]
    drain_delay: u64,
    /// How log lines look. RUST_LOG says which are written.
    #[arg(long, env = "BOTTLENECK_LOG_FORMAT", value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Collector of OpenTelemetry traces, such as http://127.0.0.1:4318 (OTLP over HTTP).
    #[cfg(feature = "otel")]
    #[arg(long, env = "BOTTLENECK_OTLP", value_name = "URL")]
    pub(crate) otlp: Option<String>,
    #[command(flatten)]
    pub(crate) access: Access,
    #[command(flatten)]
    limits: Limits,
}

/// Who may do what, and how it is protected on its way.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct Access {
    /// File of API keys, a line NAME:SHA256 each (see `new-key`): without one of them nobody encodes, keeps or deletes.
    #[arg(long, env = "BOTTLENECK_API_KEYS", value_name = "FILE")]
    api_keys: Option<PathBuf>,
    /// Requests a second that each API key may make, and as many at once; more get 429.
    #[arg(long, env = "BOTTLENECK_KEY_RATE", value_name = "N")]
    key_rate: Option<NonZeroU32>,
    /// File of keys, a line NAME:SECRET each, that sign the addresses of images (see `sign`): without a signature or
    /// an API key nobody gets one.
    #[arg(long, env = "BOTTLENECK_URL_KEYS", value_name = "FILE")]
    url_keys: Option<PathBuf>,
    /// Origin of pages that may use the service from a browser, such as https://example.org, or *; may be given many
    /// times.
    #[arg(long, env = "BOTTLENECK_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    cors_origin: Vec<String>,
    /// Listens beyond this machine although there are no API keys.
    #[arg(long, env = "BOTTLENECK_ALLOW_ANONYMOUS")]
    allow_anonymous: bool,
    /// PEM file of the certificate for TLS, with those that lead to an authority behind it.
    #[arg(long, env = "BOTTLENECK_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(long, env = "BOTTLENECK_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl Access {
    pub(crate) fn tls(&self) -> Result<Option<Tls>> {
        let (Some(certificates), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        Ok(Some(Tls::from_pem_files(certificates, key)?))
    }

    /// Whether strangers are kept out, or welcome.
    pub(crate) fn is_deliberate(&self) -> bool {
        self.allow_anonymous || self.api_keys.is_some()
    }

    fn config(&self) -> Result<AccessConfig> {
        let api_keys = self.api_keys.as_deref().map(read_keys).transpose()?.unwrap_or_default();
        let url_keys = self.url_keys.as_deref().map(read_keys).transpose()?.unwrap_or_default();
        let origins = self.cors_origin.clone();
        Ok(AccessConfig { api_keys, key_rate: self.key_rate, url_keys, origins })
    }
}

/// The keys in a file, one a line; lines that begin with # are not heeded. At least one.
pub(crate) fn read_keys<K: FromStr<Err = KeyError>>(file: &Path) -> Result<Vec<K>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the keys in {shown}"))?;
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    // The line itself may be a secret.
    let key = |(i, line): (usize, &str)| line.parse().with_context(|| format!("{shown}, line {}", i + 1));
    let keys = lines.map(key).collect::<Result<Vec<K>>>()?;
    ensure!(!keys.is_empty(), "there is no key in {shown}");
    Ok(keys)
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
    /// Longest pause in which a client takes nothing of its answer; then the connection is closed.
    #[arg(long, env = "BOTTLENECK_DOWNLOAD_PAUSE", value_name = "SECONDS", default_value_t = Config::default().download_pause.as_secs())]
    download_pause: u64,
    /// Longest time to decode an upload; then 504.
    #[arg(long, env = "BOTTLENECK_DECODE_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().decode_timeout.as_secs())]
    decode_timeout: u64,
    /// Longest wait for the networks; then 503.
    #[arg(long, env = "BOTTLENECK_QUEUE_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().queue_timeout.as_secs())]
    queue_timeout: u64,
    /// Longest time to encode a picture once it is begun; then 504.
    #[arg(long, env = "BOTTLENECK_ENCODE_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().encode_timeout.as_secs())]
    encode_timeout: u64,
    /// Highest effort; requests for more get this.
    #[arg(long, env = "BOTTLENECK_MAX_EFFORT", value_name = "N", default_value_t = Config::default().max_effort,
          value_parser = clap::value_parser!(u8).range(0..=9))]
    max_effort: u8,
    /// Longest time to refine one code; the best found until then is sent.
    #[arg(long, env = "BOTTLENECK_EFFORT_TIME", value_name = "SECONDS", default_value_t = Config::default().effort_time.as_secs())]
    effort_time: u64,
    /// Longest time for one operation of the image store; then 503.
    #[arg(long, env = "BOTTLENECK_STORE_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().store.timeout.as_secs())]
    store_timeout: u64,
    /// Bytes of transcoded images that are kept in memory.
    #[arg(long, env = "BOTTLENECK_TRANSCODE_CACHE", value_name = "BYTES", default_value_t = Config::default().transcode_cache)]
    transcode_cache: u64,
}

impl Args {
    pub(crate) fn config(&self) -> Result<Config> {
        let limits = &self.limits;
        Ok(Config {
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
            download_pause: Duration::from_secs(limits.download_pause),
            decode_timeout: Duration::from_secs(limits.decode_timeout),
            queue_timeout: Duration::from_secs(limits.queue_timeout),
            encode_timeout: Duration::from_secs(limits.encode_timeout),
            max_effort: limits.max_effort,
            effort_time: Duration::from_secs(limits.effort_time),
            transcode_cache: limits.transcode_cache,
            store: StoreConfig {
                place: self.store.clone(),
                s3_endpoint: self.s3_endpoint.clone(),
                timeout: Duration::from_secs(limits.store_timeout),
            },
            access: self.access.config()?,
            drain_delay: Duration::from_secs(self.drain_delay),
            default_model: self.default.clone(),
        })
    }
}
