//! `saga-bench`: the load generator and the benchmarks of the saga host.
//!
//! It knows the HTTP contract of the two services and the command line of the host, and nothing
//! else of the host.
//!
//! # Layout
//!
//! - `load`: many customers and orders, and a ledger that proves the results correct
//! - `run`: sagas per second, latency, processor time and memory of one host, compared with the
//!   disk
//! - `kafka`: the same for two hosts over a real Kafka, compared with bare clients
//! - `postgres`: the same for a host on a PostgreSQL server, compared with one on SQLite
//! - `swaps`: swaps of rules under load
//! - `hosts`: several hosts on one PostgreSQL server: a hot key, swaps of rules
//! - `replay`: what other rules would decide, calculated from the clients' answers and by `saga replay`
//! - `saga`: one saga from the client's view, for all of them
//! - `cli`: the command line

mod cli;
mod hosts;
mod kafka;
mod load;
mod postgres;
mod replay;
mod run;
mod saga;
mod swaps;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use saga_demo_client::files;
use saga_testkit::http::BaseUrl;
use saga_testkit::interrupt::Interrupt;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{Cli, HostsArgs, LoadArgs, ReplayArgs, RunArgs, SwapsArgs, Task};
use crate::hosts::HostsOptions;
use crate::kafka::BenchKafka;
use crate::load::Load;
use crate::postgres::{BenchPostgres, pairs};
use crate::replay::ReplayOptions;
use crate::run::Bench;
use crate::run::baseline::{self, Comparison};
use crate::swaps::SwapsOptions;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One thread: the host under test needs the others.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(run(cli.command));
            // After an interrupt, results of Kafka clients are not needed.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|error| {
        eprintln!("saga-bench: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Load(args) => load(args).await,
        Task::Run(args) => until_interrupted(measure(args)).await,
        Task::Swaps(args) => until_interrupted(swaps(args)).await,
        Task::Hosts(args) => until_interrupted(hosts(args)).await,
        Task::Replay(args) => until_interrupted(replay(args)).await,
    }
}

async fn until_interrupted(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let mut interrupt = Interrupt::new()?;
    tokio::select! {
        ended = work => ended,
        () = interrupt.recv() => bail!("interrupted; what was started was ended, and its state removed"),
    }
}

/// A directory for the state of one run, removed at its end.
fn scratch(parent: &Path, name: &str) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(parent)
        .with_context(|| format!("can't make a directory in {}", parent.display()))
}

fn print(as_json: bool, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
    if as_json {
        println!("{:#}", json());
    } else {
        println!("{}", text());
    }
}

