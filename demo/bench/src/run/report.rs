//! The result of a benchmark, as a table and as JSON.
//!
//! Owns: layout, units, and the ratios between the two hosts.
//!
//! Must not know: the measurements.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::run::floor::Floor;
use crate::run::rounds::MeasuredRound;
use crate::saga::latency::millis;

/// The results of a benchmark.
#[derive(Debug)]
pub(crate) struct RunReport {
    /// The time of a durable append of 4 KiB here.
    pub(crate) floor: Floor,
    /// Decisions per second whose rows SQLite alone writes.
    pub(crate) sqlite_decisions: f64,
    /// The host with components.
    pub(crate) startup: Startup,
    /// The host with native rules, if one was measured.
    pub(crate) native_startup: Option<Startup>,
    /// One entry per number of connections.
    pub(crate) levels: Vec<RunLevel>,
}

/// Time from the start of the process to `ready`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Startup {
    /// Nothing cached: the components are compiled.
    pub(crate) cold: Duration,
    /// The second start.
    pub(crate) cached: Duration,
}

/// The measurement at one number of connections.
#[derive(Debug)]
pub(crate) struct RunLevel {
    /// Connections.
    pub(crate) connections: usize,
    /// The median round with components.
    pub(crate) component: MeasuredRound,
    /// The median round without metrics, checks of bodies and idempotency keys.
    pub(crate) bare: MeasuredRound,
    /// The median round with native rules.
    pub(crate) native: Option<MeasuredRound>,
}

impl RunReport {
    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        let levels: Vec<Value> = self.levels.iter().map(RunLevel::json).collect();
        json!({
            "fsync_ms": self.floor.json(),
            "sqlite_decisions_per_second": self.sqlite_decisions,
            "startup_ms": self.startup.json(),
            "native_startup_ms": self.native_startup.map(|startup| startup.json()),
            "levels": levels,
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{}\u{20}          the rows of {:.0} decisions/s by SQLite alone: a saga is three decisions\n\
             startup    ready after {}\n",
            self.floor.text(),
            self.sqlite_decisions,
            self.startup.text()
        );
        if let Some(startup) = self.native_startup {
            text.push_str(&format!("           native: {}\n", startup.text()));
        }
        text.push('\n');
        text.push_str(&row([
            "",
            "conns",
            "sagas/s",
            "POST ms p50/p99/max",
            "decided ms p50/p99/max",
            "host CPU",
            "generator",
            "kB written",
            "peak MiB",
        ]));
        for level in &self.levels {
            text.push_str(&measured_row(
                "component",
                level.connections,
                &level.component,
            ));
            let others = [
                ("bare", Some(&level.bare)),
                ("native", level.native.as_ref()),
            ];
            for (name, other) in others {
                let Some(other) = other else { continue };
                text.push_str(&measured_row(name, level.connections, other));
                let (rate, cpu) = level.ratios(other);
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "           component / {name}: sagas/s {rate:.2}, CPU {cpu:.2}"
                );
            }
        }
        text.push_str(
            "\nA saga: POST, then GET until decided; `decided` includes the wait until the client asks. \
             host CPU:\nprocessor seconds of the host per 10,000 sagas; generator: the same of this program, which \
             shares the machine; kB written:\nto disks, per saga. bare: without metrics, checks of bodies and idempotency keys, which the others have.",
        );
        text
    }
}

impl Startup {
    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        json!({ "cold": millis(self.cold), "cached": millis(self.cached) })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        format!(
            "{:.0} ms (nothing cached), {:.0} ms (code cached)",
            millis(self.cold),
            millis(self.cached)
        )
    }
}

impl RunLevel {
    fn json(&self) -> Value {
        let ratios = |other: &MeasuredRound| {
            let (rate, cpu) = self.ratios(other);
            json!({ "sagas_per_second": rate, "host_cpu": cpu })
        };
        json!({
            "connections": self.connections,
            "component": measured_json(&self.component),
            "native": self.native.as_ref().map(measured_json),
            "component_to_native": self.native.as_ref().map(ratios),
            "bare": measured_json(&self.bare),
            "component_to_bare": ratios(&self.bare),
        })
    }

    /// The ratio of one host to another: sagas per second, processor time per saga.
    fn ratios(&self, other: &MeasuredRound) -> (f64, f64) {
        (
            self.component.sagas_per_second / other.sagas_per_second.max(f64::EPSILON),
            self.component.cpu() / other.cpu().max(f64::EPSILON),
        )
    }
}

fn measured_json(measured: &MeasuredRound) -> Value {
    json!({
        "sagas_per_second": measured.sagas_per_second,
        "post": measured.posted.json(),
        "decided": measured.decided.json(),
        "host_cpu_seconds_per_10000_sagas": measured.cpu(),
        "generator_cpu_seconds_per_10000_sagas": measured.own_cpu,
        "host_written_bytes_per_saga": measured.written(),
        "host_peak_mib": measured.peak_mib(),
    })
}

fn measured_row(name: &str, connections: usize, measured: &MeasuredRound) -> String {
    row([
        name,
        &connections.to_string(),
        &format!("{:.0}", measured.sagas_per_second),
        &measured.posted.text(),
        &measured.decided.text(),
        &format!("{:.2}", measured.cpu()),
        &format!("{:.2}", measured.own_cpu),
        &format!("{:.1}", measured.written() / 1e3),
        &format!("{:.0}", measured.peak_mib()),
    ])
}

fn row(cells: [&str; 9]) -> String {
    let [
        name,
        connections,
        rate,
        posted,
        decided,
        cpu,
        generator,
        written,
        peak,
    ] = cells;
    format!(
        "{name:<10} {connections:>5} {rate:>8}  {posted:>23}  {decided:>25}  {cpu:>9}  {generator:>9}  {written:>10}  {peak:>8}\n"
    )
}
