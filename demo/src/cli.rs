//! The command line of `saga-demo`.
//!
//! Owns: options, their defaults, and where in a checkout the built files are.
//!
//! Must not know: what the subcommands do.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::http::Endpoint;
use crate::kafka::cluster::{BOOTSTRAP, Wanted};
use crate::launch::{Binaries, Ports};

/// The Customer/Order saga: demonstration, load generator, benchmark.
#[derive(Debug, Parser)]
#[command(name = "saga-demo", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Start a host, or Kafka and two hosts, and walk through the saga step by step, then leave the
    /// services up.
    Walk(WalkArgs),
    /// Drive many orders against running services and check that the books are right.
    Load(LoadArgs),
    /// Start a fresh host, or Kafka and two hosts, and measure sagas per second, latency, processor time
    /// and memory.
    Bench(BenchArgs),
    /// Start a fresh host, swap rules again and again under load, and measure what requests notice.
    Swaps(SwapsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The host [default: target/release/saga]
    #[arg(long, value_name = "PATH")]
    pub(crate) saga: Option<PathBuf>,
    /// The component with the customer's rules [default: target/wasm32-wasip2/release/customer.wasm]
    #[arg(long, value_name = "PATH")]
    pub(crate) customer: Option<PathBuf>,
    /// The component with the order's rules [default: target/wasm32-wasip2/release/order.wasm]
    #[arg(long, value_name = "PATH")]
    pub(crate) order: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WalkArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    /// The build of the customer's rules to swap to at the end [default:
    /// target/wasm32-wasip2/release/customer_cautious.wasm]
    #[arg(long, value_name = "PATH")]
    pub(crate) cautious: Option<PathBuf>,
    /// Run each service as a process of its own, over a real Kafka: one that is started here, or the
    /// one that --bootstrap or KAFKA_BOOTSTRAP names
    #[arg(long)]
    pub(crate) kafka: bool,
    /// The Kafka that is there; the environment variable KAFKA_BOOTSTRAP says the same
    #[arg(long, value_name = "HOST:PORT", requires = "kafka")]
    pub(crate) bootstrap: Option<String>,
    /// End after the walk; exit code 0 only if everything was as it must be
    #[arg(long)]
    pub(crate) once: bool,
    /// Directory for the state and the logs [default: target/demo-data, with --kafka a directory for
    /// each cluster in it]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Port of the customer service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub(crate) customer_port: u16,
    /// Port of the order service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    pub(crate) order_port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The customer service
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081/customer-order/customer-service"
    )]
    pub(crate) customer_url: Endpoint,
    /// The order service
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8082/customer-order/order-service"
    )]
    pub(crate) order_url: Endpoint,
    /// Customers to register
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) customers: usize,
    /// Orders to place
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) orders: usize,
    /// Share of the orders that is beyond the limit, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub(crate) beyond: f64,
    /// Connections, each with one order at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: usize,
    /// Draw the same orders as the run that printed this seed
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How long an order may be PENDING, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) patience: u64,
    /// Wait for services that are away; a POST that breaks off is never repeated, but counted as
    /// possibly applied
    #[arg(long)]
    pub(crate) retry: bool,
    /// Send an Idempotency-Key of its own with every POST
    #[arg(long)]
    pub(crate) idempotency_keys: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Two hosts over a real Kafka that is started here, and what they relay and take in next to bare
    /// clients
    #[arg(long, conflicts_with = "native_host")]
    pub(crate) kafka: bool,
    /// With --kafka: records that wait to be relayed, and to be taken in [default: 100000, with
    /// --quick 20000]
    #[arg(long, value_name = "N", requires = "kafka", value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub(crate) records: Option<u32>,
    /// Windows of 2 seconds, one round of each: a first impression, not a figure
    #[arg(long)]
    pub(crate) quick: bool,
    /// The measured window of each round, in seconds [default: 10, with --quick 2]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: Option<u64>,
    /// Numbers of connections to measure at
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        default_value = "1,16,256"
    )]
    pub(crate) connections: Vec<usize>,
    /// A host with the same command line that calls the rules natively, to compare with
    /// [default: target/release/saga-native, if it exists]
    #[arg(long, value_name = "PATH")]
    pub(crate) native_host: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SwapsArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    /// The other build of the customer's rules [default:
    /// target/wasm32-wasip2/release/customer_cautious.wasm]
    #[arg(long, value_name = "PATH")]
    pub(crate) cautious: Option<PathBuf>,
    /// Swaps, to and fro
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) swaps: usize,
    /// Connections, each with one saga at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: usize,
    /// Wait between two swaps, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub(crate) every: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Files {
    /// The files that were named, and those of the checkout for the others.
    pub(crate) fn binaries(self, target: &Path) -> Binaries {
        let components = target.join("wasm32-wasip2/release");
        Binaries {
            saga: self.saga.unwrap_or_else(|| target.join("release/saga")),
            customer: self
                .customer
                .unwrap_or_else(|| components.join("customer.wasm")),
            order: self.order.unwrap_or_else(|| components.join("order.wasm")),
        }
    }
}

