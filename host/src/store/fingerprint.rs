//! Fingerprints, which tell requests under the same idempotency key apart.
//!
//! Must not know: requests, headers, clients: it gets their texts.

use sha2::{Digest as _, Sha256};

/// Bytes for the request apart from its headers.
const REQUEST: usize = 16;

/// Bytes for the names of the headers that the rules ask for.
const NAMES: usize = 4;

/// Hashes of a request: of what it always consists of, of the names of the headers that its rules
/// ask for, and of these headers. A swap may change which headers rules ask for. Those of the first
/// request are then not known any more, so a repeat is recognized without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a request with these parts (none but the last has a zero in it), whose
    /// rules ask for headers of these names, of which it has these.
    #[must_use]
    pub fn of(request: [&str; 3], names: &[String], headers: &[(String, String)]) -> Self {
        let mut names: Vec<_> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        let mut headers: Vec<_> = headers.iter().collect();
        headers.sort_unstable();
        let headers = headers.iter().flat_map(|(name, value)| [&**name, value]);
        let parts = (hash(request).into_iter().take(REQUEST))
            .chain(hash(names).into_iter().take(NAMES))
            .chain(hash(headers));
        let mut bytes = [0; 32];
        for (byte, of_part) in bytes.iter_mut().zip(parts) {
            *byte = of_part;
        }
        Self(bytes)
    }

    /// For the store.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// True if the request repeats the one with this fingerprint.
    #[must_use]
    pub fn is_repeat_of(&self, first: &[u8]) -> bool {
        let part = |range: std::ops::Range<usize>| self.0.get(range.clone()) == first.get(range);
        let is_same = part(0..REQUEST) && first.len() == self.0.len();
        let asked_alike = part(REQUEST..REQUEST + NAMES);
        is_same && (!asked_alike || part(REQUEST + NAMES..self.0.len()))
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

fn hash<'t>(parts: impl IntoIterator<Item = &'t str>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        // The separator occurs in no method, path, name or value of a header.
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, names: &[&str], headers: &[(&str, &str)]) -> Fingerprint {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Fingerprint::of(["POST", path, "{}"], &names, &headers.collect::<Vec<_>>())
    }

    #[test]
    fn headers_are_compared_unless_rules_ask_for_others_by_now() {
        let first = of("/a", &["x-a", "x-b"], &[("x-a", "1"), ("x-b", "2")]);
        let repeats = |other: Fingerprint| other.is_repeat_of(&first.bytes());
        assert!(repeats(first));
        assert!(repeats(of(
            "/a",
            &["x-b", "x-a"],
            &[("x-b", "2"), ("x-a", "1")]
        )));
        assert!(!repeats(of(
            "/a",
            &["x-a", "x-b"],
            &[("x-a", "1"), ("x-b", "3")]
        )));
        assert!(!repeats(of("/a", &["x-a", "x-b"], &[("x-a", "1")])));
        assert!(!repeats(of(
            "/a",
            &["x-a", "x-b"],
            &[("x-b", "1"), ("x-a", "2")]
        )));
        for asked in [&[][..], &["x-a"], &["x-a", "x-b", "x-c"]] {
            assert!(repeats(of("/a", asked, &[])), "{asked:?}");
            assert!(!repeats(of("/b", asked, &[])), "{asked:?}");
        }
        assert!(!first.is_repeat_of(&first.bytes()[..16]));
        assert!(!first.is_repeat_of(&[]));
    }
}
