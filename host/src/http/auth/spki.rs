//! Public keys in PEM form (`-----BEGIN PUBLIC KEY-----`, RFC 5280's SubjectPublicKeyInfo).
//!
//! Reads only as much DER as these keys have.

use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// A public key of a known kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// RSA.
    Rsa {
        /// Big-endian.
        modulus: Vec<u8>,
        /// Big-endian.
        exponent: Vec<u8>,
    },
    /// An uncompressed point of P-256.
    P256(Vec<u8>),
    /// An uncompressed point of P-384.
    P384(Vec<u8>),
    /// A key of Ed25519.
    Ed25519(Vec<u8>),
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// The algorithm identifiers, as DER.
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";

/// True if a text has blocks in PEM form.
pub(super) fn is_pem(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"-----BEGIN")
}

/// All public keys of a text.
///
/// # Errors
/// The problem, as text that follows the text's name.
pub(super) fn public_keys(text: &[u8]) -> Result<Vec<PublicKey>, String> {
    if text.windows(12).any(|word| word == b"PRIVATE KEY-") {
        return Err("has a private key, which belongs to the issuer alone; give the public one (`openssl pkey -pubout`)".into());
    }
    let blocks: Vec<_> = SubjectPublicKeyInfoDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|_| "is not whole: a block of its PEM can't be read")?;
    let keys = blocks.iter().map(|block| {
        key(block).ok_or_else(|| {
            "has a public key that is none of RSA, P-256, P-384 and Ed25519".to_owned()
        })
    });
    keys.collect()
}

fn key(der: &[u8]) -> Option<PublicKey> {
    let (outer, []) = part(der, SEQUENCE)? else {
        return None;
    };
    let (algorithm, rest) = part(outer, SEQUENCE)?;
    let (bits, []) = part(rest, BIT_STRING)? else {
        return None;
    };
    // The number of unused bits comes first.
    let key = bits.strip_prefix(&[0])?;
    match algorithm {
        RSA => {
            let (numbers, []) = part(key, SEQUENCE)? else {
                return None;
            };
            let (modulus, rest) = part(numbers, INTEGER)?;
            let (exponent, []) = part(rest, INTEGER)? else {
                return None;
            };
            Some(PublicKey::Rsa {
                modulus: modulus.to_vec(),
                exponent: exponent.to_vec(),
            })
        }
        P256 => Some(PublicKey::P256(key.to_vec())),
        P384 => Some(PublicKey::P384(key.to_vec())),
        ED25519 => Some(PublicKey::Ed25519(key.to_vec())),
        _ => None,
    }
}

/// The content of the first element, which must have this tag, and what follows it.
fn part(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = der else {
        return None;
    };
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = (bytes.iter()).fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
