//! How long records wait in the relay's client.
//!
//! A record is sent with the time at which the client was given it. While brokers are away it waits there, and what waited for longer
//! than its topic keeps records would be deleted as soon as it is written. So what waits for too long is given to a client again.

use std::time::{Duration, Instant};

/// Longest time that records wait in a client while no broker answers: nothing of them can have been sent.
const AWAY: Duration = Duration::from_secs(5);

/// The same where brokers answer, and yet none acknowledges them. One request of them may be written twice then, so the time is doubled
/// with each.
const STALE: Duration = Duration::from_secs(30);

/// How far it is doubled.
const LONGEST: Duration = Duration::from_secs(600);

/// Longest time that a client is given nothing while no broker answers questions: it may be the questions that they don't answer.
const HELD: Duration = Duration::from_secs(30);

/// The wait of the first record of a lane.
#[derive(Debug)]
pub(crate) struct Freshness {
    since: Option<Instant>,
    patience: Duration,
}

impl Freshness {
    pub(crate) fn new() -> Self {
        Self {
            since: None,
            patience: STALE,
        }
    }

    /// Something was acknowledged.
    pub(crate) fn progress(&mut self) {
        *self = Self::new();
    }

    /// The client is given everything again.
    pub(crate) fn restart(&mut self) {
        self.since = None;
    }

    /// Whether what waits has done so for too long. To be asked now and then.
    pub(crate) fn is_over(&mut self, waits: bool, is_unreachable: bool) -> bool {
        self.is_over_at(Instant::now(), waits, is_unreachable)
    }

    fn is_over_at(&mut self, now: Instant, waits: bool, is_unreachable: bool) -> bool {
        if !waits {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let patience = if is_unreachable { AWAY } else { self.patience };
        if now.duration_since(since) < patience {
            return false;
        }
        self.since = None;
        if !is_unreachable {
            self.patience = (patience * 2).min(LONGEST);
        }
        true
    }
}

/// Whether a client is given nothing for now, because it would only wait there.
#[derive(Debug, Default)]
pub(crate) struct Hold(Option<(u64, Instant)>);

impl Hold {
    /// No broker answers; so often one has until now.
    pub(crate) fn begin(&mut self, answers: u64) {
        self.0 = Some((answers, Instant::now()));
    }

    /// Whether it lasts. So often a broker has answered until now.
    pub(crate) fn lasts(&mut self, answers: u64) -> bool {
        self.lasts_at(Instant::now(), answers)
    }

    fn lasts_at(&mut self, now: Instant, answers: u64) -> bool {
        let lasts = |(before, since): &(u64, Instant)| {
            *before == answers && now.duration_since(*since) < HELD
        };
        self.0 = self.0.filter(lasts);
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_long_is_given_to_a_client_again_as_often_as_nothing_was_sent() {
        let mut freshness = Freshness::new();
        let mut now = Instant::now();
        for _ in 0..100 {
            assert!(!freshness.is_over_at(now, true, true));
            assert!(!freshness.is_over_at(now + AWAY / 2, true, true));
            assert!(freshness.is_over_at(now + AWAY, true, true));
            now += AWAY;
        }
    }

    #[test]
    fn where_brokers_answer_it_is_done_less_and_less_often_until_one_acknowledges() {
        let mut freshness = Freshness::new();
        let mut now = Instant::now();
        for expected in [30, 60, 120, 240, 480, 600, 600] {
            let expected = Duration::from_secs(expected);
            assert!(!freshness.is_over_at(now, true, false));
            let almost = now + expected - Duration::from_secs(1);
            assert!(!freshness.is_over_at(almost, true, false), "{expected:?}");
            now += expected;
            assert!(freshness.is_over_at(now, true, false), "{expected:?}");
        }
        freshness.progress();
        assert!(!freshness.is_over_at(now, true, false));
        assert!(freshness.is_over_at(now + STALE, true, false));
    }

    #[test]
    fn nothing_waits_for_long_that_is_acknowledged() {
        let mut freshness = Freshness::new();
        let now = Instant::now();
        assert!(!freshness.is_over_at(now, true, false));
        freshness.progress();
        assert!(!freshness.is_over_at(now + 2 * STALE, true, false));
        assert!(
            !freshness.is_over_at(now + 5 * STALE, false, false),
            "all is"
        );
        assert!(!freshness.is_over_at(now + 6 * STALE, true, false));
    }

    #[test]
    fn a_client_is_given_nothing_until_a_broker_answers_or_long_has_not() {
        let mut hold = Hold::default();
        assert!(!hold.lasts(7));
        hold.begin(7);
        assert!(hold.lasts(7));
        assert!(!hold.lasts(8) && !hold.lasts(7), "it is over");
        hold.begin(8);
        let now = Instant::now();
        assert!(hold.lasts_at(now + HELD / 2, 8));
        assert!(!hold.lasts_at(now + HELD, 8));
    }
}
