//! The recorded decisions of one participant, checked by running them again.
//!
//! From the journal alone follow the states, the outbox, the inbox and the timers; each must be
//! exactly what the store holds.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use saga_core::commit::{FiredTimer, Parked};
use saga_core::identity::{self, Identity};
use saga_core::message::{Message, Origin};
use saga_core::outcome::{Outcome, Reply, StateChange, TimerChange};
use saga_core::rules::Rules;
use saga_core::settle::JournalEntry;

use crate::checker::{Violation, must, read};
use crate::description::{Shape, description};
use crate::process::Process;
use crate::store::{DeadLetter, JournalRow, fired_of};

/// Checks the journal, and everything that follows from it.
pub(crate) fn check(process: &Process) -> Result<(), Violation> {
    for row in &process.store.journal {
        replayed(row)?;
    }
    chained(process)?;
    once(process)?;
    in_order(process)?;
    outbox(process)?;
    timers(process)
}

/// Replies that are recorded, by the id of the command.
pub(crate) fn replies(process: &Process) -> BTreeMap<String, Option<Reply>> {
    let commands = process
        .store
        .journal
        .iter()
        .map(|row| (message(row), outcome(row)));
    commands
        .filter(|(message, _)| message.origin == Origin::Command)
        .map(|(message, outcome)| (message.id, outcome.reply))
        .collect()
}

/// Every state that was ever committed.
pub(crate) fn states(process: &Process) -> Vec<String> {
    let put = |row: &Rc<JournalRow>| match outcome(row).state {
        StateChange::Put(state) => Some(state),
        StateChange::Unchanged | StateChange::Remove => None,
    };
    process.store.journal.iter().filter_map(put).collect()
}

/// What was granted to an account by the commands that are recorded.
pub(crate) fn granted(process: &Process, key: &str) -> u64 {
    let grants = process
        .store
        .journal
        .iter()
        .filter(|row| &*row.key == key)
        .map(|row| (message(row), outcome(row)));
    grants
        .filter(|(message, outcome)| {
            message.origin == Origin::Command && matches!(outcome.reply, Some(Reply::Done(_)))
        })
        .map(|(message, _)| {
            read::<serde_json::Value>(message.body.as_bytes())["amount"]
                .as_u64()
                .unwrap_or_default()
        })
        .sum()
}

/// Invariants 5 and 6: a recorded decision is what the rules of the recorded build say, and nothing
/// else; no fault became a decision, and the digest is that of the build which decided.
fn replayed(row: &JournalRow) -> Result<(), Violation> {
    let message = message(row);
    let decision = (*row.build)
        .clone()
        .handle(row.decision.state_before.as_deref(), &message);
    let recorded = &row.decision.outcome;
    let by_other = recorded.contains("\"by")
        && !recorded.contains(&format!("\\\"by\\\":\\\"{}\\\"", row.build.digest));
    must(!by_other, 6, || {
        format!("recorded with {}: {recorded}", row.build.digest)
    })?;
    let same = decision.as_ref().is_ok_and(|decision| {
        decision.fuel == row.decision.fuel
            && decision
                .answer
                .as_ref()
                .is_ok_and(|answer| *answer == outcome(row))
    });
    must(same, 5, || {
        format!("{message:?} was recorded as {recorded}; the rules say {decision:?}")
    })
}

