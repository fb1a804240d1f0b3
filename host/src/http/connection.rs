//! One connection, from its first byte to its last: TLS where that is spoken, then HTTP/1.1 or HTTP/2, whichever the
//! client begins with.
//!
//! Bounded are the time of a handshake, of the head of a request and of silence, and what one client of HTTP/2 may have
//! under way. Must not know: how connections come to be, what is served.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::server::Answers;

/// Longest time that a client may take to send the head of a request, and that a connection may
/// stay idle.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(30);

/// Longest time of a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How often a client of HTTP/2 is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);

/// Requests that a client of HTTP/2 may have under way on one connection; hyper's default. Further ones are refused,
/// and may be sent again.
const STREAMS: u32 = 200;

/// Bytes of the head of a request of HTTP/2, as its fields are counted there; hyper's default. Beyond it: 431.
const HEAD_BYTES: u32 = 16 << 10;

/// Streams of HTTP/2 that a client has reset before they were looked at (h2's default), and that were reset for an error of
/// the client (hyper's default). Beyond either the connection ends: who opens and resets without end gets no further.
const RESET_BY_CLIENT: usize = 20;
const RESET_FOR_ERRORS: usize = 1_024;

/// What the connections of a listener have in common.
pub(super) struct Shared<S> {
    service: Arc<S>,
    /// Requests of HTTP/2 that may be answered at once, over all connections: as many as those of HTTP/1 could be, so
    /// that what is in memory for them has the same bound. Further ones wait.
    streams: Semaphore,
    stop: CancellationToken,
    head_time: Duration,
    http: auto::Builder<TokioExecutor>,
}

impl<S: Answers> Shared<S> {
    /// For connections that end gracefully soon after `stop`, with so many streams and this time for a head.
    pub(super) fn new(
        service: Arc<S>,
        streams: usize,
        stop: CancellationToken,
        head_time: Duration,
    ) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            // A client may shut its side down once it has asked; it is answered all the same.
            .half_close(true)
            .header_read_timeout(head_time);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIME)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES)
            .max_pending_accept_reset_streams(RESET_BY_CLIENT)
            .max_local_error_reset_streams(RESET_FOR_ERRORS);
        Self {
            service,
            streams: Semaphore::new(streams),
            stop,
            head_time,
            http,
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // An answer is one small packet: it must not wait for the next.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return self.converse(TokioIo::new(stream)).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream));
        let stream = tokio::select! {
            stream = handshake => stream,
            () = self.stop.cancelled() => return,
        };
        match stream {
            Ok(Ok(stream)) => self.converse(TokioIo::new(stream)).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client did not agree on TLS"),
            Err(_) => tracing::debug!("a client did not agree on TLS in time"),
        }
    }

    /// HTTP/1 ends what is silent itself, once it knows that it is HTTP/1. HTTP/2 does not, nor does who waits for the
    /// first bytes to know; so it is looked here whether there was a request.
    async fn converse<I: Read + Write + Unpin + Send + 'static>(self: Arc<Self>, io: I) {
        let activity = Arc::new(Activity::default());
        let (shared, under_way) = (self.clone(), activity.clone());
        let answer = service_fn(move |request: Request<_>| {
            let shared = shared.clone();
            let begun = Begun::new(&under_way);
            async move {
                // A connection of HTTP/1 has one request at a time, and is counted itself.
                let _place = match request.version() {
                    Version::HTTP_2 => shared.streams.acquire().await.ok(),
                    _ => None,
                };
                let answered = shared.service.answer(request).await;
                drop(begun);
                Ok::<_, Infallible>(answered)
            }
        });
        let mut connection = pin!(self.http.serve_connection(io, answer));
        // One of its own, since all connections would meet at the lock of a common one.
        let stop = self.stop.child_token();
        let mut stopped = pin!(stop.cancelled());
        let mut looks = interval_at(Instant::now() + self.head_time, self.head_time);
        let mut seen = 0;
        let mut is_ending = false;
        loop {
            tokio::select! {
                // A client that breaks off is none of the host's faults.
                _ = connection.as_mut() => return,
                () = stopped.as_mut(), if !is_ending => is_ending = true,
                _ = looks.tick(), if !is_ending => is_ending = activity.rests_since(&mut seen),
            }
            if is_ending {
                // What is under way is answered, and what is being sent is sent to its end.
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Requests of a connection so far.
#[derive(Default)]
struct Activity {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Activity {
    /// Whether none has begun since the last look, and none is being answered.
    fn rests_since(&self, seen: &mut usize) -> bool {
        let ended = self.ended.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        std::mem::replace(seen, begun) == begun && begun == ended
    }
}

/// A request that is being answered.
struct Begun(Arc<Activity>);

impl Begun {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(activity.clone())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
