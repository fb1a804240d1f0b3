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
use tokio::sync::{Semaphore, oneshot};
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
        let (end, mut ending) = oneshot::channel();
        tokio::spawn(self.clone().watch(activity, end));
        let mut is_ending = false;
        loop {
            tokio::select! {
                biased;
                // A client that breaks off is none of the host's faults.
                _ = connection.as_mut() => return,
                _ = &mut ending, if !is_ending => {
                    is_ending = true;
                    // What is under way is answered, and what is being sent is sent to its end.
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Says when a connection is to end: at the stop, or when it had no request for a while. HTTP/1 sees to the second itself
    /// once it knows that it is HTTP/1; HTTP/2 does not, nor does who waits for the first bytes to know.
    ///
    /// A task of its own, because the connection's is woken for each packet, and these would be looked at each time.
    async fn watch(self: Arc<Self>, activity: Arc<Activity>, mut end: oneshot::Sender<()>) {
        let mut looks = interval_at(Instant::now() + self.head_time, self.head_time);
        let mut seen = 0;
        loop {
            tokio::select! {
                () = end.closed() => return,
                () = self.stop.cancelled() => break,
                _ = looks.tick() => {
                    if activity.rests_since(&mut seen) {
                        break;
                    }
                }
            }
        }
        // Nobody hears it where the connection ended meanwhile.
        let _ = end.send(());
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::body::Incoming;
    use hyper::client::conn::http2;
    use hyper::{Response, StatusCode};

    use super::*;
    use crate::http::answer::{Answered, whole};

    const SHORT: Duration = Duration::from_millis(20);

    /// Answers when it is told to.
    struct Patient(Semaphore);

    impl Answers for Patient {
        async fn answer(&self, _: Request<Incoming>) -> Answered {
            self.0.acquire().await.unwrap().forget();
            Response::new(whole("done"))
        }
    }

    /// A server with this time for a head: the client's end, the service, and the task that ends with the connection.
    fn served(
        head_time: Duration,
    ) -> (
        TokioIo<tokio::io::DuplexStream>,
        Arc<Patient>,
        tokio::task::JoinHandle<()>,
    ) {
        let (client, server) = tokio::io::duplex(1 << 16);
        let service = Arc::new(Patient(Semaphore::new(0)));
        let shared = Shared::new(service.clone(), 8, CancellationToken::new(), head_time);
        let served = tokio::spawn(Arc::new(shared).converse(TokioIo::new(server)));
        (TokioIo::new(client), service, served)
    }

    #[tokio::test]
    async fn who_says_nothing_is_let_go() {
        let (client, _, served) = served(SHORT);
        served.await.unwrap();
        drop(client);
    }

    #[tokio::test]
    async fn who_begins_http2_and_asks_nothing_is_let_go_and_who_waits_for_an_answer_is_not() {
        let (client, service, served) = served(SHORT);
        let (mut client, connection) = http2::handshake(TokioExecutor::new(), client)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let asked = client.send_request(Request::new(Empty::<Bytes>::new()));
        let asked = tokio::spawn(asked);
        tokio::time::sleep(SHORT * 5).await;
        assert!(!served.is_finished() && !asked.is_finished());
        service.0.add_permits(1);
        assert_eq!(asked.await.unwrap().unwrap().status(), StatusCode::OK);
        // Nothing more is asked.
        served.await.unwrap();
        connection.await.unwrap().unwrap();
    }
}
