//! Applies one entry to the store, write by write.

use std::cell::OnceCell;
use std::rc::Rc;

use saga_core::commit::{
    Fate, FiredTimer, LetterEnd, LetterRequest, OutboxRow as Published, Parked, StoredTimer, Write,
};
use saga_core::identity::Identity;
use saga_core::outcome::TimerChange;
use saga_core::record::Position;
use saga_core::settle::Cause;

use crate::rules::{ANSWERS, ORDERS};
use crate::scene::Broken;
use crate::store::{
    DeadLetter, JournalRow, OpenLetter, OutboxRow, ParkedMessage, Store, StoredAggregate, fired_of,
};
use crate::writer::Handed;

/// Writes one entry into an open transaction.
pub(crate) fn apply(store: &mut Store, handed: &Handed, broken: Option<Broken>) -> Fate {
    store.sequence += 1;
    let context = Context {
        at: at(store, handed),
        fired: (handed.commit.entry.writes.iter()).find_map(|write| match write {
            Write::Fired(fired) => Some(fired.clone()),
            _ => None,
        }),
        identity: unparked_identity(store, handed),
        more: match unparked(store, handed) {
            Some(row) => row.2,
            None => handed.build.shape.more,
        },
        was_parked: unparked(store, handed).is_some(),
        parks: (handed.commit.entry.writes.iter()).any(|write| matches!(write, Write::Park(_))),
        gives_up: (handed.commit.entry.writes.iter())
            .any(|write| matches!(write, Write::DeadLetter(_))),
    };
    for write in &handed.commit.entry.writes {
        if !apply_one(store, handed, write, &context, broken) {
            return Fate::Duplicate;
        }
    }
    Fate::Written
}

/// Facts about an entry that only the checker needs.
struct Context {
    at: Option<Position>,
    fired: Option<FiredTimer>,
    identity: Option<Identity>,
    more: Option<&'static str>,
    was_parked: bool,
    parks: bool,
    gives_up: bool,
}

/// The parked message that an entry settles.
fn unparked<'s>(store: &'s Store, handed: &Handed) -> Option<&'s ParkedMessage> {
    let mut writes = handed.commit.entry.writes.iter();
    let id = writes.find_map(|write| match write {
        Write::Unpark(id) => Some(id),
        _ => None,
    })?;
    store.parked.get(id).map(|row| &**row)
}

fn unparked_identity(store: &Store, handed: &Handed) -> Option<Identity> {
    match &unparked(store, handed)?.1 {
        Parked::Event(event) => Some(event.identity.clone()),
        Parked::Timer(..) => None,
    }
}

/// The position of an entry's record.
fn at(store: &Store, handed: &Handed) -> Option<Position> {
    match unparked(store, handed).map(|row| &row.1) {
        Some(Parked::Event(event)) => Some(event.record.position.clone()),
        _ => handed.commit.taken.as_ref().map(|taken| taken.at()),
    }
}

/// Applies one write; returns false if it is a refused guard.
fn apply_one(
    store: &mut Store,
    handed: &Handed,
    write: &Write,
    context: &Context,
    broken: Option<Broken>,
) -> bool {
    let entry = &handed.commit.entry;
    let key = entry.key.as_deref().unwrap_or_default();
    let is_broken = |step| broken == Some(step);
    match write {
        Write::Offset(offset) => {
            let topic = topic_of(offset.topic);
            store.offsets.insert((topic, offset.partition), offset.next);
        }
        Write::Unpark(id) => return store.parked.remove(id).is_some(),
        Write::Inbox(_, _) if context.parks && is_broken(Broken::ParkedNotRemembered) => {}
        Write::Inbox(identity, _) => {
            let forgets = match context.gives_up && !context.parks {
                true => is_broken(Broken::DeadLetterForgotten),
                false => {
                    is_broken(Broken::InboxNotConsulted) || is_broken(Broken::InboxNotCompared)
                }
            };
            return store.inbox.insert(Rc::new(identity.clone())) || forgets;
        }
        Write::InboxForgotten(identity) => drop(store.inbox.remove(identity)),
        Write::State(state, revision, correlation) => {
            if state.is_none() {
                store.timers.retain(|(of, _), _| **of != *key);
            }
            let written = StoredAggregate {
                state: state.as_deref().map(Into::into),
                revision: *revision,
                version: entry.state_version,
                correlation: (!is_broken(Broken::SagaForgotten)).then(|| correlation.clone()),
            };
            store.aggregates.insert(key.into(), written);
        }
        Write::Migrated(state, _) if !is_broken(Broken::MigrationNotWritten) => {
            if let Some(stored) = store.aggregates.get_mut(key) {
                stored.state = Some((&**state).into());
                stored.version = entry.state_version;
            }
        }
        Write::Timers(changes, by) => write_timers(store, key, changes, by),
        Write::Fired(fired) => store.timers.retain(|_, timer| fired_of(timer) != *fired),
        Write::Journal(decision) => store.journal.push(Rc::new(JournalRow {
            sequence: store.sequence,
            build: handed.build.clone(),
            key: key.into(),
            decision: decision.clone(),
            read: OnceCell::new(),
            at: context.at.clone(),
            fired: context.fired.clone(),
            process: handed.process,
            more: context.more,
            was_parked: context.was_parked,
        })),
        Write::GeneratedKey(number) if !is_broken(Broken::KeysForgotten) => {
            store.last_key = store.last_key.max(*number);
        }
        Write::DeadLetter(letter) => write_letter(store, handed, letter, context),
        Write::LetterEnded(id, end, _) if !is_broken(Broken::LetterNotEnded) => {
            let ended = store.letters.remove(id).is_some();
            assert!(ended, "letter {id} has ended before");
            store.ended.insert(*id, store.sequence);
            if *end == LetterEnd::Discarded {
                store.discarded.extend(context.identity.clone());
            }
        }
        Write::FailedRedrive(failed) if !is_broken(Broken::RedriveLooped) => {
            if let Some(letter) = store.letters.get_mut(&failed.letter) {
                let is_last = letter.requests == failed.request;
                if is_last || is_broken(Broken::NewerRequestLost) {
                    letter.request = None;
                }
                letter.failed += 1;
                letter.reason = failed.reason.clone();
                let failures = store.failed_redrives.entry(failed.letter).or_default();
                failures.push((store.sequence, failed.reason.clone()));
            }
        }
        Write::ReturnedRecord(returned) => {
            if let Some(letter) = store.letters.get_mut(&returned.letter) {
                // A discard that is still to be done stays one.
                letter.request.get_or_insert(LetterRequest::Redrive);
                letter.requests += 1;
            }
            store.returned.push(returned.record.position.clone());
        }
        Write::Park(parking) => {
            if is_broken(Broken::ParkedNumberReused) {
                store.last_parked = store.parked.keys().next_back().copied().unwrap_or(0);
            }
            store.last_parked += 1;
            let more = handed.build.shape.more;
            let row = Rc::new((key.to_owned(), parking.message.clone(), more));
            store.parked.insert(store.last_parked, row);
        }
        Write::ParkTimer(timer) if store.timer(&timer.fired).is_some() => {
            store.parked_timers.insert(timer.fired.clone());
        }
        Write::Quarantine(..) => drop(store.quarantined.insert(key.to_owned())),
        Write::QuarantineLifted => drop(store.quarantined.remove(key)),
        Write::Publish(row) if !is_broken(Broken::OutboxApart) => publish(store, handed, row),
        Write::Reply(kept) => {
            let reply = serde_json::from_str(&kept.reply).expect("a reply is JSON");
            store.replies.insert((*kept.key).into(), reply);
        }
        Write::InboxKept(..)
        | Write::LetterEnded(..)
        | Write::FailedRedrive(_)
        | Write::FailedAside(_)
        | Write::Migrated(..)
        | Write::GeneratedKey(_)
        | Write::ParkTimer(_)
        | Write::Publish(_)
        | Write::Tally(_) => {}
    }
    true
}

