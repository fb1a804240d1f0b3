//! What must be so, whatever happened: the invariants of the host by their numbers, checked on what
//! is durable and on what clients and the topics saw.
//!
//! Trusts nothing that the host computed where it can be computed anew: every recorded decision is
//! run again through the rules of the build that is recorded with it.

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
use crate::{generations, journal};
use saga_core::outcome::Reply;

/// Something that must not be. 0 stands for what the saga itself promises: the sums and the fates.
#[derive(Debug, thiserror::Error)]
#[error("invariant {invariant}: {what}")]
pub(crate) struct Violation {
    /// Number of the invariant.
    pub(crate) invariant: u32,
    pub(crate) what: String,
}

/// Gives a violation unless it holds.
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
    // Some builds pass reminders over.
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

/// Everything, once nothing moves any more.
pub(crate) fn at_rest(world: &World) -> Result<(), Violation> {
    // A second process of a store has nothing of its own.
    for process in &world.processes[..Role::ALL.len()] {
        generations::check(process)?;
        journal::check(process)?;
        consumed(process, &world.broker)?;
        nothing_stranded(process)?;
        published(process, &world.broker)?;
        answered(process, world)?;
        given_up(process, world)?;
    }
    fates(world)?;
    sums(world)
}

/// Invariant 1, the other half: nothing is left unread.
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

/// Invariant 10: what is parked is offered again, unless the build does not take it.
fn nothing_stranded(process: &Process) -> Result<(), Violation> {
    for (id, row) in &process.store.parked {
        let mut threads = process.threads.iter();
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

/// Invariants 2, 4 and 6 on the topics: exactly what is in the outbox was published, for each key
/// in its order, with the digest of the build that decided.
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
        // What is sent again or copied comes after the first, or on another partition.
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

/// Invariants 5 and 10: who was told "done" or "no" is in the journal with just that; who was told
/// that it failed is not.
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
            Some(Answer::Replied(reply)) => must(row == Some(&Some(reply.clone())), 10, || {
                format!("{id} ({command}) was answered {reply:?}; recorded is {row:?}")
            })?,
            Some(Answer::Lost) => {}
            Some(failed) => must(row.is_none(), 10, || {
                format!("{id} ({command}) was answered {failed:?}, but it is recorded: {row:?}")
            })?,
            None => must(false, 8, || format!("{id} ({command}) was never answered"))?,
        }
        let for_nothing = *answer == Some(Answer::Broke) && !dice.is_sick(id);
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

/// Invariant 10: a read shows nothing that a crash can take back.
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

/// Invariant 5, the other half: what the rules can decide is decided, whatever broke around it.
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
        let sick = world.scene.dice.is_sick(&envelope.message.id);
        // A message that waits for other rules, and for which there is no room, is given up.
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

/// Every order is decided, as credit decided it, unless a dead letter says why not.
fn fates(world: &World) -> Result<(), Violation> {
    let (credit, order) = (&world.processes[0], &world.processes[1]);
    let dead: BTreeSet<u64> = [credit, order]
        .iter()
        .flat_map(|process| &process.store.dead)
        .filter_map(|letter| serde_json::from_slice::<Body>(letter.value.as_deref()?).ok())
        .map(|body| body.order)
        .collect();
    let decided = decided_by_credit(credit)?;
    for (key, aggregate) in &order.store.aggregates {
        let number: u64 = key.parse().unwrap_or_default();
        let state: Order = read(aggregate.state.as_deref().unwrap_or_default().as_bytes());
        let by_credit = decided.get(&number).map(|body| body.state.as_str());
        let fits = match state.state.as_str() {
            "PENDING" => dead.contains(&number),
            other => by_credit == Some(other),
        };
        let fate = &state.state;
        must(fits, 0, || {
            format!("order {number} is {fate}, credit said {by_credit:?}, dead letters: {dead:?}")
        })?;
    }
    Ok(())
}

/// What credit answered, order by order. Invariant 3: once.
fn decided_by_credit(credit: &Process) -> Result<BTreeMap<u64, Body>, Violation> {
    let mut decided = BTreeMap::new();
    for row in &credit.store.outbox {
        let body: Body = read(row.body.as_bytes());
        // Foreign records without headers or with a clashing id are told apart by the inbox alone.
        let number = body.order;
        must(decided.insert(number, body).is_none(), 3, || {
            format!("order {number} was decided twice")
        })?;
    }
    Ok(decided)
}

/// limit - approved = left, never below zero, for each account; and no raise that was acknowledged
/// is lost.
fn sums(world: &World) -> Result<(), Violation> {
    let credit = &world.processes[0];
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
        must(
            account.limit.checked_sub(taken) == Some(account.left),
            0,
            || format!("account {key}: {account:?}, but {taken} was approved on the topic"),
        )?;
        let granted = journal::granted(credit, key);
        must(account.limit == granted, 10, || {
            format!("account {key}: {account:?}, but {granted} was granted")
        })?;
    }
    Ok(())
}

/// Reads what the simulation itself has written.
pub(crate) fn read<T: for<'a> serde::Deserialize<'a>>(text: &[u8]) -> T {
    serde_json::from_slice(text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}
