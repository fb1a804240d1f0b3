//! Clients of HTTP/2, with and without TLS, and certificates to show them.

use std::convert::Infallible;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::expect::address;
use crate::support::PATIENCE;

pub type ClientBody = UnsyncBoxBody<Bytes, Infallible>;
pub type Http2 = http2::SendRequest<ClientBody>;

/// Runs this to its end, which has to come.
pub fn run<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(PATIENCE, what).await.unwrap() })
}

/// A body that is there already.
pub fn whole(text: impl Into<Bytes>) -> ClientBody {
    UnsyncBoxBody::new(Full::new(text.into()))
}

/// A body whose parts are still to be sent; it ends when the sender is dropped.
pub fn held() -> (mpsc::Sender<Bytes>, ClientBody) {
    let (give, take) = mpsc::channel(1);
    (give, UnsyncBoxBody::new(Held(take)))
}

struct Held(mpsc::Receiver<Bytes>);

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.0.poll_recv(context);
        part.map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

/// A client of HTTP/2 on this connection, and what ends when the connection does.
pub async fn http2_on<I>(io: I) -> (Http2, JoinHandle<hyper::Result<()>>)
where
    I: Read + Write + Unpin + Send + 'static,
{
    let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    (client, tokio::spawn(connection))
}

/// A client of HTTP/2 without TLS, which it begins with at once.
pub async fn http2(url: &str) -> (Http2, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address(url)).await.unwrap();
    http2_on(TokioIo::new(stream)).await
}

pub fn request(method: &str, url: &str, body: ClientBody) -> Request<ClientBody> {
    Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

/// Status and body of an answer.
pub async fn read(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.into()).unwrap())
}

/// Status and body of what is answered on HTTP/2.
pub async fn ask(client: &mut Http2, method: &str, url: &str, body: &str) -> (u16, String) {
    client.ready().await.unwrap();
    let response = client.send_request(request(method, url, whole(body.to_owned())));
    read(response.await.unwrap()).await
}

/// Status and body of what is answered on a connection for this request alone.
pub async fn ask_http1<I>(
    io: I,
    method: &str,
    url: &str,
    body: &str,
) -> hyper::Result<(u16, String)>
where
    I: Read + Write + Unpin + Send + 'static,
{
    let (mut client, connection) = http1::handshake(io).await?;
    tokio::spawn(connection);
    let mut asked = request(method, url, whole(body.to_owned()));
    let host = address(url).parse().unwrap();
    asked.headers_mut().insert("host", host);
    Ok(read(client.send_request(asked).await?).await)
}

/// An authority that signs certificates for 127.0.0.1.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let signed = params.self_signed(&key).unwrap();
        Self {
            certificate: signed.der().clone(),
            pem: signed.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate (PEM).
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate and its key, both PEM, valid until this year.
    pub fn sign(&self, until: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}

/// Writes a certificate and its key; gives their paths.
pub fn write(directory: &Path, name: &str, (certificate, key): &(String, String)) -> [PathBuf; 2] {
    let paths = ["chain", "key"].map(|part| directory.join(format!("{name}-{part}.pem")));
    std::fs::write(&paths[0], certificate).unwrap();
    std::fs::write(&paths[1], key).unwrap();
    paths
}

/// A connection over TLS of a client that trusts these authorities and offers these protocols.
pub async fn tls(
    url: &str,
    authorities: &[&Authority],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.certificate.clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let stream = TcpStream::connect(address(url)).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// The protocol that was agreed on, and the certificate that was shown.
pub fn agreed(stream: &TlsStream<TcpStream>) -> (Option<&[u8]>, Vec<u8>) {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().unwrap()[0].to_vec();
    (session.alpn_protocol(), shown)
}
