//! Lists of aggregates: the indexes by which they are found, and their pages.
//!
//! Each index is of one participant, over the values at a pointer of the state and, within one
//! value, in the order of listings: the length of the key, then the key, so that generated numbers
//! come in the order in which they were given. The engine keeps it in the transaction of each turn.

use std::collections::BTreeSet;

use saga_contract::description::Description;
use saga_contract::listing::FilterValue;

/// A page that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Row of the participant.
    pub participant: i64,
    /// JSON pointers into the state, and the values that have to be there. The first one is looked
    /// up, the others are tried on what it finds.
    pub filters: Vec<(String, FilterValue)>,
    /// The key after which the page begins; none for the first page.
    pub after: Option<String>,
    /// Keys of the page at most.
    pub most: usize,
}

/// The keys of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in their order.
    pub keys: Vec<String>,
    /// The key after which the next page begins; none where nothing follows.
    pub next: Option<String>,
}

/// An index of one participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Row of the participant.
    pub participant: i64,
    /// JSON pointer of the values in the state; none for the index of all aggregates.
    pub pointer: Option<String>,
}

impl Index {
    /// The index of the values at a pointer; without one, of all aggregates.
    #[must_use]
    pub fn of(participant: i64, pointer: Option<&str>) -> Self {
        Self {
            participant,
            pointer: pointer.map(str::to_owned),
        }
    }

    /// The indexes that a description's listings need.
    #[must_use]
    pub fn all_of(participant: i64, description: &Description) -> Vec<Self> {
        let listings = &description.listings;
        if listings.is_empty() {
            return Vec::new();
        }
        let filters = listings.iter().flat_map(|listing| &listing.filters);
        let pointers: BTreeSet<_> = filters.map(|filter| filter.pointer.as_str()).collect();
        let by_value = (pointers.into_iter()).map(|pointer| Self::of(participant, Some(pointer)));
        by_value.chain([Self::of(participant, None)]).collect()
    }
}
