//! Retry policy: another attempt at a message that was not decided, or giving up.
//!
//! Failures of the store or of the transport are not handled here: they say nothing about the
//! message, and the host retries without limit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of retries: number, delay and total time. The first limit that is reached ends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryPolicy {
    /// Attempts in all, the first included. At least 1. An attempt that a command on the same
    /// aggregate triggered is not counted.
    #[schemars(range(min = 1, max = u32::MAX))]
    pub attempts: u32,
    /// Seconds from the first attempt to the last. A restart resets attempts and seconds.
    #[schemars(range(min = 1, max = 2_592_000))]
    pub seconds: u64,
    /// Wait before the second attempt, in milliseconds; it doubles with each further one.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub first_delay_ms: u64,
    /// Longest wait between two attempts, in milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub max_delay_ms: u64,
    /// Treatment of later messages of an aggregate once one of its messages is a dead letter:
    /// `park` keeps them behind it, in order, until the dead letter is redriven or discarded;
    /// `skip` lets them pass.
    pub then: AfterDeadLetter,
}

/// Treatment of later messages of an aggregate once one of its messages is a dead letter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AfterDeadLetter {
    /// They are parked behind it, in order, until it is redriven or discarded.
    #[default]
    Park,
    /// They are decided without it.
    Skip,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 100,
            seconds: 600,
            first_delay_ms: 100,
            max_delay_ms: 30_000,
            then: AfterDeadLetter::default(),
        }
    }
}

/// The next step after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after this many milliseconds.
    RetryAfter(u64),
    /// Give up: the limit is reached.
    GiveUp,
}

impl RetryPolicy {
    /// The next step after the attempt of this number, this many milliseconds after the first one,
    /// which is number 1. The last attempt is made when the time is over.
    #[must_use]
    pub fn after(&self, attempt: u32, waited_ms: u64) -> Next {
        let left = (self.seconds.saturating_mul(1_000)).saturating_sub(waited_ms);
        if attempt >= self.attempts || left == 0 {
            return Next::GiveUp;
        }
        let doublings = attempt.saturating_sub(1).min(32);
        let delay = self.first_delay_ms.saturating_mul(1 << doublings);
        Next::RetryAfter(delay.min(self.max_delay_ms).min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_then_it_gives_up() {
        let policy = RetryPolicy {
            attempts: 5,
            seconds: 600,
            first_delay_ms: 100,
            max_delay_ms: 350,
            then: AfterDeadLetter::Park,
        };
        let next: Vec<_> = (1..=5).map(|attempt| policy.after(attempt, 0)).collect();
        assert_eq!(
            next,
            [
                Next::RetryAfter(100),
                Next::RetryAfter(200),
                Next::RetryAfter(350),
                Next::RetryAfter(350),
                Next::GiveUp
            ]
        );
    }

    #[test]
    fn the_last_attempt_is_made_when_the_time_is_over() {
        let policy = RetryPolicy {
            attempts: 100,
            seconds: 2,
            first_delay_ms: 500,
            max_delay_ms: 30_000,
            then: AfterDeadLetter::Park,
        };
        let waited = [(1, 0), (2, 500), (3, 1_500), (4, 2_000), (4, 9_000)];
        let next = waited.map(|(attempt, waited)| policy.after(attempt, waited));
        assert_eq!(
            next,
            [
                Next::RetryAfter(500),
                Next::RetryAfter(1_000),
                Next::RetryAfter(500),
                Next::GiveUp,
                Next::GiveUp
            ]
        );
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let policy = RetryPolicy {
            attempts: u32::MAX,
            seconds: u64::MAX,
            first_delay_ms: u64::MAX,
            max_delay_ms: u64::MAX,
            then: AfterDeadLetter::Park,
        };
        assert_eq!(policy.after(u32::MAX - 1, 0), Next::RetryAfter(u64::MAX));
    }
}
