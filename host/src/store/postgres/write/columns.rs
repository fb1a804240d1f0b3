//! The rows of a commit, as columns: the parameters of `saga_commit_v4`.
//!
//! Rows that entries of one commit write several times are written once: the last state of an
//! aggregate, the last offset of a partition, the last setting of a timer.

use std::collections::{BTreeSet, HashMap};

use saga_core::commit::{Entry, KeptReply, Offset, OutboxRow, Proof, Write};
use saga_core::outcome::TimerChange;
use saga_core::settle::{Cause, JournalEntry};
use tokio_postgres::types::ToSql;

use super::members::Members;
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;
use crate::store::writing::tallies::Tallies;

/// A row of a table, by participant and key.
type Place<'a> = (i64, &'a str);

/// The commit that the columns are written with: its number, or none if it is one of several calls
/// of the same transaction.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::postgres) struct CommitNumber {
    /// The host.
    pub(in crate::store::postgres) host: i64,
    /// Its incarnation.
    pub(in crate::store::postgres) incarnation: i64,
    /// The number of activations that it knows of.
    pub(in crate::store::postgres) epoch: i64,
    /// The number of this host's last commit.
    pub(in crate::store::postgres) last: i64,
    /// The number of the commit.
    pub(in crate::store::postgres) number: Option<i64>,
}

/// The rows of a commit.
#[derive(Default)]
pub(in crate::store::postgres) struct Columns<'a> {
    inbox: Inbox<'a>,
    /// The stored revision that each aggregate was decided on first.
    bases: HashMap<Place<'a>, i64>,
    removed: (Vec<i64>, Vec<&'a str>),
    migrated: HashMap<Place<'a>, (i64, &'a str)>,
    states: HashMap<Place<'a>, State<'a>>,
    deleted: Vec<(i64, &'a str, &'a str, Option<i64>)>,
    timers: HashMap<(i64, &'a str, &'a str), Timer<'a>>,
    replies: Vec<(i64, &'a str, &'a KeptReply, i64)>,
    offsets: HashMap<(&'a str, i64, i32), &'a Offset>,
    /// Aggregates of which no parked messages are known.
    unparked: BTreeSet<Place<'a>>,
    last_keys: HashMap<i64, i64>,
    tallies: Tallies,
    decisions: Vec<(i64, &'a str, &'a JournalEntry)>,
    records: Vec<(Option<i64>, &'a OutboxRow)>,
}

#[derive(Default)]
struct Inbox<'a> {
    participants: Vec<i64>,
    ids: Vec<&'a str>,
    sources: Vec<&'a str>,
    times: Vec<i64>,
}

struct State<'a> {
    revision: i64,
    version: i64,
    text: Option<&'a str>,
    correlation: &'a str,
}

struct Timer<'a> {
    due: i64,
    body: &'a str,
    by: &'a Cause,
}

impl<'a> Columns<'a> {
    /// Adds the identity of an event. If it is known, the whole call is refused.
    pub(in crate::store::postgres) fn identity(
        &mut self,
        participant: i64,
        identity: &'a saga_core::identity::Identity,
        time: u64,
    ) {
        self.inbox.participants.push(participant);
        self.inbox.ids.push(&identity.id);
        self.inbox.sources.push(&identity.source);
        self.inbox.times.push(time as i64);
    }

    /// Adds the writes of an entry that have columns, except identities; returns true if it has
    /// others. `trusted` is the earliest time of rows that deduplicate messages.
    pub(in crate::store::postgres) fn add(&mut self, entry: &'a Entry, trusted: u64) -> bool {
        let key = entry.key.as_deref().unwrap_or_default();
        let place = (entry.participant, key);
        let mut has_others = false;
        for write in &entry.writes {
            match write {
                Write::Offset(offset) => self.offset(offset),
                Write::State(state, revision, saga) => {
                    self.decided_on(place, revision.saturating_sub(1));
                    let state = (state.as_deref(), *revision, saga.as_str());
                    self.state(place, state, entry.state_version);
                }
                Write::Migrated(state, revision) => {
                    self.decided_on(place, *revision);
                    self.migrated(place, state, entry.state_version);
                }
                Write::Timers(changes, by) => {
                    for change in changes {
                        self.timer(place, change, by);
                    }
                }
                Write::Fired(timer) => {
                    let timer = (timer.key.as_str(), timer.name.as_str(), timer.due);
                    self.fired(entry.participant, timer);
                }
                Write::Journal(journal) => {
                    self.decided_on(place, journal.revision_before);
                    if !entry.is_beside_parked {
                        self.unparked.insert(place);
                    }
                    self.decisions.push((entry.generation, key, journal));
                }
                Write::Reply(kept) => {
                    let time = kept.time.max(trusted) as i64;
                    self.replies.push((entry.participant, key, kept, time));
                }
                Write::GeneratedKey(key) => {
                    let last = self.last_keys.entry(entry.participant).or_default();
                    *last = (*key).max(*last);
                }
                Write::Tally(tally) => self.tallies.add(tally),
                Write::Publish(row) => {
                    let generation = row.from_generation.then_some(entry.generation);
                    self.records.push((generation, row));
                }
                Write::Inbox(..)
                | Write::Unpark(_)
                | Write::InboxKept(..)
                | Write::InboxForgotten(_)
                | Write::DeadLetter(_)
                | Write::LetterEnded(..)
                | Write::FailedRedrive(_)
                | Write::FailedAside(_)
                | Write::ReturnedRecord(_)
                | Write::Park(_)
                | Write::ParkTimer(_)
                | Write::Quarantine(..)
                | Write::QuarantineLifted => has_others = true,
            }
        }
        has_others
    }

