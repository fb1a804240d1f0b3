//! `saga-demo`: the runnable demonstration, the load generator and the benchmark of the saga host.
//!
//! It knows the HTTP contract of the two services and the command line of the host, and nothing of its
//! inside, so it measures and judges what a client sees.
//!
//! # Layout
//! - `walk` (+ `walk_swap`, `page`), `load` (+ `plan`, `check`), `bench` (+ `rounds`, `floor`, `report`), `swaps`
//!   (+ `traffic`, `overlap`, `swaps_report`): the four subcommands;
//! - `saga` (+ `pace`, `timer`, `latency`), `customers`: what load, bench and swaps share;
//! - `contract` (+ `cents`), `admin`, `http`: the two services and the admin interface as a client sees them;
//! - `host` (+ `log`), `scratch`, `interrupt`, `procfs`: the process.
//!
//! `mock` serves the contract in memory, right or wrong, for the tests.

mod admin;
mod bench;
mod cents;
mod check;
mod contract;
mod customers;
mod floor;
mod host;
mod http;
mod interrupt;
mod latency;
mod load;
mod log;
#[cfg(test)]
mod mock;
mod overlap;
mod pace;
mod page;
mod plan;
mod procfs;
mod random;
mod report;
mod rounds;
mod saga;
mod scratch;
mod swaps;
mod swaps_report;
mod timer;
mod traffic;
mod walk;
mod walk_swap;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};

use crate::bench::Bench;
use crate::host::Launch;
use crate::http::Endpoint;
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::page::Page;
use crate::random::Random;
use crate::swaps::Swaps;
use crate::walk::Walk;

/// The Customer/Order saga: demonstration, load generator, benchmark.
#[derive(Debug, Parser)]
#[command(name = "saga-demo", version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start a host and walk through the saga step by step, then leave the services up.
    Walk(WalkArgs),
    /// Drive many orders against running services and check that the books are right.
    Load(LoadArgs),
    /// Start a fresh host and measure sagas per second, latency, processor time and memory.
    Bench(BenchArgs),
    /// Start a fresh host, swap rules again and again under load, and measure what requests notice.
    Swaps(SwapsArgs),
}

