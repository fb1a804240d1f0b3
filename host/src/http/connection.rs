//! One connection, from its first byte to its last: TLS if configured, then HTTP/1.1 or HTTP/2 as
//! the client chooses.
//!
//! Bounded are the time of a handshake, of a request's head and of silence, and the requests in
//! flight of one HTTP/2 client. Must not know: how connections are accepted, the meaning of
//! requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio_rustls::TlsAcceptor;

use super::auth::Peer;
use super::progress::{Activity, RequestInFlight};
use super::server::{Answers, HealthOnly};
use super::wire::{Bare, Wire};

/// Longest time for sending the head of a request, and longest time that a connection may stay
/// idle.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(30);

/// Longest time of a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Interval of HTTP/2 pings, and longest time for their answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);

/// Requests in flight on one HTTP/2 connection; hyper's default. Further ones are refused and may
/// be retried.
const STREAMS: u32 = 200;

/// Bytes of an HTTP/1.1 request head. hyper answers 414 itself for URIs over 64 KiB.
const HEAD_BYTES_1: usize = 80 << 10;

/// Bytes of an HTTP/2 request head, as HTTP/2 counts fields; hyper's default. Beyond it: 431.
const HEAD_BYTES: u32 = 16 << 10;

/// Bytes that an HTTP/2 client may send before they are read: per request, and per connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 128 << 10;

/// Streams that a client has reset before they were processed (h2's default), and streams that were
/// reset for a client's error (hyper's default). Beyond either the connection ends, which stops
/// rapid-reset attacks.
const RESET_BY_CLIENT: usize = 20;
const RESET_FOR_ERRORS: usize = 1_024;

/// State that the connections of a listener share.
pub(super) struct ConnectionServer<S> {
    service: Arc<S>,
    /// HTTP/2 requests answered at once over all connections: as many as HTTP/1 connections could
    /// have, so that their memory has the same bound. Further ones wait.
    streams: Semaphore,
    bare: Arc<Bare>,
    http: auto::Builder<TokioExecutor>,
}

/// A connection to serve.
pub(super) struct Accepted {
    /// Its activity.
    pub(super) activity: Arc<Activity>,
    /// Asks it to end once it has answered.
    pub(super) ending: oneshot::Receiver<()>,
    /// True if it serves health checks only.
    pub(super) is_reserve: bool,
}

