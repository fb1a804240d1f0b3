//! The recorded decisions of one participant, checked by running them again.
//!
//! States, outbox, inbox and timers follow from the journal alone; each must equal the stored one.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use saga_core::commit::{FiredTimer, Parked};
use saga_core::identity::{self, Identity};
use saga_core::message::{Message, Origin};
use saga_core::outcome::{Outcome, Reply, StateChange, TimerChange};
use saga_core::rules::Rules;

use crate::checker::{Violation, must, read};
use crate::description::{Shape, description};
use crate::process::Process;
use crate::reads::{States, shapeless};
use crate::rules::Body;
use crate::scene::Scene;
use crate::store::{DeadLetter, JournalRow, Store, fired_of};

/// Checks the journal, and all that follows from it.
pub(crate) fn check(process: &Process, scene: &Scene) -> Result<(), Violation> {
    for row in &process.store.journal {
        replayed(row)?;
    }
    chained(process)?;
    once(process)?;
    in_order(process, scene)?;
    blocked(process)?;
    outbox(process)?;
    timers(process)
}

/// Recorded replies, by the id of the command.
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

/// The states of each key in their order, from none on, with the command that was decided last.
pub(crate) fn states_by_key(process: &Process) -> BTreeMap<String, States> {
    let mut keys: BTreeMap<String, States> = BTreeMap::new();
    for row in &process.store.journal {
        let (message, outcome) = parsed(row);
        let states = keys.entry(row.key.to_string());
        let states = states.or_insert_with(|| vec![(None, None)]);
        let state = match &outcome.state {
            StateChange::Put(state) => Some(shapeless(state)),
            StateChange::Remove => None,
            StateChange::Unchanged => states.last().expect("there is one").0.clone(),
        };
        let call = (message.origin == Origin::Command).then(|| message.id.clone());
        states.push((state, call));
    }
    keys
}

/// The orders whose credit was released by recorded decisions.
pub(crate) fn released(process: &Process) -> Vec<Body> {
    let rows = process.store.journal.iter();
    rows.map(|row| (message(row), outcome(row)))
        .filter(|(message, outcome)| {
            message.name == "order-cancelled" && outcome.state != StateChange::Unchanged
        })
        .map(|(message, _)| read(message.body.as_bytes()))
        .collect()
}

/// The raises of an account by recorded commands.
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

