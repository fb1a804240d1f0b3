//! The result of a run of swaps, as a table and as JSON.
//!
//! Owns: layout, units, and the differences between the groups of requests.
//!
//! Must not know: the measurements.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::swaps::overlap::{Distribution, Groups, QUANTILE_NAMES, TimeWindow};
use crate::swaps::pauses::Pauses;

/// The results of a run of swaps.
#[derive(Debug)]
pub(crate) struct SwapsReport {
    /// Time of the checks of each swap as reported by the host, in microseconds.
    pub(crate) checked: Vec<u64>,
    /// Time of each hand-over as reported by the host, in microseconds.
    pub(crate) handed_over: Vec<u64>,
    /// Wait between two swaps.
    pub(crate) every: Duration,
    /// Hosts on the store.
    pub(crate) hosts: usize,
    /// Connections, each with one saga at a time.
    pub(crate) connections: usize,
    /// The builds: version and decisions.
    pub(crate) versions: Vec<(String, u64)>,
    /// Decided orders.
    pub(crate) orders: usize,
    /// Requests that failed, and orders that stayed PENDING.
    pub(crate) failed: usize,
    /// The longest times without an answer of a host.
    pub(crate) pauses: Pauses,
    /// The window without swaps.
    pub(crate) quiet: TimeWindow,
    /// The window with swaps.
    pub(crate) busy: TimeWindow,
    /// Time from sending the POST to its answer.
    pub(crate) posted: Groups,
    /// Time from sending the POST to the answer that shows the decision.
    pub(crate) decided: Groups,
    /// Memory of the hosts.
    pub(crate) memory: Memory,
    /// All violations.
    pub(crate) wrong: Vec<String>,
}

/// Resident memory of all hosts together, MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Number of swaps before the first reading.
    pub(crate) first: usize,
    /// After these swaps.
    pub(crate) after_first: f64,
    /// After the window without swaps: the effect of load alone.
    pub(crate) after_quiet: f64,
    /// After all swaps.
    pub(crate) at_end: f64,
}

impl SwapsReport {
    /// True if there are no violations.
    pub(crate) fn right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        let builds: Vec<Value> = self
            .versions
            .iter()
            .map(|(version, decisions)| json!({ "version": version, "decisions": decisions }))
            .collect();
        json!({
            "right": self.right(),
            "swaps": self.handed_over.len(),
            "connections": self.connections,
            "every_ms": self.every.as_secs_f64() * 1e3,
            "hosts": self.hosts,
            "orders": self.orders,
            "failed_requests": self.failed,
            "builds": builds,
            "checked": distribution_json(times(&self.checked).as_ref()),
            "swapped": distribution_json(times(&self.handed_over).as_ref()),
            "quiet_seconds": self.quiet.seconds(),
            "swapping_seconds": self.busy.seconds(),
            "post": self.posted.json(),
            "decided": self.decided.json(),
            "pauses": {
                "swaps": distribution_json(self.pauses.swaps.as_ref()),
                "like_swaps": distribution_json(self.pauses.like_swaps.as_ref()),
                "hand_overs": distribution_json(self.pauses.hand_overs.as_ref()),
                "like_hand_overs": distribution_json(self.pauses.like_hand_overs.as_ref()),
            },
            "memory": {
                "first_swaps": self.memory.first,
                "after_first_swaps_mib": self.memory.after_first,
                "after_quiet_mib": self.memory.after_quiet,
                "at_end_mib": self.memory.at_end,
                "ratio": self.memory.ratio(),
            },
            "wrong": self.wrong,
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let builds: Vec<String> = self
            .versions
            .iter()
            .map(|(version, decisions)| format!("{version} decided {decisions}"))
            .collect();
        let mut lines = vec![
            format!(
                "{} swaps, {} ms apart, over {} under {} connections; {} orders, {} failed requests; builds: {}",
                self.handed_over.len(),
                self.every.as_millis(),
                match self.hosts {
                    1 => "one host".to_owned(),
                    hosts => format!("{hosts} hosts"),
                },
                self.connections,
                self.orders,
                self.failed,
                builds.join(", ")
            ),
            format!(
                "windows: {:.1} s without swaps, {:.1} s with",
                self.quiet.seconds(),
                self.busy.seconds()
            ),
            String::new(),
            header("a swap, ms", "swaps"),
            row("checked", times(&self.checked).as_ref()),
            row("handed over", times(&self.handed_over).as_ref()),
        ];
        for (name, groups) in [
            ("POST, ms", &self.posted),
            ("POST→decided, ms", &self.decided),
        ] {
            lines.push(String::new());
            lines.push(header(name, "requests"));
            lines.extend(groups.rows());
        }
        lines.push(String::new());
        lines.push(header("no answer, ms", "swaps"));
        for (name, pauses) in [
            ("around swaps", &self.pauses.swaps),
            ("as long, without", &self.pauses.like_swaps),
            ("around hand-overs", &self.pauses.hand_overs),
            ("as long, without", &self.pauses.like_hand_overs),
        ] {
            lines.push(row(name, pauses.as_ref()));
        }
        let Memory {
            first,
            after_first,
            after_quiet,
            at_end,
        } = self.memory;
        lines.push(String::new());
        lines.push(format!(
            "memory of the hosts: {after_first:.1} MiB after {first} swaps, {after_quiet:.1} after the window \
             without, {at_end:.1} at the end: {:.3} times",
            self.memory.ratio()
        ));
        lines.push(
            "`handed over`: requests that overlapped the first 3 ms of a hand-over; `checks`: another part of a swap; \
             `between`: no swap;\n`control`: those of them that overlapped 3 ms halfway between two swaps (longer requests \
             overlap more, so the others are\nnot as long to begin with)\n`no answer`: the longest time without any answer of a host, one for each swap and host; `as long, without`: in pieces of \
             the window\nwithout swaps"
                .to_owned(),
        );
        if self.right() {
            lines.push(
                "RIGHT: every request was answered, every order is decided, the books and the decisions of \
                 both builds add up"
                    .to_owned(),
            );
        } else {
            lines.push(format!("WRONG: {} things", self.wrong.len()));
            lines.extend(self.wrong.iter().map(|wrong| format!("  {wrong}")));
        }
        lines.join("\n")
    }
}

impl Memory {
    fn ratio(&self) -> f64 {
        self.at_end / self.after_first.max(f64::EPSILON)
    }
}

impl Groups {
    fn all(&self) -> [(&'static str, &'static str, Option<&Distribution>); 5] {
        [
            ("quiet", "without swaps", self.quiet.as_ref()),
            ("control", "control", self.control.as_ref()),
            ("between", "between", self.between.as_ref()),
            ("checks", "checks", self.checks.as_ref()),
            ("handed_over", "handed over", self.handed_over.as_ref()),
        ]
    }

