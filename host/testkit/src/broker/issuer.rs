//! An issuer of tokens for OAUTHBEARER: the client credentials grant of OpenID Connect, and the
//! keys that verify its tokens.
//!
//! It is a small HTTP server on loopback: `POST /token` returns a token to its only client, `GET
//! /keys` the JSON Web Key Set. Tokens are signed with ES256. It serves one request at a time,
//! which suffices for a broker and its clients.
//!
//! Must not know: listeners.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::broker::error::Error;
use crate::broker::settings::Tokens;

/// Time after which a silent client is disconnected.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most bytes of a request.
const REQUEST_MAX: u64 = 16 * 1024;

/// The client of an issuer, and its scope.
#[derive(Debug, Clone)]
pub struct IssuerClient {
    /// Its id; the principal is `User:ID`.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Validity of a token, in seconds.
    pub lifetime_s: u64,
}

/// An issuer. It serves until it is dropped.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddr,
    shared: Arc<IssuerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct IssuerState {
    client: IssuerClient,
    url: String,
    key: EcdsaKeyPair,
    issued: AtomicU64,
    is_over: AtomicBool,
}

/// The audience of its tokens.
const AUDIENCE: &str = "kafka";

impl Issuer {
    /// Starts an issuer on a free port of loopback.
    ///
    /// # Errors
    /// There is no free port, or no randomness.
    pub fn start(client: IssuerClient) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            what: "can't start the issuer of tokens".to_owned(),
            source,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(IssuerState {
            client,
            url: format!("http://{address}"),
            key: key().map_err(failed)?,
            issued: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("issuer".into())
            .spawn(move || serving.serve(&listener))
            .map_err(failed)?;
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// The URL for tokens.
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.shared.url)
    }

    /// The settings of a broker that accepts its tokens.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens {
            keys: format!("{}/keys", self.shared.url),
            issuer: self.shared.url.clone(),
            audience: AUDIENCE.to_owned(),
        }
    }

    /// Number of tokens issued so far.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.shared.issued.load(Ordering::Relaxed)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn key() -> io::Result<EcdsaKeyPair> {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(refused)?;
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).map_err(refused)
}

/// Without `std`, the errors of `ring` are not the standard library's.
fn refused(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl IssuerState {
    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            // A client that hangs up early gets no answer.
            let _ = stream.and_then(|stream| self.answer(&stream));
        }
    }

    fn answer(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.take(REQUEST_MAX));
        let (mut request, mut length, mut authorization) = (String::new(), 0, String::new());
        reader.read_line(&mut request)?;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => value.trim().clone_into(&mut authorization),
                _ => {}
            }
        }
        // The body must be read, but is not examined.
        io::copy(&mut reader.take(length), &mut io::sink())?;
        let (status, body) = if request.starts_with("GET /keys ") {
            ("200 OK", self.keys())
        } else if request.starts_with("POST /token ") && self.is_known(&authorization) {
            self.issued.fetch_add(1, Ordering::Relaxed);
            ("200 OK", self.token()?)
        } else if request.starts_with("POST /token ") {
            let refused = r#"{"error":"invalid_client"}"#;
            ("401 Unauthorized", refused.to_owned())
        } else {
            ("404 Not Found", "{}".to_owned())
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn is_known(&self, authorization: &str) -> bool {
        let IssuerClient { id, secret, .. } = &self.client;
        authorization == format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
    }

    fn keys(&self) -> String {
        // The point of the curve: 4, then 32 bytes of x, then 32 of y.
        let point = self.key.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at_checked(32).unwrap_or_default();
        format!(
            r#"{{"keys":[{{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"1","x":"{}","y":"{}"}}]}}"#,
            URL_SAFE_NO_PAD.encode(x),
            URL_SAFE_NO_PAD.encode(y)
        )
    }

    fn token(&self) -> io::Result<String> {
        let IssuerClient { id, lifetime_s, .. } = &self.client;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(io::Error::other)?
            .as_secs();
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT","kid":"1"}"#);
        let claims = format!(
            r#"{{"iss":"{}","aud":"{AUDIENCE}","sub":"{id}","iat":{now},"exp":{},"scope":"kafka"}}"#,
            self.url,
            now + lifetime_s
        );
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.map_err(refused)?);
        Ok(format!(
            r#"{{"access_token":"{signed}.{signature}","token_type":"Bearer","expires_in":{lifetime_s}}}"#
        ))
    }
}
