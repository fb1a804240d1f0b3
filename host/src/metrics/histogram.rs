//! A lock-free histogram: each observation is two atomic additions.
//!
//! The histogram of `prometheus-client` takes a lock and adds floating-point numbers. Here values
//! are integers (nanoseconds, units of fuel, entries), converted to the exported unit only on a
//! scrape. On a scrape, sum and buckets may be a few observations apart; the count is always the
//! sum of the buckets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds of the buckets, and the divisor that converts values to the exported unit.
#[derive(Debug)]
pub struct Buckets {
    ends: &'static [u64],
    divisor: f64,
}

/// Nanoseconds, exported as seconds: 10 µs to 30 s. A call of the rules takes microseconds, a
/// commit milliseconds; anything longer than the last bound is broken.
pub static SECONDS: Buckets = Buckets {
    ends: &[
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
        30_000_000_000,
    ],
    divisor: 1e9,
};

/// Counts, up to the largest usual batch.
pub static COUNTS: Buckets = Buckets {
    ends: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024],
    divisor: 1.0,
};

/// Fuel: a small decision takes some ten thousand, the default limit is a thousand million.
pub static FUEL: Buckets = Buckets {
    ends: &[
        3_000,
        10_000,
        30_000,
        100_000,
        300_000,
        1_000_000,
        3_000_000,
        10_000_000,
        100_000_000,
        1_000_000_000,
    ],
    divisor: 1.0,
};

/// A histogram. Clones share their counts.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Series>);

#[derive(Debug)]
struct Series {
    bounds: &'static Buckets,
    /// One bucket per bound, and one beyond the last.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Creates an empty histogram.
    #[must_use]
    pub fn new(bounds: &'static Buckets) -> Self {
        Self(Arc::new(Series {
            bounds,
            buckets: (0..=bounds.ends.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }))
    }

    /// Counts a value, in the unit of the bounds.
    pub fn observe(&self, value: u64) {
        let place = self.0.bounds.ends.partition_point(|end| *end < value);
        if let Some(bucket) = self.0.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
            self.0.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Counts a duration, in nanoseconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Series {
            bounds,
            buckets,
            sum,
        } = &*self.0;
        let ends = bounds.ends.iter().map(|end| *end as f64 / bounds.divisor);
        let buckets: Vec<(f64, u64)> = ends
            .chain([f64::INFINITY])
            .zip(buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = sum.load(Ordering::Relaxed) as f64 / bounds.divisor;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn values_fall_into_the_bucket_that_ends_with_them() {
        let histogram = Histogram::new(&COUNTS);
        for value in [0, 1, 2, 3, 1_024, 1_025] {
            histogram.observe(value);
        }
        let told = told(histogram);
        for line in [
            "h_sum 2055.0",
            "h_count 6",
            "h_bucket{le=\"1.0\"} 2",
            "h_bucket{le=\"2.0\"} 3",
            "h_bucket{le=\"4.0\"} 4",
            "h_bucket{le=\"1024.0\"} 5",
            "h_bucket{le=\"+Inf\"} 6",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}: {told}");
        }
    }

    #[test]
    fn times_are_told_in_seconds() {
        let histogram = Histogram::new(&SECONDS);
        histogram.observe_duration(Duration::from_millis(1_500));
        let told = told(histogram);
        assert!(told.contains("h_sum 1.5\n"), "{told}");
        assert!(told.contains("h_bucket{le=\"1.0\"} 0\n"), "{told}");
        assert!(told.contains("h_bucket{le=\"2.5\"} 1\n"), "{told}");
        assert!(told.contains("h_bucket{le=\"0.00001\"} 0\n"), "{told}");
    }

    fn told(histogram: Histogram) -> String {
        let mut registry = Registry::default();
        registry.register("h", "H", histogram);
        let mut told = String::new();
        encode(&mut told, &registry).unwrap();
        told
    }
}