/// Invariants 3 and 10: each decision was made on what the one before it left, and the last state
/// is the stored one. A lost update shows here.
fn chained(process: &Process) -> Result<(), Violation> {
    let mut last: BTreeMap<Rc<str>, (u64, Option<String>, u32)> = BTreeMap::new();
    for row in &process.store.journal {
        let (revision, state, version) = last.entry(row.key.clone()).or_default();
        if let Some(text) = state
            && *version != row.build.shape.version
        {
            let migrated = (*row.build).clone().migrate(*version, text);
            *state = Some(migrated.map_err(|fault| Violation {
                invariant: 6,
                what: fault.to_string(),
            })?);
            *version = row.build.shape.version;
        }
        let before = (row.decision.revision_before, &row.decision.state_before);
        must(before == (*revision, &*state), 10, || {
            format!(
                "key {} had revision {revision} and {state:?}; the rules saw {before:?}",
                row.key
            )
        })?;
        let creates = matches!(message(row).name.as_str(), "open" | "place");
        must(!creates || *revision == 0, 10, || {
            format!("key {} was given out twice", row.key)
        })?;
        match outcome(row).state {
            StateChange::Unchanged => continue,
            StateChange::Put(text) => *state = Some(text),
            StateChange::Remove => *state = None,
        }
        *revision += 1;
        *version = row.build.shape.version;
    }
    last.retain(|_, (revision, ..)| *revision > 0);
    // A state that was migrated to be decided upon is stored as such, also where it was left as it
    // is.
    let stored = process.store.aggregates.iter().map(|(key, stored)| {
        let state = stored.state.as_deref();
        (key, stored.revision, state, stored.version)
    });
    let expected = last
        .iter()
        .map(|(key, (revision, state, version))| (key, *revision, state.as_deref(), *version));
    let same = stored.eq(expected);
    must(same, 2, || {
        format!(
            "{} aggregates are not what the journal leaves",
            process.role.name()
        )
    })
}

/// Invariant 3: one event id at most once, no message of any kind twice, and a record is either
/// decided or a dead letter. The inbox holds just these.
fn once(process: &Process) -> Result<(), Violation> {
    let mut seen = BTreeSet::new();
    let mut events = BTreeSet::new();
    for row in &process.store.journal {
        let message = message(row);
        let identity = Identity {
            source: message.source,
            id: message.id,
        };
        must(seen.insert(identity.clone()), 3, || {
            format!("{identity:?} was applied twice")
        })?;
        if message.origin == Origin::Event {
            events.insert(Rc::new(identity));
        }
    }
    let mut places = BTreeSet::new();
    for at in process
        .store
        .dead
        .iter()
        .filter_map(|letter| letter.at.as_ref())
    {
        must(places.insert(at), 3, || {
            format!("{at} is a dead letter twice")
        })?;
        events.insert(Rc::new(identity::of_position(at)));
    }
    for at in process
        .store
        .journal
        .iter()
        .filter_map(|row| row.at.as_ref())
    {
        must(!places.contains(at), 3, || {
            format!("{at} was decided and is a dead letter")
        })?;
    }
    for row in process.store.parked.values() {
        if let Parked::Event(event) = &row.1 {
            events.insert(Rc::new(event.identity.clone()));
        }
    }
    must(events == process.store.inbox, 2, || {
        "the inbox is not what the journal leaves".into()
    })
}

/// Invariant 4: for one aggregate, the records of a partition were decided in the order of their
/// offsets, and commands of a process in the order in which they were asked.
fn in_order(process: &Process) -> Result<(), Violation> {
    let mut last: BTreeMap<(&str, String), i64> = BTreeMap::new();
    for row in &process.store.journal {
        let message = message(row);
        let (lanes, number) = match (&row.at, message.origin) {
            (Some(at), _) => (lanes(row, &message.name, at.partition), at.offset),
            // One that is routed anew has no place among the others.
            (None, Origin::Command) if message.name != "touch" => (
                vec![format!("commands of {}", row.process)],
                message.id.trim_start_matches('c').parse().unwrap_or(-1),
            ),
            (None, _) => continue,
        };
        for lane in lanes {
            let before = last.insert((&row.key, lane), number);
            must(before.is_none_or(|before| before < number), 4, || {
                format!(
                    "key {}: {number} was decided after {before:?} ({message:?})",
                    row.key
                )
            })?;
        }
    }
    Ok(())
}

/// Within what a record has its place. A record whose subscription was changed or added when it was
/// already read is read again, and comes for its new key after what was settled meanwhile: builds
/// with other subscriptions are told apart where reminders are concerned; of what was parked, the
/// one that read it counts.
fn lanes(row: &JournalRow, name: &str, partition: i32) -> Vec<String> {
    let mut lanes = vec![format!("{partition} {:?}", row.more)];
    if name != "order-reminded" {
        lanes.push(partition.to_string());
    }
    lanes
}

