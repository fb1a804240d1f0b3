//! Which sagas an aggregate took part in, and what a store has of them.

use std::collections::{BTreeMap, BTreeSet};

use saga_core::commit::LetterEnd;
use serde::Serialize;

use super::timeline::{Decided, Material, Place, Timeline, place, timeline};
use super::waits::{self, Wait, correlation};
use crate::store::dead_letters::{LetterFilter, StoredLetter};
use crate::store::decisions::{DecisionRange, JournalRow};
use crate::store::streams::OutboxReaders;
use crate::store::{ReadStore, StoreFault, StoreResult};

/// Decisions read at once.
const PAGE: usize = 1_000;

/// Most decisions of the sagas that are explained at once; later ones are left out (invariant 9).
pub const MOST: usize = 10_000;

/// Most sagas of one aggregate that are known: the latest.
pub const SAGAS: usize = 1_000;

/// What is to be explained.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// An aggregate: participant and key.
    pub aggregate: Option<(String, String)>,
    /// One saga.
    pub correlation: Option<String>,
    /// All sagas of the aggregate, not only the latest.
    pub all: bool,
}

/// The reason why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub enum NotExplained {
    /// No such participant ran on the store; with those that did.
    #[error("`{0}` never ran on this store; these did: {1}")]
    UnknownParticipant(String, String),
    /// Nothing is known of the aggregate.
    #[error("{0} has no aggregate with the key `{1}`, and nothing waits for one")]
    UnknownKey(String, String),
    /// Nothing is known of the saga.
    #[error("nothing in this store has the correlation `{0}`")]
    UnknownCorrelation(String),
    /// The store can't be read.
    #[error("the store can't be read: {0}")]
    Unreadable(#[from] StoreFault),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The explained sagas, the latest first.
    pub sagas: Vec<Saga>,
    /// Other sagas of the aggregate, the latest first.
    pub others: Vec<SagaOfAggregate>,
    /// Time of the oldest decision in the journal, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_since: Option<u64>,
    /// True if decisions were left out, since there are too many.
    pub is_incomplete: bool,
}

/// A saga.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saga {
    /// Its correlation.
    pub correlation: String,
    /// What happened.
    #[serde(flatten)]
    pub timeline: Timeline,
    /// Records that could not be decided.
    pub dead_letters: Vec<LetterStep>,
    /// What is still expected, the oldest first.
    pub pending: Vec<Wait>,
}

/// A record that could not be decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LetterStep {
    /// The participant.
    pub participant: String,
    /// Its number.
    pub letter: i64,
    /// Key of the aggregate.
    pub key: Option<String>,
    /// Event type.
    pub event_type: Option<String>,
    /// Place of the record, in the log from which it was read.
    pub place: Place,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The reason: a stable word.
    pub reason: String,
    /// The problem.
    pub detail: String,
    /// Attempts.
    pub attempts: u32,
    /// Its end: a word, and the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<(String, u64)>,
}

/// A saga in which an aggregate took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SagaOfAggregate {
    /// Its correlation.
    pub correlation: String,
    /// Decisions of the aggregate in it.
    pub decisions: u64,
    /// Time of the last of these, in milliseconds since the Unix epoch; 0 if there is none.
    pub last: u64,
    /// Name of the first message that the aggregate decided in it.
    pub first: String,
}

/// The rows of the decisions, for other rules to be tried on them.
pub type Rows = Vec<(String, JournalRow)>;

