//! An HTTP/1.1 client with one connection to one service, and its retries.
//!
//! Owns: connecting, sending, reading the whole answer, the bounds on its time and size, and
//! retries. It distinguishes a request that was never sent (safe to send again) from one whose
//! outcome is unknown (a POST is not sent again). The connection is driven by the task that uses it
//! and not by a task of its own: each switch between tasks takes time from the host on the same
//! machine.
//!
//! # Layout
//!
//! - `url`: the base URL of a service
//!
//! Must not know: the paths and bodies of any service.

mod url;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpStream;

pub use url::{BadUrl, BaseUrl};

/// Longest wait for an answer: no request of the callers is slow.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
/// Time for which a client with retries repeats one request: longer than any restart of a host.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// The first wait between retries; it doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_MIN: Duration = Duration::from_millis(10);
/// The longest wait between retries: short, compared with a restart.
const RETRY_WAIT_MAX: Duration = Duration::from_millis(200);
/// Most bytes of an answer; the longest is a page of documentation or of metrics.
const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An answer, of any status.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Status of the answer.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// True if the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in lower case; None if it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// The body is no JSON.
    #[expect(clippy::panic, reason = "for tests, which end there")]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// The reason why there is no answer.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The request was not sent: it may be sent again.
    #[error(
        "{authority} can't be reached ({reason}); is the host running, and is this its address?"
    )]
    NotSent {
        /// Host and port.
        authority: String,
        /// The error of the system or of hyper.
        reason: String,
    },
    /// The request was sent, but there is no complete answer: it may have taken effect.
    #[error("{authority} took the request and gave no whole answer ({reason})")]
    Lost {
        /// Host and port.
        authority: String,
        /// The error of the system or of hyper.
        reason: String,
    },
}

/// A client of one service, with at most one open connection.
#[derive(Debug)]
pub struct Client {
    url: BaseUrl,
    connection: Option<Connection>,
    retry: bool,
}

impl Client {
    /// A client that connects at its first request. With `retry` it waits for a service that is
    /// away: GETs are repeated, and POSTs that were not sent.
    pub fn new(url: BaseUrl, retry: bool) -> Self {
        Self {
            url,
            connection: None,
            retry,
        }
    }

    /// The URL of the service.
    pub fn url(&self) -> &BaseUrl {
        &self.url
    }

    /// True if this client retries.
    pub fn retries(&self) -> bool {
        self.retry
    }