#[derive(Debug, Args)]
struct Binaries {
    /// The host [default: target/release/saga]
    #[arg(long, value_name = "PATH")]
    saga: Option<PathBuf>,
    /// The component with the customer's rules [default: target/wasm32-wasip2/release/customer.wasm]
    #[arg(long, value_name = "PATH")]
    customer: Option<PathBuf>,
    /// The component with the order's rules [default: target/wasm32-wasip2/release/order.wasm]
    #[arg(long, value_name = "PATH")]
    order: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct WalkArgs {
    #[command(flatten)]
    binaries: Binaries,
    /// The build of the customer's rules to swap to at the end [default:
    /// target/wasm32-wasip2/release/customer_cautious.wasm]
    #[arg(long, value_name = "PATH")]
    cautious: Option<PathBuf>,
    /// End after the walk; exit code 0 only if everything was as it must be
    #[arg(long)]
    once: bool,
    /// Directory for the state and the host's log [default: target/demo-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port of the customer service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    customer_port: u16,
    /// Port of the order service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    order_port: u16,
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// The customer service
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081/customer-order/customer-service"
    )]
    customer_url: Endpoint,
    /// The order service
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8082/customer-order/order-service"
    )]
    order_url: Endpoint,
    /// Customers to register
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    customers: usize,
    /// Orders to place
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    orders: usize,
    /// Share of the orders that is beyond the limit, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    beyond: f64,
    /// Connections, each with one order at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Draw the same orders as the run that printed this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long an order may be PENDING, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// Wait for services that are away; a POST that breaks off is never repeated, but counted as
    /// possibly applied
    #[arg(long)]
    retry: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct BenchArgs {
    #[command(flatten)]
    binaries: Binaries,
    /// Windows of 2 seconds: a first impression, not a figure
    #[arg(long)]
    quick: bool,
    /// The measured window of each round, in seconds [default: 10, with --quick 2]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: Option<u64>,
    /// Numbers of connections to measure at
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        default_value = "1,16,256"
    )]
    connections: Vec<usize>,
    /// A host with the same command line that calls the rules natively, to compare with
    /// [default: target/release/saga-native, if it exists]
    #[arg(long, value_name = "PATH")]
    native_host: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SwapsArgs {
    #[command(flatten)]
    binaries: Binaries,
    /// The other build of the customer's rules [default:
    /// target/wasm32-wasip2/release/customer_cautious.wasm]
    #[arg(long, value_name = "PATH")]
    cautious: Option<PathBuf>,
    /// Swaps, to and fro
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    swaps: usize,
    /// Connections, each with one saga at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Wait between two swaps, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    every: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One thread: the host under test needs the others.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")
        .and_then(|runtime| runtime.block_on(run(cli.command)));
    ended.unwrap_or_else(|error| {
        eprintln!("saga-demo: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Walk(args) => walk(args).await,
        Task::Load(args) => load(args).await,
        Task::Bench(args) => {
            let mut interrupt = Interrupt::new()?;
            tokio::select! {
                ended = bench(args) => ended,
                () = interrupt.recv() => bail!("interrupted; the host was ended and its state removed"),
            }
        }
        Task::Swaps(args) => {
            let mut interrupt = Interrupt::new()?;
            tokio::select! {
                ended = swaps(args) => ended,
                () = interrupt.recv() => bail!("interrupted; the host was ended and its state removed"),
            }
        }
    }
}

async fn walk(args: WalkArgs) -> Result<ExitCode> {
    let target = target();
    let data = args.data.unwrap_or_else(|| target.join("demo-data"));
    let launch = launch(
        args.binaries,
        &target,
        data,
        args.customer_port,
        args.order_port,
    );
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let walk = Walk {
        launch,
        cautious: cautious(args.cautious, &target),
        once: args.once,
    };
    walk::run(&walk, &mut Page::new(io::stdout(), colour)).await
}

async fn load(args: LoadArgs) -> Result<ExitCode> {
    let outcome = load::run(&Load {
        customer: args.customer_url,
        order: args.order_url,
        customers: args.customers,
        orders: args.orders,
        beyond: args.beyond,
        connections: args.connections,
        seed: args.seed.unwrap_or_else(Random::fresh_seed),
        retry: args.retry,
        patience: Duration::from_secs(args.patience),
    })
    .await?;
    if args.json {
        println!("{:#}", outcome.json());
    } else {
        println!("{}", outcome.text());
    }
    Ok(if outcome.right() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn bench(args: BenchArgs) -> Result<ExitCode> {
    ensure!(
        args.connections.iter().all(|count| *count > 0),
        "--connections must be at least 1 each"
    );
    let target = target();
    let native = match args.native_host {
        Some(path) if path.is_file() => Some(path),
        Some(path) => bail!(
            "{} does not exist: build it, or leave out --native-host",
            path.display()
        ),
        None => Some(target.join("release/saga-native")).filter(|path| path.is_file()),
    };
    if native.is_none() {
        eprintln!(
            "no native host to compare with (target/release/saga-native): measuring components only"
        );
    }
    let seconds = args.seconds.unwrap_or(if args.quick { 2 } else { 10 });
    let report = bench::run(&Bench {
        launch: launch(args.binaries, &target, PathBuf::new(), 0, 0),
        native,
        scratch: target,
        connections: args.connections,
        window: Duration::from_secs(seconds),
    })
    .await?;
    if args.json {
        println!("{:#}", report.json());
    } else {
        println!("{}", report.text());
    }
    Ok(ExitCode::SUCCESS)
}

async fn swaps(args: SwapsArgs) -> Result<ExitCode> {
    ensure!(
        args.swaps >= 2 && args.connections > 0,
        "--swaps must be at least 2, --connections at least 1"
    );
    let target = target();
    let report = swaps::run(&Swaps {
        launch: launch(args.binaries, &target, PathBuf::new(), 0, 0),
        cautious: cautious(args.cautious, &target),
        scratch: target,
        swaps: args.swaps,
        connections: args.connections,
        every: Duration::from_millis(args.every),
    })
    .await?;
    if args.json {
        println!("{:#}", report.json());
    } else {
        println!("{}", report.text());
    }
    Ok(if report.right() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where the second build of the customer's rules is.
fn cautious(given: Option<PathBuf>, target: &Path) -> PathBuf {
    given.unwrap_or_else(|| target.join("wasm32-wasip2/release/customer_cautious.wasm"))
}

fn launch(
    binaries: Binaries,
    target: &Path,
    data: PathBuf,
    customer_port: u16,
    order_port: u16,
) -> Launch {
    let components = target.join("wasm32-wasip2/release");
    Launch {
        saga: binaries.saga.unwrap_or_else(|| target.join("release/saga")),
        customer: binaries
            .customer
            .unwrap_or_else(|| components.join("customer.wasm")),
        order: binaries
            .order
            .unwrap_or_else(|| components.join("order.wasm")),
        data,
        customer_port,
        order_port,
    }
}

/// The target directory of the checkout that this was built from, or, if that is gone, of the current
/// directory.
fn target() -> PathBuf {
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
}
