//! Events and timers that reach an aggregate: duplicates, order, further attempts, dead letters.

use super::attempt::Attempted;
use super::hosted::{Behind, Queued, SetTimer, Waiting};
use super::record::{self, DeadLetter, Record};
use super::world::World;
use crate::bindings::saga::participant::types::{Message, Origin};

/// Attempts at one message, and the time from the first to the last, as a host has them by default.
const ATTEMPTS: u32 = 100;
const RETRY_FOR: u64 = 600_000;
/// The waits between two attempts, which double.
const FIRST_WAIT: u64 = 100;
const LONGEST_WAIT: u64 = 30_000;

impl World {
    /// A record reaches a participant.
    pub(super) fn take_record(&mut self, place: usize, record: Record) {
        let Some(hosted) = self.hosted.get_mut(place) else {
            return;
        };
        let rules = hosted.rules.clone();
        let description = rules.description();
        let is_read = (description.subscriptions.iter())
            .any(|one| one.event_type == record.event_type && one.topic == record.topic);
        if !is_read {
            return;
        }
        let name = hosted.name.clone();
        if hosted
            .inbox
            .contains(&(record.source.clone(), record.id.clone()))
        {
            self.note(format!(
                "{name} dropped {} ({}), a duplicate",
                record.event_type, record.id
            ));
            return;
        }
        match record::key_of(&record, description, &self.blueprint.limits) {
            Ok(key) => match hosted.queue(&key, Queued::Event(Box::new(record))) {
                Ok(()) => {
                    self.note(format!(
                        "{name} {key}: an event waits behind an earlier message"
                    ));
                }
                Err(message) => self.offer(place, &key, message, None),
            },
            Err(reason) => {
                (hosted.inbox).insert((record.source.clone(), record.id.clone()));
                self.put_aside(DeadLetter {
                    participant: name,
                    name: record.event_type,
                    key: None,
                    body: record.body,
                    reason,
                });
            }
        }
    }

    /// A timer is due.
    pub(super) fn fire(&mut self, place: usize, key: &str, timer: &str) {
        let Some(hosted) = self.hosted.get_mut(place) else {
            return;
        };
        let Some(set) = hosted.timers.get(&(key.to_owned(), timer.to_owned())) else {
            return;
        };
        let timer = Queued::Timer {
            name: timer.to_owned(),
            due: set.due,
        };
        if let Err(message) = hosted.queue(key, timer) {
            self.offer(place, key, message, None);
        }
    }

    /// Another attempt at the first message that waits for this aggregate.
    pub(super) fn try_again(&mut self, place: usize, key: &str) {
        let Some(hosted) = self.hosted.get_mut(place) else {
            return;
        };
        let Some(waiting) = hosted.waiting.get_mut(key) else {
            return;
        };
        let behind = waiting.behind;
        let Some(message) = waiting.messages.pop_front() else {
            hosted.waiting.remove(key);
            return;
        };
        // A duplicate that came while its twin waited.
        if let Queued::Event(record) = &message
            && hosted
                .inbox
                .contains(&(record.source.clone(), record.id.clone()))
        {
            return;
        }
        self.offer(place, key, message, Some(behind));
    }

