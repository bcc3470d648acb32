//! The `bottleneck-server` program: flags, log, model, socket, signals.
#![forbid(unsafe_code)]

mod args;
mod ask;
mod keys;
mod telemetry;

use anyhow::{Context, Result, ensure};
use args::{Args, Cli, Command, Device};
use bottleneck_model::{Backend, Encoder, WITHOUT_IDLE_THREADS, WeightsError, restart_with};
use bottleneck_server::{AppState, ServedModel, StartError, metrics_app, serve_over};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::rustls::crypto::ring::default_provider;

/// Gives memory back some seconds after a spike of large pictures, by a thread of its own, although nobody asks for
/// anything then; glibc's and mimalloc keep a good part of it.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // For all of TLS: the service's own, that of the S3 store, and that of the collector of traces. The only call,
    // so it cannot fail.
    let _ = default_provider().install_default();
    let Cli { args, command } = Cli::parse();
    let outcome = match command {
        Some(Command::Health { listen }) => ask::is_ready(&listen),
        Some(Command::NewKey { name }) => keys::new(&name),
        Some(Command::Sign { url_keys, expires, path }) => keys::sign(&url_keys, expires, &path),
        None => serve(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bottleneck-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: Args) -> Result<()> {
    let restarted = restart_with(&[WITHOUT_IDLE_THREADS]);
    let telemetry = telemetry::start(&args)?;
    if let Err(error) = restarted {
        tracing::warn!(%error, "cannot start again without the tensor library's own threads: refining is slower");
    }
    let outcome = start(args);
    telemetry.finish();
    outcome
}

#[tokio::main]
async fn start(args: Args) -> Result<()> {
    let bind = async |address: &str| {
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
    };
    let listener = bind(&args.listen).await?;
    let metrics = match &args.metrics {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let address = listener.local_addr()?;
    ensure!(
        address.ip().is_loopback() || args.access.is_deliberate(),
        "{address} can be reached from other machines, and there are no API keys: give --api-keys FILE, or \
         --allow-anonymous if everyone may use this service"
    );
    let tls = args.access.tls()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let state = AppState::new(load_models(&args)?, args.config()?)?;
    println!("Bottleneck listens on {scheme}://{address} (ctrl-c ends it)");
    println!("try: curl --data-binary @photo.jpg '{scheme}://{address}/v1/encode?q=75' -o photo.bnk");
    if let Some(metrics) = metrics {
        println!("metrics are at http://{}/metrics", metrics.local_addr()?);
        tokio::spawn(axum::serve(metrics, metrics_app(state.clone())).into_future());
    }
    tokio::spawn(reload_on_hangup(args, state.clone()));

    tokio::select! {
        () = serve_over(tls, listener, state.clone(), shutdown()) => Ok(()),
        error = failed_start(&state) => Err(error.into()),
    }
}

/// Resolves only where a model fails its self-test.
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
    ensure!(
        args.device != Device::Cuda || cfg!(feature = "cuda"),
        "this build cannot use a GPU: build bottleneck-server with its feature `cuda`, or give --device cpu"
    );
    if args.model.is_empty() {
        let built_in = [Encoder::lite, Encoder::base];
        let load = |built_in: fn(Backend) -> Result<Encoder, WeightsError>| {
            Ok(on_device(args.device, built_in).context("cannot load the models built in")?.into())
        };
        return built_in.into_iter().map(load).collect();
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

/// Reads the model files again whenever SIGHUP comes.
#[cfg(unix)]
async fn reload_on_hangup(args: Args, state: AppState) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::warn!(%error, "cannot wait for SIGHUP: models are not reloaded"),
    };
    let args = Arc::new(args);
    while hangup.recv().await.is_some() {
        let args = args.clone();
        let loaded = tokio::task::spawn_blocking(move || load_models(&args)).await;
        let outcome = match loaded {
            Ok(Ok(models)) => state.reload(models).await.map_err(anyhow::Error::from),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        };
        match outcome {
            Ok(()) => tracing::info!("the models have been reloaded"),
            Err(error) => tracing::error!("the models stay as they were: {error:#}"),
        }
    }
}

#[cfg(not(unix))]
async fn reload_on_hangup(_: Args, _: AppState) {}
