//! A place in the events of a list, and its form as the id of an event.
//!
//! An id is opaque to clients. Its check value stands for the list with its filters, its
//! description and its store: an id of another list is not understood, so that nothing is left out
//! by mistake.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use saga_contract::description::Description;
use saga_contract::listing::FilterValue;

use super::paging::{CHECK_BYTES, check_value};
use crate::store::JournalPosition;

/// The next message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListStage {
    /// The beginning of the list.
    Begin,
    /// The items after this key; `None` for all.
    Pages(Option<String>),
    /// Changes.
    Changes,
}

/// A place in the events of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListPlace {
    /// Stands for the list.
    pub(super) check: [u8; Self::CHECK],
    /// The next message.
    pub(super) stage: ListStage,
    /// The place in the journal up to which all changes are known; of the pages, the one at which
    /// they began.
    pub(super) journal: JournalPosition,
}

impl ListPlace {
    /// Bytes of the check value.
    pub(super) const CHECK: usize = CHECK_BYTES;

    /// Stands for a place among the items, before their key.
    const PAGES: u8 = b'p';
    const CHANGES: u8 = b'c';

    /// The id of a place.
    pub(super) fn id(
        check: [u8; Self::CHECK],
        stage: &ListStage,
        journal: JournalPosition,
    ) -> String {
        let (kind, key) = match stage {
            ListStage::Begin | ListStage::Pages(None) => (Self::PAGES, ""),
            ListStage::Pages(Some(key)) => (Self::PAGES, key.as_str()),
            ListStage::Changes => (Self::CHANGES, ""),
        };
        let (seq, time) = (journal.seq.to_be_bytes(), journal.time.to_be_bytes());
        let parts = [&check[..], &seq, &time, &[kind], key.as_bytes()];
        URL_SAFE_NO_PAD.encode(parts.concat())
    }

    /// The place with this id; `None` for an id of other origin.
    pub(super) fn read(id: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let (check, rest) = bytes.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let stage = match rest.split_first()? {
            (&Self::CHANGES, []) => ListStage::Changes,
            (&Self::PAGES, []) => ListStage::Pages(None),
            (&Self::PAGES, key) => ListStage::Pages(Some(String::from_utf8(key.to_vec()).ok()?)),
            _ => return None,
        };
        let journal = JournalPosition {
            seq: i64::from_be_bytes(*seq),
            time: u64::from_be_bytes(*time),
        };
        // Before the first decision, nothing tells one journal from another.
        (journal != JournalPosition::default()).then_some(Self {
            check: *check,
            stage,
            journal,
        })
    }
}

/// Stands for a list of this store with these filters: another value if rules with another
/// description are active. Their version does not matter.
pub(super) fn check_of(
    store: &str,
    description: &Description,
    listing: &str,
    filters: &[(String, FilterValue)],
) -> [u8; ListPlace::CHECK] {
    let description = Description {
        version: String::new(),
        ..description.clone()
    };
    let filters: Vec<_> = (filters.iter())
        .map(|(pointer, value)| (pointer, value.to_json()))
        .collect();
    check_value(&serde_json::json!([store, description, listing, filters]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    const CHECK: [u8; ListPlace::CHECK] = *b"12345678";

    #[test]
    fn an_id_is_read_as_the_place_that_it_was_made_of() {
        let journal = JournalPosition { seq: 7, time: 99 };
        for stage in [
            ListStage::Pages(None),
            ListStage::Pages(Some("17 ü\n".into())),
            ListStage::Changes,
        ] {
            let id = ListPlace::id(CHECK, &stage, journal);
            assert!(!id.contains(char::is_whitespace), "{id}");
            let place = ListPlace::read(&id).unwrap();
            assert_eq!((place.check, place.journal), (CHECK, journal));
            assert_eq!(place.stage, stage);
        }
    }

    #[test]
    fn other_ids_are_not_understood() {
        let journal = JournalPosition { seq: 7, time: 99 };
        let id = ListPlace::id(CHECK, &ListStage::Changes, journal);
        let before_all = ListPlace::id(CHECK, &ListStage::Changes, JournalPosition::default());
        let (cut, longer) = (id.get(..id.len() - 4).unwrap(), format!("{id}AAAA"));
        for other in ["", "17", "a-pending", cut, &longer, &before_all] {
            assert_eq!(ListPlace::read(other), None, "{other}");
        }
    }
}
