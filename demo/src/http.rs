//! One keep-alive HTTP/1.1 connection to one service, and what to do when it breaks.
//!
//! Owns: connecting, sending, reading the whole answer, and telling apart a request that was never
//! sent (safe to send again) from one whose fate is unknown (never sent again if it is a POST).
//! The connection is driven by the task that uses it, not by a task of its own, because every switch
//! between tasks is time taken from the host on the same machine.
//!
//! Must not know: the paths and bodies of the contract.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

use crate::random::Random;

/// An answer that takes longer is a failure: nothing in the contract is slow.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client that retries keeps trying one request: longer than any restart of a host.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// The waits between tries start here and double up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_MIN: Duration = Duration::from_millis(10);
/// The longest wait between tries: short against a restart, so that little of it is missed.
const RETRY_WAIT_MAX: Duration = Duration::from_millis(200);
/// Answers of the contract are below 1 KB; a problem document may be longer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where a service is: `http://127.0.0.1:8081/customer-order/customer-service`.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    authority: String,
    host: HeaderValue,
    base_path: String,
    keys: Option<Arc<FreshKeys>>,
}

/// Idempotency keys, each given once. Those of two runs differ.
#[derive(Debug)]
struct FreshKeys {
    run: u64,
    next: AtomicU64,
}

/// A URL that names no HTTP service.
#[derive(Debug, Error)]
#[error(
    "{url} is not a URL such as http://127.0.0.1:8081/customer-order/customer-service: {problem}"
)]
pub(crate) struct BadEndpoint {
    url: String,
    problem: String,
}

impl Endpoint {
    /// Reads a URL: http only, a base path without a query; the port is 80 if none is given.
    ///
    /// # Errors
    /// Says what is wrong with the URL.
    pub(crate) fn parse(url: &str) -> Result<Self, BadEndpoint> {
        let bad = |problem: &str| BadEndpoint {
            url: url.to_owned(),
            problem: problem.to_owned(),
        };
        let uri: Uri = url
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| bad(&error.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("it must start with http://"));
        }
        if uri.query().is_some() {
            return Err(bad("it must have no query"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        let host =
            HeaderValue::from_str(authority.as_str()).map_err(|error| bad(&error.to_string()))?;
        let authority = match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        };
        Ok(Self {
            authority,
            host,
            base_path: uri.path().trim_end_matches('/').to_owned(),
            keys: None,
        })
    }

    /// The same, where every POST is to carry an idempotency key of its own.
    pub(crate) fn with_fresh_keys(self) -> Self {
        let keys = FreshKeys {
            run: Random::new(Random::fresh_seed()).bits(),
            next: AtomicU64::new(0),
        };
        Self {
            keys: Some(Arc::new(keys)),
            ..self
        }
    }

    fn fresh_key(&self) -> Option<HeaderValue> {
        let keys = self.keys.as_ref()?;
        let number = keys.next.fetch_add(1, Ordering::Relaxed);
        // As long as a UUID, which is what clients send.
        HeaderValue::from_str(&format!("{:016x}-load-{number:014}", keys.run)).ok()
    }

    /// The path of a resource below the base path; `resource` starts with `/`.
    pub(crate) fn path(&self, resource: fmt::Arguments<'_>) -> String {
        format!("{}{resource}", self.base_path)
    }

    /// The full URL of a path, for people.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }
}

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(url: &str) -> Result<Self, BadEndpoint> {
        Self::parse(url)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.base_path)
    }
}

/// What a service answered, whatever the status.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Status of the answer.
    pub(crate) status: StatusCode,
    /// The whole body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text for people.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }
}

/// Why there is no answer, by what may be done next.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    /// The request did not leave this process: it may be sent again.
    #[error(
        "{authority} can't be reached ({reason}); is the host running, and is this its address?"
    )]
    NotSent {
        /// Host and port.
        authority: String,
        /// What the system or the protocol said.
        reason: String,
    },
    /// The request was sent and no whole answer came: it may have taken effect.
    #[error("{authority} took the request and gave no whole answer ({reason})")]
    Lost {
        /// Host and port.
        authority: String,
        /// What the system or the protocol said.
        reason: String,
    },
}

/// One client with at most one open connection.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    connection: Option<Connection>,
    retry: bool,
}

