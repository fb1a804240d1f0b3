//! Messages that are parked in the store, offered again: one by one and in the order of their key.

use std::time::Instant;

use saga_core::admit::{self, Admission};
use saga_core::identity;
use saga_core::message::Message;

use super::super::decide::{Decided, Undecided};
use super::super::given_up::{self, Failure, GivenUp, STORE_RETRY, what_next};
use super::super::held::Until;
use super::super::outgoing;
use super::super::participant::timer_envelope;
use super::Worker;
use crate::base::clock::now_ms;
use crate::metrics::turns::{End, Since};
use crate::store::parked::{Parked, ParkedEvent, ParkedRow, ParkedTimer, Unparked};
use crate::store::{Answer, Entry, FiredTimer, StoreFault, Verdict};

impl Worker {
    /// Offers the next message of a key that is ready.
    pub(super) fn offer_parked(&mut self) {
        if self.held.is_empty() {
            return;
        }
        self.catch_up();
        let Some(key) = self.held.next(Instant::now()) else {
            return;
        };
        let next = self.next_parked(&key);
        match next {
            _ if !self.held.is_offered(&key) => {}
            Ok(Some(row)) => self.parked(&key, row),
            Ok(None) => {
                self.held.remove(&key);
                self.waiting.release(&key, Instant::now());
            }
            Err(error) => self.parked_unread(&key, "parked messages can't be read", &error),
        }
    }

    fn next_parked(&mut self, key: &str) -> Answer<Option<ParkedRow>> {
        let committed = self.progress.committed();
        let Some((after, ticket)) = self.held.get(key).map(|held| (held.after, held.ticket)) else {
            return Ok(None);
        };
        let found = self.decider.parked(key, after)?;
        if found.is_some() || ticket <= committed {
            return Ok(found);
        }
        // What was parked last may be on its way to disk.
        self.shared.store.settle_up();
        self.catch_up();
        let after = self.held.get(key).map_or(0, |held| held.after);
        self.decider.parked(key, after)
    }

    fn parked(&mut self, key: &str, row: ParkedRow) {
        let unparked = Unparked {
            id: row.id,
            bytes: row.bytes,
            identity: None,
            room: self.shared.parked.clone(),
        };
        let since = self.shared.turns.now();
        match row.message {
            Parked::Event(event) => self.parked_event(key, unparked, *event, since),
            Parked::Timer(name, due) => {
                let key = key.to_owned();
                self.parked_timer(unparked, FiredTimer { key, name, due }, since);
            }
        }
    }

    fn parked_event(
        &mut self,
        key: &str,
        mut unparked: Unparked,
        event: ParkedEvent,
        since: Since,
    ) {
        unparked.identity = Some(event.identity.clone());
        // The rules may have been swapped since.
        let admission = admit::record(
            &event.record,
            &event.declared_topic,
            self.active().description(),
            &self.shared.limits,
            now_ms(),
        );
        let envelope = match admission {
            Admission::Offer(envelope) if envelope.message.key == key => envelope,
            Admission::Offer(envelope) => {
                let reason = format!(
                    "was parked for the key `{key}`, but the active rules find the key `{}` in it",
                    envelope.message.key
                );
                self.count_attempt(key);
                let given_up = GivenUp::malformed(reason);
                return self.bury_parked((key, unparked), event, None, given_up, since);
            }
            // Rules that take such events again may follow: it is not lost.
            Admission::Skip => {
                if let Some(held) = self.held.get(key) {
                    held.pass_over(unparked.id);
                }
                return self.held.wait(key, Until::Ready);
            }
            Admission::Malformed(reason) => {
                self.count_attempt(key);
                let given_up = GivenUp::malformed(reason);
                return self.bury_parked((key, unparked), event, None, given_up, since);
            }
        };
        let span = self.span(&envelope.message);
        let position = &event.record.position;
        span.record("topic", &*position.topic);
        span.record("partition", position.partition);
        span.record("offset", position.offset);
        let _span = span.entered();
        match self.decider.decide(&envelope) {
            Ok(mut decided) => {
                // It is in the inbox since it was parked.
                decided.settlement.inbox = None;
                self.parked_decided(&envelope.message, decided, unparked, since, None);
            }
            Err(undecided) => {
                if let Some(given_up) = self.parked_undecided(&envelope.message, undecided, since) {
                    let message = Some(&envelope.message);
                    self.bury_parked((key, unparked), event, message, given_up, since);
                }
            }
        }
    }

    fn parked_timer(&mut self, unparked: Unparked, fired: FiredTimer, since: Since) {
        self.settle(&fired.key);
        // What was decided before it did not come to be, or the rules were swapped: the first message may be another one.
        if !self.held.is_offered(&fired.key) {
            return;
        }
        let timer = match self.decider.timer(&fired) {
            Ok(Some(timer)) => timer,
            // It was cancelled, or set anew.
            Ok(None) => return self.drop_parked(&fired.key, unparked),
            Err(error) => {
                let what = "a parked timer can't be read";
                return self.parked_unread(&fired.key, what, &error);
            }
        };
        let envelope = timer_envelope(&self.shared.name, &timer);
        let _span = self.span(&envelope.message).entered();
        match self.decide_timer(&envelope) {
            Ok(decided) => {
                let message = &envelope.message;
                self.parked_decided(message, decided, unparked, since, Some(fired));
            }
            Err(undecided) => {
                let Some(given_up) = self.parked_undecided(&envelope.message, undecided, since)
                else {
                    return;
                };
                let attempts = (self.held.get(&fired.key)).map_or(1, |held| held.trial.attempts);
                let entry = self.parked_timer_entry(&envelope.message, given_up.is_fault, since);
                self.parked_settled(&fired.key, unparked.id, entry.ticket);
                let timer = given_up.of_timer(fired, attempts, self.active());
                self.tell_parked(&timer);
                self.commit(Entry {
                    parked_timer: Some(Box::new(timer)),
                    unparked: Some(Box::new(unparked)),
                    ..entry
                });
            }
        }
    }

