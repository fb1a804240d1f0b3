//! Waiting inputs: rules that can't decide on them would give them up, one by one.

use saga_core::admit::{self, Admission};
use saga_core::message::Origin;

use super::{Harm, PendingRecord, Probing};
use crate::store::read::StoredAggregate;
use crate::store::sample::PendingTimer;

impl Probing<'_> {
    /// Offers a set timer as if it were due.
    pub(super) fn timer(&mut self, pending: &PendingTimer) {
        let PendingTimer { timer, aggregate } = pending;
        let timers = &self.candidate.description.timers;
        // A set timer that the candidate does not list was refused before.
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

    /// Offers a waiting record.
    pub(super) fn in_flight(&mut self, waiting: &PendingRecord) {
        let PendingRecord {
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
