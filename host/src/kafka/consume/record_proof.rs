//! By what a record is known again: a hash of what is in it.
//!
//! It is stored, and compared by later builds. What goes into it must therefore stay as it is: with any change, every log that was read
//! would pass for another one.

use std::hash::Hasher as _;

use saga_core::record::Attributes;
use twox_hash::XxHash64;

use crate::base::session::Proof;

/// What a record of this time and content is known by.
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
        // Lengths keep ("a", "bc") and ("ab", "c") apart, and nothing from what is empty.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.write(&length.to_le_bytes());
        hasher.write(part.unwrap_or_default());
    }
    Proof {
        time: millis.unwrap_or(-1),
        print: hasher.finish(),
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