    /// Adds the offset of an entry's record only.
    pub(in crate::store::postgres) fn consumption(&mut self, entry: &'a Entry) {
        for write in &entry.writes {
            if let Write::Offset(offset) = write {
                self.offset(offset);
            }
        }
    }

    /// Notes the revision that an entry was decided on. Later entries of the commit were decided on the earlier ones.
    fn decided_on(&mut self, place: Place<'a>, revision: u64) {
        self.bases.entry(place).or_insert(revision as i64);
    }

    fn base(&self, place: &Place<'a>) -> i64 {
        self.bases.get(place).copied().unwrap_or_default()
    }

    /// The last offset of a partition counts. If its reading was claimed again meanwhile, the call is refused by
    /// the earlier claim, and the entries are written apart.
    fn offset(&mut self, offset: &'a Offset) {
        let place = (&*offset.consumer, offset.topic, offset.partition);
        let before = self.offsets.get(&place);
        if before.is_none_or(|before| before.epoch >= offset.epoch) {
            self.offsets.insert(place, offset);
        }
    }

    fn state(&mut self, place: Place<'a>, state: (Option<&'a str>, u64, &'a str), version: u32) {
        let (text, revision, correlation) = state;
        if text.is_none() {
            // Timers belong to the aggregate and are deleted with it; the turn may set new ones.
            self.removed.0.push(place.0);
            self.removed.1.push(place.1);
            self.timers
                .retain(|(participant, key, _), _| (*participant, *key) != place);
        }
        self.migrated.remove(&place);
        let state = State {
            revision: revision as i64,
            version: version.into(),
            text,
            correlation,
        };
        self.states.insert(place, state);
    }

    /// A migrated state is the same state: its revision stays.
    fn migrated(&mut self, place: Place<'a>, text: &'a str, version: u32) {
        match self.states.get_mut(&place) {
            Some(state) => {
                state.text = Some(text);
                state.version = version.into();
            }
            None => drop(self.migrated.insert(place, (version.into(), text))),
        }
    }

    fn timer(&mut self, (participant, key): Place<'a>, change: &'a TimerChange, by: &'a Cause) {
        match change {
            TimerChange::Set(timer) => {
                let place = (participant, key, timer.name.as_str());
                let timer = Timer {
                    due: timer.due as i64,
                    body: &timer.body,
                    by,
                };
                self.timers.insert(place, timer);
            }
            TimerChange::Cancel(name) => {
                self.timers.remove(&(participant, key, name.as_str()));
                self.deleted.push((participant, key, name, None));
            }
        }
    }

    /// Deletes the fired timer, unless it was reset for another time.
    fn fired(&mut self, participant: i64, (key, name, due): (&'a str, &'a str, u64)) {
        let (place, due) = ((participant, key, name), due as i64);
        match self.timers.get(&place) {
            Some(set) if set.due == due => {
                self.timers.remove(&place);
                self.deleted.push((participant, key, name, None));
            }
            Some(_) => {}
            None => self.deleted.push((participant, key, name, Some(due))),
        }
    }

    /// Adds counts without an entry.
    pub(in crate::store::postgres) fn tallies(&mut self, tallies: &Tallies) {
        for sum in tallies.sums() {
            self.tallies.add_sum(sum);
        }
    }

