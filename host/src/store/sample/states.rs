//! A sample of stored states: for each version the largest and the smallest, those that changed
//! most and least, and those with the oldest and the newest keys.
//!
//! Aggregates are in the order of their keys and have no index by size or age. The sample reads the
//! first ones, which are all if there are few, and ranges at places spread over the other keys.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;

use super::Keyed;
use super::bounds::{Patience, SampleRoom};
use super::choose::{Ranking, choose};

/// Aggregates read from the first key on.
const FIRST: usize = 10_000;

/// Places after that, and aggregates read at each.
pub(in crate::store) const PLACES: usize = 15;
const STRETCH: usize = 500;

/// The size of a stored aggregate.
pub(in crate::store) struct SizedState {
    /// Its key.
    pub(in crate::store) key: String,
    /// Its revision.
    pub(in crate::store) revision: i64,
    /// Version of the state shape.
    pub(in crate::store) version: u32,
    /// Bytes of its state. None if it was removed.
    pub(in crate::store) bytes: Option<i64>,
}

/// The aggregates of one participant in an engine, in the order of their keys.
pub(in crate::store) trait StateRows {
    /// The engine's error.
    type Error;

    /// The first ones from a key on.
    fn from(&mut self, key: Bound<&str>, most: usize) -> Result<Vec<SizedState>, Self::Error>;

    /// The last ones, the very last first.
    fn last(&mut self, most: usize) -> Result<Vec<SizedState>, Self::Error>;

    /// The last key before this text, which need not be a key.
    fn before(&mut self, key: &str) -> Result<Option<String>, Self::Error>;

    /// True if an aggregate is quarantined.
    fn is_quarantined(&mut self, key: &str) -> Result<bool, Self::Error>;

    /// The aggregate of a key; an empty one if it never existed.
    fn aggregate(&mut self, key: String) -> Result<Keyed, Self::Error>;
}

/// Stored states of a participant, at most `most`, except those of quarantined aggregates.
pub(in crate::store) fn stored<R: StateRows>(
    rows: &mut R,
    most: usize,
) -> Result<Vec<Keyed>, R::Error> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut look = StateLook {
        rows,
        seen: Vec::new(),
        keys: BTreeSet::new(),
        patience: Patience::begin(),
    };
    let (looked_at, reached) = look.from("", FIRST)?;
    if looked_at == FIRST {
        for place in places(look.rows, reached)? {
            look.from(&place, STRETCH)?;
        }
        look.last(STRETCH)?;
    }
    let rankings: [Ranking<SizedState>; 6] = [
        |one, other| other.bytes.cmp(&one.bytes),
        |one, other| age(&one.key).cmp(&age(&other.key)),
        |one, other| age(&other.key).cmp(&age(&one.key)),
        |one, other| one.bytes.cmp(&other.bytes),
        |one, other| other.revision.cmp(&one.revision),
        |one, other| one.revision.cmp(&other.revision),
    ];
    let chosen = choose(look.seen, most, |seen| seen.version, &rankings);
    let mut states = Vec::with_capacity(chosen.len());
    let mut room = SampleRoom::new();
    for seen in chosen {
        let bytes = usize::try_from(seen.bytes.unwrap_or(0)).unwrap_or(usize::MAX);
        if !rows.is_quarantined(&seen.key)? && room.takes(bytes) {
            states.extend(with_state(rows.aggregate(seen.key)?));
        }
    }
    Ok(states)
}

/// The aggregates of these keys that have a state.
pub(in crate::store) fn of_keys<R: StateRows>(
    rows: &mut R,
    keys: Vec<String>,
) -> Result<Vec<Keyed>, R::Error> {
    let mut room = SampleRoom::new();
    let mut states = Vec::with_capacity(keys.len());
    for key in keys {
        let found = with_state(rows.aggregate(key)?);
        states.extend(found.filter(|found| room.takes(found.bytes())));
    }
    Ok(states)
}

fn with_state(found: Keyed) -> Option<Keyed> {
    Some(found).filter(|found| found.stored.state.is_some())
}

/// Generated keys are numbers: this is the order of their generation.
fn age(key: &str) -> (usize, &str) {
    (key.len(), key)
}

struct StateLook<'r, R> {
    rows: &'r mut R,
    seen: Vec<SizedState>,
    keys: BTreeSet<String>,
    patience: Patience,
}

