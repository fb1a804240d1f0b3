//! `saga-demo`: the Customer/Order saga, step by step, for a reader. See the library beside this
//! file.

mod cli;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use saga_demo::files;
use saga_demo::walk::{self, WalkOptions, page::WalkPage};

use crate::cli::{Cli, Task, WalkArgs};

fn main() -> ExitCode {
    let Task::Walk(args) = Cli::parse().command;
    // One thread: the host needs the others.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(walk(args));
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
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
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
    walk::run(&walk, &mut WalkPage::new(io::stdout(), colour)).await
}