fn write_letter(
    store: &mut Store,
    handed: &Handed,
    letter: &saga_core::commit::DeadLetter,
    context: &Context,
) {
    let key = handed.commit.entry.key.clone().unwrap_or_default();
    let is_parked = letter.is_parked;
    let identity = match is_parked {
        true => letter.identity.clone(),
        false => context.identity.clone(),
    };
    store.dead.push(Rc::new(DeadLetter {
        sequence: store.sequence,
        build: handed.build.clone(),
        at: Some(letter.record.position.clone()),
        key: key.clone(),
        is_parked,
        identity: identity.clone(),
        fired: None,
        value: letter.record.value.clone(),
        reason: letter.reason.clone(),
    }));
    let is_it = |row: &ParkedMessage| match &row.1 {
        Parked::Event(event) => Some(&event.identity) == identity.as_ref(),
        Parked::Timer(..) => false,
    };
    if is_parked {
        let parked = (store.parked.iter()).find(|(_, row)| is_it(row));
        let open = OpenLetter {
            parked: *parked.expect("a letter that is parked has a row").0,
            key,
            request: None,
            requests: 0,
            is_discarded: false,
            reason: letter.reason.clone(),
            failed: 0,
        };
        store.letters.insert(store.dead.len() as i64, open);
    }
}

fn topic_of(row: i64) -> &'static str {
    if row == 0 { ORDERS } else { ANSWERS }
}

/// Applies the published records of an entry only.
pub(crate) fn write_outbox(store: &mut Store, handed: &Handed) {
    for write in &handed.commit.entry.writes {
        if let Write::Publish(row) = write {
            publish(store, handed, row);
        }
    }
}

fn publish(store: &mut Store, handed: &Handed, row: &Published) {
    let text = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.clone().unwrap_or_default();
        String::from_utf8(bytes).expect("what is published is text")
    };
    let attributes = row.attributes.clone();
    store.outbox.push(Rc::new(OutboxRow {
        topic: topic_of(row.topic),
        key: text(&row.key),
        body: text(&row.value),
        id: attributes.id.unwrap_or_default(),
        event_type: attributes.event_type.unwrap_or_default(),
        correlation: attributes.correlation.unwrap_or_default(),
        causation: attributes.causation.unwrap_or_default(),
        build: handed.build.clone(),
        time: row.time,
    }));
}

fn write_timers(store: &mut Store, key: &str, changes: &[TimerChange], by: &Cause) {
    for change in changes {
        match change {
            TimerChange::Set(timer) => {
                let set = StoredTimer {
                    key: key.to_owned(),
                    name: timer.name.clone(),
                    due: timer.due,
                    body: timer.body.clone(),
                    set_by: by.id.clone(),
                    correlation: by.correlation.clone(),
                    traceparent: by.traceparent.clone(),
                };
                store.parked_timers.remove(&fired_of(&set));
                let place = (key.into(), timer.name.as_str().into());
                store.timers.insert(place, Rc::new(set));
            }
            TimerChange::Cancel(name) => {
                store.timers.remove(&(key.into(), name.as_str().into()));
            }
        }
    }
}
