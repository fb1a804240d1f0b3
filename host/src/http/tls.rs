//! TLS of a listener: its certificate, read from files, and re-read on request.
//!
//! Unusable files stop a start; on a re-read they change nothing, and the present certificate
//! stays. Errors name files and reasons, and never quote content. Must not know: listeners, the
//! meaning of requests.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};

pub use crate::base::certificate::CertificateFiles;

/// Most bytes of a file. A chain has a few thousand.
const FILE_BYTES: u64 = 1 << 20;

/// Protocols over TLS, the preferred first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

const DAY: u64 = 86_400;

/// A problem with one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateProblem {
    /// The setting that names the file: `certificate` or `key`.
    pub setting: &'static str,
    /// The problem, as text that names the file.
    pub reason: String,
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.reason)
    }
}

/// TLS of one listener.
pub struct Tls {
    files: CertificateFiles,
    serving: watch::Sender<Arc<ServerConfig>>,
}

impl CertificateFiles {
    /// The problems with the files; empty if a listener can use them.
    #[must_use]
    pub fn problems(&self) -> Vec<CertificateProblem> {
        self.read().err().unwrap_or_default()
    }

    fn read(&self) -> Result<ServerConfig, Vec<CertificateProblem>> {
        let of = |setting| move |reason| CertificateProblem { setting, reason };
        let chain = certificates(&self.certificate).map_err(of("certificate"));
        let key = private_key(&self.key).map_err(of("key"));
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| vec![self.unusable(&error)])?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(config)
    }

    fn unusable(&self, error: &Error) -> CertificateProblem {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        match error {
            Error::InconsistentKeys(_) => CertificateProblem {
                setting: "key",
                reason: format!("{key} is not the key of the certificate in {certificate}"),
            },
            Error::InvalidCertificate(reason) => CertificateProblem {
                setting: "certificate",
                reason: format!("{certificate} can't be used: {reason}"),
            },
            error => CertificateProblem {
                setting: "key",
                reason: format!("{key} can't be used: {error}"),
            },
        }
    }
}

impl Tls {
    /// Reads the files; logs a warning if the certificate is not valid now.
    ///
    /// # Errors
    /// The problems with the files.
    pub fn new(files: &CertificateFiles) -> Result<Self, Vec<CertificateProblem>> {
        let config = files.read()?;
        warn_of(&files.certificate);
        Ok(Self {
            files: files.clone(),
            serving: watch::Sender::new(Arc::new(config)),
        })
    }

    /// Re-reads the files for new connections. If they can't be used, the present certificate
    /// stays, and the log has the reason.
    pub fn reread(&self, listener: &str) {
        let certificate = self.files.certificate.display();
        match self.files.read() {
            Ok(config) => {
                self.serving.send_replace(Arc::new(config));
                tracing::info!(listener, %certificate, "the certificate was read again");
                warn_of(&self.files.certificate);
            }
            Err(wrong) => {
                for problem in wrong {
                    tracing::error!(listener, %problem, "the previous certificate stays in use");
                }
            }
        }
    }

    /// The acceptor for the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.serving.borrow().clone().into()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = content(path)?;
    let shown = path.display();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("{shown} is not whole: a block of its PEM can't be read"))?;
    let Some(leaf) = chain.first() else {
        return Err(format!(
            "{shown} holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)"
        ));
    };
    match RootCertStore::empty().add(leaf.clone()) {
        Ok(()) => Ok(chain),
        Err(error) => Err(format!("{shown} can't be used: {error}")),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = content(path)?;
    // The parser's error could quote the file.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let shown = path.display();
        let is_encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        if is_encrypted {
            format!("{shown} is encrypted; write it without a password (`openssl pkey -in {shown}`), readable by this user only")
        } else {
            format!("{shown} holds no key in PEM form (`-----BEGIN PRIVATE KEY-----`)")
        }
    })
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| format!("{shown} can't be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES {
        return Err(format!("{shown} has more than {FILE_BYTES} bytes"));
    }
    Ok(text)
}

/// Logs a warning about a certificate that is not valid now. The host serves it all the same, since
/// its clock may be wrong.
fn warn_of(path: &Path) {
    let leaf = certificates(path)
        .ok()
        .and_then(|chain| chain.into_iter().next());
    if let Some(reason) = leaf.and_then(|leaf| not_valid(&leaf, UnixTime::now())) {
        tracing::warn!(certificate = %path.display(), "the certificate {reason}: clients will refuse it; put another in its place and send SIGHUP");
    }
}

/// The reason why a certificate is not valid at this time, if it is not.
///
/// A verifier checks the time before anything else. This one trusts the certificate itself, so that
/// verification starts; errors other than the time's are ignored.
fn not_valid(leaf: &CertificateDer<'static>, now: UnixTime) -> Option<String> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(leaf.clone()).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
    let verifier = verifier.build().ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    let verified = verifier.verify_server_cert(leaf, &[], &name, &[], now);
    let Err(Error::InvalidCertificate(error)) = verified else {
        return None;
    };
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / DAY;
            Some(format!("has expired ({days} days ago)"))
        }
        CertificateError::Expired => Some("has expired".into()),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some("is not valid yet".into())
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
