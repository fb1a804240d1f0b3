//! The invariants of the host by their numbers, checked on the durable data, and on what clients
//! and topics saw.
//!
//! Nothing that the host computed is trusted if it can be computed again: every recorded decision
//! is repeated with the rules of its recorded build.

use std::collections::{BTreeMap, BTreeSet};

use saga_core::admit::{self, Admission};
use saga_core::identity::Identity;
use saga_core::record::Record;

use crate::broker::{Broker, PARTITIONS};
use crate::description::{Shape, description};
use crate::host::{Answer, LIMITS};
use crate::process::Process;
use crate::rules::{ANSWERS, Account, Body, ORDERS, Order, Role};
use crate::scene::{Call, Scene};
use crate::world::World;
use crate::{generations, journal, reads};
use saga_core::outcome::Reply;

/// A violation. Number 0 stands for the promises of the saga itself: sums and decisions.
#[derive(Debug, thiserror::Error)]
#[error("invariant {invariant}: {what}")]
pub(crate) struct Violation {
    /// Number of the invariant.
    pub(crate) invariant: u32,
    pub(crate) what: String,
}

/// Returns a violation unless the condition holds.
pub(crate) fn must(
    holds: bool,
    invariant: u32,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            invariant,
            what: what(),
        })
    }
}

/// Invariant 1: everything below a stored offset is settled.
pub(crate) fn offsets(process: &mut Process, broker: &Broker) -> Result<(), Violation> {
    for ((topic, partition), stored) in process.store.offsets.clone() {
        let from = process.checked.get(&partition).copied().unwrap_or(0);
        for record in broker.records(topic, partition) {
            if (from..stored).contains(&record.position.offset) {
                must(is_settled(process, record, topic), 1, || {
                    format!(
                        "{} is passed but not settled by {}",
                        record.position,
                        process.role.name()
                    )
                })?;
            }
        }
        process.checked.insert(partition, from.max(stored));
    }
    Ok(())
}

fn is_settled(process: &Process, record: &Record, topic: &str) -> bool {
    let dead = || {
        process
            .store
            .dead
            .iter()
            .any(|letter| letter.at.as_ref() == Some(&record.position))
    };
    // Some builds skip reminders.
    if record.attributes.event_type.as_deref() == Some("order-reminded") {
        return true;
    }
    let description = &process.admits.description;
    match admit::record(record, topic, description, &LIMITS, 0) {
        Admission::Skip => true,
        Admission::Malformed(_) => dead(),
        Admission::Offer(envelope) => {
            let message = envelope.message;
            let identity = Identity {
                source: message.source,
                id: message.id,
            };
            let mut letters = process.store.dead.iter();
            process.store.inbox.contains(&identity)
                || dead()
                || letters.any(|letter| letter.identity.as_ref() == Some(&identity))
        }
    }
}

/// All checks, once everything is at rest.
pub(crate) fn at_rest(world: &World) -> Result<(), Violation> {
    // The second process of a store has no data of its own.
    for process in &world.processes[..Role::ALL.len()] {
        generations::check(process)?;
        journal::check(process, &world.scene)?;
        consumed(process, &world.broker)?;
        nothing_stranded(process, world)?;
        published(process, &world.broker)?;
        answered(process, world)?;
        repeated(process, world)?;
        reads::check(process, world)?;
        given_up(process, world)?;
    }
    fates(world)?;
    sums(world)
}

/// Invariant 1, its counterpart: nothing is left unread.
fn consumed(process: &Process, broker: &Broker) -> Result<(), Violation> {
    let topic = process.role.listens_to();
    for partition in 0..PARTITIONS {
        let end = broker
            .records(topic, partition)
            .last()
            .map_or(0, |last| last.position.offset + 1);
        let stored = process
            .store
            .offsets
            .get(&(topic, partition))
            .copied()
            .unwrap_or(0);
        must(stored == end, 1, || {
            format!("{topic}/{partition} ends at {end}, stored is {stored}")
        })?;
    }
    Ok(())
}

/// Invariant 10: a parked message is offered again, unless the build does not subscribe to it.
fn nothing_stranded(process: &Process, world: &World) -> Result<(), Violation> {
    let is_of = |other: &&Process| other.role == process.role;
    for (id, row) in &process.store.parked {
        let hosts = world.processes.iter().filter(is_of);
        let mut threads = hosts.flat_map(|host| &host.threads);
        let is_passed_over = threads.any(|thread| thread.worker.passes_over(&row.0));
        must(is_passed_over, 10, || {
            format!(
                "message {id} of {} stays parked, and nobody offers it",
                row.0
            )
        })?;
    }
    Ok(())
}

