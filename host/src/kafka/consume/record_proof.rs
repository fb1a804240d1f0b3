//! The proof of a record: its time and a hash of its content.
//!
//! The proof is stored, and compared by later builds, so its input must never change: with any
//! change, every log would be taken for a replaced one.

use std::hash::Hasher as _;
use std::sync::Arc;

use saga_core::record::Attributes;
use twox_hash::XxHash64;

use crate::base::session::Proof;

/// The proof of a record with this time and content.
pub(super) fn proof(
    millis: Option<i64>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    attributes: &Attributes,
) -> Proof {
    let mut hasher = XxHash64::with_seed(0);
    let (id, source) = (&attributes.id, &attributes.source);
    let texts = [id, source].map(|text| text.as_deref().map(str::as_bytes));
    for part in [key, value].into_iter().chain(texts) {
        // Lengths distinguish ("a", "bc") from ("ab", "c"), and a missing part from an empty one.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.write(&length.to_le_bytes());
        hasher.write(part.unwrap_or_default());
    }
    Proof {
        time: millis.unwrap_or(-1),
        print: hasher.finish(),
    }
}

/// Tells a record from other ones at the same offset: those of an earlier topic of the name, and
/// those of a log that lost its end and grew again. So a record without an id of its own is known
/// again wherever it is read a second time. `log` is the name that an operator's `saga seek
/// --as-new` gave the log.
pub(super) fn incarnation(proof: Proof, log: Option<&str>) -> Arc<str> {
    let Proof { time, print } = proof;
    match log {
        None => format!("{time:x}-{print:x}").into(),
        Some(log) => format!("{time:x}-{print:x}-{log}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str) -> Attributes {
        Attributes {
            id: Some(id.into()),
            ..Attributes::default()
        }
    }

    #[test]
    fn records_that_differ_in_anything_are_told_apart() {
        let known = named("a");
        let one = proof(Some(1), Some(b"k"), Some(b"v"), &known);
        assert_eq!(one, proof(Some(1), Some(b"k"), Some(b"v"), &known));
        let from = Attributes {
            source: Some("s".into()),
            ..known.clone()
        };
        for other in [
            proof(Some(2), Some(b"k"), Some(b"v"), &known),
            proof(None, Some(b"k"), Some(b"v"), &known),
            proof(Some(1), None, Some(b"v"), &known),
            proof(Some(1), Some(b"k"), None, &known),
            proof(Some(1), Some(b"kv"), Some(b""), &known),
            proof(Some(1), Some(b"k"), Some(b"v"), &named("b")),
            proof(Some(1), Some(b"k"), Some(b"v"), &from),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_same_record_keeps_its_identity_and_another_one_at_its_offset_has_another() {
        let of = |value: &[u8], log| {
            let proof = proof(Some(7), Some(b"k"), Some(value), &Attributes::default());
            incarnation(proof, log)
        };
        assert_eq!(of(b"v", None), of(b"v", None), "whenever it is read");
        assert_ne!(of(b"v", None), of(b"w", None));
        let as_new = of(b"v", Some("new"));
        assert_ne!(as_new, of(b"v", None), "an operator says so");
        assert_eq!(as_new, of(b"v", Some("new")));
    }

    #[test]
    fn every_build_knows_what_another_has_read() {
        let known = proof(Some(7), Some(b"1"), Some(b"{\"id\":1}"), &named("a"));
        assert_eq!(
            known,
            Proof {
                time: 7,
                print: 8_019_741_192_746_199_815
            }
        );
    }
}
