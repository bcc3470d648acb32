//! The `bottleneck-server` program: flags, log, model, socket, signals.
#![forbid(unsafe_code)]

mod args;

use anyhow::{Context, Result};
use args::{Args, Device, LogFormat};
use bottleneck_model::{Backend, Encoder, WeightsError};
use bottleneck_server::{AppState, ServedModel, StartError, serve};
use clap::Parser;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log(args.log_format);
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bottleneck-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let listener =
        TcpListener::bind(&args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let models = load_models(&args)?;
    let state = AppState::new(models, args.config())?;
    let address = listener.local_addr()?;
    println!("Bottleneck listens on http://{address} (ctrl-c ends it)");
    println!("try: curl --data-binary @photo.jpg 'http://{address}/v1/encode?q=75' -o photo.bnk");

    tokio::select! {
        () = serve(listener, state.clone(), shutdown()) => Ok(()),
        error = failed_start(&state) => Err(error.into()),
    }
}

/// Resolves only where the warm-up fails.
async fn failed_start(state: &AppState) -> StartError {
    match state.ready().await {
        Err(error) => error,
        Ok(()) => std::future::pending().await,
    }
}

/// Waits for SIGTERM or ctrl-c; from then on a second one ends the process at once.
async fn shutdown() {
    if let Err(error) = signal().await {
        tracing::warn!(%error, "cannot wait for signals: they end the process without ceremony");
        std::future::pending::<()>().await;
    }
    tracing::info!("finishing the requests in work; a second signal ends at once");
    tokio::spawn(async {
        if signal().await.is_ok() {
            std::process::exit(1);
        }
    });
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        ctrl_c = tokio::signal::ctrl_c() => ctrl_c,
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

fn load_models(args: &Args) -> Result<Vec<ServedModel>> {
    if args.model.is_empty() {
        let encoder = on_device(args.device, Encoder::lite).context("cannot load the model built in")?;
        return Ok(vec![encoder.into()]);
    }
    let load = |file: &PathBuf| {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read the model {}", file.display()))?;
        let encoder = on_device(args.device, |backend| Encoder::from_bytes(&bytes, backend));
        Ok(encoder.with_context(|| format!("cannot load the model {}", file.display()))?.into())
    };
    args.model.iter().map(load).collect()
}

fn on_device(
    device: Device,
    load: impl Fn(Backend) -> Result<Encoder, WeightsError>,
) -> Result<Encoder, WeightsError> {
    match device {
        Device::Cpu => load(Backend::Cpu),
        Device::Cuda => load(Backend::Cuda),
        Device::Auto if cfg!(feature = "cuda") => load(Backend::Cuda).or_else(|error| {
            tracing::warn!(%error, "no usable GPU: the networks run on the processor");
            load(Backend::Cpu)
        }),
        Device::Auto => load(Backend::Cpu),
    }
}

/// Log lines go to stderr; stdout says where the service listens.
fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
}
