//! One turn: the rules decide on a message, and all of the decision takes effect, or nothing.

use super::hosted::{Aggregate, Behind, SetTimer};
use super::record::Record;
use super::timeline;
use super::world::World;
use crate::bindings::saga::participant::types::{
    Disposition, Message, Origin, Outcome, StateChange, TimerChange,
};
use crate::testing::{fail, outcome};

/// The result of a turn.
pub(super) enum Attempted {
    Decided(Outcome),
    Malformed(String),
    RetryLater(String),
}

impl World {
    /// Lets the rules decide. What a host would count as a fault of theirs fails the test.
    #[track_caller]
    pub(super) fn attempt(&mut self, place: usize, message: &Message, is_read: bool) -> Attempted {
        let Some(hosted) = self.hosted.get(place) else {
            fail("there is no such participant");
        };
        let (name, rules) = (hosted.name.clone(), hosted.rules.clone());
        let (settings, description) = (hosted.settings(), rules.description());
        self.doing = format!(
            "{} decided on {}",
            timeline::aggregate(&name, message),
            timeline::what(message)
        );
        let before = hosted.aggregates.get(&message.key).map(|aggregate| {
            match aggregate.version == description.state.version {
                true => aggregate.state.clone(),
                false => match rules.migrate(aggregate.version, aggregate.state.clone()) {
                    Ok(state) => state,
                    Err(why) => fail(&format!(
                        "{name} can't read a state of version {}: {why:?}\n{}",
                        aggregate.version, aggregate.state
                    )),
                },
            }
        });
        let limits = self.blueprint.limits;
        refuse(
            "a host would not offer the message",
            &limits.of_message(before.as_deref(), message),
        );
        let outcome = match rules.handle(before.clone(), message.clone(), settings) {
            Ok(outcome) => outcome,
            Err(why) => {
                self.note(timeline::undecided(&name, message, &why));
                return match why {
                    Disposition::Malformed(why) => Attempted::Malformed(why),
                    Disposition::RetryLater(why) => Attempted::RetryLater(why),
                };
            }
        };
        refuse(
            "the outcome is beyond the host's limits",
            &limits.of_outcome(&outcome),
        );
        let terms = (description, rules.declared());
        let problems = outcome::problems(terms, message.origin, &message.name, &outcome);
        refuse("the outcome breaks the contract", &problems);
        if !is_read {
            let turn = timeline::turn(&name, message, before.as_deref(), &outcome, self.now);
            self.note(turn);
            self.apply(place, message, before, &outcome);
        }
        Attempted::Decided(outcome)
    }

    fn apply(
        &mut self,
        place: usize,
        message: &Message,
        before: Option<String>,
        outcome: &Outcome,
    ) {
        let Some(hosted) = self.hosted.get_mut(place) else {
            return;
        };
        let rules = hosted.rules.clone();
        let description = rules.description();
        let key = &message.key;
        let after = match &outcome.state {
            StateChange::Put(state) => Some(state.clone()),
            StateChange::Unchanged => before,
            StateChange::Remove => None,
        };
        match after {
            Some(state) => {
                let correlation = match hosted.aggregates.remove(key) {
                    Some(aggregate) => aggregate.correlation,
                    None => message.correlation.clone(),
                };
                let aggregate = Aggregate {
                    state,
                    version: description.state.version,
                    correlation,
                };
                hosted.aggregates.insert(key.clone(), aggregate);
            }
            None => drop(hosted.aggregates.remove(key)),
        }
        if message.origin == Origin::Event {
            let identity = (message.source.clone(), message.id.clone());
            hosted.inbox.insert(identity);
        }
        if message.origin == Origin::Timer {
            hosted.timers.remove(&(key.clone(), message.name.clone()));
        }
        for change in &outcome.timers {
            match change {
                TimerChange::Set(timer) => {
                    let set = SetTimer {
                        due: timer.due,
                        body: timer.body.clone(),
                        set_by: message.id.clone(),
                        correlation: message.correlation.clone(),
                        is_parked: false,
                    };
                    hosted.timers.insert((key.clone(), timer.name.clone()), set);
                }
                TimerChange::Cancel(name) => {
                    hosted.timers.remove(&(key.clone(), name.clone()));
                }
            }
        }
        let is_changed = outcome.state != StateChange::Unchanged;
        if message.origin == Origin::Command && is_changed {
            // Messages that wait are offered again at once, since the command may be what they wait for.
            if let Some(waiting) = hosted.waiting.get_mut(key)
                && let Behind::Retry { at, attempts, .. } = &mut waiting.behind
            {
                *at = self.now;
                *attempts = attempts.saturating_sub(1);
            }
        }
        let source = format!("/saga/{}", description.name);
        for event in &outcome.events {
            let published = description.publications.iter();
            let mut published = published.filter(|one| one.event_type == event.event_type);
            // The outcome was checked: the contract declares the event.
            let Some(publication) = published.next() else {
                continue;
            };
            let record = Record {
                id: self.next_id("e"),
                source: source.clone(),
                event_type: event.event_type.clone(),
                topic: publication.topic.clone(),
                key: event.key.clone(),
                version: publication.version,
                body: event.body.clone(),
                correlation: message.correlation.clone(),
                causation: Some(message.id.clone()),
                number: 0,
            };
            self.put_on_topic(record);
        }
        self.outsiders.wake();
        self.check_invariants();
    }

    /// Holds the world against what must always be true.
    pub(super) fn check_invariants(&mut self) {
        if self.outsiders.is_acting {
            return;
        }
        let blueprint = self.blueprint.clone();
        for (name, invariant) in &blueprint.invariants {
            self.doing = format!("always: {name}");
            invariant(self);
        }
        self.doing = String::new();
    }
}

/// Fails the test where a host would count a fault.
#[track_caller]
fn refuse(what: &str, problems: &[String]) {
    if !problems.is_empty() {
        fail(&format!("{what}:\n{}", problems.join("\n")));
    }
}