/// Explains; also returns the decisions of the explained sagas.
///
/// # Errors
/// Nothing is known of what is asked for, or the store can't be read.
pub fn explain(
    reading: &dyn ReadStore,
    question: &Question,
) -> Result<(Explained, Rows), NotExplained> {
    let participants = participants(reading)?;
    let mut others = Vec::new();
    if let Some((name, key)) = &question.aggregate {
        let row = participants.iter().find(|one| one.name == *name);
        let row = row.map(|one| one.row).ok_or_else(|| {
            let names: Vec<_> = participants.iter().map(|one| one.name.as_str()).collect();
            NotExplained::UnknownParticipant(name.clone(), names.join(", "))
        })?;
        others = sagas_of(reading, (name, row), key)?;
        if others.is_empty() {
            return Err(NotExplained::UnknownKey(name.clone(), key.clone()));
        }
    }
    let wanted: Vec<String> = match &question.correlation {
        Some(correlation) => vec![correlation.clone()],
        None => {
            let most = if question.all { SAGAS } else { 1 };
            let latest = others.iter().take(most);
            latest.map(|saga| saga.correlation.clone()).collect()
        }
    };
    others.retain(|saga| !wanted.contains(&saga.correlation));
    let mut found = Gathered::new(&wanted);
    found.decisions(reading, &participants)?;
    found.records(reading)?;
    for one in &participants {
        found.letters(reading, one)?;
    }
    waits::each(reading, &mut |wait| found.wait(wait))?;
    let mut rows = Rows::new();
    let names: Vec<_> = participants.into_iter().map(|one| one.name).collect();
    let mut sagas = Vec::new();
    for correlation in &wanted {
        let Some(mut parts) = found.by_correlation.remove(correlation) else {
            continue;
        };
        let decided = parts.material.decisions.iter();
        rows.extend(decided.map(|one| (one.participant.clone(), one.row.clone())));
        parts.material.participants.clone_from(&names);
        parts.pending.sort_by_key(|wait| wait.since);
        parts.letters.sort_by_key(|letter| letter.time);
        sagas.push(Saga {
            correlation: correlation.clone(),
            timeline: timeline(parts.material),
            dead_letters: parts.letters,
            pending: parts.pending,
        });
    }
    if let (Some(correlation), None, true) = (
        &question.correlation,
        &question.aggregate,
        sagas.iter().all(Saga::is_empty),
    ) {
        return Err(NotExplained::UnknownCorrelation(correlation.clone()));
    }
    let explained = Explained {
        sagas,
        others,
        journal_since: found.journal_since,
        is_incomplete: found.is_incomplete,
    };
    Ok((explained, rows))
}

impl Saga {
    fn is_empty(&self) -> bool {
        let Timeline { steps, records, .. } = &self.timeline;
        steps.is_empty()
            && records.is_empty()
            && self.dead_letters.is_empty()
            && self.pending.is_empty()
    }
}

/// A participant of the store.
struct Known {
    name: String,
    row: i64,
    /// Versions of its generations, by digest.
    versions: BTreeMap<String, String>,
}

fn participants(reading: &dyn ReadStore) -> StoreResult<Vec<Known>> {
    let mut known = Vec::new();
    for name in reading.participants()? {
        if let Some(row) = reading.participant(&name)? {
            let generations = reading.generations(row)?.into_iter();
            let versions = generations.map(|one| (one.generation.digest, one.generation.version));
            known.push(Known {
                name,
                row,
                versions: versions.collect(),
            });
        }
    }
    Ok(known)
}

/// Passes these decisions, in the order of the journal, until `on` returns false.
fn each_decision(
    reading: &dyn ReadStore,
    wanted: &DecisionRange,
    on: &mut dyn FnMut(JournalRow) -> bool,
) -> StoreResult<()> {
    let Some(mut span) = reading.decisions_span(wanted)? else {
        return Ok(());
    };
    while span.numbers() > 0 {
        let page = reading.decisions(wanted, span, PAGE)?;
        for row in page.rows {
            if !on(row) {
                return Ok(());
            }
        }
        span.after = page.read;
    }
    Ok(())
}

/// The sagas in which an aggregate took part, the latest first.
fn sagas_of(
    reading: &dyn ReadStore,
    (name, row): (&str, i64),
    key: &str,
) -> StoreResult<Vec<SagaOfAggregate>> {
    let mut found: BTreeMap<String, (i64, SagaOfAggregate)> = BTreeMap::new();
    let new = |correlation: &str| SagaOfAggregate {
        correlation: correlation.to_owned(),
        decisions: 0,
        last: 0,
        first: String::new(),
    };
    let wanted = DecisionRange {
        participant: row,
        key: Some(key.to_owned()),
        ..DecisionRange::default()
    };
    each_decision(reading, &wanted, &mut |row| {
        if let Ok(recorded) = row.recorded {
            let correlation = recorded.message.correlation;
            let first = || SagaOfAggregate {
                first: recorded.message.name,
                ..new(&correlation)
            };
            let (seq, saga) = (found.entry(correlation.clone())).or_insert_with(|| (0, first()));
            (*seq, saga.last) = (row.seq, row.time);
            saga.decisions += 1;
        }
        if found.len() > SAGAS {
            let oldest = found.iter().min_by_key(|(_, (seq, _))| *seq);
            if let Some(oldest) = oldest.map(|(correlation, _)| correlation.clone()) {
                found.remove(&oldest);
            }
        }
        true
    })?;
    // Those in which it decided nothing that is still recorded.
    let mut further: BTreeSet<String> = BTreeSet::new();
    further.extend(reading.aggregate(row, key)?.correlation);
    waits::each(reading, &mut |wait| {
        if wait.participant == name && wait.key.as_deref() == Some(key) {
            further.insert(wait.correlation);
        }
    })?;
    for correlation in further {
        let saga = new(&correlation);
        found.entry(correlation).or_insert((0, saga));
    }
    let mut sagas: Vec<_> = found.into_values().collect();
    sagas.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
    Ok(sagas.into_iter().map(|(_, saga)| saga).collect())
}