    /// The time that the hand-over adds, compared with requests that met no swap.
    fn added(&self) -> [(&'static str, &'static str, Option<[f64; 5]>); 3] {
        let added = |other: Option<&Distribution>| {
            let handed_over = self.handed_over.as_ref()?;
            Some(handed_over.added_to(other?))
        };
        [
            (
                "added_to_control",
                "added to `control`",
                added(self.control.as_ref()),
            ),
            (
                "added_to_between",
                "added to `between`",
                added(self.between.as_ref()),
            ),
            (
                "added_to_quiet",
                "added to `without`",
                added(self.quiet.as_ref()),
            ),
        ]
    }

    fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .all()
            .iter()
            .map(|(_, name, group)| row(name, *group))
            .collect();
        for (_, name, added) in self.added() {
            if let Some(added) = added {
                rows.push(cells(name, "", added.map(|millis| format!("{millis:+.2}"))));
            }
        }
        rows
    }

    fn json(&self) -> Value {
        let mut members = Map::new();
        for (name, _, group) in self.all() {
            members.insert(name.to_owned(), distribution_json(group));
        }
        for (name, _, added) in self.added() {
            members.insert(name.to_owned(), json!(added.map(named)));
        }
        Value::Object(members)
    }
}

/// The distribution of times in microseconds.
fn times(micros: &[u64]) -> Option<Distribution> {
    let short = |micros: &u64| u32::try_from(*micros).unwrap_or(u32::MAX);
    Distribution::of(micros.iter().map(short).collect())
}

/// As JSON: quantiles in milliseconds.
pub(crate) fn distribution_json(distribution: Option<&Distribution>) -> Value {
    let Some(distribution) = distribution else {
        return json!({ "requests": 0 });
    };
    let mut members = named(distribution.millis);
    members.insert("requests".to_owned(), json!(distribution.count));
    Value::Object(members)
}

fn named(millis: [f64; 5]) -> Map<String, Value> {
    let names = QUANTILE_NAMES.map(|name| format!("{}_ms", name.replace('.', "")));
    names
        .into_iter()
        .zip(millis.map(|one| json!(one)))
        .collect()
}

/// The first row of a table of distributions.
pub(crate) fn header(name: &str, counted: &str) -> String {
    cells(name, counted, QUANTILE_NAMES.map(str::to_owned))
}

/// A row of it, in milliseconds.
pub(crate) fn row(name: &str, distribution: Option<&Distribution>) -> String {
    match distribution {
        Some(Distribution { count, millis }) => cells(
            name,
            &count.to_string(),
            millis.map(|millis| format!("{millis:.2}")),
        ),
        None => cells(name, "0", QUANTILE_NAMES.map(|_| "-".to_owned())),
    }
}

fn cells(name: &str, count: &str, values: [String; 5]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:>9}")).collect();
    format!("{name:<20}{count:>9}{}", values.join(""))
}