    /// Writes the rows. `members` computes those of the lists.
    pub(in crate::store::postgres) fn write(
        &self,
        sql: &Sql,
        commit: CommitNumber,
        members: &Members,
    ) -> SqlResult<()> {
        let mut values = Values::default();
        values.one(commit.host);
        values.one(commit.incarnation);
        values.one(commit.epoch);
        values.one(commit.last);
        values.one(commit.number);
        values.one(commit.host);
        values.column(self.inbox.participants.clone());
        values.column(self.inbox.ids.clone());
        values.column(self.inbox.sources.clone());
        values.column(self.inbox.times.clone());
        values.column(self.removed.0.clone());
        values.column(self.removed.1.clone());
        self.aggregates(&mut values);
        self.timer_rows(&mut values);
        self.reply_rows(&mut values);
        self.list_rows(&mut values, members);
        self.counters(&mut values);
        self.decision_rows(&mut values);
        self.record_rows(&mut values);
        let values = values.parameters();
        sql.query(&call(values.len()), &values).map(drop)
    }

    fn aggregates(&self, values: &mut Values<'a>) {
        // Two commits that lock rows in the same order don't wait for each other in a circle.
        let mut migrated: Vec<_> = self.migrated.iter().collect();
        migrated.sort_unstable_by_key(|(place, _)| **place);
        values.column(each(&migrated, |((participant, _), _)| *participant));
        values.column(each(&migrated, |((_, key), _)| *key));
        values.column(each(&migrated, |(place, _)| self.base(place)));
        values.column(each(&migrated, |(_, (version, _))| *version));
        values.column(each(&migrated, |(_, (_, text))| *text));
        let mut states: Vec<_> = self.states.iter().collect();
        states.sort_unstable_by_key(|(place, _)| **place);
        values.column(each(&states, |((participant, _), _)| *participant));
        values.column(each(&states, |((_, key), _)| *key));
        values.column(each(&states, |(place, _)| self.base(place)));
        values.column(each(&states, |(_, state)| state.revision));
        values.column(each(&states, |(_, state)| state.version));
        values.column(each(&states, |(_, state)| state.text));
        values.column(each(&states, |(_, state)| state.correlation));
        let is_changed =
            |place| self.states.contains_key(place) || self.migrated.contains_key(place);
        let mut unchanged: Vec<_> = self.bases.iter().collect();
        unchanged.retain(|(place, _)| !is_changed(*place));
        unchanged.sort_unstable();
        values.column(each(&unchanged, |((participant, _), _)| *participant));
        values.column(each(&unchanged, |((_, key), _)| *key));
        values.column(each(&unchanged, |(_, base)| **base));
        let unparked: Vec<_> = self.unparked.iter().collect();
        values.column(each(&unparked, |(participant, _)| *participant));
        values.column(each(&unparked, |(_, key)| *key));
    }

    fn timer_rows(&self, values: &mut Values<'a>) {
        values.column(each(&self.deleted, |(participant, ..)| *participant));
        values.column(each(&self.deleted, |(_, key, ..)| *key));
        values.column(each(&self.deleted, |(_, _, name, _)| *name));
        values.column(each(&self.deleted, |(.., due)| *due));
        let mut set: Vec<_> = self.timers.iter().collect();
        set.sort_unstable_by_key(|(place, _)| **place);
        values.column(each(&set, |((participant, ..), _)| *participant));
        values.column(each(&set, |((_, key, _), _)| *key));
        values.column(each(&set, |((.., name), _)| *name));
        values.column(each(&set, |(_, timer)| timer.due));
        values.column(each(&set, |(_, timer)| timer.body));
        values.column(each(&set, |(_, timer)| timer.by.id.as_str()));
        values.column(each(&set, |(_, timer)| timer.by.correlation.as_str()));
        values.column(each(&set, |(_, timer)| timer.by.traceparent.as_deref()));
    }

    fn reply_rows(&self, values: &mut Values<'a>) {
        let replies = &self.replies;
        values.column(each(replies, |(participant, ..)| *participant));
        values.column(each(replies, |(_, _, kept, _)| &*kept.key));
        values.column(each(replies, |(_, _, kept, _)| kept.fingerprint.as_slice()));
        values.column(each(replies, |(_, aggregate, ..)| *aggregate));
        values.column(each(replies, |(_, _, kept, _)| kept.reply.as_str()));
        values.column(each(replies, |(_, _, kept, _)| kept.correlation.as_str()));
        values.column(each(replies, |(.., time)| *time));
    }

