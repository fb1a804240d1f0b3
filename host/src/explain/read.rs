//! Which sagas an aggregate took part in, and what a store has of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use saga_core::commit::LetterEnd;
use saga_core::journal::{NotWhole, Outline};
use saga_core::outcome::{Reply, StateChange, TimerChange};
use serde::Serialize;

use super::timeline::{DecidedMessage, Material, RecordPlace, Timeline, place, timeline};
use super::waits::{self, Wait, correlation};
use crate::store::dead_letters::{self, LetterFilter, StoredLetter};
use crate::store::decisions::{self, DecisionRange, JournalRow, ReadDecisions};
use crate::store::sample::Recorded;
use crate::store::streams::OutboxReaders;
use crate::store::{ReadStore, StoreFault, StoreResult};

/// Most decisions of the sagas that are explained at once, and as many records, dead letters and
/// waits; later ones are left out (invariant 9).
pub const MOST: usize = 10_000;

/// Bytes of their states and bodies; decisions beyond are left out.
pub const ROOM: usize = 64 << 20;

/// Most sagas of one aggregate that are known: the latest.
pub const SAGAS: usize = 1_000;

/// The sagas to explain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SagaQuestion {
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
    /// True if something was left out, since there is too much.
    pub is_incomplete: bool,
    /// Decisions in the journal that can't be read; whose they are is not known.
    pub unreadable: u64,
}

/// A saga.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saga {
    /// Its correlation.
    pub correlation: String,
    /// The decisions.
    #[serde(flatten)]
    pub timeline: Timeline,
    /// Records that could not be decided.
    pub dead_letters: Vec<LetterStep>,
    /// The expected messages, the oldest first.
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
    pub place: RecordPlace,
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

/// The answer to a question.
#[derive(Debug)]
pub struct Found {
    /// Correlations of the sagas, the latest first.
    wanted: Vec<String>,
    others: Vec<SagaOfAggregate>,
    /// Names of the participants.
    participants: Vec<String>,
    gathered: Gathered,
}

/// Reads what a store has of sagas.
///
/// # Errors
/// Nothing is known of what is asked for, or the store can't be read.
pub fn find(reading: &dyn ReadStore, question: &SagaQuestion) -> Result<Found, NotExplained> {
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
    let mut gathered = Gathered::new(&wanted);
    gathered.decisions(reading, &participants)?;
    gathered.records(reading)?;
    for one in &participants {
        gathered.letters(reading, one)?;
    }
    waits::each(reading, &mut |wait| gathered.wait(wait))?;
    if let (Some(correlation), None, true) = (
        &question.correlation,
        &question.aggregate,
        gathered.is_empty(),
    ) {
        return Err(NotExplained::UnknownCorrelation(correlation.clone()));
    }
    Ok(Found {
        wanted,
        others,
        participants: participants.into_iter().map(|one| one.name).collect(),
        gathered,
    })
}

impl Found {
    /// The decisions of a participant in the sagas, in the order of their commits.
    pub fn decisions_of(&self, participant: &str) -> impl Iterator<Item = &DecidedMessage> {
        let all = self.gathered.decisions.values();
        all.filter(move |one| one.participant == participant)
    }

