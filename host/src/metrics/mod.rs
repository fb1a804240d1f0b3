//! What the host counts and measures, for Prometheus and whoever reads its formats.
//!
//! Owns every name, help text and label. Whoever counts is handed the counters of what it does ([`turns`], [`instances`], [`requests`],
//! [`Commits`], [`Swaps`]) at the wiring, once for each worker, route or generation; to count is then an addition to an
//! atomic number: no lock, no lookup of labels, nothing allocated. Where metrics are off the same handles do nothing, and the
//! clock is not asked. What can be known by looking ([`observed`]) is not counted but looked up when it is asked for.
//!
//! Labels come from descriptions and settings only, never from keys, paths or payloads, so their number is
//! bounded by what is configured (invariant 9). Must not know who counts: stores, transports, HTTP, components.
//!
//! # Layout
//!
//! - this file: the registry; what is told, in which format
//! - [`turns`]: turns, by participant and by generation
//! - [`instances`]: instances of the rules
//! - [`requests`]: HTTP requests and connections
//! - [`passed`]: records that are passed over
//! - [`observed`]: what is looked up when somebody asks
//! - [`process`]: what the process has used
//! - [`histogram`]: a histogram without a lock

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
use self::passed::Passed;
use self::requests::Requests;
use self::turns::Turns;

/// What every name of the host's own metrics begins with.
const PREFIX: &str = "saga";

/// Everything that is counted, or nothing where metrics are off.
pub struct Metrics(Option<Families>);

/// The metrics that have series before anybody asks.
struct Families {
    registry: Registry,
    turns: turns::Families,
    instances: instances::Families,
    requests: requests::Families,
    commits: CommitFamilies,
    swaps: Family<SwapLabels, Counter>,
    passed: Family<passed::PassedLabels, Counter>,
}

/// The formats in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, for who asks for it.
    OpenMetrics,
    /// Prometheus text 0.0.4, which everybody reads, people too.
    Text,
}

impl Format {
    /// The format for who sends this `Accept`.
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
    /// Begins to count, or does not where metrics are off.
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self(enabled.then(|| {
            let mut registry = Registry::with_prefix(PREFIX);
            Families {
                turns: turns::Families::register(&mut registry),
                instances: instances::Families::register(&mut registry),
                requests: requests::Families::register(&mut registry),
                commits: CommitFamilies::register(&mut registry),
                swaps: register_swaps(&mut registry),
                passed: passed::register(&mut registry),
                registry,
            }
        }))
    }

    /// Whether anything is counted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What the turns of a participant are counted by.
    #[must_use]
    pub fn turns(&self, participant: &str) -> Turns {
        (self.0.as_ref()).map_or_else(Turns::default, |on| Turns::new(&on.turns, participant))
    }

    /// What the records that a participant passes over are counted by.
    #[must_use]
    pub fn passed(&self, participant: &str) -> Passed {
        (self.0.as_ref()).map_or_else(Passed::default, |on| Passed::new(&on.passed, participant))
    }

    /// What the instances of a participant are counted by.
    #[must_use]
    pub fn instances(&self, participant: &str) -> Instances {
        let on = self.0.as_ref();
        on.map_or_else(Instances::default, |on| {
            Instances::new(&on.instances, participant)
        })
    }

    /// What the requests of a listener are counted by.
    #[must_use]
    pub fn requests(&self, participant: &str) -> Requests {
        let on = self.0.as_ref();
        on.map_or_else(Requests::default, |on| {
            Requests::new(&on.requests, participant)
        })
    }

    /// What the commits of the store are counted by.
    #[must_use]
    pub fn commits(&self) -> Commits {
        Commits(self.0.as_ref().map(|on| on.commits.clone()))
    }

    /// What swaps are counted by.
    #[must_use]
    pub fn swaps(&self) -> Swaps {
        Swaps(self.0.as_ref().map(|on| on.swaps.clone()))
    }

    /// Everything that was counted, and what was observed besides; none where metrics are off.
    #[must_use]
    pub fn text(&self, observed: &Observed, format: Format) -> Option<String> {
        let own = &self.0.as_ref()?.registry;
        let mut now = Registry::with_prefix(PREFIX);
        observed.register(&mut now);
        let mut process = Registry::default();
        process::register(&mut process);
        let mut told = String::new();
        // Writing to a text does not fail.
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
    /// When something begins, which is now; none where nothing is measured.
    #[must_use]
    pub fn at(&self, now: Instant) -> Option<Instant> {
        self.0.as_ref().map(|_| now)
    }

    /// A commit of so many entries, which began then, is over; gives when.
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
    /// A participant was offered a component; both words are of a closed list.
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
    fn who_asks_for_openmetrics_gets_it_and_all_others_text() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.3";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        for other in [None, Some("*/*"), Some("text/html, text/plain;q=0.5")] {
            assert_eq!(Format::accepted(other), Format::Text);
        }
    }

    #[test]
    fn where_metrics_are_off_nothing_is_told_and_no_clock_is_asked() {
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