    fn parked_decided(
        &mut self,
        message: &Message,
        decided: Decided,
        unparked: Unparked,
        since: Since,
        fired: Option<FiredTimer>,
    ) {
        let tally = self.tally(message, Verdict::Decided);
        let measured = self.measured(message, End::Decided, since);
        let entry = self.decided_entry(decided);
        self.parked_settled(&message.key, unparked.id, entry.ticket);
        self.commit(Entry {
            tally: Some(tally),
            measured,
            fired,
            unparked: Some(Box::new(unparked)),
            ..entry
        });
    }

    /// What follows a parked message that was not decided: it waits on, or is given up.
    fn parked_undecided(
        &mut self,
        message: &Message,
        undecided: Undecided,
        since: Since,
    ) -> Option<GivenUp> {
        let key = &message.key;
        self.count_attempt(key);
        let mut trial = (self.held.get(key)).map_or_else(Default::default, |held| held.trial);
        let next = what_next(&self.shared.retry, undecided, &mut trial);
        if let Some(held) = self.held.get(key) {
            held.trial = trial;
        }
        match next {
            // Was reported when it was read.
            Failure::Store(_) => {
                (self.counted).ended(message.origin, &message.name, End::Void, since);
                self.wait_for_store(key);
                None
            }
            Failure::Retry(delay) => {
                self.counted.tried(message);
                let until = Until::Time(Instant::now() + delay);
                self.held.wait(key, until);
                None
            }
            Failure::Quarantine(fault) => {
                (self.counted).ended(message.origin, &message.name, End::Parked, since);
                self.tell_quarantined(message, &fault);
                self.held.wait(key, Until::Generation);
                // What waits behind it in memory waits no longer for an attempt, but for another generation.
                self.waiting.release(key, Instant::now());
                self.ticket += 1;
                if let Some(held) = self.held.get(key) {
                    held.changed = self.ticket;
                }
                self.commit(Entry {
                    tally: Some(self.tally(message, Verdict::Fault)),
                    quarantine: Some(given_up::quarantine(message, &fault.detail)),
                    ..self.bare_entry()
                });
                None
            }
            Failure::GiveUp(given_up) => Some(given_up),
        }
    }

    /// Makes a parked record a dead letter.
    fn bury_parked(
        &mut self,
        (key, unparked): (&str, Unparked),
        event: ParkedEvent,
        message: Option<&Message>,
        given_up: GivenUp,
        since: Since,
    ) {
        let attempts = (self.held.get(key)).map_or(1, |held| held.trial.attempts);
        let place = identity::of_position(&event.record.position);
        let entry = self.given_up_entry(message, &given_up, since);
        let active = self.active();
        let letter =
            given_up.of_record(&event.group, &event.record, attempts, &self.shared, active);
        let published = outgoing::dead_letter(&self.shared.limits, active, event.record, &letter);
        self.recent.note(entry.ticket, place.clone());
        self.parked_settled(key, unparked.id, entry.ticket);
        self.bury(
            Entry {
                unparked: Some(Box::new(unparked)),
                put_aside: Some(place),
                outbox: published.into_iter().collect(),
                ..entry
            },
            letter,
        );
    }

    /// Drops a parked message of which nothing is to be decided any more.
    fn drop_parked(&mut self, key: &str, unparked: Unparked) {
        self.ticket += 1;
        self.parked_settled(key, unparked.id, self.ticket);
        self.commit(Entry {
            unparked: Some(Box::new(unparked)),
            ..self.bare_entry()
        });
    }

    fn parked_settled(&mut self, key: &str, id: i64, ticket: u64) {
        if let Some(held) = self.held.get(key) {
            held.settled(id, ticket);
        }
        self.held.wait(key, Until::Ready);
    }

    fn count_attempt(&mut self, key: &str) {
        if let Some(held) = self.held.get(key) {
            held.trial.attempts += 1;
        }
    }

    fn parked_unread(&mut self, key: &str, what: &'static str, fault: &StoreFault) {
        self.shared.store.condition().report(what, fault);
        self.wait_for_store(key);
    }

    fn wait_for_store(&mut self, key: &str) {
        self.held
            .wait(key, Until::Time(Instant::now() + STORE_RETRY));
    }

    /// An entry for a timer that is parked.
    pub(super) fn parked_timer_entry(
        &mut self,
        message: &Message,
        is_fault: bool,
        since: Since,
    ) -> Entry {
        self.ticket += 1;
        Entry {
            tally: is_fault.then(|| self.tally(message, Verdict::Fault)),
            measured: self.measured(message, End::Parked, since),
            ..self.bare_entry()
        }
    }

    /// Says that a timer could not be decided.
    pub(super) fn tell_parked(&self, timer: &ParkedTimer) {
        let fired = &timer.fired;
        tracing::error!(
            participant = %self.shared.name, timer = %fired.name, key = %fired.key, reason = %timer.reason,
            detail = %timer.detail, attempts = timer.attempts, digest = %timer.digest,
            "a timer can't be decided; it is parked until other rules decide or the host is started again"
        );
    }
}
