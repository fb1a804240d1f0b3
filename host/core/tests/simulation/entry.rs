//! What passes between the parts of a simulated process: readings, turns, entries, activations, answers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use saga_core::message::Envelope;
use saga_core::outcome::Reply;
use saga_core::record::{Position, Record};
use saga_core::settle::Settlement;
use saga_core::window::Window;

use crate::rules::SagaRules;
use crate::store::{Fired, Parked, ParkedRow};

/// One reading of a partition, from the stored offset on.
pub(crate) struct Session {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    pub(crate) window: RefCell<Window>,
    /// Where the next record is read.
    pub(crate) position: Cell<i64>,
    pub(crate) cancelled: Cell<bool>,
}

/// A record that was delivered, with the reading that it belongs to.
pub(crate) type Taken = (Rc<Session>, i64);

/// How far the commits of one worker have come; see `Progress` in the host.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) committed: Cell<u64>,
    pub(crate) run: Cell<u64>,
}

impl Progress {
    /// What the worker decided in this run and is not yet written is void.
    pub(crate) fn start_new_run(&self, after: u64) {
        if self.run.get() == after {
            self.run.set(after + 1);
        }
    }
}

/// One message on its way through a worker. `admitted` is the build whose description admitted it.
pub(crate) enum Turn {
    Command {
        envelope: Envelope,
        generated_key: Option<i64>,
        call: usize,
        admitted: Rc<SagaRules>,
    },
    Read {
        envelope: Envelope,
        call: usize,
        admitted: Rc<SagaRules>,
    },
    Event {
        envelope: Envelope,
        taken: Taken,
        record: Record,
        attempts: u32,
        admitted: Rc<SagaRules>,
    },
    Timer {
        envelope: Envelope,
        fired: Fired,
        attempts: u32,
        over: Over,
    },
    Unreadable {
        taken: Taken,
        record: Record,
        admitted: Rc<SagaRules>,
    },
    Passed {
        taken: Taken,
    },
}

impl Turn {
    /// Key of the aggregate; none where the turn is about none.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Command { envelope, .. }
            | Self::Read { envelope, .. }
            | Self::Event { envelope, .. }
            | Self::Timer { envelope, .. } => Some(&envelope.message.key),
            Self::Unreadable { .. } | Self::Passed { .. } => None,
        }
    }
}

/// What one turn hands over to be committed.
pub(crate) struct Entry {
    /// The build that decided.
    pub(crate) build: Rc<SagaRules>,
    pub(crate) settlement: Option<Settlement>,
    /// The state in the build's shape, where the turn migrated it.
    pub(crate) migrated: Option<Rc<str>>,
    pub(crate) generated_key: Option<i64>,
    pub(crate) taken: Option<Taken>,
    pub(crate) fired: Option<Fired>,
    pub(crate) over: Option<Over>,
    /// Why it could not be decided, and the value.
    pub(crate) dead: Option<(&'static str, Option<Vec<u8>>)>,
    /// What is parked in the store, behind the messages of its key.
    pub(crate) parking: Option<(String, Parked)>,
    /// The parked message that is settled.
    pub(crate) unparked: Option<Rc<ParkedRow>>,
    /// The timer that is not offered any more, until other rules decide or the process starts.
    pub(crate) parked_timer: Option<Fired>,
    pub(crate) answer: Option<(usize, Reply)>,
    pub(crate) progress: Rc<Progress>,
    pub(crate) ticket: u64,
    pub(crate) run: u64,
}

impl Entry {
    /// Where its record was read.
    pub(crate) fn at(&self) -> Option<Position> {
        if let Some(Parked::Event { record, .. }) = self.unparked.as_ref().map(|row| &row.what) {
            return Some(record.position.clone());
        }
        let (session, offset) = self.taken.as_ref()?;
        Some(Position {
            topic: Arc::from(session.topic),
            incarnation: None,
            partition: session.partition,
            offset: *offset,
        })
    }
}

/// What a process asks of its writer, in order.
pub(crate) enum Request {
    Commit(Box<Entry>),
    /// Make this build the active one, if all stored states can be read by it.
    Activate {
        build: Rc<SagaRules>,
        result: Rc<Cell<Option<Activation>>>,
    },
    /// Answer a read once everything before is committed.
    Answer {
        call: usize,
        reply: Reply,
        progress: Rc<Progress>,
        run: u64,
    },
}

/// What became of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Committed,
    /// There are states that the build can't read.
    Refused,
    Failed,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Replied(Reply),
    NotFound,
    Malformed,
    TryLater,
    Broke,
    Quarantined,
    StoreFailed,
    /// Nothing: the process died.
    Lost,
}

/// A timer that is under way is not offered again until this is dropped.
pub(crate) struct Over {
    pub(crate) under_way: Rc<RefCell<BTreeSet<Fired>>>,
    pub(crate) fired: Fired,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.under_way.borrow_mut().remove(&self.fired);
    }
}
