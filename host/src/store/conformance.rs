//! The conformance suite of engines: one suite, run on each of them.
//!
//! A [`Rig`] is a store with one participant and one generation.
//! [`suite!`](super::conformance::suite) makes the tests of all cases for a function that makes a
//! rig, so that no case can be left out.
//!
//! # Layout
//!
//! - this file: [`Rig`], and the [`TestTurn`] that it hands over
//! - [`turns`]: entries that are written or known, and their writes; [`chains`]: refused entries;
//!   [`parked`]: parked messages; [`dead_letters`]: dead letters
//! - [`records`]: the outbox, offsets, topics; [`shared`]: two hosts on one store
//! - [`generations`]: participants, generations, last uses, samples, lists; [`list_changes`]: the
//!   changes of lists; [`decisions`]: the journal; [`waiting`]: messages that wait, in pages

mod chains;
mod dead_letters;
mod decisions;
mod generations;
mod list_changes;
mod parked;
mod records;
mod shared;
mod turns;
mod waiting;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use saga_core::commit::{KeptReply, Link, Write};
use saga_core::identity::Identity;
use saga_core::message::{Message, Origin};
use saga_core::outcome::{Outcome, Reply, StateChange, TimerChange};
use saga_core::record::Attributes;
use saga_core::settle::{Cause, JournalEntry};

pub(crate) use chains::*;
pub(crate) use dead_letters::*;
pub(crate) use decisions::*;
pub(crate) use generations::*;
pub(crate) use list_changes::*;
pub(crate) use parked::*;
pub(crate) use records::*;
pub(crate) use shared::*;
pub(crate) use turns::*;
pub(crate) use waiting::*;

use super::parked_room::Place;
use super::{
    Claim, CommitProgress, Entry, Handed, NewGeneration, OutboxRow, ParkedRoom, Reader, Store,
    StoreResult, Taken,
};
use crate::base::notify::Notify;
use crate::base::session::{ReadingStart, Readings, Session, Source};

/// Longest wait for a commit.
const DEADLINE: Duration = Duration::from_secs(30);

/// A time, in milliseconds since the Unix epoch: all rows of the suite are younger than any
/// retention.
const NOW: u64 = 4_000_000_000_000;

/// Correlation of all messages.
const SAGA: &str = "saga";

