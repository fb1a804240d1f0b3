//! The listeners, of participants and of the operator: bounded connections, graceful drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::Acceptor;
use super::answer::Answered;
use super::connection::{HEAD_TIME, Shared};
use super::tls::Tls;
use crate::metrics::requests::Open;

/// Connections that wait to be accepted. The usual 128 overflow when hundreds of clients begin at once,
/// and each that does not fit is a second late.
const BACKLOG: u32 = 4_096;

/// Who answers the requests of a listener.
pub trait Answers: Send + Sync + 'static {
    /// Answers one request. Is dropped when the client breaks off.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answered> + Send;

    /// A connection was accepted; it is open until what is given here is dropped.
    fn connected(&self) -> Open {
        Open::default()
    }
}

/// Binds the address of a participant's listener.
///
/// # Errors
/// Says which address, and what to do when it is in use.
pub fn bind(name: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    bind_or(
        name,
        address,
        &format!("choose another with --listen {name}=ADDRESS:PORT"),
    )
}

/// Binds an address; `otherwise` says what to do where it is in use and shall stay so.
///
/// # Errors
/// Says which address, and what to do when it is in use.
pub fn bind_or(name: &str, address: SocketAddr, otherwise: &str) -> anyhow::Result<TcpListener> {
    listen(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{name}: port {} on {} is in use by another program; stop that one, or {otherwise}",
            address.port(),
            address.ip()
        ),
        _ => anyhow::anyhow!("{name}: can't listen on {address}: {error}"),
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A host that is started again must not wait for the connections of its last life to fade.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop`, over TLS where that is given, then lets the requests under way finish, at most for `drain`.
pub async fn serve<S: Answers>(
    mut listener: Acceptor,
    tls: Option<Arc<Tls>>,
    service: Arc<S>,
    connections: usize,
    stop: CancellationToken,
    drain: Duration,
) {
    let shared = Shared::new(service.clone(), connections, stop.clone(), HEAD_TIME);
    let shared = Arc::new(shared);
    let under_way = TaskTracker::new();
    let places = Arc::new(Semaphore::new(connections));
    loop {
        // At the bound no further connection is accepted: clients wait in the kernel's queue.
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let stream = tokio::select! {
            stream = listener.accept() => stream,
            () = stop.cancelled() => break,
        };
        match place {
            Ok(place) => {
                let open = service.connected();
                let shared = shared.clone();
                let tls = tls.as_ref().map(|tls| tls.acceptor());
                under_way.spawn(async move {
                    shared.serve(stream, tls).await;
                    drop((place, open));
                });
            }
            Err(_) => break,
        }
    }
    drop(listener);
    under_way.close();
    if tokio::time::timeout(drain, under_way.wait()).await.is_err() {
        tracing::warn!("some clients did not let go of their connections in time");
    }
}
