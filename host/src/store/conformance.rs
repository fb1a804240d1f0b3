//! The conformance suite of engines: one suite, run on each of them.
//!
//! A [`Rig`] is a store with one participant and one generation on it.
//! [`suite!`](super::conformance::suite) makes the tests of all cases for a function that makes a
//! rig, so that none can be left out.
//!
//! # Layout
//!
//! - [`turns`]: entries and their fates, aggregates, timers, keys; [`parked`]: parked messages
//! - [`records`]: the outbox, offsets, topics
//! - [`generations`]: participants, generations, what was asked, samples, lists

mod generations;
mod parked;
mod records;
mod turns;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use saga_core::identity::Identity;
use saga_core::outcome::{StateChange, TimerChange};
use saga_core::record::Attributes;
use saga_core::settle::{Cause, JournalEntry, Settlement};

pub(crate) use generations::*;
pub(crate) use parked::*;
pub(crate) use records::*;
pub(crate) use turns::*;

use super::{Answer, Entry, NewGeneration, OutboxRow, Progress, Reader, Store, Taken};
use crate::base::session::{Readings, Session, Source};
use crate::base::signal::Signal;

/// By then a commit has come, or never will.
const DEADLINE: Duration = Duration::from_secs(30);

/// A time, in milliseconds since the Unix epoch: everything of the suite is younger than any
/// retention.
const NOW: u64 = 4_000_000_000_000;

/// Makes a test of each case for `$rig`, which makes a [`Rig`].
macro_rules! suite {
    ($rig:expr) => {
        $crate::store::conformance::suite!(
            $rig,
            invariant_2_everything_of_a_turn_is_committed_with_it,
            invariant_3_an_event_is_applied_once_and_its_record_is_settled,
            what_was_decided_after_a_duplicate_is_void_and_comes_again,
            what_was_read_in_a_run_that_is_over_is_not_answered,
            invariant_10_what_was_told_is_there_after_a_restart,
            a_removed_aggregate_keeps_its_revision_and_loses_its_timers,
            a_timer_that_fired_goes_unless_it_was_set_anew,
            parked_messages_wait_in_a_row_and_are_settled_once,
            parked_timers_are_not_due_until_they_are_released,
            an_idempotency_key_has_the_first_reply_and_is_free_without_one,
            commits_are_told_to_those_who_wait,
            what_waits_is_counted,
            offsets_of_the_outbox_have_no_gaps,
            what_consumers_and_the_relay_have_not_read_waits,
            invariant_1_an_offset_is_stored_with_its_turn,
            offsets_are_written_and_kept_with_what_was_read_last,
            a_recreated_topic_is_read_from_its_beginning,
            rows_are_registered_once,
            activations_are_kept_in_their_order,
            an_activation_that_is_not_allowed_changes_nothing,
            what_was_asked_is_counted_by_generation,
            quarantined_aggregates_leave_when_their_state_is_readable,
            samples_have_something_of_each_kind,
            lists_are_paged_by_length_and_key
        );
    };
    ($rig:expr, $($case:ident),+) => {
        $(
            #[test]
            fn $case() {
                $crate::store::conformance::$case($rig());
            }
        )+
    };
}
pub(crate) use suite;

/// A store with the participant `room`, of which one generation is registered, and the topic `t`.
pub(crate) struct Rig {
    pub(crate) store: Arc<Store>,
    open: Box<dyn Fn() -> Arc<Store>>,
    participant: i64,
    generation: i64,
    topic: i64,
    /// Of the one worker.
    progress: Arc<Progress>,
    source: Arc<Source>,
    /// Whatever must live as long, e.g. a directory.
    _keep: Box<dyn Any>,
}

impl Rig {
    /// Of stores that this opens: again and again the same one.
    pub(crate) fn new(open: impl Fn() -> Arc<Store> + 'static, keep: impl Any) -> Self {
        let store = open();
        let (participant, _) = store.register_participant("room").unwrap();
        let generation = store.register_generation(participant, generation("a", 1));
        let topic = store.register_topic("t").unwrap();
        Self {
            open: Box::new(open),
            participant,
            generation: generation.unwrap(),
            topic,
            progress: Arc::default(),
            source: Arc::new(Source {
                consumer: "log:room/g".into(),
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
        // It has the lock as long as it is there.
        drop(store);
        Self {
            store: open(),
            open,
            progress: Arc::default(),
            ..self
        }
    }

    fn reader(&self) -> Reader {
        self.store.reader().unwrap()
    }

    /// An entry without anything.
    fn nothing(&self, ticket: u64) -> Entry {
        Entry {
            participant: self.participant,
            generation: self.generation,
            state_version: 1,
            settlement: None,
            migrated: None,
            quarantine: None,
            tally: None,
            outbox: Vec::new(),
            generated_key: None,
            kept_reply: None,
            taken: None,
            fired: None,
            put_aside: None,
            dead_letter: None,
            parking: None,
            unparked: None,
            parked_timer: None,
            progress: self.progress.clone(),
            ticket,
            run: 0,
            measured: None,
            done: Box::new(|_| {}),
        }
    }

    /// An entry that puts a state.
    fn put(&self, ticket: u64, key: &str, revision: u64, state: &str) -> Entry {
        Entry {
            settlement: Some(settlement(key, revision, StateChange::Put(state.into()))),
            ..self.nothing(ticket)
        }
    }

    /// Hands an entry over; gives its fate.
    fn hand_in(&self, entry: Entry) -> Receiver<Answer<()>> {
        let (say, fate) = bounded(1);
        let done = Box::new(move |result| drop(say.send(result)));
        self.store.commit(Box::new(Entry { done, ..entry }));
        fate
    }

    fn commit(&self, entry: Entry) -> Answer<()> {
        self.hand_in(entry).recv_timeout(DEADLINE).unwrap()
    }

    /// A record of the topic, to be consumed in a new reading from that offset on.
    fn taken(&self, offset: i64) -> Taken {
        let bell = Signal::default();
        let session = Session::new(self.source.clone(), 0, offset, 10, bell);
        let (may_repeat, share) = session.take(offset, 1, None);
        Taken {
            session,
            offset,
            may_repeat,
            share,
        }
    }

    /// A record that is published.
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

fn generation(digest: &str, state_version: u32) -> NewGeneration<'_> {
    NewGeneration {
        digest,
        version: "1.0.0",
        state_version,
        now: NOW,
    }
}

fn identity(id: &str) -> Identity {
    Identity {
        source: "/s".into(),
        id: id.into(),
    }
}

fn settlement(key: &str, revision: u64, state: StateChange) -> Settlement {
    Settlement {
        key: key.into(),
        revision,
        state,
        cause: Cause {
            id: "cause".into(),
            correlation: "saga".into(),
            traceparent: None,
        },
        inbox: None,
        events: Vec::new(),
        timers: Vec::new(),
        reply: None,
        journal: JournalEntry {
            revision_before: revision - 1,
            state_before: None,
            message: format!(r#"{{"origin":"command","name":"place","key":"{key}"}}"#),
            outcome: "{}".into(),
            fuel: 1,
            time: NOW,
        },
    }
}

fn set(name: &str, due: u64) -> TimerChange {
    TimerChange::Set(saga_core::outcome::Timer {
        name: name.into(),
        due,
        body: "null".into(),
    })
}