/// Makes a test of each case for `$rig`, which makes a [`Rig`]; with `$rigs`, which makes two hosts'
/// rigs on one store, of the cases of a shared store too. Where `$can_run` is false, the tests are
/// left out.
macro_rules! suite {
    ($rig:expr) => {
        $crate::store::conformance::suite!($rig, true);
    };
    ($rig:expr, $can_run:expr) => {
        $crate::store::conformance::suite!(
            $rig,
            $can_run,
            invariant_2_everything_of_a_turn_is_committed_with_it,
            invariant_3_an_event_is_applied_once_and_its_record_is_settled,
            what_was_decided_after_a_duplicate_is_void_and_comes_again,
            a_refused_entry_breaks_its_own_chain_only,
            what_was_read_from_an_entry_that_is_not_written_is_not_answered,
            invariant_10_what_was_told_is_there_after_a_restart,
            a_removed_aggregate_keeps_its_revision_and_loses_its_timers,
            a_timer_that_fired_goes_unless_it_was_set_anew,
            parked_messages_wait_in_their_order_and_are_settled_once,
            parked_timers_are_not_due_until_they_are_released,
            a_parked_dead_letter_blocks_its_aggregate_until_it_ends,
            a_dead_letter_that_is_not_parked_is_parked_to_be_redriven,
            a_request_during_a_failed_redrive_finds_the_letter_parked,
            a_record_takes_the_place_of_a_parked_dead_letter,
            dead_letters_are_listed_by_what_is_asked,
            an_idempotency_key_has_the_first_reply_and_is_free_without_one,
            rows_of_many_turns_are_loaded_at_once,
            commits_are_told_to_those_who_wait,
            what_waits_is_counted,
            offsets_of_the_outbox_have_no_gaps,
            what_consumers_and_the_relay_have_not_read_waits,
            invariant_1_an_offset_is_stored_with_its_turn,
            offsets_are_written_and_kept_with_what_was_read_last,
            a_recreated_topic_is_read_from_its_beginning,
            rows_are_registered_once,
            terms_of_fuel_are_kept_from_their_time_on,
            activations_are_kept_in_their_order,
            an_activation_that_is_not_allowed_changes_nothing,
            what_was_asked_is_counted_by_generation,
            quarantined_aggregates_leave_when_their_state_is_readable,
            requests_to_release_an_aggregate_are_kept_with_their_outcomes,
            samples_have_something_of_each_kind,
            lists_are_paged_in_the_order_of_length_and_key,
            decisions_are_read_from_the_journal_in_the_order_of_their_commits,
            decisions_without_a_payload_are_read_as_outlines_and_not_tried,
            wanted_decisions_are_those_of_a_time_a_number_a_key_or_a_generation,
            timers_are_read_in_the_order_of_their_keys_and_names,
            parked_records_are_read_with_what_they_wait_for,
            readers_of_a_topic_are_those_that_were_not_dropped,
            changes_of_a_list_go_on_from_any_place_that_the_journal_has,
            a_state_that_is_not_kept_may_have_been_in_a_list,
            a_record_without_a_turn_is_published_behind_those_of_turns
        );
    };
    ($rig:expr, $can_run:expr; $rigs:expr) => {
        $crate::store::conformance::suite!($rig, $can_run);
        $crate::store::conformance::suite!(
            $rigs,
            $can_run,
            invariant_4_a_state_is_decided_on_the_one_before_by_whichever_host,
            a_refusal_that_another_host_has_overtaken_is_not_published,
            a_state_in_another_shape_replaces_no_later_one,
            a_timer_fires_on_one_of_two_hosts,
            an_idempotency_key_has_the_reply_of_one_of_two_hosts,
            invariant_3_an_event_is_applied_by_one_of_two_hosts,
            invariant_1_a_partition_is_read_by_the_host_that_claimed_it_last,
            invariant_6_rules_replace_only_those_that_they_were_compared_with,
            invariant_1_no_offset_passes_a_record_that_was_refused_behind_others,
            invariant_1_a_claim_made_again_does_not_cover_what_was_read_under_the_first,
            invariant_4_nothing_overtakes_what_another_host_has_parked,
            invariant_6_rules_that_another_host_has_replaced_decide_nothing,
            generated_keys_are_those_of_one_host,
            a_duty_is_one_hosts_and_goes_on_with_another,
            hosts_are_told_with_what_they_do,
            what_another_host_changes_is_told
        );
    };
    ($rig:expr, $can_run:expr, $($case:ident),+) => {
        $(
            #[test]
            fn $case() {
                if $can_run {
                    $crate::store::conformance::$case($rig());
                }
            }
        )+
    };
}
pub(crate) use suite;

/// A store with the participant `owner`, one registered generation of it, and the topic `t`.
pub(crate) struct Rig {
    pub(crate) store: Arc<Store>,
    open: Box<dyn Fn() -> Arc<Store>>,
    participant: i64,
    generation: i64,
    topic: i64,
    /// The number of the one worker.
    worker: u64,
    /// The progress of the one worker.
    progress: Arc<CommitProgress>,
    source: Arc<Source>,
    /// A value that must live as long, e.g. a directory.
    _keep: Box<dyn Any>,
}

impl Rig {
    /// A rig over stores that `open` returns: each call opens the same store.
    pub(crate) fn new(open: impl Fn() -> Arc<Store> + 'static, keep: impl Any) -> Self {
        let store = open();
        let (participant, _) = store.register_participant("owner").unwrap();
        let generation = store.register_generation(participant, generation("a", 1));
        let topic = store.register_topic("t").unwrap();
        Self {
            open: Box::new(open),
            participant,
            generation: generation.unwrap(),
            topic,
            worker: store.worker_number(),
            progress: Arc::default(),
            source: Arc::new(Source {
                consumer: "log:owner/g".into(),
                group: "g".into(),
                topic: "t".into(),
                declared_topic: "t".into(),
                topic_row: topic,
                readings: Readings::default(),
            }),
            store,
            _keep: Box::new(keep),
        }
    }

