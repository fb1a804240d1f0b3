//! The host types of the worker in the simulation: generations, readings, clients, room; and their
//! deliberate defects.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use saga_contract::description::Description;
use saga_core::commit::{FiredTimer, Offset};
use saga_core::limits::TurnLimits;
use saga_core::outcome::Reply;
use saga_core::record::Position;
use saga_core::retry::{AfterDeadLetter, RetryPolicy};
use saga_core::window::Window;
use saga_core::worker::{ActiveRules, Bound, Defect, HostTypes, Lane, Room, TakenRecord, Waits};

use crate::random::Random;
use crate::rules::{ORDERS, SagaRules};
use crate::scene::Broken;

/// Small limits, so that they are reached.
pub(crate) const LIMITS: TurnLimits = TurnLimits {
    record_bytes: 400,
    key_bytes: 40,
    attribute_bytes: 1_024,
    state_bytes: 300,
    event_bytes: 300,
    reply_bytes: 300,
    events: 2,
    timers: 2,
    check_outputs: false,
};

pub(crate) const RETRY: RetryPolicy = RetryPolicy {
    attempts: 3,
    seconds: 600,
    first_delay_ms: 20,
    max_delay_ms: 60,
    then: AfterDeadLetter::Skip,
};

pub(crate) const WAITS: Waits = Waits {
    moment: std::time::Duration::from_millis(40),
    store: std::time::Duration::from_millis(5),
    machine: std::time::Duration::from_millis(5),
    reads: std::time::Duration::from_secs(5),
};

thread_local! {
    /// The defect of this run.
    pub(crate) static BROKEN: Cell<Option<Broken>> = const { Cell::new(None) };
}

fn is_broken(step: Broken) -> bool {
    BROKEN.get() == Some(step)
}

/// The host of the simulation.
#[derive(Debug)]
pub(crate) enum Simulated {}

impl HostTypes for Simulated {
    type Active = Build;
    /// The number of a call.
    type Client = usize;
    type Taken = Delivered;
    type Over = Over;
    type Since = ();
    type Room = SmallRoom;
    type Place = ();
    type StoreFault = ();

    fn is_broken(defect: Defect) -> bool {
        BROKEN.get().is_some_and(|broken| match defect {
            Defect::KeyNotHeldBack => broken == Broken::KeyNotHeldBack,
            Defect::ParkedOvertaken => broken == Broken::ParkedOvertaken,
            Defect::ParkedTimerGoesOn => broken == Broken::ParkedTimerGoesOn,
            Defect::AdmissionNotCompared => broken == Broken::AdmissionNotCompared,
            Defect::FlightTrusted => broken == Broken::FlightTrusted,
            Defect::BrokenStateKept => broken == Broken::VoidStateKept,
            Defect::BrokenIdentityKept => broken == Broken::VoidIdentityKept,
        })
    }
}

/// An active build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Build(pub(crate) Rc<SagaRules>);

impl ActiveRules for Build {
    fn generation(&self) -> i64 {
        self.0.number as i64
    }

    fn digest(&self) -> &str {
        &self.0.digest
    }

    fn description(&self) -> &Description {
        &self.0.description
    }

    fn lane(&self, topic: &str) -> Option<Lane> {
        let topic = i64::from(topic != ORDERS);
        Some(Lane {
            topic,
            partitions: 1,
        })
    }

    fn dead_letters(&self, _: &Arc<str>) -> Option<Lane> {
        None
    }
}

/// One reading of a partition, from the stored offset on.
pub(crate) struct Session {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    pub(crate) window: RefCell<Window>,
    /// The position of the next record.
    pub(crate) position: Cell<i64>,
    pub(crate) cancelled: Cell<bool>,
    /// Number of claims of the partition, in a shared store.
    pub(crate) epoch: i64,
}

/// A delivered record, with its reading.
#[derive(Clone)]
pub(crate) struct Delivered {
    pub(crate) session: Rc<Session>,
    pub(crate) offset: i64,
}

impl Delivered {
    /// Its position.
    pub(crate) fn at(&self) -> Position {
        Position {
            topic: Arc::from(self.session.topic),
            incarnation: None,
            partition: self.session.partition,
            offset: self.offset,
        }
    }

    /// Notes that it is being committed; returns the offset to store.
    pub(crate) fn settle(&self) -> Offset {
        let safe = self.session.window.borrow_mut().settle(self.offset);
        let beyond = is_broken(Broken::OffsetBeyondWindow);
        Offset {
            consumer: self.session.topic.into(),
            topic: i64::from(self.session.topic != ORDERS),
            partition: self.session.partition,
            next: if beyond { self.offset + 1 } else { safe },
            epoch: self.session.epoch,
            last: None,
        }
    }
}

impl TakenRecord for Delivered {
    fn is_cancelled(&self) -> bool {
        self.session.cancelled.get()
    }

    fn cancel(&self) {
        self.session.cancelled.set(true);
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn group(&self) -> &str {
        "group"
    }

    fn declared_topic(&self) -> &str {
        self.session.topic
    }
}

/// Room for parked messages. Now and then there is none, or there never is any.
#[derive(Clone)]
pub(crate) struct SmallRoom(pub(crate) Option<Rc<RefCell<Random>>>);

impl Room for SmallRoom {
    type Place = ();

    fn take(&self, _: usize, _: usize) -> Result<(), Bound> {
        let is_full = |random: &Rc<RefCell<Random>>| random.borrow_mut().percent(10);
        match self.0.as_ref().is_none_or(is_full) {
            true => Err(Bound::Messages),
            false => Ok(()),
        }
    }

    fn has_just_filled(&self) -> bool {
        true
    }

    fn used(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// The outcome for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Replied(Reply),
    StateRead,
    NotFound,
    Malformed,
    TryLater,
    Broke,
    Quarantined,
    Blocked,
    StoreFailed,
    /// No answer: the process died.
    Lost,
}

/// A timer in flight, which is not offered again until this is dropped.
pub(crate) struct Over {
    pub(crate) in_flight: Rc<RefCell<BTreeSet<FiredTimer>>>,
    pub(crate) fired: FiredTimer,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.in_flight.borrow_mut().remove(&self.fired);
    }
}
