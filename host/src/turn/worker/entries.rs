//! What a worker hands to the store: entries, and what is counted besides.

use std::time::{Duration, Instant};

use saga_core::identity;
use saga_core::message::{Message, Origin};
use saga_core::record::Record;

use super::super::decide::Decided;
use super::super::given_up::GivenUp;
use super::super::outgoing;
use super::Worker;
use crate::metrics::turns::{End, Measured, Since};
use crate::store::{DeadLetter, Entry, Quarantine, Taken, Tally, Verdict};

/// Reads of one name are counted no more often than this: each would wake the writer.
const READS_COUNTED: Duration = Duration::from_secs(5);

impl Worker {
    pub(super) fn tally(&self, message: &Message, verdict: Verdict) -> Tally {
        Tally {
            generation: self.active().generation.id,
            origin: message.origin,
            name: message.name.clone(),
            verdict,
            time: message.time,
        }
    }

    pub(super) fn count_read(&mut self, message: &Message) {
        let now = Instant::now();
        let is_due = (self.reads.get(&message.name))
            .is_none_or(|last| now.duration_since(*last) >= READS_COUNTED);
        if is_due {
            self.reads.insert(message.name.clone(), now);
            self.shared.store.count(self.tally(message, Verdict::Read));
        }
    }

    /// What counts a turn on this message when it is committed.
    pub(super) fn measured(&self, message: &Message, end: End, since: Since) -> Option<Measured> {
        (self.counted).to_commit(message.origin, &message.name, end, since, None)
    }

    /// An entry with what was decided, and what it leaves of the aggregate is remembered.
    pub(super) fn decided_entry(&mut self, decided: Decided) -> Entry {
        self.ticket += 1;
        let settlement = &decided.settlement;
        tracing::debug!(
            fuel = settlement.journal.fuel,
            revision = settlement.revision,
            events = settlement.events.len(),
            timers = settlement.timers.len(),
            "decided"
        );
        self.decider.remember(&decided, self.ticket, self.run);
        let outbox = outgoing::outbox(self.active(), &decided.settlement);
        let key = &decided.settlement.key;
        let lifts = (self.quarantined).lifts(key, self.ticket, self.progress.committed());
        let lift = lifts.then(|| Quarantine::Lift(key.clone()));
        Entry {
            settlement: Some(decided.settlement),
            migrated: decided.migrated,
            quarantine: lift,
            outbox,
            ..self.bare_entry()
        }
    }

    /// An entry for a message that is given up.
    pub(super) fn given_up_entry(
        &mut self,
        message: Option<&Message>,
        given_up: &GivenUp,
        since: Since,
    ) -> Entry {
        self.ticket += 1;
        let tally = (message.filter(|_| given_up.is_fault))
            .map(|message| self.tally(message, Verdict::Fault));
        // A record that can't be read has no name.
        let (origin, name) = message.map_or((Origin::Event, ""), |message| {
            (message.origin, message.name.as_str())
        });
        let reason = Some(given_up.reason);
        let measured = (self.counted).to_commit(origin, name, given_up.end(), since, reason);
        Entry {
            tally,
            measured,
            ..self.bare_entry()
        }
    }

    /// An entry with the current ticket that does nothing yet.
    pub(super) fn bare_entry(&self) -> Entry {
        let active = self.active();
        Entry {
            participant: self.shared.row,
            generation: active.generation.id,
            state_version: active.description().state.version,
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
            measured: None,
            progress: self.progress.clone(),
            ticket: self.ticket,
            run: self.run,
            done: Box::new(|_| {}),
        }
    }

    pub(super) fn commit(&self, entry: Entry) {
        self.shared.store.commit(Box::new(entry));
    }

    /// Settles a record that changes nothing.
    pub(super) fn pass(&mut self, taken: Taken, measured: Option<Measured>) {
        self.ticket += 1;
        self.commit(Entry {
            taken: Some(taken),
            measured,
            ..self.bare_entry()
        });
    }

    /// Makes a record a dead letter, and remembers its place: when it comes again, after those that
    /// followed it were decided, it is not tried again. To redrive it is to publish it anew.
    pub(super) fn put_aside(
        &mut self,
        taken: Taken,
        record: Record,
        message: Option<&Message>,
        given_up: GivenUp,
        (attempts, since): (u32, Since),
    ) {
        let place = identity::of_position(&record.position);
        let entry = self.given_up_entry(message, &given_up, since);
        let active = self.active();
        let group = &taken.session.source.group;
        let letter = given_up.of_record(group, &record, attempts, &self.shared, active);
        let published = outgoing::dead_letter(&self.shared.limits, active, record, &letter);
        let outbox = published.into_iter().collect();
        self.recent.note(entry.ticket, place.clone());
        self.bury(
            Entry {
                taken: Some(taken),
                put_aside: Some(place),
                outbox,
                ..entry
            },
            letter,
        );
    }

    pub(super) fn bury(&self, entry: Entry, letter: DeadLetter) {
        tracing::warn!(
            participant = %self.shared.name, topic = %letter.topic, partition = letter.partition,
            offset = letter.offset, reason = %letter.reason, detail = %letter.detail, digest = %letter.digest,
            "dead letter"
        );
        self.commit(Entry {
            dead_letter: Some(letter),
            ..entry
        });
    }
}