impl Client {
    /// A client that connects when first used. With `retry` it waits for a service that is away:
    /// GETs are repeated, POSTs are repeated only if they were not sent.
    pub(crate) fn new(endpoint: Endpoint, retry: bool) -> Self {
        Self {
            endpoint,
            connection: None,
            retry,
        }
    }

    /// Where this client sends its requests.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether this client waits for a service that is away.
    pub(crate) fn retries(&self) -> bool {
        self.retry
    }

    /// Connects now, so that the first request does not have to.
    ///
    /// # Errors
    /// The service can't be reached.
    pub(crate) async fn connect(&mut self) -> Result<(), TransportError> {
        self.connection = Some(Connection::open(&self.endpoint).await?);
        Ok(())
    }

    /// GETs a path.
    ///
    /// # Errors
    /// No answer, for a client that retries: not within a minute.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, TransportError> {
        let mut tries = Tries::new(self.retry);
        loop {
            let answer = self.once(&Method::GET, path, Bytes::new(), None).await;
            let settled = answer
                .as_ref()
                .is_ok_and(|answer| !answer.status.is_server_error());
            if settled || !tries.another().await {
                return answer;
            }
        }
    }

    /// POSTs a JSON body. A request that may have taken effect is never sent again.
    ///
    /// # Errors
    /// No answer; [`TransportError::Lost`] says that it may have taken effect all the same.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer, TransportError> {
        let mut tries = Tries::new(self.retry);
        let key = self.endpoint.fresh_key();
        loop {
            let answer = self
                .once(&Method::POST, path, body.clone(), key.as_ref())
                .await;
            let sent = !matches!(answer, Err(TransportError::NotSent { .. }));
            if sent || !tries.another().await {
                return answer;
            }
        }
    }

    /// PUTs a component. Never repeated: what it replaced the first time may be something else by then.
    ///
    /// # Errors
    /// No answer; [`TransportError::Lost`] says that it may have taken effect all the same.
    pub(crate) async fn put(&mut self, path: &str, body: Bytes) -> Result<Answer, TransportError> {
        self.once(&Method::PUT, path, body, None).await
    }

    async fn once(
        &mut self,
        method: &Method,
        path: &str,
        body: Bytes,
        key: Option<&HeaderValue>,
    ) -> Result<Answer, TransportError> {
        loop {
            let (mut connection, fresh) = match self.connection.take() {
                Some(connection) => (connection, false),
                None => (Connection::open(&self.endpoint).await?, true),
            };
            let request = self.request(method, path, body.clone(), key)?;
            let exchange = connection.exchange(request);
            let failure = match tokio::time::timeout(REQUEST_TIMEOUT, exchange).await {
                Ok(Ok(answer)) => {
                    self.connection = Some(connection);
                    return Ok(answer);
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Lost(format!("nothing for {} s", REQUEST_TIMEOUT.as_secs())),
            };
            let authority = self.endpoint.authority.clone();
            match failure {
                // The service closed the idle connection, as it may at any time.
                Failure::NotSent(_) if !fresh => {}
                Failure::NotSent(reason) => {
                    return Err(TransportError::NotSent { authority, reason });
                }
                Failure::Lost(reason) => return Err(TransportError::Lost { authority, reason }),
            }
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        key: Option<&HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, TransportError> {
        let mut builder = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(HOST, self.endpoint.host.clone());
        let content_type = match *method {
            Method::POST => Some("application/json"),
            Method::PUT => Some("application/wasm"),
            _ => None,
        };
        if let Some(content_type) = content_type {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(key) = key {
            builder = builder.header("idempotency-key", key);
        }
        builder
            .body(Full::new(body))
            .map_err(|error| TransportError::NotSent {
                authority: self.endpoint.authority.clone(),
                reason: format!("{path} makes no request: {error}"),
            })
    }
}

/// How often one request is tried.
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

    /// Waits before another try; false if there shall be none.
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

type Wire = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once the connection is closed.
    wire: Option<Pin<Box<Wire>>>,
}

impl Connection {
    async fn open(endpoint: &Endpoint) -> Result<Self, TransportError> {
        let failed = |reason: String| TransportError::NotSent {
            authority: endpoint.authority.clone(),
            reason,
        };
        let stream = TcpStream::connect(&endpoint.authority)
            .await
            .map_err(|error| failed(error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| failed(error.to_string()))?;
        let (sender, wire) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(reason(&error)))?;
        Ok(Self {
            sender,
            wire: Some(Box::pin(wire)),
        })
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let Self { sender, wire } = self;
        drive(wire, sender.ready())
            .await
            .map_err(|error| Failure::NotSent(reason(&error)))?;
        let response = drive(wire, sender.try_send_request(request))
            .await
            .map_err(|mut error| {
                // The request comes back only if not one byte of it was written.
                match error.take_message() {
                    Some(_) => Failure::NotSent(reason(error.error())),
                    None => Failure::Lost(reason(error.error())),
                }
            })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = drive(wire, body.collect())
            .await
            .map_err(|error| Failure::Lost(error.to_string()))?;
        Ok(Answer {
            status,
            body: body.to_bytes(),
        })
    }
}

/// Polls `part` to its end and the connection along with it. The connection is dropped when it
/// closes, which wakes `part` with an error if it still waited for it.
async fn drive<F: Future>(wire: &mut Option<Pin<Box<Wire>>>, part: F) -> F::Output {
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
                // `part` may have just given the connection something to do.
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

/// An error with all its causes; hyper's own text names only the outermost.
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

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    /// A server that answers as many requests per connection as the list says, then closes it; a
    /// request beyond that is read and dropped without an answer if `swallow`.
    async fn server(answers: Vec<usize>, swallow: bool) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
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
            }
        });
        Endpoint::parse(&format!("http://{address}/base/")).unwrap()
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_replaced_when_the_service_closed_it() {
        let endpoint = server(vec![2, 1], false).await;
        let mut client = Client::new(endpoint, false);
        for _ in 0..2 {
            assert_eq!(client.get("/base/x").await.unwrap().text(), "ok");
        }
        // Wait for the close to arrive, so that the POST certainly finds it closed.
        if let Some(wire) = client.connection.as_mut().unwrap().wire.take() {
            wire.await.unwrap();
        }
        assert_eq!(
            client
                .post("/base/x", Bytes::from_static(b"{}"))
                .await
                .unwrap()
                .text(),
            "ok"
        );
    }

    #[tokio::test]
    async fn a_post_that_was_sent_is_lost_and_not_repeated() {
        let endpoint = server(vec![0, 1], true).await;
        let mut client = Client::new(endpoint, true);
        let lost = client
            .post("/base/x", Bytes::from_static(b"{}"))
            .await
            .unwrap_err();
        assert!(matches!(lost, TransportError::Lost { .. }), "{lost}");
    }

    #[tokio::test]
    async fn a_get_is_repeated_by_a_client_that_retries() {
        let endpoint = server(vec![0, 1], true).await;
        let mut client = Client::new(endpoint, true);
        assert_eq!(client.get("/base/x").await.unwrap().text(), "ok");
    }

    #[tokio::test]
    async fn nobody_there_means_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
        let error = Client::new(endpoint, false)
            .post("/x", Bytes::new())
            .await
            .unwrap_err();
        assert!(matches!(error, TransportError::NotSent { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[test]
    fn keys_are_given_once_and_only_where_they_are_wanted() {
        let endpoint = Endpoint::parse("http://localhost").unwrap();
        assert_eq!(endpoint.fresh_key(), None);
        let keyed = endpoint.with_fresh_keys();
        let keys = [keyed.fresh_key(), keyed.clone().fresh_key()].map(Option::unwrap);
        assert_ne!(keys[0], keys[1]);
        let client = Client::new(keyed, false);
        let post = client.request(&Method::POST, "/x", Bytes::new(), Some(&keys[0]));
        assert_eq!(post.unwrap().headers()["idempotency-key"], keys[0]);
    }

    #[test]
    fn an_endpoint_is_an_http_url() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8081/a/b/").unwrap();
        assert_eq!(
            endpoint.path(format_args!("/orders/{}", 7)),
            "/a/b/orders/7"
        );
        assert_eq!(endpoint.to_string(), "http://127.0.0.1:8081/a/b");
        assert_eq!(
            Endpoint::parse("http://localhost").unwrap().authority,
            "localhost:80"
        );
        for url in [
            "127.0.0.1:8081",
            "https://x/",
            "ftp://x",
            "",
            "http://x/?a=1",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }
}