    /// The answer.
    #[must_use]
    pub fn explained(self) -> Explained {
        let Gathered {
            mut by_correlation,
            decisions,
            journal_since,
            is_incomplete,
            unreadable,
            ..
        } = self.gathered;
        for one in decisions.into_values() {
            let correlation = &one.recorded.message.correlation;
            if let Some(parts) = by_correlation.get_mut(correlation) {
                parts.material.decisions.push(one);
            }
        }
        let mut sagas = Vec::new();
        for correlation in self.wanted {
            let Some(mut parts) = by_correlation.remove(&correlation) else {
                continue;
            };
            parts.material.participants.clone_from(&self.participants);
            parts.pending.sort_by_key(|wait| wait.since);
            parts.letters.sort_by_key(|letter| letter.time);
            sagas.push(Saga {
                correlation,
                timeline: timeline(parts.material),
                dead_letters: parts.letters,
                pending: parts.pending,
            });
        }
        Explained {
            sagas,
            others: self.others,
            journal_since,
            is_incomplete,
            unreadable,
        }
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

/// The sagas in which an aggregate took part, the latest first.
fn sagas_of(
    reading: &dyn ReadStore,
    (name, row): (&str, i64),
    key: &str,
) -> StoreResult<Vec<SagaOfAggregate>> {
    let wanted = DecisionRange {
        participant: row,
        key: Some(key.to_owned()),
        ..DecisionRange::default()
    };
    let mut found = sagas_decided(reading, &wanted)?;
    // Those in which it decided nothing that is still recorded.
    let mut further: BTreeSet<String> = BTreeSet::new();
    further.extend(reading.aggregate(row, key)?.correlation);
    // A record that no reader has taken has no key yet.
    waits::of_participant(reading, (name, row), &mut |wait| {
        if wait.key.as_deref() == Some(key) {
            further.insert(wait.correlation);
        }
    })?;
    for correlation in further {
        let saga = SagaOfAggregate::new(&correlation);
        found.entry(correlation).or_insert((0, saga));
    }
    let mut sagas: Vec<_> = found.into_values().collect();
    sagas.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
    Ok(sagas.into_iter().map(|(_, saga)| saga).collect())
}

impl SagaOfAggregate {
    fn new(correlation: &str) -> Self {
        Self {
            correlation: correlation.to_owned(),
            decisions: 0,
            last: 0,
            first: String::new(),
        }
    }
}

/// The latest sagas of these decisions, with the number of the last decision of each.
fn sagas_decided(
    reading: &dyn ReadDecisions,
    wanted: &DecisionRange,
) -> StoreResult<BTreeMap<String, (i64, SagaOfAggregate)>> {
    let mut found: BTreeMap<String, (i64, SagaOfAggregate)> = BTreeMap::new();
    let _all: ControlFlow<()> = decisions::each(reading, wanted, |row| {
        let message = match row.recorded {
            Ok(recorded) => Some(recorded.message),
            Err(NotWhole::NoPayload(outline)) => Some(outline.message),
            Err(NotWhole::Unreadable(_)) => None,
        };
        if let Some(message) = message {
            let correlation = message.correlation;
            let first = || SagaOfAggregate {
                first: message.name,
                ..SagaOfAggregate::new(&correlation)
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
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

#[derive(Debug, Default)]
struct Parts {
    material: Material,
    letters: Vec<LetterStep>,
    pending: Vec<Wait>,
}

/// The wanted sagas, as far as they were found.
#[derive(Debug, Default)]
struct Gathered {
    by_correlation: BTreeMap<String, Parts>,
    /// Their decisions by their numbers in the journal.
    decisions: BTreeMap<i64, DecidedMessage>,
    /// Bytes of these.
    bytes: usize,
    /// The last decision of the journal that is read, for all participants the same: so nothing is
    /// read whose cause is not. It moves back where there is too much.
    up_to: Option<i64>,
    records: usize,
    letters: usize,
    waits: usize,
    is_incomplete: bool,
    journal_since: Option<u64>,
    unreadable: u64,
}

impl Gathered {
    fn new(wanted: &[String]) -> Self {
        let empty = |correlation: &String| (correlation.clone(), Parts::default());
        Self {
            by_correlation: wanted.iter().map(empty).collect(),
            ..Self::default()
        }
    }

    fn is_empty(&self) -> bool {
        self.decisions.is_empty() && self.records + self.letters + self.waits == 0
    }

    fn decisions(&mut self, reading: &dyn ReadStore, participants: &[Known]) -> StoreResult<()> {
        for known in participants {
            let wanted = DecisionRange {
                participant: known.row,
                ..DecisionRange::default()
            };
            let Some(mut span) = reading.decisions_span(&wanted)? else {
                continue;
            };
            let up_to = *self.up_to.get_or_insert(span.up_to);
            span.up_to = span.up_to.min(up_to);
            let mut is_first = true;
            let _read = decisions::each_of_span(reading, &wanted, span, |row| {
                if std::mem::take(&mut is_first) {
                    let oldest = self.journal_since.into_iter().chain([row.time]).min();
                    self.journal_since = oldest;
                }
                self.decision(known, row)
            })?;
        }
        Ok(())
    }

    /// Takes a decision, if it is of a wanted saga.
    fn decision(&mut self, known: &Known, row: JournalRow) -> ControlFlow<()> {
        if self.up_to.is_some_and(|up_to| row.seq > up_to) {
            return ControlFlow::Break(());
        }
        let version = known.versions.get(&row.digest);
        let (recorded, not_kept) = match row.recorded {
            Ok(recorded) => (recorded, None),
            Err(NotWhole::NoPayload(outline)) => {
                let Outline {
                    message,
                    outcome,
                    sizes,
                } = *outline;
                let recorded = Recorded {
                    digest: row.digest,
                    state_version: 0,
                    state: None,
                    message,
                    outcome,
                };
                (recorded, Some(sizes))
            }
            Err(NotWhole::Unreadable(_)) => {
                self.unreadable += 1;
                return ControlFlow::Continue(());
            }
        };
        if !(self.by_correlation).contains_key(&recorded.message.correlation) {
            return ControlFlow::Continue(());
        }
        let decided = DecidedMessage {
            participant: known.name.clone(),
            version: version.cloned().unwrap_or_default(),
            seq: row.seq,
            time: row.time,
            recorded,
            not_kept,
        };
        self.bytes += bytes(&decided.recorded);
        self.decisions.insert(decided.seq, decided);
        while self.decisions.len() > MOST || self.bytes > ROOM {
            let Some((seq, last)) = self.decisions.pop_last() else {
                break;
            };
            self.bytes -= bytes(&last.recorded);
            self.up_to = Some(seq - 1);
            self.is_incomplete = true;
        }
        ControlFlow::Continue(())
    }

    /// Counts one more of something; false if there is too much of it.
    fn counted(number: &mut usize, is_incomplete: &mut bool) -> bool {
        let has_room = *number < MOST;
        *number += usize::from(has_room);
        *is_incomplete |= !has_room;
        has_room
    }

    fn records(&mut self, reading: &dyn ReadStore) -> StoreResult<()> {
        for name in reading.backlogs(OutboxReaders::Consumers)?.into_keys() {
            let Some(row) = reading.topic(&name)? else {
                continue;
            };
            let topic = (row, name.into());
            for partition in 0..reading.partitions(row)? {
                waits::each_record(reading, &topic, (partition, 0), &mut |mut record| {
                    if let Some(parts) = self.by_correlation.get_mut(&correlation(&record))
                        && Self::counted(&mut self.records, &mut self.is_incomplete)
                    {
                        record.value = None;
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
        dead_letters::each(reading, known.row, &filter, |stored| {
            let of = correlation(&stored.letter.record);
            if let Some(parts) = self.by_correlation.get_mut(&of)
                && Self::counted(&mut self.letters, &mut self.is_incomplete)
            {
                parts.letters.push(letter(&known.name, stored));
            }
            ControlFlow::Continue(())
        })
    }

    fn wait(&mut self, wait: Wait) {
        if let Some(parts) = self.by_correlation.get_mut(&wait.correlation)
            && Self::counted(&mut self.waits, &mut self.is_incomplete)
        {
            parts.pending.push(wait);
        }
    }
}

/// Bytes of a decision: those that the rules and their clients decide on.
fn bytes(recorded: &Recorded) -> usize {
    let Recorded {
        state,
        message,
        outcome,
        ..
    } = recorded;
    let left = match &outcome.state {
        StateChange::Put(state) => state.len(),
        StateChange::Unchanged | StateChange::Remove => 0,
    };
    let events = outcome.events.iter().map(|event| event.body.len());
    let timers = outcome.timers.iter().map(|change| match change {
        TimerChange::Set(timer) => timer.body.len(),
        TimerChange::Cancel(_) => 0,
    });
    let reply = match &outcome.reply {
        Some(Reply::Done(body) | Reply::Pending(body)) => body.len(),
        Some(Reply::Refused(_)) | None => 0,
    };
    let parts = events.chain(timers).sum::<usize>();
    state.as_ref().map_or(0, String::len) + message.body.len() + left + reply + parts
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

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
