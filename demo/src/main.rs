//! `saga-demo`: the runnable demonstration, the load generator and the benchmark of the saga host.
//!
//! It knows the HTTP contract of the two services and the command line of the host, and nothing of its
//! inside, so it measures and judges what a client sees.
//!
//! # Layout
//! - `walk`, `load` (+ `plan`, `check`), `bench` (+ `candidate`, `rounds`, `floor`, `report`) and `bench_kafka`, `swaps`
//!   (+ `traffic`, `overlap`, `swaps_report`): the four subcommands;
//! - `saga` (+ `pace`, `timer`, `latency`), `customers`: what load, bench and swaps share;
//! - `contract` (+ `cents`), `admin`, `http`: the two services and the admin interface as a client sees them;
//! - `kafka`: the broker, its topics and records, as any other client sees them;
//! - `hosts` (+ `launch`, `host`, `log`), `scratch`, `interrupt`, `procfs`: the processes;
//! - `cli`: the command line.
//!
//! `mock` serves the contract in memory, right or wrong, for the tests.

mod admin;
mod bench;
mod bench_kafka;
mod candidate;
mod cents;
mod check;
mod cli;
mod contract;
mod customers;
mod floor;
mod host;
mod hosts;
mod http;
mod interrupt;
mod kafka;
mod latency;
mod launch;
mod load;
mod log;
#[cfg(test)]
mod mock;
mod overlap;
mod pace;
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

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use crate::bench::Bench;
use crate::bench_kafka::BenchKafka;
use crate::cli::{BenchArgs, Cli, LoadArgs, SwapsArgs, Task, WalkArgs};
use crate::http::Endpoint;
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::random::Random;
use crate::swaps::Swaps;
use crate::walk::Walk;
use crate::walk::page::Page;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One thread: the host under test needs the others.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(run(cli.command));
            // What still talks to Kafka after an interrupt has nothing left to say.
            runtime.shutdown_background();
            ended
        });
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
                () = interrupt.recv() => bail!("interrupted; what was started was ended, and its state removed"),
            }
        }
        Task::Swaps(args) => {
            let mut interrupt = Interrupt::new()?;
            tokio::select! {
                ended = swaps(args) => ended,
                () = interrupt.recv() => bail!("interrupted; what was started was ended, and its state removed"),
            }
        }
    }
}

async fn walk(args: WalkArgs) -> Result<ExitCode> {
    let target = cli::target();
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (data, kafka) = args.place(&target, cli::environment());
    let walk = Walk {
        ports: args.ports(),
        binaries: args.files.binaries(&target),
        cautious: cli::cautious(args.cautious, &target),
        data,
        kafka,
        once: args.once,
    };
    walk::run(&walk, &mut Page::new(io::stdout(), colour)).await
}

async fn load(args: LoadArgs) -> Result<ExitCode> {
    let mut services = [args.customer_url, args.order_url];
    if args.idempotency_keys {
        services = services.map(Endpoint::with_fresh_keys);
    }
    let [customer, order] = services;
    let outcome = load::run(&Load {
        customer,
        order,
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
    let target = cli::target();
    let seconds = args.seconds.unwrap_or(if args.quick { 2 } else { 10 });
    let window = Duration::from_secs(seconds);
    if args.kafka {
        return bench_kafka(args, target, window).await;
    }
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
    let report = bench::run(&Bench {
        binaries: args.files.binaries(&target),
        native,
        scratch: target,
        connections: args.connections,
        window,
    })
    .await?;
    if args.json {
        println!("{:#}", report.json());
    } else {
        println!("{}", report.text());
    }
    Ok(ExitCode::SUCCESS)
}

async fn bench_kafka(args: BenchArgs, target: PathBuf, window: Duration) -> Result<ExitCode> {
    let records = args
        .records
        .unwrap_or(if args.quick { 20_000 } else { 100_000 });
    let report = bench_kafka::run(&BenchKafka {
        binaries: args.files.binaries(&target),
        scratch: target,
        connections: args.connections,
        window,
        rounds: if args.quick { 1 } else { 3 },
        records,
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
    let target = cli::target();
    let report = swaps::run(&Swaps {
        binaries: args.files.binaries(&target),
        cautious: cli::cautious(args.cautious, &target),
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
