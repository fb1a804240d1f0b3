//! Listeners of participants and of the operator: bounded connections, graceful drain.
//!
//! At the bound of open connections, the one with the longest idle time gives way to the next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::Acceptor;
use super::answer::Answered;
use super::connection::{Accepted, ConnectionServer, HEAD_TIME};
use super::connections::{ConnectionTimes, Connections, RESERVE_HEAD};
use super::tls::Tls;
use crate::metrics::requests::Open;

/// Backlog of `listen`. The usual 128 overflow when hundreds of clients connect at once, and each
/// client that does not fit is a second late.
const BACKLOG: u32 = 4_096;

/// Send buffer of a connection in bytes. With a larger one, a slow client could take longer than
/// the stall bound to make room in it.
const SEND_BUFFER: u32 = 256 << 10;

/// Longest wait for the place of a connection that was just asked to end.
const LEAVE: Duration = Duration::from_millis(500);

/// Time without such waits after one has failed: that client was sending a head, and others may be
/// too.
const HURRY: Duration = Duration::from_secs(2);

/// A service that answers the requests of a listener.
pub trait Answers: Send + Sync + 'static {
    /// Answers one request. Dropped when the client disconnects.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answered> + Send;

    /// Counts an accepted connection until the returned value is dropped.
    fn connected(&self) -> Open {
        Open::default()
    }

    /// True if requests need the address of the client ([`Peer`](super::auth)).
    fn needs_peer(&self) -> bool {
        false
    }

    /// Base path of the pages on problems.
    fn base_path(&self) -> &str {
        ""
    }

    /// True if a request is answered regardless of the number in flight.
    fn is_urgent(&self, _request: &Request<Incoming>) -> bool {
        false
    }
}

/// Binds the address of a participant's listener.
///
/// # Errors
/// Names the address, and the remedy if it is in use.
pub fn bind(name: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    bind_or(
        name,
        address,
        &format!("choose another with --listen {name}=ADDRESS:PORT"),
    )
}

/// Binds an address; `otherwise` is the remedy if the address is to stay in use.
///
/// # Errors
/// Names the address, and the remedy if it is in use.
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
    // A restarted host must not wait for the closed connections of its predecessor.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit the option.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct ListenerBounds {
    /// Connections.
    pub connections: usize,
    /// Further connections, which serve health checks only.
    pub reserve: usize,
    /// Longest time for which a client may read nothing of a response.
    pub stall: Duration,
    /// Longest time that requests in flight get when the listener stops.
    pub drain: Duration,
}

/// Marks a request on a connection that serves health checks only.
#[derive(Debug, Clone, Copy)]
pub struct HealthOnly;

/// The places for connections of a listener.
struct ConnectionSlots {
    common: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    connections: Arc<Connections>,
    /// Until then, if there is a reserve, no connection waits for one that was asked to end.
    hurry: Option<Instant>,
}

impl ConnectionSlots {
    /// The place of the next connection, and true if it is a reserved one. Idle connections give
    /// way for it.
    async fn next(&mut self) -> Option<(OwnedSemaphorePermit, bool)> {
        loop {
            if let Ok(place) = self.common.clone().try_acquire_owned() {
                return Some((place, false));
            }
            let gives_way = self.connections.give_way();
            // A common place is better than a reserved one.
            if gives_way && self.hurry.is_none_or(|until| until <= Instant::now()) {
                let left = self.common.clone().acquire_owned();
                match tokio::time::timeout(LEAVE, left).await {
                    Ok(place) => return Some((place.ok()?, false)),
                    Err(_) => self.hurry = Some(Instant::now() + HURRY),
                }
            }
            if let Ok(place) = self.reserve.clone().try_acquire_owned() {
                return Some((place, true));
            }
            self.connections.clear_reserve();
            tokio::select! {
                place = self.common.clone().acquire_owned() => return Some((place.ok()?, false)),
                place = self.reserve.clone().acquire_owned() => return Some((place.ok()?, true)),
                () = tokio::time::sleep(RESERVE_HEAD) => {}
            }
        }
    }
}

/// Serves until `stop`, over TLS if configured, then lets the requests in flight finish.
pub async fn serve<S: Answers>(
    mut listener: Acceptor,
    tls: Option<Arc<Tls>>,
    service: Arc<S>,
    bounds: ListenerBounds,
    stop: CancellationToken,
) {
    listener.end_stalled(bounds.stall);
    let shared = ConnectionServer::new(service.clone(), bounds.connections, HEAD_TIME);
    let shared = Arc::new(shared);
    let under_way = TaskTracker::new();
    let connections = Connections::new(ConnectionTimes {
        idle: HEAD_TIME,
        stall: bounds.stall,
    });
    let watched = connections.clone();
    let watch = tokio::spawn(async move { watched.look_after().await });
    let mut places = ConnectionSlots {
        common: Arc::new(Semaphore::new(bounds.connections)),
        reserve: Arc::new(Semaphore::new(bounds.reserve)),
        connections: connections.clone(),
        hurry: None,
    };
    loop {
        let stream = tokio::select! {
            stream = listener.accept() => stream,
            () = stop.cancelled() => break,
        };
        // At the bound no further connection is accepted: clients wait in the kernel's queue.
        let place = tokio::select! {
            place = places.next() => place,
            () = stop.cancelled() => break,
        };
        let Some((place, is_reserve)) = place else {
            break;
        };
        let open = service.connected();
        let shared = shared.clone();
        let tls = tls.as_ref().map(|tls| tls.acceptor());
        let activity = connections.activity();
        let (end, ending) = oneshot::channel();
        let accepted = Accepted {
            activity: activity.clone(),
            ending,
            is_reserve,
        };
        let task = under_way.spawn(async move {
            shared.serve(stream, tls, accepted).await;
            // The count first: it never exceeds the places.
            drop((open, place));
        });
        connections.add(activity, end, task.abort_handle(), is_reserve);
    }
    drop(listener);
    connections.end();
    under_way.close();
    let all_ended = tokio::time::timeout(bounds.drain, under_way.wait()).await;
    if all_ended.is_err() {
        tracing::warn!("some clients did not close their connections in time");
    }
    watch.abort();
}
