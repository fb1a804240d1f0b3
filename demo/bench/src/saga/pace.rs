//! The time of the first poll of an order.
//!
//! Owns: one number for all connections of a run: the wait between the answer to a POST and the
//! first GET. An early GET costs the host a request that shows PENDING; a late one makes the saga
//! look slower than it is. So the wait follows the time after which [`FIRST_HITS`] of the orders
//! are decided: it shrinks a little each time the first GET finds a decision, and grows a little
//! each time it does not. The reported time to the decision therefore includes the wait for the
//! poll.
//!
//! Must not know: orders, HTTP.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The share of orders that the first GET should find decided. Higher saves requests, lower notices
/// decisions earlier.
const FIRST_HITS: f64 = 0.6;
/// The change of the wait in the time of one saga, by all connections together; each connection
/// makes its share of it. Its observation is as old as its saga, and with full steps hundreds of
/// connections would make the wait oscillate.
const STEP: f64 = 0.2;
/// The largest share of a single connection.
const STEP_MAX: f64 = 0.05;
/// Approximate time of a saga for each competing connection.
const START_NANOS: u64 = 100_000;
/// The shortest wait; a shorter one costs more than the GET that it saves.
const WAIT_MIN_NANOS: f64 = 50_000.0;
/// The longest wait; a slower host is polled at this interval.
const WAIT_MAX_NANOS: f64 = 200_000_000.0;
/// The first follow-up wait, as a share of the first wait; each later one is longer by half.
const FOLLOW_UP_PART: u32 = 4;
/// The shortest follow-up wait.
const FOLLOW_UP_MIN: Duration = Duration::from_micros(100);
/// The longest follow-up wait, for orders that take seconds.
const FOLLOW_UP_MAX: Duration = Duration::from_millis(100);

/// The wait of all connections of a run.
#[derive(Debug)]
pub(crate) struct Pace {
    nanos: AtomicU64,
    step: f64,
}

impl Pace {
    /// For this many connections.
    pub(crate) fn new(connections: usize) -> Self {
        let connections = connections.max(1);
        Self {
            nanos: AtomicU64::new(START_NANOS.saturating_mul(connections as u64)),
            step: (STEP / connections as f64).min(STEP_MAX),
        }
    }

    /// The wait before the first GET.
    pub(crate) fn first(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// Takes in if the first GET found a decision.
    pub(crate) fn learn(&self, hit: bool) {
        let factor = if hit {
            1.0 - self.step * (1.0 - FIRST_HITS)
        } else {
            1.0 + self.step * FIRST_HITS
        };
        let wait = self.first().as_secs_f64() * 1e9 * factor;
        let wait = Duration::from_secs_f64(wait.clamp(WAIT_MIN_NANOS, WAIT_MAX_NANOS) / 1e9);
        // Two threads that adapt it at once may lose one small step, which does not matter.
        self.nanos.store(
            u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// The waits after a first GET that found no decision; an endless iterator.
    pub(crate) fn follow_ups(&self) -> impl Iterator<Item = Duration> + use<> {
        let start = (self.first() / FOLLOW_UP_PART).clamp(FOLLOW_UP_MIN, FOLLOW_UP_MAX);
        std::iter::successors(Some(start), |wait| Some((*wait * 3 / 2).min(FOLLOW_UP_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    #[test]
    fn the_wait_settles_where_the_chosen_share_is_decided() {
        // Decisions take 2 to 12 ms, evenly distributed: 60 % exist after 8 ms.
        let pace = Pace::new(4);
        let mut random = Rng::with_seed(1);
        let mut sum = Duration::ZERO;
        for round in 0..4_000 {
            let decided = Duration::from_micros(2_000 + random.u64(..10_000));
            pace.learn(decided <= pace.first());
            if round >= 2_000 {
                sum += pace.first();
            }
        }
        let mean = sum / 2_000;
        assert!(
            mean > Duration::from_millis(7) && mean < Duration::from_millis(9),
            "{mean:?}"
        );
    }

    #[test]
    fn follow_ups_grow_to_their_bound() {
        let waits: Vec<Duration> = Pace::new(5).follow_ups().take(30).collect();
        assert!(waits.is_sorted());
        assert_eq!(waits.first(), Some(&Duration::from_micros(125)));
        assert_eq!(waits.last(), Some(&FOLLOW_UP_MAX));
    }
}