    /// The same store, closed and opened again.
    fn restarted(self) -> Self {
        let Self { store, open, .. } = self;
        store.close();
        // It holds the lock while it exists.
        drop(store);
        let store = open();
        Self {
            worker: store.worker_number(),
            store,
            open,
            progress: Arc::default(),
            ..self
        }
    }

    fn reader(&self) -> Reader {
        self.store.reader().unwrap()
    }

    /// A turn on this aggregate that writes nothing, decided on the stored state.
    fn turn(&self, ticket: u64, key: &str) -> TestTurn {
        let mut entry = Entry::empty(self.participant, self.generation, 1);
        entry.key = Some(key.into());
        TestTurn {
            entry,
            link: Link {
                worker: self.worker,
                ticket,
                base: 0,
                noticed: 0,
            },
            taken: None,
            place: None,
            leaves: None,
            claim: None,
        }
    }

    /// A turn that puts a state.
    fn put(&self, ticket: u64, key: &str, revision: u64, state: &str) -> TestTurn {
        self.turn(ticket, key)
            .write(Write::State(Some(state.into()), revision, SAGA.into()))
            .write(Write::Journal(journal(key, revision - 1)))
    }

    /// Hands over a turn; returns the receiver of its fate.
    fn hand_in(&self, turn: TestTurn) -> Receiver<StoreResult<()>> {
        let (say, fate) = bounded(1);
        self.store.commit(Box::new(Handed {
            entry: turn.entry,
            link: turn.link,
            taken: turn.taken,
            place: turn.place,
            leaves: turn.leaves,
            claim: turn.claim,
            progress: self.progress.clone(),
            measured: None,
            done: Box::new(move |result| drop(say.send(result))),
        }));
        fate
    }

    fn commit(&self, turn: TestTurn) -> StoreResult<()> {
        self.hand_in(turn).recv_timeout(DEADLINE).unwrap()
    }

    /// Hands over an entry that is refused: the reading of its record was cancelled.
    fn refused(&self, ticket: u64, key: &str) -> Receiver<StoreResult<()>> {
        let taken = self.taken(0);
        taken.session.cancel();
        self.hand_in(self.turn(ticket, key).takes(taken))
    }

    /// The entries that were not written and not returned before, by ticket.
    fn broken(&self) -> Vec<u64> {
        let broken = self.progress.broken();
        broken.into_iter().map(|broken| broken.ticket).collect()
    }

    /// A record of the topic, consumed in a new reading from that offset on.
    fn taken(&self, offset: i64) -> Taken {
        self.taken_under(0, offset)
    }

    /// The same, in a partition that was claimed with this epoch.
    fn taken_under(&self, epoch: i64, offset: i64) -> Taken {
        let notify = Notify::default();
        let start = ReadingStart {
            next: offset,
            last: None,
            epoch,
        };
        let session = Session::new(self.source.clone(), 0, start, 10, notify);
        self.taken_in(session, offset)
    }

    /// The same, in this reading.
    fn taken_in(&self, session: Arc<Session>, offset: i64) -> Taken {
        let (may_repeat, share) = session.take(offset, 1, None);
        Taken {
            session,
            offset,
            may_repeat,
            share,
        }
    }

    /// A record to publish.
    fn row(&self, value: &str) -> OutboxRow {
        OutboxRow {
            topic: self.topic,
            partition: 0,
            key: Some(b"k".to_vec()),
            value: Some(value.into()),
            attributes: Attributes {
                id: Some(value.to_owned()),
                event_type: Some("e".into()),
                ..Attributes::default()
            },
            from_generation: true,
            time: NOW,
        }
    }
}

/// An entry that a worker hands over.
pub(crate) struct TestTurn {
    entry: Entry,
    link: Link,
    taken: Option<Taken>,
    place: Option<Place>,
    leaves: Option<(Arc<ParkedRoom>, usize)>,
    claim: Option<Arc<Claim>>,
}