/// Invariants 2 and 6: the outbox holds the events of the recorded decisions, in their order, and
/// no others.
fn outbox(process: &Process) -> Result<(), Violation> {
    let name = process.role.name();
    let description = description(process.role, Shape::FIRST);
    let mut rows = process.store.outbox.iter();
    for row in &process.store.journal {
        let message = message(row);
        let cause = Identity {
            source: message.source.clone(),
            id: message.id.clone(),
        };
        for (index, event) in outcome(row).events.into_iter().enumerate() {
            let Some(stored) = rows.next() else {
                return must(false, 2, || {
                    format!("{name}: {event:?} is not in the outbox")
                });
            };
            let topic = description
                .publication(&event.event_type)
                .map(|publication| publication.topic.as_str());
            let same = stored.key == event.key
                && stored.body == event.body
                && stored.event_type == event.event_type
                && Some(stored.topic) == topic
                && (&stored.causation, &stored.correlation) == (&message.id, &message.correlation);
            must(same, 2, || {
                format!(
                    "{name}: decided was {event:?}, in the outbox is {}",
                    stored.body
                )
            })?;
            // The time in the id is that of the cause; what tells ids apart comes after it.
            let tail = |id: &str| id.get(14..).map(str::to_owned);
            let id = identity::event_id(name, &cause, 0, index);
            must(tail(&stored.id) == tail(&id), 3, || {
                format!("{name}: {event:?} has id {}", stored.id)
            })?;
            must(stored.build == row.build, 6, || {
                format!("{name}: {event:?} is said to be of {}", stored.build.digest)
            })?;
        }
    }
    must(rows.next().is_none(), 2, || {
        format!("{name}: the outbox holds more than was decided")
    })
}

/// Invariant 2: the timers that are set are those which the recorded turns have set, and not
/// cancelled or consumed.
fn timers(process: &Process) -> Result<(), Violation> {
    let store = &process.store;
    let mut turns: Vec<(u64, Result<&JournalRow, &DeadLetter>)> = Vec::new();
    turns.extend(store.journal.iter().map(|row| (row.sequence, Ok(&**row))));
    turns.extend(
        store
            .dead
            .iter()
            .map(|letter| (letter.sequence, Err(&**letter))),
    );
    turns.sort_by_key(|(sequence, _)| *sequence);
    let mut set: BTreeSet<FiredTimer> = BTreeSet::new();
    for (_, turn) in turns {
        let fired = turn.map_or_else(|letter| &letter.fired, |row| &row.fired);
        if let Some(fired) = fired {
            must(set.remove(fired), 2, || {
                format!("{fired:?} fired, but it was not set")
            })?;
        }
        let Ok(row) = turn else { continue };
        for change in outcome(row).timers {
            let (name, due) = match change {
                TimerChange::Set(timer) => (timer.name, Some(timer.due)),
                TimerChange::Cancel(name) => (name, None),
            };
            set.retain(|other| (other.key.as_str(), &other.name) != (&*row.key, &name));
            set.extend(due.map(|due| FiredTimer {
                key: row.key.to_string(),
                name,
                due,
            }));
        }
    }
    let stored: BTreeSet<FiredTimer> = store.timers.values().map(|timer| fired_of(timer)).collect();
    must(set == stored, 2, || {
        format!("timers set are {stored:?}, the journal leaves {set:?}")
    })
}

fn message(row: &JournalRow) -> Message {
    parsed(row).0.clone()
}

fn outcome(row: &JournalRow) -> Outcome {
    parsed(row).1.clone()
}

fn parsed(row: &JournalRow) -> &(Message, Outcome) {
    row.read.get_or_init(|| {
        let JournalEntry {
            message, outcome, ..
        } = &row.decision;
        (read(message.as_bytes()), read(outcome.as_bytes()))
    })
}
