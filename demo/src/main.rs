//! `saga-demo`: the Customer/Order saga, and the fulfilment saga, step by step, for a reader. See the library beside this
//! file.

mod cli;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use saga_demo::page::WalkPage;
use saga_demo::{cluster, fulfilment, walk};

use crate::cli::{Cli, Task};

fn main() -> ExitCode {
    let task = Cli::parse().command;
    // One thread: the host needs the others.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(run(task));
            // After an interrupt, results of Kafka clients are not needed.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|error| {
        eprintln!("saga-demo: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(task: Task) -> Result<ExitCode> {
    let has_colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let page = &mut WalkPage::printed(has_colours);
    match task {
        Task::Walk(args) => walk::run(&args.options(cli::environment()), page).await,
        Task::Cluster(args) => cluster::run(&args.options(cli::environment()), page).await,
        Task::Fulfilment { files, data } => fulfilment::run(&files, &data, page).await,
        Task::Languages {
            files,
            languages,
            data,
        } => fulfilment::run_in_languages(&files, &languages, &data, page).await,
    }
}