#[derive(Default)]
struct Parts {
    material: Material,
    letters: Vec<LetterStep>,
    pending: Vec<Wait>,
}

/// What was found of the wanted sagas.
struct Gathered {
    by_correlation: BTreeMap<String, Parts>,
    decisions: usize,
    records: usize,
    is_incomplete: bool,
    journal_since: Option<u64>,
}

impl Gathered {
    fn new(wanted: &[String]) -> Self {
        let empty = |correlation: &String| (correlation.clone(), Parts::default());
        Self {
            by_correlation: wanted.iter().map(empty).collect(),
            decisions: 0,
            records: 0,
            is_incomplete: false,
            journal_since: None,
        }
    }

    fn decisions(&mut self, reading: &dyn ReadStore, participants: &[Known]) -> StoreResult<()> {
        for known in participants {
            let wanted = DecisionRange {
                participant: known.row,
                ..DecisionRange::default()
            };
            let mut is_first = true;
            each_decision(reading, &wanted, &mut |row| {
                if std::mem::take(&mut is_first) {
                    let oldest = self.journal_since.into_iter().chain([row.time]).min();
                    self.journal_since = oldest;
                }
                let Ok(recorded) = &row.recorded else {
                    return true;
                };
                let correlation = &recorded.message.correlation;
                let Some(parts) = self.by_correlation.get_mut(correlation) else {
                    return true;
                };
                if self.decisions == MOST {
                    self.is_incomplete = true;
                    return false;
                }
                self.decisions += 1;
                let version = known.versions.get(&recorded.digest);
                parts.material.decisions.push(Decided {
                    participant: known.name.clone(),
                    version: version.cloned().unwrap_or_default(),
                    row,
                });
                true
            })?;
        }
        Ok(())
    }

    fn records(&mut self, reading: &dyn ReadStore) -> StoreResult<()> {
        for name in reading.backlogs(OutboxReaders::Consumers)?.into_keys() {
            let Some(row) = reading.topic(&name)? else {
                continue;
            };
            let topic = (row, name.into());
            for partition in 0..reading.partitions(row)? {
                waits::each_record(reading, &topic, (partition, 0), &mut |record| {
                    let parts = self.by_correlation.get_mut(&correlation(&record));
                    if let Some(parts) = parts {
                        if self.records == MOST {
                            self.is_incomplete = true;
                            return Ok(());
                        }
                        self.records += 1;
                        parts.material.records.push(record);
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn letters(&mut self, reading: &dyn ReadStore, known: &Known) -> StoreResult<()> {
        let filter = LetterFilter {
            with_ended: true,
            ..LetterFilter::default()
        };
        let mut after = 0;
        loop {
            let page = reading.dead_letters(known.row, &filter, after, PAGE)?;
            let is_last = page.len() < PAGE;
            for stored in page {
                after = stored.id;
                let of = correlation(&stored.letter.record);
                if let Some(parts) = self.by_correlation.get_mut(&of) {
                    parts.letters.push(letter(&known.name, stored));
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, wait: Wait) {
        if let Some(parts) = self.by_correlation.get_mut(&wait.correlation) {
            if parts.pending.len() == MOST {
                self.is_incomplete = true;
            } else {
                parts.pending.push(wait);
            }
        }
    }
}

fn letter(participant: &str, stored: StoredLetter) -> LetterStep {
    let ended = stored.ended.map(|(end, time)| {
        let word = match end {
            LetterEnd::Decided => "decided",
            LetterEnd::Discarded => "discarded",
        };
        (word.to_owned(), time)
    });
    LetterStep {
        participant: participant.to_owned(),
        letter: stored.id,
        key: stored.aggregate,
        place: place(&stored.letter.record),
        event_type: stored.letter.record.attributes.event_type,
        time: stored.letter.time,
        reason: stored.letter.reason,
        detail: stored.letter.detail,
        attempts: stored.letter.attempts,
        ended,
    }
}
