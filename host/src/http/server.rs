//! The listeners, of participants and of the operator: bounded connections, graceful drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::answer::Answered;
use crate::metrics::requests::Open;

/// Longest time that a client may take to send the head of a request, and that a connection may
/// stay idle.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Connections that wait to be accepted. The usual 128 overflow when hundreds of clients begin at once,
/// and each that does not fit is a second late.
const BACKLOG: u32 = 4_096;

/// Wait after a connection could not be accepted, for want of file descriptors most of the time.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

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

/// Serves until `stop`, then lets the requests under way finish, at most for `drain`.
pub async fn serve<S: Answers>(
    listener: TcpListener,
    service: Arc<S>,
    connections: usize,
    stop: CancellationToken,
    drain: Duration,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(connections));
    loop {
        // At the bound no further connection is accepted: clients wait in the kernel's queue.
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match (stream, place) {
            (Ok((stream, _)), Ok(place)) => {
                let open = service.connected();
                let connection = graceful.watch(connection(stream, service.clone()));
                tokio::spawn(async move {
                    // A client that breaks off is none of the host's faults.
                    let _ = connection.await;
                    drop((place, open));
                });
            }
            (Err(error), _) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
            (_, Err(_)) => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some clients did not let go of their connections in time");
    }
}

fn connection<S: Answers>(
    stream: TcpStream,
    service: Arc<S>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // An answer is one small packet: it must not wait for the next.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        // A client may shut its side down once it has asked; it is answered all the same.
        .half_close(true)
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), answer)
}
