//! Client liveness: detects a client that no longer hears its brokers.
//!
//! librdkafka forgets a broker that is not in the cluster's list, and the list of a cluster whose
//! only broker was just stopped for a while is empty for a moment. A client that asks in that
//! moment has no broker left to ask, for ever. So a client that gets no answer while the supervisor
//! does is rebuilt; all its state is in the store.

use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;

use crate::kafka::topics::Topics;

/// Intervals between questions while they are answered, and while they are not.
const CALM: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(250);

/// Longest wait for an answer.
const QUESTION: Duration = Duration::from_millis(700);

/// Consecutive questions without an answer after which a client is given up.
const GIVEN_UP: u32 = 3;

/// Consecutive questions without an answer. Only those count that were asked while the supervisor
/// got answers.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    count: u32,
    /// Answers that the supervisor had got by the last question.
    answers: u64,
}

impl Unanswered {
    /// Notes a question without an answer; returns their number. `answers` is the number of answers
    /// that the supervisor has got.
    pub(crate) fn note(&mut self, answers: u64) -> u32 {
        if self.count == 0 || answers > self.answers {
            self.count += 1;
        }
        self.answers = answers;
        self.count
    }
}

/// The liveness of one client.
pub(crate) struct Liveness {
    next: Instant,
    unanswered: Unanswered,
}

impl Liveness {
    /// The liveness of a new client.
    pub(crate) fn new() -> Self {
        Self {
            next: Instant::now() + CALM,
            unanswered: Unanswered::default(),
        }
    }

    /// Asks again, if it is time; false if the client hears no broker although brokers answer
    /// others.
    pub(crate) fn check<C: ClientContext>(
        &mut self,
        client: &Client<C>,
        topic: &str,
        topics: &Topics,
    ) -> bool {
        if Instant::now() < self.next {
            return true;
        }
        if client.fetch_metadata(Some(topic), QUESTION).is_ok() {
            *self = Self::new();
            return true;
        }
        self.next = Instant::now() + SOON;
        topics.ask_now();
        self.unanswered.note(topics.answers()) < GIVEN_UP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_while_others_are_answered() {
        let mut unanswered = Unanswered::default();
        for (answers, expected) in [(7, 1), (7, 1), (7, 1), (8, 2), (8, 2), (9, 3)] {
            assert_eq!(unanswered.note(answers), expected);
        }
    }
}
