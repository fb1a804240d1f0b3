//! Client of the admin interface: one request, one answer, each within a time limit.
//!
//! Plain HTTP/1.1; the interface is meant for loopback, or for use behind a proxy or in a private
//! network. Must not know: the meaning of requests and answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::Token;

/// Longest time to connect.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Most bytes of an answer.
const ANSWER_BYTES: usize = 64 << 20;

/// The admin interface of a host.
pub(crate) struct AdminClient {
    host: String,
    port: u16,
    token: Option<Token>,
}

/// An answer of any status.
pub(crate) struct AdminReply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// The reason why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdminClientError {
    /// Nothing was sent.
    #[error("no host can be reached at {0}: {1}")]
    NotReached(String, String),
    /// The request was sent; its outcome is unknown.
    #[error("{0} did not answer: {1}")]
    BrokeOff(String, String),
}

impl AdminClient {
    /// A client of the interface at this URL: `http://HOST:PORT`.
    pub(crate) fn new(url: &str, token: Option<Token>) -> Result<Self, String> {
        let wrong = |reason: &str| format!("`{url}` {reason}; give http://HOST:PORT");
        let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
        if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(wrong("is not of the scheme http"));
        }
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(wrong("names no host and port"));
        };
        if uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(wrong("has a path"));
        }
        Ok(Self {
            host: reachable(host),
            port,
            token,
        })
    }

    /// Sends a request and waits for the answer for at most this time.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        time: Duration,
    ) -> Result<AdminReply, AdminClientError> {
        let asked = async {
            let connecting = TcpStream::connect((self.host.trim_matches(['[', ']']), self.port));
            let stream = tokio::time::timeout(CONNECT_TIME, connecting)
                .await
                .map_err(|_| self.not_reached(format!("not within {} s", CONNECT_TIME.as_secs())))?
                .map_err(|error| self.not_reached(error))?;
            tokio::time::timeout(time, self.converse(stream, method, path, body))
                .await
                .map_err(|_| self.broke_off(format!("not within {} s", time.as_secs())))?
                .map_err(|error| self.broke_off(error))
        };
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.not_reached(error))?
            .block_on(asked)
    }

    async fn converse(
        &self,
        stream: TcpStream,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<AdminReply> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.authority())
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            let mut value = header::HeaderValue::try_from(format!("Bearer {}", token.reveal()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(Full::new(body))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answered = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES)
                .collect()
                .await
                .map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
            anyhow::Ok(AdminReply {
                status,
                body: body.to_bytes(),
            })
        };
        // The connection must be polled for an answer to arrive; its own result adds nothing.
        let (answered, _) = tokio::join!(answered, connection);
        answered
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn not_reached(&self, reason: impl ToString) -> AdminClientError {
        AdminClientError::NotReached(self.authority(), reason.to_string())
    }

    fn broke_off(&self, reason: impl ToString) -> AdminClientError {
        AdminClientError::BrokeOff(self.authority(), reason.to_string())
    }
}

/// The host of a URL, with loopback in place of an unspecified address (`0.0.0.0`, `[::]`).
fn reachable(host: &str) -> String {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => {
            format!("[{}]", Ipv6Addr::LOCALHOST)
        }
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        for (url, authority) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://localhost:9000/", "localhost:9000"),
            ("localhost:9000", "localhost:9000"),
            ("http://0.0.0.0:9000", "127.0.0.1:9000"),
            ("http://[::1]:9000", "[::1]:9000"),
            ("http://[::]:9000", "[::1]:9000"),
        ] {
            let client = AdminClient::new(url, None).ok().unwrap();
            assert_eq!(client.authority(), authority, "{url}");
        }
        for (url, expected) in [
            ("https://localhost:9000", "scheme http"),
            ("http://localhost", "host and port"),
            ("http://localhost:9000/admin", "path"),
            ("/generations", "host and port"),
            ("", "URL"),
            ("a b", "URL"),
        ] {
            let said = AdminClient::new(url, None).err().unwrap();
            assert!(said.contains(expected), "{url}: {said}");
        }
    }

    #[test]
    fn a_refused_connection_means_that_nothing_was_sent() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let client = AdminClient::new(&format!("http://{address}"), None).unwrap();
        let time = Duration::from_secs(1);
        let asked = client.ask(Method::GET, "/generations", Bytes::new(), time);
        assert!(matches!(
            asked.err(),
            Some(AdminClientError::NotReached(..))
        ));
    }

    #[test]
    fn an_answer_that_does_not_come_ends_the_wait() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client = AdminClient::new(&url, None).unwrap();
        let time = Duration::from_millis(50);
        let asked = client.ask(Method::GET, "/generations", Bytes::new(), time);
        assert!(matches!(asked.err(), Some(AdminClientError::BrokeOff(..))));
    }
}
