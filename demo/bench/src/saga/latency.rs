//! The two times of a saga, collected from all connections of a run.
//!
//! Owns: two histograms in microseconds with three significant digits (an error below 0.1 %), and
//! their report. All connections share them: a pair for each of 256 would fill the caches that the
//! host needs.
//!
//! Must not know: the load.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::saga::DecidedSaga;

/// Longer times count as an hour, which none reaches, even through an outage.
const HIGHEST_MICROS: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Collects the times of sagas.
#[derive(Debug)]
pub(crate) struct Times {
    histograms: Mutex<(Histogram<u64>, Histogram<u64>)>,
}

/// The report on one of the two times, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// The median.
    pub(crate) p50: f64,
    /// The 99th percentile.
    pub(crate) p99: f64,
    /// The longest.
    pub(crate) max: f64,
}

impl Times {
    /// Without times.
    ///
    /// # Errors
    /// The bounds above don't make a histogram; they do.
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        let histogram = || Histogram::new_with_max(HIGHEST_MICROS, DIGITS);
        Ok(Self {
            histograms: Mutex::new((histogram()?, histogram()?)),
        })
    }

    /// Adds the times of one saga.
    pub(crate) fn take(&self, decided: &DecidedSaga) {
        let mut histograms = self
            .histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        histograms.0.saturating_record(micros(decided.posted));
        histograms.1.saturating_record(micros(decided.decided));
    }

    /// The number of sagas, and their times: POST, and POST→decided.
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
        let millis = |micros| millis(Duration::from_micros(micros));
        Self {
            p50: millis(histogram.value_at_quantile(0.5)),
            p99: millis(histogram.value_at_quantile(0.99)),
            max: millis(histogram.max()),
        }
    }

    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({ "p50_ms": self.p50, "p99_ms": self.p99, "max_ms": self.max })
    }

    /// As text: `1.23 / 4.56 / 7.89`.
    pub(crate) fn text(&self) -> String {
        format!("{:.2} / {:.2} / {:.2}", self.p50, self.p99, self.max)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(HIGHEST_MICROS)
}

/// A time in milliseconds, for reports.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_demo_client::contract::OrderState;

    #[test]
    fn quantiles_are_those_of_the_times_taken() {
        let times = Times::new().unwrap();
        for millis in 1..=100 {
            times.take(&DecidedSaga {
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