impl TestTurn {
    /// Adds a write: a guard before everything that it guards, any other write last.
    fn write(mut self, write: Write) -> Self {
        let is_guard = |write: &Write| {
            matches!(
                write,
                Write::Unpark(_) | Write::Inbox(..) | Write::Park(_) | Write::FailedAside(_)
            )
        };
        let writes = &mut self.entry.writes;
        let at = match is_guard(&write) {
            true => writes.iter().take_while(|write| is_guard(write)).count(),
            false => writes.len(),
        };
        writes.insert(at, write);
        self
    }

    /// Notes this identity of its message.
    /// As from a worker that knows of parked messages.
    fn beside_parked(mut self) -> Self {
        self.entry.is_beside_parked = true;
        self
    }

    fn notes(self, id: &str) -> Self {
        self.write(Write::Inbox(identity(id), NOW))
    }

    fn timers(self, changes: Vec<TimerChange>) -> Self {
        let cause = Cause {
            id: "cause".into(),
            correlation: SAGA.into(),
            traceparent: None,
        };
        self.write(Write::Timers(changes, cause))
    }

    fn publishes(self, row: OutboxRow) -> Self {
        self.write(Write::Publish(Box::new(row)))
    }

    /// Keeps its reply under the claimed key.
    fn replies(self, claim: Arc<Claim>) -> Self {
        let (key, fingerprint) = claim.request();
        let kept = KeptReply {
            correlation: SAGA.into(),
            key,
            fingerprint,
            reply: "{}".into(),
            time: NOW,
        };
        Self {
            claim: Some(claim),
            ..self.write(Write::Reply(kept))
        }
    }

    fn takes(self, taken: Taken) -> Self {
        Self {
            taken: Some(taken),
            ..self
        }
    }

    /// Sets the ticket of the entry that it was decided on, which may not be written yet.
    fn on(mut self, base: u64) -> Self {
        self.link.base = base;
        self
    }

    /// Sets the ticket up to which its worker knew the fates when it was decided.
    fn noticed(mut self, ticket: u64) -> Self {
        self.link.noticed = ticket;
        self
    }
}

fn generation(digest: &str, state_version: u32) -> NewGeneration {
    NewGeneration {
        digest: digest.into(),
        component: digest.into(),
        settings: None,
        version: "1.0.0".into(),
        state_version,
        fuel_terms: None,
        now: NOW,
    }
}

fn identity(id: &str) -> Identity {
    Identity {
        source: "/s".into(),
        id: id.into(),
    }
}

/// The decision on a command `place`, as recorded.
fn journal(key: &str, revision_before: u64) -> JournalEntry {
    journal_of("place", key, revision_before)
}

/// The decision on a command, as recorded.
fn journal_of(command: &str, key: &str, revision_before: u64) -> JournalEntry {
    let outcome = Outcome {
        reply: Some(Reply::Done(format!("\"{command} {key}\""))),
        ..nothing()
    };
    JournalEntry {
        revision_before,
        state_before: None,
        decision: saga_core::journal::encode(&message(command, key), None, &outcome).unwrap(),
        fuel: 1,
        time: NOW,
    }
}

/// An outcome that changes nothing.
pub(super) fn nothing() -> Outcome {
    Outcome {
        state: StateChange::Unchanged,
        events: Vec::new(),
        timers: Vec::new(),
        reply: None,
    }
}

/// A command for the aggregate of this key.
pub(super) fn message(command: &str, key: &str) -> Message {
    Message {
        id: format!("{command} {key}"),
        source: "/s".into(),
        origin: Origin::Command,
        name: command.into(),
        key: key.into(),
        time: NOW,
        correlation: SAGA.into(),
        causation: None,
        caller: None,
        metadata: Vec::new(),
        version: 1,
        parameters: Vec::new(),
        body: "null".into(),
    }
}

fn set(name: &str, due: u64) -> TimerChange {
    TimerChange::Set(saga_core::outcome::Timer {
        name: name.into(),
        due,
        body: "null".into(),
    })
}
