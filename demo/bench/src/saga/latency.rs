//! The two times of a saga, gathered from all connections of a run.
//!
//! Owns: two histograms in microseconds with three significant digits (an error below 0.1 %), and what is
//! reported of them. One pair for all connections: a pair for each of 256 would fill the caches that
//! the host needs.
//!
//! Must not know: what was measured under which load.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::saga::Decided;

/// Times beyond an hour are counted as an hour: nobody waits that long, through an outage either.
const HIGHEST_MICROS: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Gathers the times of sagas.
#[derive(Debug)]
pub(crate) struct Times {
    histograms: Mutex<(Histogram<u64>, Histogram<u64>)>,
}

/// The report on one of the two times; milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// Half of the sagas took no longer.
    pub(crate) p50: f64,
    /// 99 of 100 took no longer.
    pub(crate) p99: f64,
    /// The longest.
    pub(crate) max: f64,
}

impl Times {
    /// No times yet.
    ///
    /// # Errors
    /// The bounds above make no histogram; they do.
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        let histogram = || Histogram::new_with_max(HIGHEST_MICROS, DIGITS);
        Ok(Self {
            histograms: Mutex::new((histogram()?, histogram()?)),
        })
    }

    /// Takes the times of one saga.
    pub(crate) fn take(&self, decided: &Decided) {
        let mut histograms = self
            .histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        histograms.0.saturating_record(micros(decided.posted));
        histograms.1.saturating_record(micros(decided.decided));
    }

    /// How many sagas were taken, and their POST and POST→decided times.
    pub(crate) fn report(&self) -> (u64, Latency, Latency) {
        let histograms = self
            .histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (
            histograms.0.len(),
            Latency::of(&histograms.0),
            Latency::of(&histograms.1),
        )
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let millis = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1e3;
        Self {
            p50: millis(histogram.value_at_quantile(0.5)),
            p99: millis(histogram.value_at_quantile(0.99)),
            max: millis(histogram.max()),
        }
    }

    /// For `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({ "p50_ms": self.p50, "p99_ms": self.p99, "max_ms": self.max })
    }

    /// For a table: `1.23 / 4.56 / 7.89`.
    pub(crate) fn text(&self) -> String {
        format!("{:.2} / {:.2} / {:.2}", self.p50, self.p99, self.max)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(HIGHEST_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_demo::contract::OrderState;

    #[test]
    fn quantiles_are_those_of_the_times_taken() {
        let times = Times::new().unwrap();
        for millis in 1..=100 {
            times.take(&Decided {
                order_id: 1,
                state: OrderState::Approved,
                posted: Duration::from_millis(millis),
                decided: Duration::from_secs(120),
            });
        }
        let (count, posted, decided) = times.report();
        assert_eq!(count, 100);
        assert!(
            (posted.p50 - 50.0).abs() < 0.1 && (posted.p99 - 99.0).abs() < 0.1,
            "{posted:?}"
        );
        assert!((posted.max - 100.0).abs() < 0.2, "{posted:?}");
        assert!((decided.p50 - 120_000.0).abs() < 120.0, "{decided:?}");
    }
}
