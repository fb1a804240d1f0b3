//! Issuers of JSON Web Tokens: key pairs made at run time, signed tokens, and a server of their
//! public keys.
//!
//! Tokens can be made wrong in any way: header and claims are written as they are given.

#![allow(clippy::restriction, reason = "a test stops at the first surprise")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use serde_json::{Value, json};

/// A key pair of an issuer, with its key id and its algorithm.
pub struct Signer {
    id: String,
    algorithm: &'static str,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<rsa::KeyPair>),
}

impl Signer {
    /// A key for ES256.
    pub fn es256(id: &str) -> Self {
        Self::ec(id, "ES256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    /// A key for ES384.
    pub fn es384(id: &str) -> Self {
        Self::ec(id, "ES384", &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn ec(id: &str, algorithm: &'static str, with: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(with, &random).unwrap();
        Self {
            id: id.into(),
            algorithm,
            pair: Pair::Ec(EcdsaKeyPair::from_pkcs8(with, document.as_ref(), &random).unwrap()),
        }
    }

    /// A key for EdDSA (Ed25519).
    pub fn eddsa(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            id: id.into(),
            algorithm: "EdDSA",
            pair: Pair::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()),
        }
    }

    /// A key for RS256, of 2048 bits.
    pub fn rs256(id: &str) -> Self {
        Self {
            id: id.into(),
            algorithm: "RS256",
            pair: Pair::Rsa(Box::new(rsa_key())),
        }
    }

    /// The same key for PS256.
    #[must_use]
    pub fn as_ps256(self) -> Self {
        Self {
            algorithm: "PS256",
            ..self
        }
    }

    /// The public key as a member of a JSON Web Key Set.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Ec(pair) => {
                // The point of the curve: 4, then x, then y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(self.curve().1);
                json!({"kty": "EC", "crv": self.curve().0, "x": text(x), "y": text(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
            Pair::Rsa(pair) => {
                let key = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (key.n.as_slice(), key.e.as_slice());
                json!({"kty": "RSA", "n": text(n), "e": text(e)})
            }
        };
        jwk["kid"] = self.id.as_str().into();
        jwk["alg"] = self.algorithm.into();
        jwk["use"] = "sig".into();
        jwk
    }

    fn curve(&self) -> (&'static str, usize) {
        match self.algorithm {
            "ES384" => ("P-384", 48),
            _ => ("P-256", 32),
        }
    }

    /// The public key in PEM form.
    pub fn pem(&self) -> String {
        let algorithm: &[u8] = match self.algorithm {
            "ES256" => {
                b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
            }
            "ES384" => b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
            "EdDSA" => b"\x06\x03\x2b\x65\x70",
            _ => b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
        };
        let public: &[u8] = match &self.pair {
            Pair::Ec(pair) => pair.public_key().as_ref(),
            Pair::Ed(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public().as_ref(),
        };
        let bits = [&[0][..], public].concat();
        let content = [der(0x30, algorithm), der(0x03, &bits)].concat();
        let lines = STANDARD.encode(der(0x30, &content));
        let lines: Vec<_> = lines
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "typ": "JWT", "kid": self.id});
        self.token_with(&header, claims)
    }

    /// A token with this header and these claims, signed by this key whatever the header says.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let message = signed.as_bytes();
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &'static dyn ring::signature::RsaEncoding = match self.algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Header and claims of a token, without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A token that is signed with a secret (HS256).
pub fn with_secret(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let signed = unsigned(header, claims);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = ring::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The JSON Web Key Set of these keys.
pub fn key_set(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// A server of keys on loopback. It serves until it is dropped.
pub struct KeyServer {
    address: SocketAddr,
    shared: Arc<Mutex<Served>>,
    thread: Option<JoinHandle<()>>,
}

struct Served {
    /// `None` for status 503.
    text: Option<String>,
    requests: usize,
    is_over: bool,
}

impl KeyServer {
    /// Serves this text at `/keys`.
    pub fn start(text: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Served {
            text: Some(text.into()),
            requests: 0,
            is_over: false,
        }));
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.lock().unwrap().is_over {
                    return;
                }
                // A client that hangs up early gets no answer.
                let _ = stream.and_then(|stream| answer(&stream, &serving));
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Serves another text from now on; `None` for errors.
    pub fn serve(&self, text: Option<&str>) {
        self.shared.lock().unwrap().text = text.map(str::to_owned);
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.shared.lock().unwrap().requests
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.shared.lock().unwrap().is_over = true;
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: &TcpStream, served: &Mutex<Served>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = {
        let mut served = served.lock().unwrap();
        served.requests += 1;
        match (&served.text, request.starts_with("GET /keys ")) {
            (Some(text), true) => ("200 OK", text.clone()),
            (None, true) => ("503 Service Unavailable", String::new()),
            (_, false) => ("404 Not Found", String::new()),
        }
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![tag];
    match length {
        0..0x80 => der.push(length as u8),
        0x80..0x100 => der.extend([0x81, length as u8]),
        _ => der.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    der.extend_from_slice(content);
    der
}

/// An RSA key of 2048 bits. `ring` makes none.
fn rsa_key() -> rsa::KeyPair {
    let (one, e) = (BigUint::from(1_u32), BigUint::from(65_537_u32));
    loop {
        let (p, q) = (prime(), prime());
        if p <= q {
            continue;
        }
        let (less_p, less_q) = (&p - &one, &q - &one);
        let Some(d) = e.modinv(&(&less_p * &less_q)) else {
            continue;
        };
        let part = |number: &BigUint| number.to_bytes_be();
        let components = rsa::KeyPairComponents {
            public_key: rsa::PublicKeyComponents {
                n: part(&(&p * &q)),
                e: part(&e),
            },
            d: part(&d),
            dP: part(&(&d % &less_p)),
            dQ: part(&(&d % &less_q)),
            qInv: part(&q.modinv(&p).unwrap()),
            p: part(&p),
            q: part(&q),
        };
        return rsa::KeyPair::from_components(&components).unwrap();
    }
}

/// A prime of 1024 bits, the two highest of which are set.
fn prime() -> BigUint {
    loop {
        let mut bytes = [0; 128];
        fastrand::fill(&mut bytes);
        bytes[0] |= 0xc0;
        bytes[127] |= 1;
        let candidate = BigUint::from_bytes_be(&bytes);
        if is_prime(&candidate) {
            return candidate;
        }
    }
}

/// Miller and Rabin's test, which no random number of this size passes by chance.
fn is_prime(candidate: &BigUint) -> bool {
    let (zero, one) = (BigUint::ZERO, BigUint::from(1_u32));
    let mut small = (3_u32..2_000).step_by(2);
    if small.any(|divisor| candidate % divisor == zero) {
        return false;
    }
    let less = candidate - &one;
    let twos = less.trailing_zeros().unwrap();
    let odd = &less >> twos;
    [2_u32, 3, 5, 7, 11, 13, 17, 19].into_iter().all(|base| {
        let mut power = BigUint::from(base).modpow(&odd, candidate);
        if power == one || power == less {
            return true;
        }
        for _ in 1..twos {
            power = &power * &power % candidate;
            if power == less {
                return true;
            }
        }
        false
    })
}
