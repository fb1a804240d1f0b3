//! `saga-bench hosts`: several hosts on one PostgreSQL server, without Kafka.
//!
//! Owns: the server and the hosts of each part. Each part has a store of its own, and its books are
//! checked.
//!
//! # Layout
//!
//! - `hot_key`: all orders of one customer, at two hosts
//! - the swaps are those of `saga-bench swaps`, over three hosts
//!
//! Must not know: host internals, SQL.

mod hot_key;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::postgres::server::BenchServer;
use crate::swaps::report::SwapsReport;
use crate::swaps::{self, SwapsOptions};
use hot_key::HotKey;
use saga_demo_client::files::ServicePorts;
use saga_testkit::host::Launch;

/// Hosts of the part with one customer.
const HOT_KEY_HOSTS: usize = 2;
/// Hosts whose rules are swapped.
const SWAPPED_HOSTS: usize = 3;
/// Partitions of each topic of the embedded log: more than hosts, so that each host has some.
const PARTITIONS: usize = 6;

/// The options of a run.
#[derive(Debug)]
pub(crate) struct HostsOptions {
    /// The swaps, with the programs, the directory for the hosts' own files, and the connections of
    /// both parts.
    pub(crate) swaps: SwapsOptions,
    /// Directory in which the server makes one of its own. Its user must be able to enter it.
    pub(crate) place: PathBuf,
    /// The measured window of the part with one customer.
    pub(crate) window: Duration,
}

/// The results of a run.
#[derive(Debug)]
pub(crate) struct HostsReport {
    version: String,
    hot_key: HotKey,
    swaps: SwapsReport,
}

/// Runs both parts.
///
/// # Errors
/// No server can be run here, or a host can't be started, or ended. Violations are in the report.
pub(crate) async fn run(options: &HostsOptions) -> Result<HostsReport> {
    let server = BenchServer::start(&options.place).await?;
    let version = server.version.clone();
    measure(options, version, |launch, schema| {
        server.store(launch, schema)
    })
    .await
}

async fn measure(
    options: &HostsOptions,
    version: String,
    store: impl Fn(Launch, &str) -> Launch,
) -> Result<HostsReport> {
    let launches = |schema: &str, hosts: usize| -> Vec<Launch> {
        let launch = |number| store(options.host(schema, number), schema);
        (1..=hosts).map(launch).collect()
    };
    eprintln!("one customer, {HOT_KEY_HOSTS} hosts");
    let hot_key = hot_key::measure(
        &launches("hot_key", HOT_KEY_HOSTS),
        options.swaps.connections,
        options.window,
    )
    .await?;
    eprintln!("swaps, {SWAPPED_HOSTS} hosts");
    let swaps = swaps::over(&launches("swaps", SWAPPED_HOSTS), &options.swaps).await?;
    Ok(HostsReport {
        version,
        hot_key,
        swaps,
    })
}

impl HostsOptions {
    /// One of several hosts on the store with this name.
    fn host(&self, store: &str, number: usize) -> Launch {
        let data = self.swaps.scratch.join(format!("{store}-{number}"));
        let launch = self.swaps.binaries.together(&data, ServicePorts::default());
        Launch {
            settings: format!("[embedded]\npartitions = {PARTITIONS}\n"),
            ..launch
        }
    }
}

impl HostsReport {
    /// True if there are no violations.
    pub(crate) fn right(&self) -> bool {
        self.hot_key.right() && self.swaps.right()
    }

    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "right": self.right(),
            "postgres_version": self.version,
            "hot_key": self.hot_key.json(),
            "swaps": self.swaps.json(),
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let Self {
            version,
            hot_key,
            swaps,
        } = self;
        format!(
            "server: PostgreSQL {version}, on this machine, fsync and synchronous_commit on\n\n{}\n\n{}",
            hot_key.text(),
            swaps.text()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_demo_client::mock::{Mock, MockFault, script};

    /// The hosts are scripts that point at a mock in this process.
    async fn measured(fault: MockFault) -> HostsReport {
        let mock = Mock::start(fault).await;
        let directory = tempfile::tempdir().unwrap();
        let says = format!(
            "listening customer {}\nlistening order {}\nadmin {}\n",
            mock.customer, mock.order, mock.admin
        );
        // The mock takes a component's text as its declared version.
        let builds = ["0.1.0", "0.2.0"].map(|version| {
            let path = directory.path().join(version);
            std::fs::write(&path, version).unwrap();
            path
        });
        let [customer, cautious] = builds;
        let options = HostsOptions {
            swaps: SwapsOptions {
                binaries: saga_demo_client::files::Binaries {
                    customer,
                    ..script()
                },
                cautious,
                scratch: directory.path().to_owned(),
                swaps: 4,
                connections: 4,
                every: Duration::from_millis(10),
            },
            place: directory.path().to_owned(),
            window: Duration::from_millis(200),
        };
        let version = "15.1".to_owned();
        let report = measure(&options, version, |launch, _| {
            std::fs::create_dir_all(&launch.data).unwrap();
            std::fs::write(launch.data.join("stdout"), &says).unwrap();
            launch
        });
        report.await.unwrap()
    }

    #[tokio::test]
    async fn both_parts_are_reported() {
        // The mock counts all decisions, those of the other part too.
        let report = measured(MockFault::None).await;
        assert!(report.hot_key.right(), "{}", report.text());
        let json = report.json();
        for figure in [
            "/hot_key/orders",
            "/hot_key/post/p99_ms",
            "/hot_key/decided/p50_ms",
            "/swaps/pauses/hand_overs/p99_ms",
        ] {
            let found = json.pointer(figure).and_then(Value::as_f64);
            assert!(found.unwrap_or(0.0) > 0.0, "{figure}: {json:#}");
        }
        assert_eq!(json["swaps"]["hosts"], 3);
        assert_eq!(json["hot_key"]["failed_requests"], 0);
        let text = report.text();
        for words in ["one customer", "over 3 hosts", "no answer, ms"] {
            assert!(text.contains(words), "{words} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn requests_that_fail_are_counted_and_wrong_books_are_noticed() {
        let report = measured(MockFault::Fails).await;
        assert!(!report.right());
        let failed = &report.json()["hot_key"]["failed_requests"];
        assert!(failed.as_u64().unwrap() > 0, "{}", report.text());
        let report = measured(MockFault::LosesCent).await;
        assert!(!report.hot_key.right(), "{}", report.text());
    }
}
