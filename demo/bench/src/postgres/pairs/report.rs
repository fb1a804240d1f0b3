//! The result of a benchmark with two hosts of each participant, as a table and as JSON.
//!
//! Owns: layout, units, and the ratios of the two sets of hosts.
//!
//! Must not know: the measurements.

use serde_json::{Value, json};

use crate::run::floor::Floor;
use crate::run::rounds::MeasuredRound;

/// The results of a benchmark.
#[derive(Debug)]
pub(crate) struct PairsReport {
    /// The time of a durable append of 4 KiB here.
    pub(super) floor: Floor,
    /// The version of the PostgreSQL server.
    pub(super) version: String,
    /// Partitions of each topic.
    pub(super) partitions: usize,
    /// Number of rounds, of which the median counts.
    pub(super) rounds: usize,
    /// One entry per number of connections.
    pub(super) levels: Vec<PairsLevel>,
}

/// The measurement at one number of connections.
#[derive(Debug)]
pub(super) struct PairsLevel {
    /// Connections.
    pub(super) connections: usize,
    /// The median round with one host of each participant.
    pub(super) one: MeasuredRound,
    /// The median round with two.
    pub(super) two: MeasuredRound,
}

impl PairsReport {
    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        let levels: Vec<Value> = self.levels.iter().map(PairsLevel::json).collect();
        json!({
            "fsync_ms": self.floor.json(),
            "postgres_version": self.version,
            "partitions": self.partitions,
            "rounds": self.rounds,
            "levels": levels,
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{}server     PostgreSQL {}, on this machine, fsync and synchronous_commit on\n\
             broker     Apache Kafka, one node, {} partitions of each topic\n\
             rounds     {}, the median counts\n\n",
            self.floor.text(),
            self.version,
            self.partitions,
            self.rounds,
        );
        text.push_str(&row([
            "hosts",
            "conns",
            "sagas/s",
            "POST ms p50/p99/max",
            "decided ms p50/p99/max",
            "hosts CPU",
            "broker CPU",
            "database CPU",
            "generator",
        ]));
        for level in &self.levels {
            for (name, measured) in [("1 + 1", &level.one), ("2 + 2", &level.two)] {
                text.push_str(&measured_row(name, level.connections, measured));
            }
            let ratio = level.ratio();
            text.push_str(&format!("           2 + 2 / 1 + 1: sagas/s {ratio:.2}\n"));
        }
        text.push_str(
            "\n1 + 1: one customer host and one order host; 2 + 2: two of each, on one store for each participant, with the \
             connections\nspread over the order hosts. CPU: processor seconds per 10,000 sagas. All processes share the machine, so \
             more hosts have\nno more processors.",
        );
        text
    }
}

impl PairsLevel {
    fn json(&self) -> Value {
        json!({
            "connections": self.connections,
            "one_each": measured_json(&self.one),
            "two_each": measured_json(&self.two),
            "two_to_one": { "sagas_per_second": self.ratio() },
        })
    }

    /// Sagas per second of two hosts each to those of one each.
    fn ratio(&self) -> f64 {
        self.two.sagas_per_second / self.one.sagas_per_second.max(f64::EPSILON)
    }
}

/// Processor seconds per 10,000 sagas of the hosts, and of the broker.
fn cpu(measured: &MeasuredRound) -> [f64; 2] {
    let broker = measured.used.iter().filter(|used| used.name == "broker");
    let broker: f64 = broker.map(|used| used.cpu).sum();
    [measured.cpu() - broker, broker]
}

fn measured_json(measured: &MeasuredRound) -> Value {
    let [hosts, broker] = cpu(measured);
    json!({
        "sagas_per_second": measured.sagas_per_second,
        "post": measured.posted.json(),
        "decided": measured.decided.json(),
        "cpu_seconds_per_10000_sagas": {
            "hosts": hosts,
            "broker": broker,
            "database": measured.server_cpu,
            "generator": measured.own_cpu,
        },
    })
}

fn measured_row(name: &str, connections: usize, measured: &MeasuredRound) -> String {
    let [hosts, broker] = cpu(measured).map(|cpu| format!("{cpu:.2}"));
    row([
        name,
        &connections.to_string(),
        &format!("{:.0}", measured.sagas_per_second),
        &measured.posted.text(),
        &measured.decided.text(),
        &hosts,
        &broker,
        &format!("{:.2}", measured.server_cpu),
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
        hosts,
        broker,
        database,
        generator,
    ] = cells;
    format!(
        "{name:<10} {connections:>5} {rate:>8}  {posted:>23}  {decided:>25}  {hosts:>9}  {broker:>10}  {database:>12}  {generator:>9}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::rounds::Used;
    use crate::saga::latency::Latency;
    use std::time::Duration;

    fn measured(sagas_per_second: f64) -> MeasuredRound {
        let latency = Latency {
            p50: 1.0,
            p99: 2.0,
            max: 3.0,
        };
        let used = |name: &str, cpu| Used {
            name: name.to_owned(),
            cpu,
            written: 0.0,
            peak_mib: 0.0,
        };
        MeasuredRound {
            sagas_per_second,
            posted: latency,
            decided: latency,
            used: vec![
                used("customer", 1.25),
                used("order", 2.5),
                used("broker", 4.0),
            ],
            server_cpu: 8.0,
            own_cpu: 0.5,
        }
    }

    #[test]
    fn the_sets_are_compared_and_the_broker_is_no_host() {
        let report = PairsReport {
            floor: Floor {
                p50: Duration::from_millis(1),
                p99: Duration::from_millis(2),
            },
            version: "15.1".to_owned(),
            partitions: 4,
            rounds: 3,
            levels: vec![PairsLevel {
                connections: 64,
                one: measured(1_000.0),
                two: measured(900.0),
            }],
        };
        let level = &report.json()["levels"][0];
        assert_eq!(level["two_to_one"]["sagas_per_second"], 0.9);
        let cpu = &level["two_each"]["cpu_seconds_per_10000_sagas"];
        assert_eq!((&cpu["hosts"], &cpu["broker"]), (&json!(3.75), &json!(4.0)));
        let text = report.text();
        for words in ["2 + 2 / 1 + 1: sagas/s 0.90", "3.75", "8.00"] {
            assert!(text.contains(words), "{words} is missing in:\n{text}");
        }
    }
}
