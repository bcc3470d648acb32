use bottleneck_server::Config;
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
#[command(name = "bottleneck-server", version)]
pub(crate) struct Args {
    /// Address and port to listen on.
    #[arg(long, env = "BOTTLENECK_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,
    /// Model file to serve, in place of the lite model built in. Give several for several profiles;
    /// the first is the default.
    #[arg(long, env = "BOTTLENECK_MODEL", value_name = "FILE", value_delimiter = ',')]
    pub(crate) model: Vec<PathBuf>,
    /// Where to run the networks.
    #[arg(long, env = "BOTTLENECK_DEVICE", value_enum, default_value = "auto")]
    pub(crate) device: Device,
    /// How log lines look. RUST_LOG says which are written.
    #[arg(long, env = "BOTTLENECK_LOG_FORMAT", value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
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
    /// Uploaded pictures that may wait or be in work at once; more get 429.
    #[arg(long, env = "BOTTLENECK_QUEUE", value_name = "PICTURES", default_value_t = Config::default().queue)]
    queue: usize,
    /// Pictures held decoded at once: this times --max-pixels bounds the memory for pixels.
    #[arg(long, env = "BOTTLENECK_PICTURES", value_name = "PICTURES", default_value_t = Config::default().pictures)]
    pictures: usize,
    /// Longest time from the head of a request to its answer.
    #[arg(long, env = "BOTTLENECK_TIMEOUT", value_name = "SECONDS", default_value_t = Config::default().timeout.as_secs())]
    timeout: u64,
    /// Longest pause within an upload.
    #[arg(long, env = "BOTTLENECK_UPLOAD_PAUSE", value_name = "SECONDS", default_value_t = Config::default().upload_pause.as_secs())]
    upload_pause: u64,
}

impl Args {
    pub(crate) fn config(&self) -> Config {
        Config {
            max_body_bytes: self.max_body_bytes,
            upload_memory: self.upload_memory,
            max_pixels: self.max_pixels,
            max_dimension: self.max_dimension,
            queue: self.queue,
            pictures: self.pictures,
            timeout: Duration::from_secs(self.timeout),
            upload_pause: Duration::from_secs(self.upload_pause),
        }
    }
}