    /// Connects now, to save time at the first request.
    ///
    /// # Errors
    /// The service can't be reached.
    pub async fn connect(&mut self) -> Result<(), RequestError> {
        let authority = self.url.authority();
        let connection = Connection::open(authority).await;
        self.connection = Some(connection.map_err(|failure| failure.of(authority))?);
        Ok(())
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// There is no answer; with retries, not within a minute.
    pub async fn get(&mut self, path: &str) -> Result<Response, RequestError> {
        let mut tries = Tries::new(self.retry);
        loop {
            let answer = self.once(Method::GET, path, Bytes::new(), None).await;
            let settled = answer.as_ref().is_ok_and(|answer| answer.status < 500);
            if settled || !tries.another().await {
                return answer;
            }
        }
    }

    /// Sends a POST with a JSON body. A request that may have taken effect is not repeated.
    ///
    /// # Errors
    /// There is no answer; after [`RequestError::Lost`] the request may have taken effect.
    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<Response, RequestError> {
        let mut tries = Tries::new(self.retry);
        let key = self.url.fresh_key();
        loop {
            let answer = self
                .once(Method::POST, path, body.clone(), key.as_ref())
                .await;
            let sent = !matches!(answer, Err(RequestError::NotSent { .. }));
            if sent || !tries.another().await {
                return answer;
            }
        }
    }

    /// PUTs a component. It is not repeated, since another component may be active by then.
    ///
    /// # Errors
    /// There is no answer; after [`RequestError::Lost`] the request may have taken effect.
    pub async fn put(&mut self, path: &str, body: Bytes) -> Result<Response, RequestError> {
        self.once(Method::PUT, path, body, None).await
    }

    /// Sends a PATCH with a JSON body. It is not repeated.
    ///
    /// # Errors
    /// There is no answer; after [`RequestError::Lost`] the request may have taken effect.
    pub async fn patch(&mut self, path: &str, body: Bytes) -> Result<Response, RequestError> {
        self.once(Method::PATCH, path, body, None).await
    }

    async fn once(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        key: Option<&HeaderValue>,
    ) -> Result<Response, RequestError> {
        let authority = self.url.authority();
        loop {
            let mut builder = Request::builder().method(method.clone()).uri(path);
            let content_type = match method {
                Method::POST | Method::PATCH => Some("application/json"),
                Method::PUT => Some("application/wasm"),
                _ => None,
            };
            if let Some(content_type) = content_type {
                builder = builder.header(CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            if let Some(key) = key {
                builder = builder.header("idempotency-key", key);
            }
            let was_open = self.connection.is_some();
            let asked = exchange(&mut self.connection, authority, builder, body.clone()).await;
            match asked {
                // The service may close an idle connection at any time.
                Err(Failure::NotSent(_)) if was_open => {}
                asked => return asked.map_err(|failure| failure.of(authority)),
            }
        }
    }
}

/// Sends one request on a connection of its own. A body, and any POST, has the type JSON, unless
/// the headers say otherwise.
///
/// # Errors
/// The connection broke, or an HTTP client can't send the request.
pub async fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Response, RequestError> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header("connection", "close");
    for (name, value) in headers {
        // Bytes, since a test may send values that are not text.
        builder = builder.header(*name, value.as_bytes());
    }
    let is_typed = builder
        .headers_ref()
        .is_some_and(|headers| headers.contains_key(CONTENT_TYPE));
    if !is_typed && (!body.is_empty() || method == "POST") {
        builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let answer = exchange(&mut None, authority, builder, body).await;
    answer.map_err(|failure| failure.of(authority))
}

/// Sends a request, on a new connection if there is none. The connection is kept if the answer is
/// complete.
async fn exchange(
    connection: &mut Option<Connection>,
    authority: &str,
    mut request: Builder,
    body: Bytes,
) -> Result<Response, Failure> {
    let is_named = request
        .headers_ref()
        .is_some_and(|headers| headers.contains_key(HOST));
    if !is_named {
        request = request.header(HOST, authority);
    }
    let request = request
        .body(Full::new(body))
        .map_err(|error| Failure::NotSent(format!("this makes no request: {error}")))?;
    let exchange = async {
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(authority).await?,
        };
        let answer = open.exchange(request).await?;
        *connection = Some(open);
        Ok(answer)
    };
    tokio::time::timeout(REQUEST_TIMEOUT, exchange)
        .await
        .unwrap_or_else(|_| {
            Err(Failure::Lost(format!(
                "nothing for {} s",
                REQUEST_TIMEOUT.as_secs()
            )))
        })
}

/// The retries of one request.
struct Tries {
    until: Option<Instant>,
    wait: Duration,
}

impl Tries {
    fn new(retry: bool) -> Self {
        Self {
            until: retry.then(|| Instant::now() + RETRY_FOR),
            wait: RETRY_WAIT_MIN,
        }
    }

    /// Waits before a retry; returns false if there is none left.
    async fn another(&mut self) -> bool {
        if self.until.is_none_or(|until| Instant::now() >= until) {
            return false;
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(RETRY_WAIT_MAX);
        true
    }
}

enum Failure {
    NotSent(String),
    Lost(String),
}

impl Failure {
    fn of(self, authority: &str) -> RequestError {
        let authority = authority.to_owned();
        match self {
            Self::NotSent(reason) => RequestError::NotSent { authority, reason },
            Self::Lost(reason) => RequestError::Lost { authority, reason },
        }
    }
}

type HttpConnection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once the connection is closed.
    wire: Option<Pin<Box<HttpConnection>>>,
}

impl Connection {
    async fn open(authority: &str) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::NotSent(reason(error));
        let stream = TcpStream::connect(authority).await;
        let stream = stream.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let (sender, wire) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
        Ok(Self {
            sender,
            wire: Some(Box::pin(wire)),
        })
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response, Failure> {
        let Self { sender, wire } = self;
        drive(wire, sender.ready())
            .await
            .map_err(|error| Failure::NotSent(reason(&error)))?;
        let response = drive(wire, sender.try_send_request(request))
            .await
            .map_err(|mut error| {
                // The request is returned only if no byte of it was sent.
                match error.take_message() {
                    Some(_) => Failure::NotSent(reason(error.error())),
                    None => Failure::Lost(reason(error.error())),
                }
            })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, RESPONSE_BYTES_MAX);
        let body = drive(wire, body.collect())
            .await
            .map_err(|error| Failure::Lost(error.to_string()))?;
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

/// Polls `part` to its end, and the connection with it. The connection is dropped when it closes;
/// if `part` still waits for it, it gets an error.
async fn drive<F: Future>(wire: &mut Option<Pin<Box<HttpConnection>>>, part: F) -> F::Output {
    let mut part = pin!(part);
    poll_fn(|cx| {
        if let Some(open) = wire
            && open.as_mut().poll(cx).is_ready()
        {
            *wire = None;
        }
        match part.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => {
                // `part` may have given the connection work.
                if let Some(open) = wire
                    && open.as_mut().poll(cx).is_ready()
                {
                    *wire = None;
                }
                part.as_mut().poll(cx)
            }
        }
    })
    .await
}

/// An error with all its causes; hyper's text has only the outermost.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    /// A server that answers the listed number of requests on each connection, then closes it; with
    /// `swallow` it reads one more request and closes without an answer. Sends the number of closed
    /// connections.
    async fn server(answers: Vec<usize>, swallow: bool) -> (BaseUrl, watch::Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (closed, is_closed) = watch::channel(0);
        tokio::spawn(async move {
            for count in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                for _ in 0..count {
                    assert!(stream.read(&mut buffer).await.unwrap() > 0);
                    stream.write_all(OK).await.unwrap();
                }
                if swallow {
                    assert!(stream.read(&mut buffer).await.unwrap() > 0);
                }
                drop(stream);
                closed.send_modify(|count| *count += 1);
            }
        });
        let url = BaseUrl::parse(&format!("http://{address}/base/")).unwrap();
        (url, is_closed)
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_replaced_when_the_service_closed_it() {
        let (url, mut closed) = server(vec![2, 1], false).await;
        let mut client = Client::new(url, false);
        for _ in 0..2 {
            assert_eq!(client.get("/base/x").await.unwrap().text(), "ok");
        }
        closed.wait_for(|count| *count == 1).await.unwrap();
        let posted = client.post("/base/x", Bytes::from_static(b"{}"));
        assert_eq!(posted.await.unwrap().text(), "ok");
    }

    #[tokio::test]
    async fn each_post_carries_a_key_of_its_own_where_keys_are_wanted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let url = BaseUrl::parse(&url).unwrap().with_fresh_keys();
        let mut client = Client::new(url, false);
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heads = Vec::new();
            for _ in 0..2 {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                heads.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                stream.write_all(OK).await.unwrap();
            }
            heads
        };
        let asked = async {
            client.post("/x", Bytes::new()).await.unwrap();
            client.post("/x", Bytes::new()).await.unwrap();
        };
        let (heads, ()) = tokio::join!(served, asked);
        let key = |head: &str| {
            let key = head
                .lines()
                .find(|line| line.starts_with("idempotency-key: "));
            key.unwrap().to_owned()
        };
        assert_ne!(key(&heads[0]), key(&heads[1]));
    }

    #[tokio::test]
    async fn a_post_that_was_sent_is_lost_and_not_repeated() {
        let (url, _) = server(vec![0, 1], true).await;
        let mut client = Client::new(url, true);
        let posted = client.post("/base/x", Bytes::from_static(b"{}"));
        let lost = posted.await.unwrap_err();
        assert!(matches!(lost, RequestError::Lost { .. }), "{lost}");
    }

    #[tokio::test]
    async fn a_post_that_was_sent_on_a_kept_connection_is_lost_and_not_repeated() {
        let (url, _) = server(vec![1, 1], true).await;
        let mut client = Client::new(url, true);
        assert_eq!(client.get("/base/x").await.unwrap().text(), "ok");
        let posted = client.post("/base/x", Bytes::from_static(b"{}"));
        let lost = posted.await.unwrap_err();
        assert!(matches!(lost, RequestError::Lost { .. }), "{lost}");
    }

    #[tokio::test]
    async fn a_get_is_repeated_by_a_client_that_retries() {
        let (url, _) = server(vec![0, 1], true).await;
        let mut client = Client::new(url, true);
        assert_eq!(client.get("/base/x").await.unwrap().text(), "ok");
    }

    #[tokio::test]
    async fn a_refused_connection_is_a_request_that_was_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = BaseUrl::parse(&format!("http://{address}")).unwrap();
        let posted = Client::new(url, false).post("/x", Bytes::new()).await;
        let error = posted.unwrap_err();
        assert!(matches!(error, RequestError::NotSent { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