impl<R: StateRows> StateLook<'_, R> {
    /// Reads at most this many aggregates from a key on; returns their number, and the key of the
    /// last.
    fn from(&mut self, key: &str, most: usize) -> Result<(usize, String), R::Error> {
        let (mut looked_at, mut reached) = (0, String::new());
        while looked_at < most && !self.patience.is_over() {
            let from = match looked_at {
                0 => Bound::Included(key),
                _ => Bound::Excluded(&*reached),
            };
            let step = STRETCH.min(most - looked_at);
            let read = self.rows.from(from, step)?;
            let is_all = read.len() < step;
            looked_at += read.len();
            if let Some(last) = read.last() {
                reached.clone_from(&last.key);
            }
            self.take(read);
            if is_all {
                break;
            }
        }
        Ok((looked_at, reached))
    }

    /// Reads the last ones.
    fn last(&mut self, most: usize) -> Result<(), R::Error> {
        if !self.patience.is_over() {
            let read = self.rows.last(most)?;
            self.take(read);
        }
        Ok(())
    }

    fn take(&mut self, read: Vec<SizedState>) {
        let stored = read.into_iter().filter(|state| state.bytes.is_some());
        for state in stored {
            if self.keys.insert(state.key.clone()) {
                self.seen.push(state);
            }
        }
    }
}

/// Keys spread between this one and the last: each range between two keys is halved repeatedly.
pub(in crate::store) fn places<R: StateRows>(
    rows: &mut R,
    first: String,
) -> Result<Vec<String>, R::Error> {
    let last = rows.last(1)?.pop().map(|last| last.key);
    let last = last.filter(|last| first <= *last).unwrap_or_default();
    let mut gaps = VecDeque::from([(first, last)]);
    let mut places = Vec::new();
    while let Some((from, to)) = gaps.pop_front()
        && places.len() < PLACES
    {
        let middle = between(&from, &to);
        if let Some(before) = rows.before(&middle)?
            && from < before
        {
            gaps.push_back((from, before));
        }
        if let Some(after) = rows.from(Bound::Included(&middle), 1)?.pop()
            && after.key < to
        {
            places.push(after.key.clone());
            gaps.push_back((after.key, to));
        }
    }
    Ok(places)
}

/// The numbers of a character, one more than the last.
const CHARACTERS: u64 = 0x11_0000;

/// A text halfway between two in their order, that of bytes; after the first one, unless they are
/// equal. U+0000 is not in it: not every engine has it.
fn between(one: &str, other: &str) -> String {
    let same = (one.chars().zip(other.chars())).take_while(|(a, b)| a == b);
    let prefix: String = same.map(|(character, _)| character).collect();
    // The next three characters, as a number. The order of characters is that of their bytes.
    let number = |text: &str| {
        let rest = text.get(prefix.len()..).unwrap_or_default();
        let mut following = rest.chars().map(u64::from);
        (0..3).fold(0, |number, _| {
            number * CHARACTERS + following.next().unwrap_or(0)
        })
    };
    let middle = (number(one) + number(other)).div_ceil(2);
    let digits = [CHARACTERS * CHARACTERS, CHARACTERS, 1].map(|unit| middle / unit % CHARACTERS);
    let length = digits
        .iter()
        .rposition(|digit| *digit > 0)
        .map_or(0, |last| last + 1);
    let mut text = prefix;
    for digit in digits.into_iter().take(length) {
        match u32::try_from(digit).ok().and_then(char::from_u32) {
            Some('\0') => {
                text.push('\u{1}');
                break;
            }
            Some(character) => text.push(character),
            // No character has such a number: the next one that has.
            None => {
                text.push('\u{E000}');
                break;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_middle_lies_between_two_keys_in_their_order() {
        for (one, other) in [
            ("1", "99999"),
            ("key-a", "key-b"),
            ("a", "ü"),
            ("a", "aa"),
            ("a", "a\u{1}"),
            ("a", "a\u{1}\u{1}"),
            ("", "\u{10FFFF}"),
            ("\u{D7FF}", "\u{E000}"),
            ("\u{D7FF}x", "\u{E001}"),
            ("\u{D000}", "\u{F000}"),
        ] {
            let middle = between(one, other);
            assert!(one < &*middle, "{one:?} {middle:?}");
            assert!(&*middle <= other, "{middle:?} {other:?}");
            assert!(!middle.contains('\0'));
        }
        assert_eq!(between("a", "a"), "a");
    }
}
