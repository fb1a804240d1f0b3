//! One GET over HTTP or HTTPS, bounded in time and bytes. Redirects are not followed.
//!
//! Authorities are those of the system, as OpenSSL finds them: `SSL_CERT_FILE` and `SSL_CERT_DIR`
//! name others.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header;
use hyper::rt::{Read, Write};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longest time of a GET.
const TIME: Duration = Duration::from_secs(10);

/// The body at this URL, of at most `bytes` bytes.
///
/// # Errors
/// The reason why there is none, as text that follows the URL.
pub(super) async fn get(url: &Uri, bytes: usize) -> Result<Vec<u8>, String> {
    let got = tokio::time::timeout(TIME, connect(url, bytes)).await;
    got.unwrap_or_else(|_| Err(format!("did not answer within {} s", TIME.as_secs())))
}

async fn connect(url: &Uri, bytes: usize) -> Result<Vec<u8>, String> {
    let host = url.host().ok_or("names no host")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_encrypted = url.scheme_str() == Some("https");
    let port = (url.port_u16()).unwrap_or(if is_encrypted { 443 } else { 80 });
    let stream = TcpStream::connect((bare, port)).await;
    let stream = stream.map_err(|error| format!("can't be reached: {error}"))?;
    if !is_encrypted {
        return ask(TokioIo::new(stream), url, bytes).await;
    }
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| "names no host")?;
    let tls = tls().await?;
    let stream = tls.connect(name, stream).await;
    let stream = stream.map_err(|error| format!("can't be reached over TLS: {error}"))?;
    ask(TokioIo::new(stream), url, bytes).await
}

/// Reads the system's authorities, which may have changed since the last time.
async fn tls() -> Result<TlsConnector, String> {
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let read = read.map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    let (known, _) = roots.add_parsable_certificates(read.certs);
    if known == 0 {
        return Err(
            "can't be reached over TLS: this system has no authorities; install ca-certificates, or name a file in \
             SSL_CERT_FILE"
                .into(),
        );
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

async fn ask<I>(io: I, url: &Uri, bytes: usize) -> Result<Vec<u8>, String>
where
    I: Read + Write + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| format!("broke off: {error}");
    let (mut client, connection) = http1::handshake(io).await.map_err(broken)?;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::get(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async move {
        let response = client.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!("answered {status}"));
        }
        let body = Limited::new(response.into_body(), bytes).collect().await;
        let body = body.map_err(|error| format!("broke off: {error}"))?;
        Ok(body.to_bytes().to_vec())
    };
    // The connection ends with the answer.
    tokio::select! {
        answer = answer => answer,
        Err(error) = connection => Err(broken(error)),
    }
}