/// Invariants 2, 4 and 6 on the topics: exactly the outbox was published, in order for each key,
/// with the digest of the build that decided.
fn published(process: &Process, broker: &Broker) -> Result<(), Violation> {
    let source = saga_core::identity::source_of(process.role.name());
    let mut seen = BTreeSet::new();
    let mut by_key: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
    for record in broker.topic(ORDERS).chain(broker.topic(ANSWERS)) {
        let attributes = &record.attributes;
        if attributes.source.as_deref() != Some(&source) {
            continue;
        }
        let body: Body = read(record.value.as_deref().unwrap_or_default());
        must(attributes.digest.as_deref() == Some(&*body.by), 6, || {
            format!("{body:?} carries {attributes:?}")
        })?;
        let id = attributes.id.as_deref().unwrap_or_default();
        // Repeated and copied records come after the first, or on another partition.
        let home = Broker::partition_of(&body.account) == record.position.partition;
        if home && seen.insert(id) {
            by_key
                .entry(record.key.as_deref().unwrap_or_default())
                .or_default()
                .push(id);
        }
    }
    let mut expected: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
    for row in &process.store.outbox {
        expected
            .entry(row.key.as_bytes())
            .or_default()
            .push(&row.id);
    }
    must(by_key.keys().eq(expected.keys()), 2, || {
        "other keys were published than are in the outbox".into()
    })?;
    for (key, ids) in expected {
        let key_text = String::from_utf8_lossy(key);
        must(by_key[key] == ids, 4, || {
            format!(
                "key {key_text}: published {:?}, decided {ids:?}",
                by_key[key]
            )
        })?;
    }
    Ok(())
}

/// Invariants 5 and 10: for a client that was told of a decision, the journal has that decision;
/// for one that was told of a failure, it has none.
fn answered(process: &Process, world: &World) -> Result<(), Violation> {
    let journal: BTreeMap<String, Option<Reply>> = journal::replies(process);
    let Scene { calls, dice, .. } = &world.scene;
    for call in calls.iter().filter(|call| call.role == process.role) {
        let row = journal.get(&call.id);
        let Call {
            id,
            command,
            answer,
            ..
        } = call;
        match answer {
            _ if *command == "get" => must(row.is_none(), 2, || format!("read {id} was recorded"))?,
            // It may be the reply to the same request before.
            Some(Answer::Replied(_)) if call.repeatable.is_some() && row.is_none() => {}
            Some(Answer::Replied(reply)) => must(row == Some(&Some(reply.clone())), 10, || {
                format!("{id} ({command}) was answered {reply:?}; recorded is {row:?}")
            })?,
            Some(Answer::Lost) => {}
            Some(failed) => must(row.is_none(), 10, || {
                format!("{id} ({command}) was answered {failed:?}, but it is recorded: {row:?}")
            })?,
            None => must(false, 8, || format!("{id} ({command}) was never answered"))?,
        }
        let is_excused = dice.is_sick(id) || world.scene.unreadable.contains(id);
        let for_nothing = *answer == Some(Answer::Broke) && !is_excused;
        must(!for_nothing, 5, || {
            format!("the rules broke on {id} ({command}), though nothing is wrong with it")
        })?;
        if let Some(Answer::Replied(Reply::Done(shown))) = answer
            && *command == "get"
        {
            was_durable(process, id, shown)?;
        }
    }
    Ok(())
}

/// Invariant 10: requests under one idempotency key take effect once, and have one reply.
fn repeated(process: &Process, world: &World) -> Result<(), Violation> {
    let journal = journal::replies(process);
    let calls = world.scene.calls.iter();
    let mut keys: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls.filter(|call| call.role == process.role) {
        if let Some(key) = &call.repeatable {
            keys.entry(key).or_default().push(call);
        }
    }
    for (key, calls) in keys {
        let rows = calls.iter().filter_map(|call| journal.get(&call.id));
        let rows: Vec<_> = rows.collect();
        must(rows.len() <= 1, 10, || {
            format!("requests under {key} took effect {} times", rows.len())
        })?;
        for call in calls {
            if let Some(Answer::Replied(reply)) = &call.answer {
                must(rows.first() == Some(&&Some(reply.clone())), 10, || {
                    format!("{} was answered {reply:?}; recorded is {rows:?}", call.id)
                })?;
            }
        }
    }
    Ok(())
}

/// Invariant 10: a read shows nothing that a crash can undo.
fn was_durable(process: &Process, id: &str, shown: &str) -> Result<(), Violation> {
    let shapeless = |text: &str| {
        let mut value: serde_json::Value = read(text.as_bytes());
        value["v"] = 0.into();
        value
    };
    let sought = shapeless(shown);
    let was = journal::states(process)
        .iter()
        .any(|state| shapeless(state) == sought);
    must(was, 10, || {
        format!("read {id} showed {shown}, which never was")
    })
}

/// Invariant 5, its counterpart: messages that the rules can decide are decided, whatever faults
/// occurred.
fn given_up(process: &Process, world: &World) -> Result<(), Violation> {
    let topic = process.role.listens_to();
    let description = description(process.role, Shape::WIDEST);
    for letter in &process.store.dead {
        let Some(at) = &letter.at else { continue };
        let record = world.broker.at_or_after(topic, at.partition, at.offset);
        let admission = record.map(|record| admit::record(record, topic, &description, &LIMITS, 0));
        let Some(Admission::Offer(envelope)) = admission else {
            continue;
        };
        let id = &envelope.message.id;
        let sick = world.scene.dice.is_sick(id) || world.scene.unreadable.contains(id);
        // A message that waits for other rules is given up if there is no room.
        let senseless = matches!(&*letter.reason, "malformed" | "parking-full");
        must(sick || senseless, 5, || {
            format!(
                "{at} was given up ({}) though nothing is wrong with it",
                letter.reason
            )
        })?;
    }
    Ok(())
}