    fn list_rows(&self, values: &mut Values<'a>, members: &Members) {
        let mut rows = Vec::new();
        for (place, (_, text)) in &self.migrated {
            members.of(*place, Some(text), &mut rows);
        }
        for (place, state) in &self.states {
            members.of(*place, state.text, &mut rows);
        }
        rows.sort_unstable();
        values.column(each(&rows, |row| row.participant));
        values.column(each(&rows, |row| row.pointer.to_string()));
        values.column(each(&rows, |row| row.key));
        values.column(each(&rows, |row| row.value.clone()));
    }

    fn counters(&self, values: &mut Values<'a>) {
        let mut offsets: Vec<_> = self.offsets.iter().collect();
        offsets.sort_unstable_by_key(|(place, _)| **place);
        values.column(each(&offsets, |((consumer, ..), _)| *consumer));
        values.column(each(&offsets, |((_, topic, _), _)| *topic));
        values.column(each(&offsets, |((.., partition), _)| *partition));
        values.column(each(&offsets, |(_, offset)| offset.next));
        values.column(each(&offsets, |(_, offset)| offset.epoch));
        values.column(each(&offsets, |(_, offset)| {
            offset.last.map(|last| last.time)
        }));
        let print = |last: Proof| last.print.cast_signed();
        values.column(each(&offsets, |(_, offset)| offset.last.map(print)));
        let mut keys: Vec<_> = self.last_keys.iter().collect();
        keys.sort_unstable();
        values.column(each(&keys, |(participant, _)| **participant));
        values.column(each(&keys, |(_, last)| **last));
        let sums = self.tallies.sums();
        values.column(each(sums, |sum| sum.generation));
        values.column(each(sums, |sum| sum.origin.word()));
        values.column(each(sums, |sum| sum.name.clone()));
        values.column(each(sums, |sum| sum.decisions));
        values.column(each(sums, |sum| sum.refusals));
        values.column(each(sums, |sum| sum.faults));
        values.column(each(sums, |sum| sum.last as i64));
    }

    fn decision_rows(&self, values: &mut Values<'a>) {
        let rows = &self.decisions;
        values.column(each(rows, |(generation, ..)| *generation));
        values.column(each(rows, |(_, key, _)| *key));
        values.column(each(rows, |(.., journal)| journal.revision_before as i64));
        values.column(each(rows, |(.., journal)| journal.state_before.as_deref()));
        values.column(each(rows, |(.., journal)| journal.decision.as_slice()));
        values.column(each(rows, |(.., journal)| journal.fuel as i64));
        values.column(each(rows, |(.., journal)| journal.time as i64));
    }

    fn record_rows(&self, values: &mut Values<'a>) {
        let rows = &self.records;
        values.column(each(rows, |(_, row)| row.topic));
        values.column(each(rows, |(_, row)| row.partition));
        values.column(each(rows, |(generation, _)| *generation));
        values.column(each(rows, |(_, row)| row.attributes.event_type.as_deref()));
        values.column(each(rows, |(_, row)| row.key.as_deref()));
        values.column(each(rows, |(_, row)| row.value.as_deref()));
        values.column(each(rows, |(_, row)| row.attributes.id.as_deref()));
        values.column(each(rows, |(_, row)| row.attributes.correlation.as_deref()));
        values.column(each(rows, |(_, row)| row.attributes.causation.as_deref()));
        values.column(each(rows, |(_, row)| row.attributes.traceparent.as_deref()));
        values.column(each(rows, |(_, row)| extra_of(row)));
        values.column(each(rows, |(_, row)| row.time as i64));
    }
}

/// The further headers of a record, as they are stored.
pub(in crate::store::postgres) fn extra_of(row: &OutboxRow) -> Option<String> {
    let extra = &row.attributes.extra;
    // Strings always have a JSON form.
    (!extra.is_empty()).then(|| serde_json::to_string(extra).unwrap_or_default())
}

fn each<R, T>(rows: &[R], value: impl FnMut(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn call(parameters: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("SELECT saga_commit_v4(");
    for number in 1..=parameters {
        let comma = if number > 1 { "," } else { "" };
        // Writing to a text can't fail.
        let _ = write!(text, "{comma}${number}");
    }
    text.push(')');
    text
}

/// The parameters of a call.
#[derive(Default)]
struct Values<'a>(Vec<Box<dyn ToSql + Sync + 'a>>);

impl<'a> Values<'a> {
    fn one(&mut self, value: impl ToSql + Sync + 'a) {
        self.0.push(Box::new(value));
    }

    fn column<T: ToSql + Sync + 'a>(&mut self, column: Vec<T>) {
        self.0.push(Box::new(column));
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0
            .iter()
            .map(|value| &**value as &(dyn ToSql + Sync))
            .collect()
    }
}
