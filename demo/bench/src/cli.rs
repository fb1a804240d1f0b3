//! The command line of `saga-bench`.
//!
//! Owns: options and their defaults.
//!
//! Must not know: the subcommands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use saga_demo_client::files::{self, Binaries};
use saga_testkit::http::BaseUrl;

/// Load and benchmarks for the Customer/Order saga.
#[derive(Debug, Parser)]
#[command(name = "saga-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Drive many orders against running services and check that the books are right.
    Load(LoadArgs),
    /// Start a fresh host (or Kafka and two hosts, or PostgreSQL and a host on it), and measure sagas per
    /// second, latency, processor time and memory.
    Run(RunArgs),
    /// Start a fresh host, swap rules again and again under load, and measure what requests notice.
    Swaps(SwapsArgs),
    /// Start PostgreSQL and several hosts on it: orders of one customer at two hosts, then swaps of
    /// rules over three under load.
    Hosts(HostsArgs),
    /// Place orders, calculate from the answers which decisions a limit on single orders would change,
    /// and compare `saga replay`, `saga repair` and a fresh host with that.
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The customer service
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081/customer-order/customer-service"
    )]
    pub(crate) customer_url: BaseUrl,
    /// The order service
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8082/customer-order/order-service"
    )]
    pub(crate) order_url: BaseUrl,
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
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) binaries: Binaries,
    /// Two hosts over a real Kafka that is started here, and what they relay and take in next to bare
    /// clients; with --postgres, two hosts of each participant next to one of each
    #[arg(long, conflicts_with = "native_host")]
    pub(crate) kafka: bool,
    /// A host on a PostgreSQL server that is started here, next to the same host on SQLite
    #[arg(long, conflicts_with_all = ["native_host", "records"])]
    pub(crate) postgres: bool,
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
    /// Compare with this earlier report, and fail if a figure is 20 % behind [default:
    /// target/bench-baseline.json, if it exists]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["kafka", "postgres"])]
    pub(crate) baseline: Option<PathBuf>,
    /// Make this run the baseline instead
    #[arg(long, conflicts_with_all = ["kafka", "postgres"])]
    pub(crate) record: bool,
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
    pub(crate) binaries: Binaries,
    /// The other build of the customer's rules
    #[arg(long, value_name = "PATH", default_value_os_t = files::component("customer_cautious"))]
    pub(crate) cautious: PathBuf,
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

#[derive(Debug, Args)]
pub(crate) struct HostsArgs {
    #[command(flatten)]
    pub(crate) binaries: Binaries,
    /// The other build of the customer's rules
    #[arg(long, value_name = "PATH", default_value_os_t = files::component("customer_cautious"))]
    pub(crate) cautious: PathBuf,
    /// How long the one customer's orders are measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Swaps, to and fro
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) swaps: usize,
    /// Connections, each with one saga at a time, spread over the hosts
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: usize,
    /// Wait between two swaps, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub(crate) every: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) binaries: Binaries,
    /// The build of the customer's rules with the limit
    #[arg(long, value_name = "PATH", default_value_os_t = saga_demo_client::files::component("customer_cautious"))]
    pub(crate) cautious: PathBuf,
    /// Customers to register
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) customers: usize,
    /// Orders to place, at each of two hosts
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) orders: usize,
    /// Connections, each with one customer at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: usize,
    /// Draw the same orders as the run that printed this seed
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_subcommands_have_their_documented_names() {
        let command = Cli::command();
        let names: Vec<_> = command
            .get_subcommands()
            .map(|own| own.get_name())
            .collect();
        assert_eq!(names, ["load", "run", "swaps", "hosts", "replay"]);
    }
}
