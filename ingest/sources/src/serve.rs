//! An HTTP server with limits: connections, heads, and how long a head may take.

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::SourceError;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: u32 = 1024;

/// How long the head of a request may take; a connection on which none comes is closed then.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const HEAD_BYTES: usize = 32 << 10;

/// How long a server that stops waits for its connections.
const FAREWELL: Duration = Duration::from_secs(5);

/// A server that listens. Dropping it stops it, and waits a little for requests under way.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
    runtime: Handle,
}

impl Listening {
    /// Listens at an address, on a runtime; `name` is for messages to people.
    pub fn start(
        address: SocketAddr,
        name: &str,
        router: Router,
        runtime: &Handle,
    ) -> Result<Self, SourceError> {
        let wrong = |error: std::io::Error| SourceError::Listen {
            name: name.to_owned(),
            address: address.to_string(),
            problem: error.to_string(),
        };
        let listener = TcpListener::bind(address).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(wrong)?;
        let (stop, stopped) = watch::channel(false);
        let task = Some(runtime.spawn(serve(listener, router, stopped)));
        drop(entered);
        tracing::info!(event = "listening", name, %address, "listens");
        Ok(Self { address, stop, task, runtime: runtime.clone() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, and waits a little for requests under way. Not to be called on the runtime.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            let ends = self.runtime.clone();
            // Who is not done then loses the connection.
            let _ = ends.block_on(async { tokio::time::timeout(FAREWELL, task).await });
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    loop {
        let taken = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let taken = tokio::select! {
            taken = taken => taken,
            () = until(&mut stopped) => break,
        };
        let Some((place, Ok((stream, _)))) = taken else {
            // Too many open files, mostly: others have to end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (router, stopped) = (router.clone(), stopped.clone());
        tokio::spawn(async move {
            connection(stream, router, stopped).await;
            drop(place);
        });
    }
    drop(listener);
    // All places are free once all connections have ended.
    let _ = places.acquire_many(CONNECTIONS).await;
}

/// Until the server is to stop, or is gone.
async fn until(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn connection(
    stream: tokio::net::TcpStream,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    // An answer is small, and waited for.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}
