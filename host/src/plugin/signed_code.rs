//! Signed compiled code: its file format, with a proof of its origin.
//!
//! # Layout
//!
//! | bytes | what |
//! |---|---|
//! | 32 | HMAC-SHA256 of everything that follows, under the key of this data directory |
//! | a line | `saga compiled code 1` |
//! | a line | digest of the component, in hexadecimal |
//! | a line | hash of the engine's version and settings, in hexadecimal |
//! | the rest | the code, as wasmtime serializes it |
//!
//! Compiled code can't be checked, only authenticated. Without the key no acceptable file can be
//! made, and a file that is swapped for another names the other's digest.

use ring::hmac;

/// Bytes of the key.
pub(super) const KEY_BYTES: usize = 32;

/// Bytes of the proof.
const PROOF_BYTES: usize = 32;

/// The key that authenticates this host's compiled code.
pub(super) struct SigningKey(hmac::Key);

impl SigningKey {
    pub(super) fn new(secret: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

/// The origin of compiled code.
#[derive(Clone, Copy)]
pub(super) struct CodeOrigin<'a> {
    /// Digest of the component.
    pub(super) digest: &'a str,
    /// Hash of the engine's version and settings.
    pub(super) engine: u64,
}

impl CodeOrigin<'_> {
    fn head(&self) -> String {
        format!(
            "saga compiled code 1\n{}\n{:016x}\n",
            self.digest, self.engine
        )
    }
}

/// The head of a code file: the proof, and the code's origin.
pub(super) fn head(key: &SigningKey, origin: CodeOrigin<'_>, code: &[u8]) -> Vec<u8> {
    let head = origin.head();
    let mut proof = hmac::Context::with_key(&key.0);
    proof.update(head.as_bytes());
    proof.update(code);
    [proof.sign().as_ref(), head.as_bytes()].concat()
}

/// The code in a file, if it is proven to have this origin.
///
/// # Errors
/// The reason for rejecting it.
pub(super) fn code<'f>(
    key: &SigningKey,
    origin: CodeOrigin<'_>,
    file: &'f [u8],
) -> Result<&'f [u8], &'static str> {
    let unproven = "it is damaged, or was not made by this host";
    let (proof, proven) = file.split_at_checked(PROOF_BYTES).ok_or(unproven)?;
    hmac::verify(&key.0, proven, proof).map_err(|_| unproven)?;
    (proven.strip_prefix(origin.head().as_bytes()))
        .ok_or("it was made from another component, or by another engine")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    const ORIGIN: CodeOrigin<'_> = CodeOrigin {
        digest: "aa",
        engine: 7,
    };

    fn file(key: &SigningKey, origin: CodeOrigin<'_>) -> Vec<u8> {
        [&head(key, origin, b"code")[..], b"code"].concat()
    }

    #[test]
    fn code_is_known_by_its_component_its_engine_and_the_key() {
        let key = SigningKey::new(&[1; KEY_BYTES]);
        let made = file(&key, ORIGIN);
        assert_eq!(code(&key, ORIGIN, &made), Ok(&b"code"[..]));
        for other in [
            CodeOrigin {
                digest: "ab",
                ..ORIGIN
            },
            CodeOrigin {
                engine: 8,
                ..ORIGIN
            },
        ] {
            assert!(
                code(&key, other, &made)
                    .unwrap_err()
                    .contains("another component")
            );
            assert!(code(&key, ORIGIN, &file(&key, other)).is_err());
        }
        let other_key = file(&SigningKey::new(&[2; KEY_BYTES]), ORIGIN);
        assert!(
            code(&key, ORIGIN, &other_key)
                .unwrap_err()
                .contains("not made by this host")
        );
    }

    #[test]
    fn a_bit_anywhere_else_makes_it_unknown() {
        let key = SigningKey::new(&[1; KEY_BYTES]);
        let made = file(&key, ORIGIN);
        for place in 0..made.len() {
            let mut damaged = made.clone();
            damaged[place] ^= 1;
            assert!(code(&key, ORIGIN, &damaged).is_err(), "byte {place}");
            assert!(code(&key, ORIGIN, &made[..place]).is_err(), "{place} bytes");
        }
        assert!(code(&key, ORIGIN, &[&made[..], b"x"].concat()).is_err());
    }
}
