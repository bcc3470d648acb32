use crate::app;
use crate::state::AppState;
use crate::tls::Tls;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutWriter;
use tower::ServiceExt;

/// Longest wait for the head of a request, idle connections included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for TLS to be agreed on.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the [`app`] over plain HTTP: see [`serve_over`].
pub async fn serve(listener: TcpListener, state: AppState, shutdown: impl Future<Output = ()>) {
    serve_over(None, listener, state, shutdown).await;
}

/// Serves the [`app`], over TLS if there is any, until `shutdown` comes. Then fails readiness, serves on for
/// [`Config::drain_delay`](crate::Config::drain_delay), stops accepting, and returns when the last request is
/// answered.
///
/// This is `axum::serve` with four things more: a timeout on request heads, one on clients that do not take their
/// answer, a bound on connections, and an end that does not wait for connections on which nothing was ever asked.
pub async fn serve_over(
    tls: Option<Tls>,
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()>,
) {
    let router = app(state.clone());
    let most = state.config().connections;
    let connections = Arc::new(Semaphore::new(most));
    let mut accept = Box::pin(async {
        loop {
            // Neither semaphore nor its permits are ever lost, so this cannot fail.
            let Ok(place) = connections.clone().acquire_owned().await else { return };
            let stream = accept(&listener).await;
            let (router, state, tls) = (router.clone(), state.clone(), tls.clone());
            tokio::spawn(async move {
                encrypted(tls, stream, router, state).await;
                drop(place);
            });
        }
    });
    tokio::select! {
        () = accept.as_mut() => {}
        () = shutdown => {}
    }
    state.leave();
    // Never ends by itself.
    let _ = tokio::time::timeout(state.config().drain_delay, accept.as_mut()).await;
    state.drain();
    drop(accept);
    drop(listener);
    // All places free: every connection has ended.
    let _ = connections.acquire_many(most as u32).await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely: wait for some to be closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn encrypted(tls: Option<Tls>, stream: TcpStream, router: Router, state: AppState) {
    // Answers are written whole, so waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return connection(stream, router, state).await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection(stream, router, state).await,
        Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
        Err(_) => tracing::debug!("no TLS handshake in time"),
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    state: AppState,
) {
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(state.config().download_pause));
    let asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = state.draining() => {
            connection.as_mut().graceful_shutdown();
            if asked.load(Ordering::Relaxed) {
                connection.await
            } else {
                // Its first request may be on its way; a browser's spare connection has none.
                tokio::time::timeout(Duration::from_secs(1), connection).await.unwrap_or(Ok(()))
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
