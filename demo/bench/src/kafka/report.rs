//! The result of a benchmark over Kafka, as tables and as JSON.
//!
//! Owns: layout, units, and the ratios between a host and the bare clients.
//!
//! Must not know: the measurements.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::consume::Consumed;
use super::flow::Throughput;
use super::produce::Produced;
use super::sagas::KafkaLevel;
use crate::run::floor::Floor;
use crate::saga::latency::millis;

/// The results of a benchmark over Kafka.
#[derive(Debug)]
pub(crate) struct KafkaReport {
    /// The time of a durable append of 4 KiB here.
    pub(super) floor: Floor,
    /// Time from the start of the broker to its first answer.
    pub(super) broker_ready_after: Duration,
    /// Number of rounds, of which the median counts.
    pub(super) rounds: usize,
    /// Records of a round.
    pub(super) records: u32,
    /// One entry per number of connections.
    pub(super) sagas: Vec<KafkaLevel>,
    /// The publishing of a backlog.
    pub(super) produced: Produced,
    /// The consumption of waiting records.
    pub(super) consumed: Consumed,
}

impl KafkaReport {
    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        let sagas: Vec<Value> = self.sagas.iter().map(level_json).collect();
        let (produced, consumed) = (&self.produced, &self.consumed);
        json!({
            "fsync_ms": self.floor.json(),
            "broker_ready_ms": millis(self.broker_ready_after),
            "rounds": self.rounds,
            "sagas": sagas,
            "records": self.records,
            "bytes_per_record": produced.bytes,
            "produce": {
                "relay": flow_json(&produced.relay),
                "bare_like_relay": flow_json(&produced.alike),
                "bare_defaults": flow_json(&produced.defaults),
                "relay_to_bare_like_relay": ratio(&produced.relay, &produced.alike),
                "relay_to_bare_defaults": ratio(&produced.relay, &produced.defaults),
            },
            "consume": {
                "host": flow_json(&consumed.host),
                "bare_loop": flow_json(&consumed.looped),
                "bare_consumer": flow_json(&consumed.read),
                "host_to_bare_loop": ratio(&consumed.host, &consumed.looped),
                "host_to_bare_consumer": ratio(&consumed.host, &consumed.read),
            },
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{}broker     Apache Kafka, one node, ready after {:.1} s\n\
             rounds     {}, the median counts\n\n",
            self.floor.text(),
            self.broker_ready_after.as_secs_f64(),
            self.rounds
        );
        text.push_str(&self.sagas_text());
        text.push('\n');
        text.push_str(&self.flows_text());
        text.push_str(
            "\nA saga: POST, then GET until decided, through two hosts and two topics; `decided` includes the wait until the \
             client\nasks. CPU: processor seconds per 10,000 sagas, or records. All processes share the machine. Records per \
             second are\nthose after the first moment, by the broker's clock (the bare consumer: by its own).",
        );
        text
    }

    fn sagas_text(&self) -> String {
        let mut text = row_of_sagas([
            "sagas",
            "conns",
            "sagas/s",
            "POST ms p50/p99/max",
            "decided ms p50/p99/max",
            "",
            "CPU",
            "peak MiB",
        ]);
        for level in &self.sagas {
            let measured = &level.measured;
            let own = format!("{:.2}", measured.own_cpu);
            let mut used = measured.used.iter().map(|used| {
                let peak = format!("{:.0}", used.peak_mib);
                (used.name.as_str(), format!("{:.2}", used.cpu), peak)
            });
            let (name, cpu, peak) = used.next().unwrap_or_default();
            text.push_str(&row_of_sagas([
                "",
                &level.connections.to_string(),
                &format!("{:.0}", measured.sagas_per_second),
                &measured.posted.text(),
                &measured.decided.text(),
                name,
                &cpu,
                &peak,
            ]));
            let generator = ("generator", own, String::new());
            for (name, cpu, peak) in used.chain([generator]) {
                text.push_str(&row_of_sagas(["", "", "", "", "", name, &cpu, &peak]));
            }
        }
        text
    }

    fn flows_text(&self) -> String {
        let (produced, consumed) = (&self.produced, &self.consumed);
        let (relay, host) = (&produced.relay, &consumed.host);
        let title = format!("{} records of {} bytes", self.records, produced.bytes);
        let head =
            |part, title| row_of_flows([part, title, "records/s", "ratio", "CPU", "CPU broker"]);
        [
            head("produce", &title),
            flow_text("the order host, a backlog", relay, None),
            flow_text("bare, the relay's settings", &produced.alike, Some(relay)),
            flow_text(
                "bare, librdkafka's settings",
                &produced.defaults,
                Some(relay),
            ),
            head("consume", "the same records"),
            flow_text("the customer host, to its answers", host, None),
            flow_text("bare loop, to its answers", &consumed.looped, Some(host)),
            flow_text("bare consumer, reading only", &consumed.read, Some(host)),
        ]
        .concat()
    }
}