/// Every order ends as credit decided it, or as a client or a timeout ended it; in the latter case
/// its credit is released. Orders with a dead letter are exempt.
fn fates(world: &World) -> Result<(), Violation> {
    let (credit, order) = (&world.processes[0], &world.processes[1]);
    let dead = dead_orders(world);
    let decided = decided_by_credit(credit)?;
    for (key, aggregate) in &order.store.aggregates {
        let number: u64 = key.parse().unwrap_or_default();
        let state: Order = read(aggregate.state.as_deref().unwrap_or_default().as_bytes());
        let by_credit = decided.get(&number).map(|body| body.state.as_str());
        let fits = match (&*state.state, &*state.credit) {
            // It ends with its timer, which may be parked.
            ("PENDING", "ASKED") => order.store.has_timer(key, "timeout"),
            ("APPROVED", "RESERVED") | ("CANCELLED" | "LATE", "RELEASED") => {
                by_credit == Some("APPROVED")
            }
            ("REJECTED" | "CANCELLED" | "LATE", "REFUSED") => by_credit == Some("REJECTED"),
            ("CANCELLED" | "LATE", "ASKED") => dead.contains(&number),
            _ => false,
        };
        must(fits, 0, || {
            format!(
                "order {number} is {state:?}, credit said {by_credit:?}, dead letters: {dead:?}"
            )
        })?;
    }
    Ok(())
}

/// Orders with a dead letter.
fn dead_orders(world: &World) -> BTreeSet<u64> {
    let letters = (world.processes.iter()).flat_map(|process| &process.store.dead);
    letters
        .filter_map(|letter| serde_json::from_slice::<Body>(letter.value.as_deref()?).ok())
        .map(|body| body.order)
        .collect()
}

/// The decisions of credit by order. Invariant 3: one each.
fn decided_by_credit(credit: &Process) -> Result<BTreeMap<u64, Body>, Violation> {
    let mut decided = BTreeMap::new();
    for row in &credit.store.outbox {
        let body: Body = read(row.body.as_bytes());
        // Foreign records without headers, or with a used id, can be distinguished by the inbox
        // only.
        let number = body.order;
        must(decided.insert(number, body).is_none(), 3, || {
            format!("order {number} was decided twice")
        })?;
    }
    Ok(decided)
}

/// For each account, limit - approved + released = left, never below zero, and no acknowledged raise
/// is lost.
fn sums(world: &World) -> Result<(), Violation> {
    let credit = &world.processes[0];
    let released = released(world)?;
    let mut approved: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    for record in world.broker.topic(ANSWERS) {
        let Ok(body) = serde_json::from_slice::<Body>(record.value.as_deref().unwrap_or_default())
        else {
            continue;
        };
        if body.state == "APPROVED" {
            approved
                .entry(body.account)
                .or_default()
                .insert(body.order, body.amount);
        }
    }
    for (key, aggregate) in &credit.store.aggregates {
        let account: Account = read(aggregate.state.as_deref().unwrap_or_default().as_bytes());
        let taken: u64 = approved
            .get(&**key)
            .map_or(0, |orders| orders.values().sum());
        let of_account = released.values().filter(|body| body.account == **key);
        let back: u64 = of_account.map(|body| body.amount).sum();
        let expected = (account.limit + back).checked_sub(taken);
        must(expected == Some(account.left), 0, || {
            format!(
                "account {key}: {account:?}, but {taken} was approved on the topic, {back} given back"
            )
        })?;
        let granted = journal::granted(credit, key);
        must(account.limit == granted, 10, || {
            format!("account {key}: {account:?}, but {granted} was granted")
        })?;
    }
    Ok(())
}

/// The orders whose credit was released: each once, and exactly those whose state says so.
fn released(world: &World) -> Result<BTreeMap<u64, Body>, Violation> {
    let (credit, order) = (&world.processes[0], &world.processes[1]);
    let dead = dead_orders(world);
    let mut released = BTreeMap::new();
    for body in journal::released(credit) {
        let number = body.order;
        must(released.insert(number, body).is_none(), 0, || {
            format!("the credit of order {number} was given back twice")
        })?;
    }
    for (key, aggregate) in &order.store.aggregates {
        let number: u64 = key.parse().unwrap_or_default();
        let state: Order = read(aggregate.state.as_deref().unwrap_or_default().as_bytes());
        let (is_due, is_done) = (state.credit == "RELEASED", released.contains_key(&number));
        must(is_due == is_done || dead.contains(&number), 0, || {
            format!("order {number} is {state:?}, its credit given back: {is_done}")
        })?;
    }
    Ok(released)
}

/// Parses JSON that the simulation itself has written.
pub(crate) fn read<T: for<'a> serde::Deserialize<'a>>(text: &[u8]) -> T {
    serde_json::from_slice(text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}