/// Invariants 5 and 6: a recorded decision equals that of the rules of the recorded build; no fault
/// became a decision, and the digest is that of the build that decided.
fn replayed(row: &JournalRow) -> Result<(), Violation> {
    let message = message(row);
    let decision = (*row.build)
        .clone()
        .handle(row.decision.state_before.as_deref(), &message);
    let recorded = format!("{:?}", outcome(row));
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

/// A command continues the saga in which its aggregate was created.
fn one_saga(row: &JournalRow, sagas: &mut BTreeMap<Rc<str>, String>) -> Result<(), Violation> {
    let Message {
        origin,
        correlation,
        ..
    } = message(row);
    let known = sagas.get(&row.key);
    let is_other = known.is_some_and(|saga| *saga != correlation);
    must(origin != Origin::Command || !is_other, 2, || {
        format!(
            "a command for {} is of saga {correlation}, not {known:?}",
            row.key
        )
    })?;
    match outcome(row).state {
        StateChange::Put(_) => drop(sagas.entry(row.key.clone()).or_insert(correlation)),
        StateChange::Remove => drop(sagas.remove(&row.key)),
        StateChange::Unchanged => {}
    }
    Ok(())
}

/// Invariants 3 and 10: each decision was based on the state after the one before, and the last
/// state is the stored one. This detects lost updates.
fn chained(process: &Process) -> Result<(), Violation> {
    let mut last: BTreeMap<Rc<str>, (u64, Option<String>, u32)> = BTreeMap::new();
    let mut sagas: BTreeMap<Rc<str>, String> = BTreeMap::new();
    for row in &process.store.journal {
        one_saga(row, &mut sagas)?;
        let (revision, state, version) = last.entry(row.key.clone()).or_default();
        if let Some(text) = state
            && *version != row.build.shape.version
        {
            // It may have been migrated in between without a decision, by a build that is not
            // recorded here.
            let mut value: serde_json::Value = read(text.as_bytes());
            value["v"] = row.build.shape.version.into();
            *state = Some(value.to_string());
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
    // A state that was migrated for a decision is stored as migrated, even if the decision did not
    // change it. One that was migrated without a decision is in a later shape than the journal's.
    let shaped = |text: &str, version: u32| {
        let mut value: serde_json::Value = read(text.as_bytes());
        let is_shaped = value["v"] == version;
        value["v"] = 0.into();
        (value, is_shaped)
    };
    let stored = &process.store.aggregates;
    let same = stored.len() == last.len()
        && stored.iter().all(|(key, stored)| {
            last.get(key).is_some_and(|(revision, state, version)| {
                let of_store = (stored.state.as_deref()).map(|text| shaped(text, stored.version));
                let of_journal = state.as_deref().map(|text| shaped(text, *version));
                stored.revision == *revision && stored.version >= *version && of_store == of_journal
            })
        });
    must(same, 2, || {
        format!(
            "{} aggregates are not what the journal leaves",
            process.role.name()
        )
    })
}

/// Invariant 3: each event id at most once, no message of any kind twice, and each record is either
/// decided or a dead letter. The inbox holds exactly these.
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
    let mut parked = BTreeSet::new();
    for letter in &process.store.dead {
        let Some(at) = &letter.at else { continue };
        let of_kind = if letter.is_parked {
            &mut parked
        } else {
            &mut places
        };
        must(of_kind.insert(at), 3, || {
            format!("{at} is a dead letter twice")
        })?;
        if !letter.is_parked {
            events.insert(Rc::new(identity::of_position(at)));
        }
    }
    let discarded = process.store.discarded.iter().cloned();
    let returned = process.store.returned.iter().map(identity::of_position);
    events.extend(discarded.chain(returned).map(Rc::new));
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
/// offsets, and the commands of a process in the order of their calls.
fn in_order(process: &Process, scene: &Scene) -> Result<(), Violation> {
    let mut last: BTreeMap<(&str, String), i64> = BTreeMap::new();
    for row in &process.store.journal {
        let message = message(row);
        let (lanes, number) = match (&row.at, message.origin) {
            (Some(at), _) => (lanes(row, &message.name, at.partition), at.offset),
            // A command that is routed again has no place among the others.
            (None, Origin::Command) if !scene.rerouted.contains(&message.id) => (
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

/// Invariant 4: nothing changes an aggregate while one of its messages is a parked dead letter, and
/// open letters are parked.
fn blocked(process: &Process) -> Result<(), Violation> {
    let store = &process.store;
    for (id, letter) in &store.letters {
        must(store.parked.contains_key(&letter.parked), 2, || {
            format!("dead letter {id} of {} is open, but not parked", letter.key)
        })?;
    }
    for (number, letter) in (1..).zip(&store.dead) {
        let end = store.ended.get(&number).copied().unwrap_or(u64::MAX);
        let during = letter.sequence + 1..end;
        let mut rows = store.journal.iter();
        let is_made = |row: &JournalRow| matches!(&*message(row).name, "open" | "place");
        let passed = rows.find(|row| {
            let is_command = message(row).origin == Origin::Command;
            let is_exhausted = reason_at(store, number, row.sequence) == "retries-exhausted";
            let may_pass = is_made(row) || is_command && is_exhausted;
            *row.key == letter.key && during.contains(&row.sequence) && !may_pass
        });
        must(!letter.is_parked || passed.is_none(), 4, || {
            let message = passed.map(|row| message(row));
            format!(
                "dead letter {number} blocks {}, but {message:?} was decided",
                letter.key
            )
        })?;
    }
    Ok(())
}

/// The reason of a dead letter at some time: that of its last failure before.
fn reason_at(store: &Store, letter: i64, sequence: u64) -> &str {
    let failures = store.failed_redrives.get(&letter).into_iter().flatten();
    let last = failures.take_while(|(at, _)| *at < sequence).last();
    let index = usize::try_from(letter).unwrap() - 1;
    last.map_or(&store.dead[index].reason, |(_, reason)| reason)
}

/// The sequence in which a record has its place. A record whose subscription is changed or added
/// after it was read is read again, and comes for its new key after later records that were settled
/// meanwhile: so for reminders, builds with other subscriptions are separate sequences. For a
/// parked record, the build that read it counts; a parked reminder has no place among others, since
/// builds that don't subscribe to it pass it over.
fn lanes(row: &JournalRow, name: &str, partition: i32) -> Vec<String> {
    if name == "order-reminded" && row.was_parked {
        return Vec::new();
    }
    let mut lanes = vec![format!("{partition} {:?}", row.more)];
    if name != "order-reminded" {
        lanes.push(partition.to_string());
    }
    lanes
}

/// Invariants 2 and 6: the outbox holds exactly the events of the recorded decisions, in their
/// order.
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
            // The time in the id is that of the cause; the unique part follows.
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

/// Invariant 2: the set timers are those that recorded turns have set, and neither cancelled nor
/// consumed.
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
        row.decision
            .read(&row.key)
            .expect("this build has written it")
    })
}