    /// Offers a message to the rules. `behind` says which attempt it is.
    fn offer(&mut self, place: usize, key: &str, queued: Queued, behind: Option<Behind>) {
        let Some(message) = self.message(place, key, &queued) else {
            // The timer was cancelled, or moved.
            return self.go_on(place, key);
        };
        match self.attempt(place, &message, false) {
            Attempted::Decided(_) => self.go_on(place, key),
            Attempted::Malformed(reason) => {
                self.give_up(place, key, queued, reason, true);
            }
            Attempted::RetryLater(reason) => {
                let (attempts, since) = match behind {
                    Some(Behind::Retry {
                        attempts, since, ..
                    }) => (attempts + 1, since),
                    _ => (1, self.now),
                };
                let left = RETRY_FOR.saturating_sub(self.now.saturating_sub(since));
                if attempts >= ATTEMPTS || left == 0 {
                    let reason = format!("the attempts are used up: {reason}");
                    return self.give_up(place, key, queued, reason, false);
                }
                let wait = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(32));
                let at = self.now + wait.min(LONGEST_WAIT).min(left);
                self.wait(
                    place,
                    key,
                    Some(queued),
                    Behind::Retry {
                        at,
                        attempts,
                        since,
                    },
                );
            }
        }
    }

    /// The next message that waits for the aggregate is tried at once.
    fn go_on(&mut self, place: usize, key: &str) {
        let now = self.now;
        let Some(hosted) = self.hosted.get_mut(place) else {
            return;
        };
        let Some(waiting) = hosted.waiting.get_mut(key) else {
            return;
        };
        match waiting.messages.is_empty() {
            true => drop(hosted.waiting.remove(key)),
            false => {
                waiting.behind = Behind::Retry {
                    at: now,
                    attempts: 0,
                    since: now,
                };
            }
        }
    }

    /// Makes messages of an aggregate wait.
    fn wait(&mut self, place: usize, key: &str, first: Option<Queued>, behind: Behind) {
        let Some(hosted) = self.hosted.get_mut(place) else {
            return;
        };
        if let Some(Queued::Timer { name, .. }) = &first
            && let Some(timer) = hosted.timers.get_mut(&(key.to_owned(), name.clone()))
        {
            timer.is_parked = true;
        }
        let waiting = hosted.waiting.entry(key.to_owned()).or_insert(Waiting {
            messages: std::collections::VecDeque::new(),
            behind,
        });
        waiting.behind = behind;
        if let Some(first) = first {
            waiting.messages.push_front(first);
        }
    }

    /// Makes a dead letter of an event, behind which its aggregate waits. A timer is kept too, but
    /// nothing waits behind it.
    fn give_up(
        &mut self,
        place: usize,
        key: &str,
        queued: Queued,
        reason: String,
        blocks_commands: bool,
    ) {
        let Some(hosted) = self.hosted.get_mut(place) else {
            return;
        };
        let participant = hosted.name.clone();
        let (name, body) = match queued {
            Queued::Event(record) => {
                hosted.inbox.insert((record.source, record.id));
                self.wait(place, key, None, Behind::Letter { blocks_commands });
                (record.event_type, record.body)
            }
            Queued::Timer { name, .. } => {
                let timer = hosted.timers.get_mut(&(key.to_owned(), name.clone()));
                let body = timer.map(|timer| {
                    timer.is_parked = true;
                    timer.body.clone()
                });
                self.go_on(place, key);
                (name, body.unwrap_or_default())
            }
        };
        self.put_aside(DeadLetter {
            participant,
            name,
            key: Some(key.to_owned()),
            body,
            reason,
        });
    }

    /// The message that the rules see; none for a timer that is no longer set for its time.
    fn message(&mut self, place: usize, key: &str, queued: &Queued) -> Option<Message> {
        let time = self.now;
        let hosted = self.hosted.get(place)?;
        match queued {
            Queued::Event(record) => Some(Message {
                id: record.id.clone(),
                source: record.source.clone(),
                origin: Origin::Event,
                name: record.event_type.clone(),
                key: key.to_owned(),
                time,
                correlation: record.correlation.clone(),
                causation: record.causation.clone(),
                caller: None,
                metadata: Vec::new(),
                version: record.version,
                parameters: Vec::new(),
                body: record.body.clone(),
            }),
            Queued::Timer { name, due } => {
                let timer = hosted.timers.get(&(key.to_owned(), name.clone()));
                let timer: SetTimer = timer.filter(|timer| timer.due == *due)?.clone();
                let source = format!("/saga/{}/timers/{name}", hosted.name);
                Some(Message {
                    id: self.next_id("t"),
                    source,
                    origin: Origin::Timer,
                    name: name.clone(),
                    key: key.to_owned(),
                    time,
                    correlation: timer.correlation,
                    causation: Some(timer.set_by),
                    caller: None,
                    metadata: Vec::new(),
                    version: 1,
                    parameters: Vec::new(),
                    body: timer.body,
                })
            }
        }
    }
}
