//! Metrics of the host, in the text formats of Prometheus.
//!
//! Owns every name, help text and label. At the wiring, the counting code is handed its counters
//! ([`turns`], [`instances`], [`requests`], [`Commits`], [`Swaps`]) once per worker, route or
//! generation; to count is then an atomic addition: no lock, no label lookup, no allocation. If
//! metrics are off, the same handles do nothing and don't read the clock. Values that can be looked
//! up ([`observed`]) are not counted but read on each scrape.
//!
//! Labels come from descriptions and settings only, never from keys, paths or payloads, so the
//! configuration bounds their number (invariant 9). Must not know its callers: stores, transports,
//! HTTP, components.
//!
//! # Layout
//!
//! - this file: the registry and the exposition formats
//! - [`turns`]: turns, by participant and by generation
//! - [`instances`]: instances of the rules
//! - [`requests`]: HTTP requests and connections
//! - [`passed`]: records that are passed over
//! - [`observed`]: values that are read on each scrape
//! - [`process`]: resource usage of the process
//! - [`histogram`]: a lock-free histogram

pub mod histogram;
pub mod instances;
pub mod observed;
pub mod passed;
pub mod process;
pub mod requests;
pub mod turns;

use std::fmt;
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use self::histogram::{COUNTS, Histogram, SECONDS};
use self::instances::Instances;
use self::observed::Observed;
use self::passed::PassedCounters;
use self::requests::RequestMetrics;
use self::turns::Turns;

/// Prefix of all names of the host's own metrics.
const PREFIX: &str = "saga";

/// All counters, or none if metrics are off.
pub struct Metrics(Option<Families>);

/// The metrics whose series exist before the first scrape.
struct Families {
    registry: Registry,
    turns: turns::TurnFamilies,
    instances: instances::InstanceFamilies,
    requests: requests::RequestFamilies,
    commits: CommitFamilies,
    swaps: Family<SwapLabels, Counter>,
    passed: Family<passed::PassedLabels, Counter>,
}

/// Exposition formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, for clients that ask for it.
    OpenMetrics,
    /// Prometheus text 0.0.4, which every tool reads, and people too.
    Text,
}

impl Format {
    /// The format for this `Accept` header.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let wants = |range: &str| {
            let media_type = range.split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case("application/openmetrics-text")
        };
        if accept.is_some_and(|accept| accept.split(',').any(wants)) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}

impl Metrics {
    /// Creates the counters, or none if metrics are off.
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self(enabled.then(|| {
            let mut registry = Registry::with_prefix(PREFIX);
            Families {
                turns: turns::TurnFamilies::register(&mut registry),
                instances: instances::InstanceFamilies::register(&mut registry),
                requests: requests::RequestFamilies::register(&mut registry),
                commits: CommitFamilies::register(&mut registry),
                swaps: register_swaps(&mut registry),
                passed: passed::register(&mut registry),
                registry,
            }
        }))
    }

    /// True if metrics are on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The counters for the turns of a participant.
    #[must_use]
    pub fn turns(&self, participant: &str) -> Turns {
        (self.0.as_ref()).map_or_else(Turns::default, |on| Turns::new(&on.turns, participant))
    }

    /// The counters for the records that a participant passes over.
    #[must_use]
    pub fn passed(&self, participant: &str) -> PassedCounters {
        (self.0.as_ref()).map_or_else(PassedCounters::default, |on| {
            PassedCounters::new(&on.passed, participant)
        })
    }

    /// The counters for the instances of a participant.
    #[must_use]
    pub fn instances(&self, participant: &str) -> Instances {
        let on = self.0.as_ref();
        on.map_or_else(Instances::default, |on| {
            Instances::new(&on.instances, participant)
        })
    }

    /// The counters for the requests of a listener.
    #[must_use]
    pub fn requests(&self, participant: &str) -> RequestMetrics {
        let on = self.0.as_ref();
        on.map_or_else(RequestMetrics::default, |on| {
            RequestMetrics::new(&on.requests, participant)
        })
    }

    /// The counters for the commits of the store.
    #[must_use]
    pub fn commits(&self) -> Commits {
        Commits(self.0.as_ref().map(|on| on.commits.clone()))
    }

    /// The counters for swaps.
    #[must_use]
    pub fn swaps(&self) -> Swaps {
        Swaps(self.0.as_ref().map(|on| on.swaps.clone()))
    }

    /// The exposition of all counters and of the observed values; `None` if metrics are off.
    #[must_use]
    pub fn text(&self, observed: &Observed, format: Format) -> Option<String> {
        let own = &self.0.as_ref()?.registry;
        let mut now = Registry::with_prefix(PREFIX);
        observed.register(&mut now);
        let mut process = Registry::default();
        process::register(&mut process);
        let mut told = String::new();
        // Writing to a `String` does not fail.
        let _ = write(&mut told, &[own, &now, &process], format);
        Some(told)
    }
}

