//! `saga-demo`: the Customer/Order saga, and the fulfilment saga, step by step, for a reader. See the library beside this
//! file.

mod cli;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use saga_demo::walk::{self, WalkOptions, page::WalkPage};
use saga_demo::{cluster, files, fulfilment};

use crate::cli::{Cli, Task, WalkArgs};

fn main() -> ExitCode {
    let task = Cli::parse().command;
    // One thread: the host needs the others.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(async {
                match task {
                    Task::Walk(args) => walk(args).await,
                    Task::Fulfilment(args) => {
                        let files = args.files(&files::target());
                        fulfilment::run(&files, &mut page()).await
                    }
                    Task::Languages(args) => {
                        let files = args.files(&files::target());
                        fulfilment::run_in_languages(&files, &mut page()).await
                    }
                    Task::Cluster(args) => {
                        let options = args.options(&files::target(), cli::environment());
                        cluster::run(&options, &mut page()).await
                    }
                }
            });
            // After an interrupt, results of Kafka clients are not needed.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|error| {
        eprintln!("saga-demo: {error:#}");
        ExitCode::FAILURE
    })
}

async fn walk(args: WalkArgs) -> Result<ExitCode> {
    let target = files::target();
    let (data, kafka) = args.place(&target, cli::environment());
    let walk = WalkOptions {
        ports: args.ports(),
        binaries: args.files.binaries(&target),
        cautious: files::cautious(args.cautious, &target),
        faulty: files::faulty(args.faulty, &target),
        data,
        kafka,
        once: args.once,
    };
    walk::run(&walk, &mut page()).await
}

/// Standard output, with colours on a terminal.
fn page() -> WalkPage<io::Stdout> {
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    WalkPage::new(io::stdout(), colour)
}
