//! Dead letters in the JSON of the admin interface and of `--json`.
//!
//! The command line reads the same types back. Times are milliseconds since the Unix epoch.

use std::collections::BTreeMap;

use saga_core::commit::{LetterEnd, LetterRequest};
use serde::{Deserialize, Serialize};

use crate::store::dead_letters::{LetterAct, StoredLetter};

/// A page of the dead letters of one participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterPage {
    /// The participant.
    pub participant: String,
    /// Open dead letters of the participant, by reason.
    pub by_reason: BTreeMap<String, u64>,
    /// The letters of the page, in the order of their numbers, without values.
    pub letters: Vec<Letter>,
    /// The number after which the next page begins; None on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// A page of the dead letters of all participants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllLetters {
    /// The participants, with their numbers of open dead letters.
    pub participants: Vec<OpenLetters>,
    /// The letters of the page, in the order of their numbers, without values.
    pub letters: Vec<OwnedLetter>,
    /// The number after which the next page begins; None on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// The open dead letters of a participant, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLetters {
    /// The participant.
    pub participant: String,
    /// Its open dead letters, by reason.
    pub by_reason: BTreeMap<String, u64>,
}

/// A dead letter and its participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedLetter {
    /// The participant.
    pub participant: String,
    /// The letter.
    #[serde(flatten)]
    pub letter: Letter,
}

impl AllLetters {
    /// A page of at most this many letters, of the pages of the participants.
    #[must_use]
    pub fn of(pages: Vec<LetterPage>, limit: usize) -> Self {
        let mut has_more = pages.iter().any(|page| page.next.is_some());
        let (mut participants, mut letters) = (Vec::new(), Vec::new());
        for page in pages {
            let participant = page.participant;
            letters.extend(page.letters.into_iter().map(|letter| OwnedLetter {
                participant: participant.clone(),
                letter,
            }));
            participants.push(OpenLetters {
                participant,
                by_reason: page.by_reason,
            });
        }
        // A number belongs to one letter of the store.
        letters.sort_unstable_by_key(|owned| owned.letter.id);
        has_more |= letters.len() > limit;
        letters.truncate(limit);
        let last = letters.last().map(|owned| owned.letter.id);
        Self {
            participants,
            next: last.filter(|_| has_more),
            letters,
        }
    }
}

/// The state of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LetterState {
    /// No request is pending.
    Open,
    /// A redrive is pending.
    Redriving,
    /// A discard is pending.
    Discarding,
    /// It ended: a redrive was decided, or a record in its place.
    Decided,
    /// It ended: an operator discarded it.
    Discarded,
}

impl LetterState {
    /// Its name in texts and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriving => "redriving",
            Self::Discarding => "discarding",
            Self::Decided => "decided",
            Self::Discarded => "discarded",
        }
    }
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its number.
    pub id: i64,
    /// Its state.
    pub state: LetterState,
    /// Key of the aggregate; None if the record could not be admitted.
    pub aggregate: Option<String>,
    /// True if later messages of the aggregate wait behind it.
    pub blocks: bool,
    /// Number of messages that wait behind it.
    pub waiting: u64,
    /// Event type in the record's headers.
    pub event_type: Option<String>,
    /// Topic of the record.
    pub topic: String,
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// The reason of the last failure: a stable word.
    pub reason: String,
    /// Description of the last failure.
    pub detail: String,
    /// Number of attempts before that failure.
    pub attempts: u32,
    /// Number of failed redrives.
    pub failed_redrives: u64,
    /// Digest of the component that failed.
    pub digest: String,
    /// Time when the record was given up.
    pub time: u64,
    /// Time when the letter ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
}

/// A dead letter with its record and its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterDetail {
    /// The letter.
    #[serde(flatten)]
    pub letter: Letter,
    /// The consumer group that read it.
    pub group: String,
    /// Headers of the record, by name.
    pub headers: BTreeMap<String, String>,
    /// Key of the record.
    pub record_key: Option<Bytes>,
    /// Value of the record; None for a tombstone, and if it was too large to be kept.
    pub value: Option<Bytes>,
    /// The value that is redriven instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Bytes>,
    /// Its history, oldest first.
    pub acts: Vec<Act>,
}

/// Bytes, as text if they are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bytes {
    /// UTF-8.
    Text(String),
    /// Other bytes, as Base64 (RFC 4648).
    Base64(String),
}

/// An action on a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Time.
    pub time: u64,
    /// Actor: the name of an operator's token, else the name that the request stated, a record, or `host`.
    pub by: String,
    /// The action: redrive, discard, returned, failed, decided or discarded.
    pub act: String,
    /// A detail; empty if there is none.
    pub detail: String,
}

impl Letter {
    /// A stored letter, without its values.
    #[must_use]
    pub fn of(stored: &StoredLetter) -> Self {
        let letter = &stored.letter;
        let position = &letter.record.position;
        Self {
            id: stored.id,
            state: match (stored.ended, stored.request) {
                (Some((LetterEnd::Decided, _)), _) => LetterState::Decided,
                (Some((LetterEnd::Discarded, _)), _) => LetterState::Discarded,
                (None, Some(LetterRequest::Redrive)) => LetterState::Redriving,
                (None, Some(LetterRequest::Discard)) => LetterState::Discarding,
                (None, None) => LetterState::Open,
            },
            aggregate: stored.aggregate.clone(),
            blocks: letter.is_parked,
            waiting: stored.waiting,
            event_type: letter.record.attributes.event_type.clone(),
            topic: position.topic.to_string(),
            partition: position.partition,
            offset: position.offset,
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
            attempts: letter.attempts,
            failed_redrives: stored.failed_redrives,
            digest: letter.digest.clone(),
            time: letter.time,
            ended: stored.ended.map(|(_, time)| time),
        }
    }
}

impl LetterDetail {
    /// A stored letter with its history.
    #[must_use]
    pub fn of(stored: &StoredLetter, acts: Vec<LetterAct>) -> Self {
        let record = &stored.letter.record;
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(Bytes::of);
        Self {
            letter: Letter::of(stored),
            group: stored.letter.group.clone(),
            headers: headers(&record.attributes),
            record_key: bytes(&record.key),
            value: bytes(&record.value),
            corrected: bytes(&stored.corrected),
            acts: acts
                .into_iter()
                .map(|act| Act {
                    time: act.time,
                    by: act.by,
                    act: act.act,
                    detail: act.detail,
                })
                .collect(),
        }
    }
}

impl Bytes {
    pub(super) fn of(bytes: &[u8]) -> Self {
        use base64::Engine as _;
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(base64::prelude::BASE64_STANDARD.encode(bytes)),
        }
    }
}

pub(super) fn headers(attributes: &saga_core::record::Attributes) -> BTreeMap<String, String> {
    let named = attributes.named().into_iter().filter_map(|(name, value)| {
        let value = value.as_ref()?;
        Some((name.to_owned(), value.clone()))
    });
    named.chain(attributes.extra.iter().cloned()).collect()
}