fn write(to: &mut String, registries: &[&Registry], format: Format) -> fmt::Result {
    for registry in registries {
        match format {
            Format::OpenMetrics => text::encode_registry(to, registry)?,
            Format::Text => prometheus_text::encode(to, registry)?,
        }
    }
    match format {
        Format::OpenMetrics => text::encode_eof(to),
        Format::Text => Ok(()),
    }
}

/// The commits of the store.
#[derive(Clone, Default)]
pub struct Commits(Option<CommitFamilies>);

#[derive(Clone)]
struct CommitFamilies {
    entries: Histogram,
    seconds: Histogram,
    failed: Counter,
}

impl CommitFamilies {
    fn register(registry: &mut Registry) -> Self {
        let families = Self {
            entries: Histogram::new(&COUNTS),
            seconds: Histogram::new(&SECONDS),
            failed: Counter::default(),
        };
        registry.register(
            "commit_entries",
            "What shared one commit of the store: turns, and steps of the host's own",
            families.entries.clone(),
        );
        registry.register(
            "commit_seconds",
            "Time of one commit, from the first row to the disk's answer",
            families.seconds.clone(),
        );
        registry.register(
            "commits_failed",
            "Commits that failed and were undone",
            families.failed.clone(),
        );
        families
    }
}

impl Commits {
    /// The start time of a measurement; `None` if nothing is measured.
    #[must_use]
    pub fn at(&self, now: Instant) -> Option<Instant> {
        self.0.as_ref().map(|_| now)
    }

    /// Counts a commit of this number of entries that began at `began`; returns the time of its
    /// end.
    pub fn over(&self, entries: usize, began: Option<Instant>, is_ok: bool) -> Option<Instant> {
        let (families, began) = self.0.as_ref().zip(began)?;
        let now = Instant::now();
        if is_ok {
            families.entries.observe(entries as u64);
            families.seconds.observe_duration(now - began);
        } else {
            families.failed.inc();
        }
        Some(now)
    }
}

/// Swaps of rules.
#[derive(Clone, Default)]
pub struct Swaps(Option<Family<SwapLabels, Counter>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SwapLabels {
    participant: String,
    way: &'static str,
    result: &'static str,
}

fn register_swaps(registry: &mut Registry) -> Family<SwapLabels, Counter> {
    let swaps = Family::default();
    registry.register(
        "swaps",
        "Components that were offered to take over, by the way they came and what became of it",
        swaps.clone(),
    );
    swaps
}

impl Swaps {
    /// Counts a component that was offered to a participant; both words come from closed lists.
    pub fn count(&self, participant: &str, way: &'static str, result: &'static str) {
        if let Some(swaps) = &self.0 {
            let labels = SwapLabels {
                participant: participant.to_owned(),
                way,
                result,
            };
            swaps.get_or_create(&labels).inc();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_openmetrics_on_request_and_text_otherwise() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.3";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        for other in [None, Some("*/*"), Some("text/html, text/plain;q=0.5")] {
            assert_eq!(Format::accepted(other), Format::Text);
        }
    }

    #[test]
    fn disabled_metrics_export_nothing_and_read_no_clock() {
        let off = Metrics::new(false);
        assert!(!off.is_on());
        assert_eq!(off.text(&Observed::default(), Format::Text), None);
        assert_eq!(off.commits().at(Instant::now()), None);
        assert_eq!(off.commits().over(1, Some(Instant::now()), true), None);
        off.swaps().count("p", "apply", "swapped");
    }

    #[test]
    fn openmetrics_has_one_end() {
        let on = Metrics::new(true);
        on.swaps().count("p", "apply", "swapped");
        let told = on.text(&Observed::default(), Format::OpenMetrics).unwrap();
        assert!(told.ends_with("# EOF\n"), "{told}");
        assert_eq!(told.matches("# EOF").count(), 1);
        let series = r#"saga_swaps_total{participant="p",way="apply",result="swapped"} 1"#;
        assert!(told.contains(series), "{told}");
    }
}
