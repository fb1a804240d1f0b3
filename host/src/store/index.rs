//! Lists of aggregates: the indexes behind them, and their pages.
//!
//! Each index belongs to one participant. It orders the values at a pointer of the state and,
//! within one value, the length of the key, then the key, so that generated numbers come in the
//! order of their generation. The engine maintains it in the transaction of each turn.

use std::collections::BTreeSet;

use saga_contract::description::Description;
use saga_contract::listing::FilterValue;

/// A request for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Row of the participant.
    pub participant: i64,
    /// JSON pointers into the state, and the required values. The first one is looked up in its
    /// index, the others filter the result.
    pub filters: Vec<(String, FilterValue)>,
    /// The key before the page. None for the first page.
    pub after: Option<String>,
    /// Most keys of the page.
    pub most: usize,
}

/// The keys of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in list order.
    pub keys: Vec<String>,
    /// The key before the next page. None if nothing follows.
    pub next: Option<String>,
}

/// An index of one participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Row of the participant.
    pub participant: i64,
    /// JSON pointer of the values in the state. None for the index of all aggregates.
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
