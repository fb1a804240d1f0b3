//! What waits to be decided: it would be given up, one by one, by rules that can't decide on it.

use saga_core::admit::{self, Admission};
use saga_core::message::Origin;

use super::{Harm, InFlight, Probing};
use crate::store::read::StoredAggregate;
use crate::store::sample::Pending;

impl Probing<'_> {
    /// Offers it a timer that is set, as if it were due.
    pub(super) fn timer(&mut self, pending: &Pending) {
        let Pending { timer, aggregate } = pending;
        let timers = &self.candidate.description.timers;
        // Whether one that it does not list is set was looked up already.
        if !timers.iter().any(|listed| listed.name == timer.name) {
            return;
        }
        self.report.timers += 1;
        self.tried(
            Harm::Timer,
            || {
                format!(
                    "can't decide on the timer `{}` that {} has set",
                    timer.name, timer.key
                )
            },
            |trial| {
                let source = format!("timers/{}", timer.name);
                let mut message =
                    trial.message(Origin::Timer, &source, &timer.name, &timer.key, &timer.body);
                message.time = trial.now.max(timer.due);
                trial.answer(&aggregate.stored, &message)?.or_malformed()
            },
        );
    }

    /// Offers it a record that waits.
    pub(super) fn in_flight(&mut self, waiting: &InFlight) {
        let InFlight {
            declared_topic,
            record,
            aggregate,
        } = waiting;
        self.report.events += 1;
        let stored = match aggregate {
            Some(aggregate) => aggregate.stored.clone(),
            None => StoredAggregate::default(),
        };
        self.tried(
            Harm::Waiting,
            || {
                let event_type = record.attributes.event_type.as_deref();
                let event =
                    event_type.map_or("without a type".to_owned(), |name| format!("`{name}`"));
                let key = aggregate
                    .as_ref()
                    .map(|aggregate| format!(" for {}", aggregate.key));
                let key = key.unwrap_or_default();
                format!(
                    "can't decide on the event {event} that waits at {}{key}",
                    record.position
                )
            },
            |trial| {
                let (description, limits) = (trial.description, trial.limits);
                match admit::record(record, declared_topic, description, limits, trial.now) {
                    Admission::Offer(envelope) => {
                        let answer = trial.answer(&stored, &envelope.message)?;
                        answer.or_malformed().map(drop)
                    }
                    Admission::Skip => Ok(()),
                    Admission::Malformed(why) => Err(format!("malformed: {why}")),
                }
            },
        );
    }
}
