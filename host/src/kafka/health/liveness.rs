//! Whether a client still hears its brokers.
//!
//! librdkafka forgets a broker that is not in the cluster's list, and the list of a cluster whose only broker has just been
//! stopped for a while is empty for a moment. Who asks in that moment has no broker left to ask again, for ever. So what a client
//! can't do while another one can is held against it, and it is created again; all that it knows is in the store.

use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;

use crate::kafka::topics::Topics;

/// Time between two questions while they are answered.
const CALM: Duration = Duration::from_secs(5);

/// Time between two questions while they are not.
const SOON: Duration = Duration::from_millis(250);

/// Longest time that one question may take.
const QUESTION: Duration = Duration::from_millis(700);

/// Questions in a row without an answer, while the supervisor got its own answered, after which a client is given up.
const UNANSWERED: u32 = 3;

/// The liveness of one client.
pub(crate) struct Liveness {
    next: Instant,
    unanswered: u32,
    /// How many answers the supervisor had got by the last question.
    answers: u64,
}

impl Liveness {
    /// Of a client that was just made.
    pub(crate) fn new() -> Self {
        Self {
            next: Instant::now() + CALM,
            unanswered: 0,
            answers: 0,
        }
    }

    /// Asks again, if it is time; false where the client hears nobody any more, though there is somebody.
    pub(crate) fn check<C: ClientContext>(
        &mut self,
        client: &Client<C>,
        topic: &str,
        topics: &Topics,
    ) -> bool {
        if Instant::now() < self.next {
            return true;
        }
        let answered = client.fetch_metadata(Some(topic), QUESTION).is_ok();
        let answers = topics.answers();
        self.note(answered, answers);
        if !answered {
            topics.ask_now();
        }
        self.unanswered < UNANSWERED
    }

    fn note(&mut self, answered: bool, answers: u64) {
        if answered {
            *self = Self::new();
            return;
        }
        self.next = Instant::now() + SOON;
        // Only what was asked while the supervisor got answers counts.
        if self.unanswered == 0 || answers > self.answers {
            self.unanswered += 1;
        }
        self.answers = answers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_while_others_are_answered() {
        let mut liveness = Liveness::new();
        for (answers, unanswered) in [(7, 1), (7, 1), (7, 1), (8, 2), (8, 2), (9, 3)] {
            liveness.note(false, answers);
            assert_eq!(liveness.unanswered, unanswered);
        }
        liveness.note(true, 10);
        assert_eq!(liveness.unanswered, 0);
    }
}
