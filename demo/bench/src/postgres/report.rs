//! The result of a benchmark on PostgreSQL, as a table and as JSON.
//!
//! Owns: layout, units, and the ratios of the two hosts.
//!
//! Must not know: the measurements.

use serde_json::{Value, json};

use crate::run::floor::Floor;
use crate::run::report::Startup;
use crate::run::rounds::MeasuredRound;

/// Decisions of a saga: the order, its credit, its end.
const DECISIONS: f64 = 3.0;

/// The results of a benchmark.
#[derive(Debug)]
pub(crate) struct PostgresReport {
    /// The version of the server.
    pub(super) version: String,
    /// The time of a durable append of 4 KiB here.
    pub(super) floor: Floor,
    /// Number of rounds, of which the median counts.
    pub(super) rounds: usize,
    /// Of the host on SQLite.
    pub(super) sqlite_startup: Startup,
    /// Of the host on PostgreSQL.
    pub(super) postgres_startup: Startup,
    /// One entry per number of connections.
    pub(super) levels: Vec<PostgresLevel>,
}

/// The measurement at one number of connections.
#[derive(Debug)]
pub(super) struct PostgresLevel {
    /// Connections.
    pub(super) connections: usize,
    /// The median round on SQLite.
    pub(super) sqlite: MeasuredRound,
    /// The median round on PostgreSQL.
    pub(super) postgres: MeasuredRound,
}

impl PostgresReport {
    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        let levels: Vec<Value> = self.levels.iter().map(PostgresLevel::json).collect();
        json!({
            "fsync_ms": self.floor.json(),
            "postgres_version": self.version,
            "rounds": self.rounds,
            "startup_ms": {
                "sqlite": self.sqlite_startup.json(),
                "postgres": self.postgres_startup.json(),
            },
            "levels": levels,
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{}server     PostgreSQL {}, on this machine, fsync and synchronous_commit on\n\
             startup    sqlite: ready after {}\n\
             \u{20}          postgres: ready after {}\n\
             rounds     {}, the median counts\n\n",
            self.floor.text(),
            self.version,
            self.sqlite_startup.text(),
            self.postgres_startup.text(),
            self.rounds,
        );
        text.push_str(&row([
            "",
            "conns",
            "sagas/s",
            "POST ms p50/p99/max",
            "decided ms p50/p99/max",
            "host CPU",
            "database CPU",
            "µs/decision",
            "generator",
        ]));
        for level in &self.levels {
            let [rate, host, all] = level.ratios();
            for (name, measured) in level.named() {
                text.push_str(&measured_row(name, level.connections, measured));
            }
            text.push_str(&format!(
                "           postgres / sqlite: sagas/s {rate:.2}, CPU of the host {host:.2}, with the database {all:.2}\n"
            ));
        }
        text.push_str(
            "\nA saga: POST, then GET until decided; `decided` includes the wait until the client asks. CPU: processor seconds \
             per 10,000\nsagas; of the database: all processes of the server. µs/decision: the same of the database for each of the \
             three decisions\nof a saga, with what it does for the GETs. generator: this program. All share the machine.",
        );
        text
    }
}

impl PostgresLevel {
    fn named(&self) -> [(&'static str, &MeasuredRound); 2] {
        [("sqlite", &self.sqlite), ("postgres", &self.postgres)]
    }

    fn json(&self) -> Value {
        let [rate, host, all] = self.ratios();
        let [sqlite, postgres] = self.named().map(|(_, measured)| measured_json(measured));
        json!({
            "connections": self.connections,
            "sqlite": sqlite,
            "postgres": postgres,
            "postgres_to_sqlite": { "sagas_per_second": rate, "host_cpu": host, "host_and_database_cpu": all },
        })
    }

    /// PostgreSQL to SQLite: sagas per second; processor time per saga of the host, and with the
    /// database.
    fn ratios(&self) -> [f64; 3] {
        let (sqlite, postgres) = (&self.sqlite, &self.postgres);
        let cpu = sqlite.cpu().max(f64::EPSILON);
        [
            postgres.sagas_per_second / sqlite.sagas_per_second.max(f64::EPSILON),
            postgres.cpu() / cpu,
            (postgres.cpu() + postgres.server_cpu) / cpu,
        ]
    }
}

/// Microseconds of the database for each decision.
fn micros_per_decision(measured: &MeasuredRound) -> f64 {
    measured.server_cpu * 1e6 / 10_000.0 / DECISIONS
}

fn measured_json(measured: &MeasuredRound) -> Value {
    json!({
        "sagas_per_second": measured.sagas_per_second,
        "post": measured.posted.json(),
        "decided": measured.decided.json(),
        "host_cpu_seconds_per_10000_sagas": measured.cpu(),
        "database_cpu_seconds_per_10000_sagas": measured.server_cpu,
        "database_cpu_micros_per_decision": micros_per_decision(measured),
        "generator_cpu_seconds_per_10000_sagas": measured.own_cpu,
        "host_peak_mib": measured.peak_mib(),
    })
}

fn measured_row(name: &str, connections: usize, measured: &MeasuredRound) -> String {
    let server = match measured.server_cpu {
        0.0 => [String::new(), String::new()],
        cpu => [
            format!("{cpu:.2}"),
            format!("{:.0}", micros_per_decision(measured)),
        ],
    };
    row([
        name,
        &connections.to_string(),
        &format!("{:.0}", measured.sagas_per_second),
        &measured.posted.text(),
        &measured.decided.text(),
        &format!("{:.2}", measured.cpu()),
        &server[0],
        &server[1],
        &format!("{:.2}", measured.own_cpu),
    ])
}

fn row(cells: [&str; 9]) -> String {
    let [
        name,
        connections,
        rate,
        posted,
        decided,
        host,
        database,
        micros,
        generator,
    ] = cells;
    format!(
        "{name:<10} {connections:>5} {rate:>8}  {posted:>23}  {decided:>25}  {host:>9}  {database:>12}  {micros:>11}  {generator:>9}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::latency::Latency;

    #[test]
    fn a_saga_is_three_decisions() {
        let latency = Latency {
            p50: 1.0,
            p99: 2.0,
            max: 3.0,
        };
        let measured = MeasuredRound {
            sagas_per_second: 1_000.0,
            posted: latency,
            decided: latency,
            used: Vec::new(),
            server_cpu: 1.2,
            own_cpu: 0.0,
        };
        // 1.2 s for 30,000 decisions.
        assert!((micros_per_decision(&measured) - 40.0).abs() < 1e-9);
    }
}