impl WalkArgs {
    /// Where the services listen.
    pub(crate) fn ports(&self) -> Ports {
        Ports {
            customer: self.customer_port,
            order: self.order_port,
        }
    }

    /// Where the state is, and the Kafka that is wanted. Each cluster has a directory of its own:
    /// the hosts know by offsets what they have read.
    pub(crate) fn place(
        &self,
        target: &Path,
        environment: Option<String>,
    ) -> (PathBuf, Option<Wanted>) {
        let given = self.data.clone();
        let default = target.join("demo-data");
        if !self.kafka {
            return (given.unwrap_or(default), None);
        }
        let named = self.bootstrap.clone().or(environment);
        match named.filter(|bootstrap| !bootstrap.is_empty()) {
            Some(bootstrap) => {
                let name = bootstrap.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
                let data = given.unwrap_or_else(|| default.join(format!("kafka-at-{name}")));
                (data, Some(Wanted::Existing(bootstrap)))
            }
            None => {
                let data = given.unwrap_or_else(|| default.join("kafka"));
                let wanted = Wanted::Own {
                    directory: data.join("broker"),
                    for_speed: false,
                };
                (data, Some(wanted))
            }
        }
    }
}

/// The Kafka that the environment names.
pub(crate) fn environment() -> Option<String> {
    std::env::var(BOOTSTRAP).ok()
}

/// Where the second build of the customer's rules is.
pub(crate) fn cautious(given: Option<PathBuf>, target: &Path) -> PathBuf {
    given.unwrap_or_else(|| target.join("wasm32-wasip2/release/customer_cautious.wasm"))
}

/// The target directory of the checkout that this was built from, or, if that is gone, of the current
/// directory.
pub(crate) fn target() -> PathBuf {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .filter(|root| root.is_dir());
    built_from.unwrap_or(Path::new(".")).join("target")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn place(arguments: &[&str], environment: Option<&str>) -> (String, Option<Wanted>) {
        let arguments = ["saga-demo", "walk"].iter().chain(arguments);
        let Task::Walk(args) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("no walk");
        };
        let (data, wanted) = args.place(Path::new("t"), environment.map(str::to_owned));
        (data.display().to_string(), wanted)
    }

    #[test]
    fn each_kafka_has_a_state_of_its_own() {
        let existing = |at: &str| Some(Wanted::Existing(at.to_owned()));
        assert_eq!(place(&[], Some("k:1")), ("t/demo-data".to_owned(), None));
        let own = Some(Wanted::Own {
            directory: "t/demo-data/kafka/broker".into(),
            for_speed: false,
        });
        assert_eq!(
            place(&["--kafka"], None),
            ("t/demo-data/kafka".to_owned(), own.clone())
        );
        assert_eq!(place(&["--kafka"], Some("")).1, own);
        assert_eq!(
            place(&["--kafka"], Some("k:1")),
            ("t/demo-data/kafka-at-k-1".to_owned(), existing("k:1"))
        );
        assert_eq!(
            place(
                &["--kafka", "--bootstrap", "l:2", "--data", "d"],
                Some("k:1")
            ),
            ("d".to_owned(), existing("l:2"))
        );
    }

    #[test]
    fn a_cluster_without_kafka_is_refused() {
        let parsed = Cli::try_parse_from(["saga-demo", "walk", "--bootstrap", "k:1"]);
        assert!(parsed.is_err());
    }
}
