//! [`Then`]: assertions on a decision.

use super::{Scenario, fail};
use crate::bindings::saga::participant::types::{
    Disposition, Event, Outcome, Reply, StateChange, TimerChange,
};
use crate::codec;
use crate::event::{EventType, Timer};
use crate::participant::Participant;
use crate::refusal::RefusalType;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;

/// The decision on one message. Assertions may come in any order, but events are taken in the order
/// they were published.
pub struct Then<P: Participant> {
    scenario: Scenario<P>,
    verdict: Result<Outcome, Disposition>,
    events: VecDeque<Event>,
}

impl<P: Participant> Then<P> {
    pub(super) fn new(scenario: Scenario<P>, verdict: Result<Outcome, Disposition>) -> Self {
        let events = match &verdict {
            Ok(outcome) => outcome.events.iter().cloned().collect(),
            Err(_) => VecDeque::new(),
        };
        Self {
            scenario,
            verdict,
            events,
        }
    }

    /// The state was written, and is now this one.
    #[track_caller]
    pub fn state(self, expected: &P::State) -> Self {
        match &self.outcome().state {
            StateChange::Put(state) => same("the state", state, expected),
            other => fail(&format!("expected a new state, got {other:?}")),
        }
        self
    }

    /// The state was not written.
    #[track_caller]
    pub fn unchanged(self) -> Self {
        let change = &self.outcome().state;
        assert!(
            *change == StateChange::Unchanged,
            "expected no change of the state, got {change:?}"
        );
        self
    }

    /// The aggregate was removed.
    #[track_caller]
    pub fn removed(self) -> Self {
        let change = &self.outcome().state;
        assert!(
            *change == StateChange::Remove,
            "expected the aggregate to be removed, got {change:?}"
        );
        self
    }

    /// The next event is this one.
    #[track_caller]
    pub fn published<B: Serialize>(
        mut self,
        event: EventType<B>,
        key: impl ToString,
        body: &B,
    ) -> Self {
        let _ = self.outcome();
        let name = event.name();
        let Some(next) = self.events.pop_front() else {
            fail(&format!(
                "expected the event {name:?}, but no more were published"
            ));
        };
        assert_eq!(next.event_type, name, "type of the next event");
        assert_eq!(next.key, key.to_string(), "key of the event {name:?}");
        same(&format!("the body of {name:?}"), &next.body, body);
        self
    }

    /// No event but those named so far was published.
    #[track_caller]
    pub fn published_no_more(self) -> Self {
        let _ = self.outcome();
        assert!(
            self.events.is_empty(),
            "expected no more events, got {:?}",
            self.events
        );
        self
    }

    /// This timer was set, to `due` milliseconds since 1970-01-01T00:00:00Z.
    #[track_caller]
    pub fn timer_set<B: Serialize>(self, timer: Timer<B>, due: u64, body: &B) -> Self {
        let timers = &self.outcome().timers;
        let set = timers.iter().find_map(|change| match change {
            TimerChange::Set(set) if set.name == timer.name() => Some(set),
            _ => None,
        });
        let Some(set) = set else {
            fail(&format!(
                "expected timer {:?} to be set, got {timers:?}",
                timer.name()
            ));
        };
        assert_eq!(set.due, due, "when the timer {:?} is due", timer.name());
        same(&format!("the body of {:?}", timer.name()), &set.body, body);
        self
    }

    /// This timer was cancelled.
    #[track_caller]
    pub fn timer_cancelled<B>(self, timer: Timer<B>) -> Self {
        let timers = &self.outcome().timers;
        assert!(
            timers.contains(&TimerChange::Cancel(timer.name().to_owned())),
            "expected timer {:?} to be cancelled, got {timers:?}",
            timer.name()
        );
        self
    }

    /// No timer was set or cancelled.
    #[track_caller]
    pub fn no_timers(self) -> Self {
        let timers = &self.outcome().timers;
        assert!(timers.is_empty(), "expected no timers, got {timers:?}");
        self
    }

    /// The command was answered as done, with this body.
    #[track_caller]
    pub fn replied<R: Serialize + ?Sized>(self, expected: &R) -> Self {
        match &self.outcome().reply {
            Some(Reply::Done(body)) => same("the reply", body, expected),
            other => fail(&format!("expected a reply (done), got {other:?}")),
        }
        self
    }

    /// The command was answered as pending, with this body.
    #[track_caller]
    pub fn replied_pending<R: Serialize + ?Sized>(self, expected: &R) -> Self {
        match &self.outcome().reply {
            Some(Reply::Pending(body)) => same("the reply", body, expected),
            other => fail(&format!("expected a reply (pending), got {other:?}")),
        }
        self
    }

    /// The command was refused with this kind and code, without any other effect.
    #[track_caller]
    pub fn refused(self, expected: RefusalType) -> Self {
        match &self.outcome().reply {
            Some(Reply::Refused(refusal)) => {
                let expected = (expected.kind(), expected.code());
                assert_eq!((refusal.kind, refusal.code.as_str()), expected);
            }
            other => fail(&format!(
                "expected the refusal {:?}, got {other:?}",
                expected.code()
            )),
        }
        self.unchanged().published_no_more().no_timers()
    }

    /// The command was refused for what is at this JSON pointer in its body.
    #[track_caller]
    pub fn refused_at(self, pointer: &str) -> Self {
        match &self.outcome().reply {
            Some(Reply::Refused(refusal)) => {
                assert_eq!(refusal.pointer.as_deref(), Some(pointer));
            }
            other => fail(&format!("expected a refusal at {pointer:?}, got {other:?}")),
        }
        self
    }

    /// The message can never be decided, for a reason that contains this text.
    #[track_caller]
    pub fn malformed(self, part: &str) -> Self {
        match &self.verdict {
            Err(Disposition::Malformed(why)) if why.contains(part) => self,
            other => fail(&format!("expected malformed ({part:?}), got {other:?}")),
        }
    }

    /// The message is to come again later, for a reason that contains this text.
    #[track_caller]
    pub fn retried_later(self, part: &str) -> Self {
        match &self.verdict {
            Err(Disposition::RetryLater(why)) if why.contains(part) => self,
            other => fail(&format!("expected retry-later ({part:?}), got {other:?}")),
        }
    }

    /// Goes on with the aggregate as it is now.
    pub fn and_then(self) -> Scenario<P> {
        let mut scenario = self.scenario;
        match self.verdict.map(|outcome| outcome.state) {
            Ok(StateChange::Put(state)) => scenario.state = Some(state),
            Ok(StateChange::Remove) => scenario.state = None,
            Ok(StateChange::Unchanged) | Err(_) => {}
        }
        scenario
    }

    #[track_caller]
    fn outcome(&self) -> &Outcome {
        match &self.verdict {
            Ok(outcome) => outcome,
            Err(undecided) => fail(&format!("expected a decision, got {undecided:?}")),
        }
    }
}

/// Compares as JSON, numbers digit by digit.
#[track_caller]
fn same<T: Serialize + ?Sized>(what: &str, actual: &str, expected: &T) {
    let expected = codec::encode(expected, "the expected value");
    let parse = |text: &str| codec::decode::<Value>(text).ok();
    assert!(
        parse(actual).is_some() && parse(actual) == parse(&expected),
        "{what} differs:\n expected {expected}\n got      {actual}"
    );
}