fn level_json(level: &KafkaLevel) -> Value {
    let measured = &level.measured;
    let cpu = |name: &str, cpu: f64| (name.to_owned(), json!(cpu));
    let mut cpus: serde_json::Map<String, Value> = measured
        .used
        .iter()
        .map(|used| cpu(&used.name, used.cpu))
        .collect();
    cpus.extend([cpu("generator", measured.own_cpu)]);
    let peaks: serde_json::Map<String, Value> = measured
        .used
        .iter()
        .map(|used| (used.name.clone(), json!(used.peak_mib)))
        .collect();
    json!({
        "connections": level.connections,
        "sagas_per_second": measured.sagas_per_second,
        "post": measured.posted.json(),
        "decided": measured.decided.json(),
        "cpu_seconds_per_10000_sagas": cpus,
        "peak_mib": peaks,
    })
}

fn flow_json(flow: &Throughput) -> Value {
    json!({
        "records_per_second": flow.rate,
        "cpu_seconds_per_10000_records": flow.cpu,
        "broker_cpu_seconds_per_10000_records": flow.broker_cpu,
    })
}

/// A host's rate relative to a bare client's.
fn ratio(host: &Throughput, bare: &Throughput) -> f64 {
    host.rate / bare.rate.max(f64::EPSILON)
}

/// A row of the second table, with the share of this flow that a host reaches.
fn flow_text(name: &str, flow: &Throughput, host: Option<&Throughput>) -> String {
    let ratio = host.map_or_else(String::new, |host| format!("{:.2}", ratio(host, flow)));
    let [rate, cpu, broker] = [
        format!("{:.0}", flow.rate),
        format!("{:.2}", flow.cpu),
        format!("{:.2}", flow.broker_cpu),
    ];
    row_of_flows(["", name, &rate, &ratio, &cpu, &broker])
}

fn row_of_sagas(cells: [&str; 8]) -> String {
    let [
        title,
        connections,
        rate,
        posted,
        decided,
        process,
        cpu,
        peak,
    ] = cells;
    line(format!(
        "{title:<7} {connections:>5} {rate:>8}  {posted:>23}  {decided:>25}  {process:<9} {cpu:>7}  {peak:>8}"
    ))
}

fn row_of_flows(cells: [&str; 6]) -> String {
    let [title, name, rate, ratio, cpu, broker] = cells;
    line(format!(
        "{title:<7} {name:<35} {rate:>10}  {ratio:>6}  {cpu:>7}  {broker:>10}"
    ))
}

fn line(text: String) -> String {
    let mut line = text.trim_end().to_owned();
    // Writing to a string does not fail.
    let _ = writeln!(line);
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::rounds::{MeasuredRound, Used};
    use crate::saga::latency::Latency;

    fn flow(rate: f64) -> Throughput {
        Throughput {
            rate,
            cpu: 0.5,
            broker_cpu: 0.25,
        }
    }

    fn report() -> KafkaReport {
        let latency = Latency {
            p50: 1.0,
            p99: 2.0,
            max: 3.0,
        };
        let used = |name: &str| Used {
            name: name.to_owned(),
            cpu: 1.5,
            written: 0.0,
            peak_mib: 100.0,
        };
        let measured = MeasuredRound {
            sagas_per_second: 1_234.0,
            posted: latency,
            decided: latency,
            used: ["customer", "order", "broker"].map(used).to_vec(),
            server_cpu: 0.0,
            own_cpu: 0.75,
        };
        KafkaReport {
            floor: Floor {
                p50: Duration::from_millis(1),
                p99: Duration::from_millis(2),
            },
            broker_ready_after: Duration::from_secs(3),
            rounds: 3,
            records: 100_000,
            sagas: vec![KafkaLevel {
                connections: 16,
                measured,
            }],
            produced: Produced {
                relay: flow(70.0),
                alike: flow(100.0),
                defaults: flow(140.0),
                bytes: 500,
            },
            consumed: Consumed {
                host: flow(20.0),
                looped: flow(40.0),
                read: flow(200.0),
            },
        }
    }

    #[test]
    fn each_bare_client_stands_next_to_what_the_host_reaches_of_it() {
        let text = report().text();
        for (name, ratio) in [
            ("the relay's settings", " 0.70 "),
            ("librdkafka's settings", " 0.50 "),
            ("bare loop", " 0.50 "),
            ("bare consumer", " 0.10 "),
        ] {
            let line = text.lines().find(|line| line.contains(name)).unwrap();
            assert!(line.contains(ratio), "{line}");
        }
        let json = report().json();
        assert_eq!(json["produce"]["relay_to_bare_like_relay"], 0.7);
        assert_eq!(json["consume"]["host_to_bare_loop"], 0.5);
    }

    #[test]
    fn the_processor_time_of_every_process_is_told() {
        let text = report().text();
        for name in ["customer", "order", "broker", "generator"] {
            assert!(text.contains(name), "{name} is missing in:\n{text}");
        }
        let cpu = &report().json()["sagas"][0]["cpu_seconds_per_10000_sagas"];
        assert_eq!(
            (&cpu["broker"], &cpu["generator"]),
            (&json!(1.5), &json!(0.75))
        );
    }
}
