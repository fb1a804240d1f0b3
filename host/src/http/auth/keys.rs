//! The keys that check tokens: a JSON Web Key Set (RFC 7517), or public keys in PEM form.
//!
//! Each key says which algorithms it is for, so that a token can't choose. Keys of other kinds are
//! left out: a set may hold keys for encryption, or for algorithms to come.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::spki;

/// Most bytes of a set. One has a few thousand.
pub(super) const SET_BYTES: usize = 1 << 20;

/// Most keys of a set: a token without a key id is checked against each.
const KEYS: usize = 64;

/// Fewest bytes of an RSA modulus.
const RSA_BYTES: usize = 256;

/// A key, and what it is for.
pub(super) struct VerificationKey {
    /// Its id; `None` if it has none, and serves tokens with any.
    pub(super) id: Option<String>,
    /// The algorithms that it may be used with; at least one.
    pub(super) algorithms: Vec<Algorithm>,
    /// The key.
    pub(super) key: DecodingKey,
}

/// All keys of an issuer.
pub(super) struct KeySet {
    text: Vec<u8>,
    keys: Vec<VerificationKey>,
}

/// A key as a set has it.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads the keys in a file.
    ///
    /// # Errors
    /// The problem, as text that names the file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let mut text = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(SET_BYTES as u64 + 1).read_to_end(&mut text))
            .map_err(|error| format!("{shown} can't be read: {error}"))?;
        Self::parse(text).map_err(|reason| format!("{shown} {reason}"))
    }

    /// The keys in a text.
    ///
    /// # Errors
    /// The problem, as text that follows the text's name.
    pub(super) fn parse(text: Vec<u8>) -> Result<Self, String> {
        if text.len() > SET_BYTES {
            return Err(format!("has more than {SET_BYTES} bytes"));
        }
        let keys = match spki::is_pem(&text) {
            true => pem(&text)?,
            false => jwks(&text)?,
        };
        if keys.is_empty() {
            return Err("has no key for RS256, ES256, EdDSA, PS256 or ES384".into());
        }
        if keys.len() > KEYS {
            return Err(format!("has {} keys, more than {KEYS}", keys.len()));
        }
        Ok(Self { text, keys })
    }

    /// True if both were read from the same text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if there is a key for one of these algorithms.
    pub(super) fn serves(&self, algorithms: &[Algorithm]) -> bool {
        let is_for =
            |key: &VerificationKey| key.algorithms.iter().any(|one| algorithms.contains(one));
        self.keys.iter().any(is_for)
    }

    /// The keys that a token with this key id may be signed with.
    pub(super) fn named<'k>(
        &'k self,
        id: Option<&'k str>,
    ) -> impl Iterator<Item = &'k VerificationKey> {
        (self.keys.iter()).filter(move |key| match (id, &key.id) {
            (Some(id), Some(own)) => id == own,
            (None, _) | (_, None) => true,
        })
    }
}

fn jwks(text: &[u8]) -> Result<Vec<VerificationKey>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(text).map_err(|error| {
        // The error could quote the text, which may be anything.
        format!(
            "is neither a JSON Web Key Set (`{{\"keys\": [...]}}`; line {}, column {}) nor keys in PEM form",
            error.line(),
            error.column()
        )
    })?;
    let keys = set.keys.into_iter();
    let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    Ok(keys.filter_map(verification_key).collect())
}

/// The key, if it checks signatures of a known kind.
fn verification_key(jwk: Jwk) -> Option<VerificationKey> {
    let is_for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
    let may_verify = |operations: &Vec<String>| operations.iter().any(|one| one == "verify");
    if !is_for_signatures || !jwk.key_ops.as_ref().is_none_or(may_verify) {
        return None;
    }
    let (possible, key): (&[Algorithm], _) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
            (RSA, rsa(&bytes(jwk.n)?, &bytes(jwk.e)?)?)
        }
        ("EC", Some("P-256")) => (&[Algorithm::ES256], point(&jwk.x?, &jwk.y?)?),
        ("EC", Some("P-384")) => (&[Algorithm::ES384], point(&jwk.x?, &jwk.y?)?),
        ("OKP", Some("Ed25519")) => {
            let key = DecodingKey::from_ed_components(&jwk.x?);
            (&[Algorithm::EdDSA], key.ok()?)
        }
        _ => return None,
    };
    let algorithms = match jwk.alg.as_deref() {
        None => possible.to_vec(),
        // RFC 9864 names it so; tokens say EdDSA.
        Some("Ed25519") => vec![Algorithm::EdDSA],
        Some(name) => vec![name.parse().ok()?],
    };
    let is_possible = algorithms.iter().all(|one| possible.contains(one));
    is_possible.then_some(VerificationKey {
        id: jwk.kid,
        algorithms,
        key,
    })
}

/// The algorithms that an RSA key serves.
const RSA: &[Algorithm] = &[Algorithm::RS256, Algorithm::PS256];

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<DecodingKey> {
    let start = modulus.iter().position(|byte| *byte != 0)?;
    let modulus = modulus.get(start..)?;
    let key = || DecodingKey::from_rsa_raw_components(modulus, exponent);
    (modulus.len() >= RSA_BYTES).then(key)
}

fn point(x: &str, y: &str) -> Option<DecodingKey> {
    DecodingKey::from_ec_components(x, y).ok()
}

fn pem(text: &[u8]) -> Result<Vec<VerificationKey>, String> {
    let keys = spki::public_keys(text)?.into_iter().map(|key| {
        let (algorithms, key) = match key {
            spki::PublicKey::Rsa { modulus, exponent } => {
                let key = rsa(&modulus, &exponent);
                let key = key.ok_or("has an RSA key of less than 2048 bits")?;
                (RSA.to_vec(), key)
            }
            spki::PublicKey::P256(point) => {
                (vec![Algorithm::ES256], DecodingKey::from_ec_der(&point))
            }
            spki::PublicKey::P384(point) => {
                (vec![Algorithm::ES384], DecodingKey::from_ec_der(&point))
            }
            spki::PublicKey::Ed25519(point) => {
                (vec![Algorithm::EdDSA], DecodingKey::from_ed_der(&point))
            }
        };
        Ok(VerificationKey {
            id: None,
            algorithms,
            key,
        })
    });
    keys.collect()
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
