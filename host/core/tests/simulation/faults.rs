//! Faulty rules: the participants' rules with faults that follow from the seed.
//!
//! There are two kinds. A *poisonous* message breaks every build that tries it (trap, out of fuel,
//! an answer that is too large or invalid): it must become a dead letter, and never a refusal. A
//! *shaky* one fails now and then (deadline, retry-later), and mostly succeeds at another attempt.
//! Some builds can't read the states of some aggregates.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use saga_core::message::Message;
use saga_core::outcome::{Disposition, Event, Outcome, StateChange};
use saga_core::rules::{Decision, Fault, FaultKind, Rules};

use crate::random::{Random, of_text};
use crate::rules::SagaRules;

/// Decides which messages fail.
pub(crate) struct Dice {
    seed: u64,
    random: RefCell<Random>,
    /// True if there are no more transient faults: the run is coming to rest.
    pub(crate) calm: Cell<bool>,
    /// One message of so many is shaky.
    shaky: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64, shaky: u64) -> Self {
        Self {
            seed,
            random: RefCell::new(Random::new(seed ^ 0xd1ce)),
            calm: Cell::new(false),
            shaky,
        }
    }

    /// True if the message of this id fails, always or now and then.
    pub(crate) fn is_sick(&self, id: &str) -> bool {
        self.poison(id).is_some() || self.is_shaky(id)
    }

    /// True if a build can't read the state of an aggregate, until the run comes to rest.
    pub(crate) fn is_blind(&self, digest: &str, key: &str) -> bool {
        !self.calm.get() && of_text(self.seed, &format!("{digest}/{key}")).is_multiple_of(13)
    }

    fn poison(&self, id: &str) -> Option<u64> {
        let lot = of_text(self.seed, id);
        lot.is_multiple_of(29).then_some(lot / 29)
    }

    fn is_shaky(&self, id: &str) -> bool {
        of_text(self.seed, id) % self.shaky == self.shaky / 2
    }
}

/// The rules of a build, with faults.
pub(crate) struct Faulty {
    pub(crate) rules: SagaRules,
    pub(crate) dice: Rc<Dice>,
}

impl Rules for Faulty {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        if let Some(lot) = self.dice.poison(&message.id) {
            return poisoned(lot);
        }
        if self.dice.is_shaky(&message.id) && !self.dice.calm.get() {
            let mut random = self.dice.random.borrow_mut();
            if random.percent(30) {
                return Err(Fault::new(FaultKind::Deadline, "took too long"));
            }
            if random.percent(40) {
                return Ok(Decision {
                    answer: Err(Disposition::RetryLater("not now".into())),
                    fuel: 1,
                });
            }
        }
        self.rules.handle(state, message)
    }

    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        self.rules.migrate(version, state)
    }
}

/// One of the faults.
fn poisoned(lot: u64) -> Result<Decision, Fault> {
    let nonsense = |state, events: Vec<Event>| {
        Ok(Decision {
            answer: Ok(Outcome {
                state,
                events,
                timers: Vec::new(),
                reply: None,
            }),
            fuel: 1,
        })
    };
    let event = |event_type: &str, body: String| Event {
        event_type: event_type.into(),
        key: "k".into(),
        body,
    };
    match lot % 8 {
        0 => Err(Fault::new(FaultKind::Trap, "unreachable")),
        1 => Err(Fault::new(FaultKind::OutOfFuel, "for ever")),
        2 => Err(Fault::new(FaultKind::OutOfMemory, "more and more")),
        3 => nonsense(StateChange::Put("{".into()), Vec::new()),
        4 => nonsense(
            StateChange::Put(format!("\"{}\"", "x".repeat(4_096))),
            Vec::new(),
        ),
        5 => nonsense(
            StateChange::Unchanged,
            vec![event("undeclared", "{}".into())],
        ),
        6 => nonsense(
            StateChange::Remove,
            (0..9)
                .map(|_| event("order-created", "{}".into()))
                .collect(),
        ),
        _ => Ok(Decision {
            answer: Err(Disposition::Malformed("can't be read".into())),
            fuel: 1,
        }),
    }
}