impl<S: Answers> ConnectionServer<S> {
    /// `streams` bounds concurrent HTTP/2 requests, `head_time` the time for a request's head.
    pub(super) fn new(service: Arc<S>, streams: usize, head_time: Duration) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            // A client may shut down its sending side after its request, and is still answered.
            .half_close(true)
            .max_buf_size(HEAD_BYTES_1)
            .header_read_timeout(head_time);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIME)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(RESET_BY_CLIENT)
            .max_local_error_reset_streams(RESET_FOR_ERRORS);
        Self {
            bare: Arc::new(Bare::new(service.base_path())),
            service,
            streams: Semaphore::new(streams),
            http,
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        mut accepted: Accepted,
    ) {
        // A response is one small packet, which must not wait for the next.
        let _ = stream.set_nodelay(true);
        let needs_peer = self.service.needs_peer();
        let peer = needs_peer.then(|| stream.peer_addr().ok()).flatten();
        let Some(tls) = tls else {
            return self.converse(TokioIo::new(stream), peer, accepted).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream));
        let stream = tokio::select! {
            stream = handshake => stream,
            _ = &mut accepted.ending => return,
        };
        match stream {
            Ok(Ok(stream)) => self.converse(TokioIo::new(stream), peer, accepted).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client did not agree on TLS"),
            Err(_) => tracing::debug!("a client did not agree on TLS in time"),
        }
    }

    async fn converse<I: Read + Write + Unpin + Send + 'static>(
        self: Arc<Self>,
        io: I,
        peer: Option<SocketAddr>,
        accepted: Accepted,
    ) {
        let Accepted {
            activity,
            mut ending,
            is_reserve,
        } = accepted;
        let io = Wire::new(io, activity.clone(), self.bare.clone());
        let shared = self.clone();
        let answer = service_fn(move |mut request: Request<_>| {
            let shared = shared.clone();
            let in_flight = RequestInFlight::new(&activity);
            async move {
                if is_reserve {
                    request.extensions_mut().insert(HealthOnly);
                }
                if let Some(peer) = peer {
                    request.extensions_mut().insert(Peer(peer));
                }
                // An HTTP/1 connection has one request at a time and is counted itself.
                let _place = match request.version() {
                    Version::HTTP_2 if !shared.service.is_urgent(&request) => {
                        shared.streams.acquire().await.ok()
                    }
                    _ => None,
                };
                let answered = shared.service.answer(request).await;
                Ok::<_, Infallible>(answered.map(|body| body.sent(in_flight)))
            }
        });
        let mut connection = pin!(self.http.serve_connection(io, answer));
        let mut is_ending = false;
        loop {
            tokio::select! {
                biased;
                // A client that disconnects is no fault of the host.
                _ = connection.as_mut() => return,
                _ = &mut ending, if !is_ending => {
                    is_ending = true;
                    // Requests in flight are still answered, and their answers sent in full.
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty};
    use hyper::body::Incoming;
    use hyper::client::conn::http2;
    use hyper::{Response, StatusCode};

    use tokio::io::AsyncWriteExt as _;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::http::answer::{Answered, whole};
    use crate::http::connections::{ConnectionTimes, Connections};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    /// Answers on request.
    struct Patient(Semaphore);

    impl Answers for Patient {
        async fn answer(&self, _: Request<Incoming>) -> Answered {
            self.0.acquire().await.unwrap().forget();
            Response::new(whole("done"))
        }
    }

    fn asked() -> Request<Empty<Bytes>> {
        Request::new(Empty::new())
    }

    type ClientEnd = TokioIo<tokio::io::DuplexStream>;

    /// A listener with these bounds and one connection: the client's end, the service, and the task
    /// that ends with the connection.
    fn served(
        idle: Duration,
        stall: Duration,
        bytes: usize,
    ) -> (ClientEnd, Arc<Patient>, JoinHandle<()>) {
        let (client, service, served, connections) = unwatched(idle, stall, bytes);
        tokio::spawn(async move { connections.look_after().await });
        (client, service, served)
    }

    /// The same, without the task that examines connections.
    fn unwatched(
        idle: Duration,
        stall: Duration,
        bytes: usize,
    ) -> (ClientEnd, Arc<Patient>, JoinHandle<()>, Arc<Connections>) {
        let (client, server) = tokio::io::duplex(bytes);
        let service = Arc::new(Patient(Semaphore::new(0)));
        let connections = Connections::new(ConnectionTimes { idle, stall });
        let shared = Arc::new(ConnectionServer::new(service.clone(), 8, HEAD_TIME));
        let activity = connections.activity();
        let (end, ending) = oneshot::channel();
        let accepted = Accepted {
            activity: activity.clone(),
            ending,
            is_reserve: false,
        };
        let served = tokio::spawn(shared.converse(TokioIo::new(server), None, accepted));
        connections.add(activity, end, served.abort_handle(), false);
        (TokioIo::new(client), service, served, connections)
    }

    #[tokio::test]
    async fn a_silent_connection_is_closed() {
        let (client, _, served) = served(SHORT, LONG, 1 << 16);
        served.await.unwrap();
        drop(client);
    }

    #[tokio::test]
    async fn an_http2_connection_without_requests_is_closed_and_one_with_a_request_is_not() {
        let (client, service, served) = served(SHORT, LONG, 1 << 16);
        let (mut client, connection) = http2::handshake(TokioExecutor::new(), client)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let asked = tokio::spawn(client.send_request(asked()));
        tokio::time::sleep(SHORT * 5).await;
        assert!(!served.is_finished() && !asked.is_finished());
        service.0.add_permits(1);
        assert_eq!(asked.await.unwrap().unwrap().status(), StatusCode::OK);
        // Nothing more is asked.
        served.await.unwrap();
        connection.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_connection_with_an_unread_answer_is_closed_and_one_that_waits_for_an_answer_is_not()
    {
        let (mut client, service, served) = served(LONG, SHORT, 64);
        let io = client.inner_mut();
        io.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(SHORT * 5).await;
        assert!(!served.is_finished(), "the answer is not there yet");
        service.0.add_permits(1);
        assert!(served.await.unwrap_err().is_cancelled());
    }
    #[tokio::test]
    async fn an_unread_http2_stream_leaves_other_streams_time_for_their_answers() {
        let (client, service, served, connections) = unwatched(LONG, LONG, 1 << 16);
        let (mut client, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(2)
            .handshake(client)
            .await
            .unwrap();
        tokio::spawn(connection);
        service.0.add_permits(1);
        // Its body is not taken.
        let stalled = client.send_request(asked()).await.unwrap();
        let other = tokio::spawn(client.send_request(asked()));
        while connections.in_flight() < 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            connections.look(true);
        }
        service.0.add_permits(100);
        let other = other.await.unwrap().unwrap().into_body();
        assert_eq!(other.collect().await.unwrap().to_bytes(), "done");
        assert!(!served.is_finished());
        // Further ones are taken until the client hears that it ends.
        let mut is_ending = false;
        for _ in 0..50 {
            match client.send_request(asked()).await {
                Ok(answer) => drop(answer.into_body().collect().await),
                Err(_) => is_ending = true,
            }
        }
        assert!(is_ending);
        // No other is left.
        while !served.is_finished() {
            connections.look(false);
            tokio::task::yield_now().await;
        }
        assert!(served.await.unwrap_err().is_cancelled());
        drop(stalled);
    }
}