fn exit_code(is_right: bool) -> ExitCode {
    if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A seed that differs from run to run, and is short enough to be read out and typed.
fn fresh_seed() -> u64 {
    fastrand::u64(..1_000_000_000)
}

async fn load(args: LoadArgs) -> Result<ExitCode> {
    let mut services = [args.customer_url, args.order_url];
    if args.idempotency_keys {
        services = services.map(BaseUrl::with_fresh_keys);
    }
    let [customer, order] = services;
    let outcome = load::run(&Load {
        customer,
        order,
        customers: args.customers,
        orders: args.orders,
        beyond: args.beyond,
        connections: args.connections,
        seed: args.seed.unwrap_or_else(fresh_seed),
        retry: args.retry,
        patience: Duration::from_secs(args.patience),
    })
    .await?;
    print(args.json, || outcome.json(), || outcome.text());
    Ok(exit_code(outcome.right()))
}

async fn measure(args: RunArgs) -> Result<ExitCode> {
    ensure!(
        args.connections.iter().all(|count| *count > 0),
        "--connections must be at least 1 each"
    );
    let target = files::target();
    let seconds = args.seconds.unwrap_or(if args.quick { 2 } else { 10 });
    let window = Duration::from_secs(seconds);
    if args.postgres {
        return on_postgres(args, target, window).await;
    }
    if args.kafka {
        return over_kafka(args, target, window).await;
    }
    let baseline = args.baseline.clone();
    let baseline = baseline.unwrap_or_else(|| baseline::default_path(&target));
    ensure!(
        args.record || args.baseline.is_none() || baseline.exists(),
        "{} does not exist: record it with --record",
        baseline.display()
    );
    // Before the run, so that a broken one does not cost minutes.
    let before = match args.record {
        true => None,
        false => baseline::load(&baseline)?,
    };
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
    let scratch = scratch(&target, "bench-data")?;
    let report = run::run(&Bench {
        binaries: args.binaries,
        native,
        scratch: scratch.path().to_owned(),
        connections: args.connections,
        window,
    })
    .await?;
    let mut json = report.json();
    if args.record {
        baseline::record(&baseline, &json)?;
    }
    let compared = before.map(|before| Comparison::of(&json, &before));
    if let (Some(compared), Some(report)) = (&compared, json.as_object_mut()) {
        report.insert("to_baseline".to_owned(), compared.json());
    }
    let text = || {
        let compared = compared.as_ref().map(|compared| compared.text(&baseline));
        let compared = compared.map(|text| format!("\n\n{}", text.trim_end()));
        report.text() + &compared.unwrap_or_default()
    };
    print(args.json, || json.clone(), text);
    Ok(exit_code(
        !compared.is_some_and(|compared| compared.is_behind()),
    ))
}

async fn over_kafka(args: RunArgs, target: PathBuf, window: Duration) -> Result<ExitCode> {
    let records = args
        .records
        .unwrap_or(if args.quick { 20_000 } else { 100_000 });
    let scratch = scratch(&target, "bench-kafka-data")?;
    let report = kafka::run(&BenchKafka {
        binaries: args.binaries,
        scratch: scratch.path().to_owned(),
        connections: args.connections,
        window,
        rounds: if args.quick { 1 } else { 3 },
        records,
    })
    .await?;
    print(args.json, || report.json(), || report.text());
    Ok(ExitCode::SUCCESS)
}

async fn on_postgres(args: RunArgs, target: PathBuf, window: Duration) -> Result<ExitCode> {
    let scratch = scratch(&target, "bench-postgres-data")?;
    let bench = BenchPostgres {
        binaries: args.binaries,
        scratch: scratch.path().to_owned(),
        place: target,
        connections: args.connections,
        window,
        rounds: if args.quick { 1 } else { run::ROUNDS },
    };
    if args.kafka {
        let report = pairs::run(&bench).await?;
        print(args.json, || report.json(), || report.text());
    } else {
        let report = postgres::run(&bench).await?;
        print(args.json, || report.json(), || report.text());
    }
    Ok(ExitCode::SUCCESS)
}

async fn swaps(args: SwapsArgs) -> Result<ExitCode> {
    ensure!(
        args.swaps >= 2 && args.connections > 0,
        "--swaps must be at least 2, --connections at least 1"
    );
    let target = files::target();
    let scratch = scratch(&target, "swaps-data")?;
    let report = swaps::run(&SwapsOptions {
        binaries: args.binaries,
        cautious: args.cautious,
        scratch: scratch.path().to_owned(),
        swaps: args.swaps,
        connections: args.connections,
        every: Duration::from_millis(args.every),
    })
    .await?;
    print(args.json, || report.json(), || report.text());
    Ok(exit_code(report.right()))
}

async fn hosts(args: HostsArgs) -> Result<ExitCode> {
    ensure!(
        args.swaps >= 2 && args.connections >= 3,
        "--swaps must be at least 2, --connections at least 3: one for each host"
    );
    let target = files::target();
    let scratch = scratch(&target, "hosts-data")?;
    let report = hosts::run(&HostsOptions {
        swaps: SwapsOptions {
            binaries: args.binaries,
            cautious: args.cautious,
            scratch: scratch.path().to_owned(),
            swaps: args.swaps,
            connections: args.connections,
            every: Duration::from_millis(args.every),
        },
        place: target,
        window: Duration::from_secs(args.seconds),
    })
    .await?;
    print(args.json, || report.json(), || report.text());
    Ok(exit_code(report.right()))
}

async fn replay(args: ReplayArgs) -> Result<ExitCode> {
    let target = files::target();
    let scratch = scratch(&target, "replay-data")?;
    let outcome = replay::run(&ReplayOptions {
        binaries: args.binaries,
        cautious: args.cautious,
        scratch: scratch.path().to_owned(),
        customers: args.customers,
        orders: args.orders,
        connections: args.connections,
        seed: args.seed.unwrap_or_else(fresh_seed),
    })
    .await?;
    print(args.json, || outcome.json(), || outcome.text());
    Ok(exit_code(outcome.right()))
}
