//! `saga-demo fulfilment`: the saga of four participants, step by step, for a reader; and `saga-demo languages`, the same
//! saga with rules in three languages.
//!
//! Owns: the host with the four components, and the adapter of the payment gateway beside it. The fake gateway is in
//! this process, so the walk can look into its books.
//!
//! - `steps`: the steps
//! - `languages`: the steps of the walk through the languages, with `load`, the customers of it
//! - `client`: requests to the four services
//!
//! Must not know: host internals.

mod client;
mod languages;
mod load;
mod steps;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use fulfilment_gateway::adapter;
use fulfilment_gateway::fake::FakeGateway;
use saga_testkit::host::{Host, Launch};

use crate::files;
use crate::hosts;
use crate::interrupt::Interrupt;
use crate::walk::page::WalkPage;
use client::Services;
use languages::Builds;

/// The participants; the component of each is `fulfilment_NAME.wasm`.
const PARTICIPANTS: [&str; 4] = ["orders", "inventory", "payments", "shipping"];

/// A short time for payments, so that the walk need not wait long for the end of it.
const SETTINGS: &str = "[participants.orders.rules]\npayment_within = \"3s\"\n";

/// The time between two looks of the adapter.
const ADAPTER_LOOKS: Duration = Duration::from_millis(50);

/// The files of a walk.
#[derive(Debug)]
pub struct FulfilmentFiles {
    /// The host's program.
    pub saga: PathBuf,
    /// The directory of the components.
    pub components: PathBuf,
    /// The directory of the state.
    pub data: PathBuf,
}

/// The files of a walk through the languages.
#[derive(Debug)]
pub struct LanguagesFiles {
    /// Those of the saga with rules in Rust.
    pub fulfilment: FulfilmentFiles,
    /// The directory of the components in other languages: `PARTICIPANT-LANGUAGE.wasm`.
    pub languages: PathBuf,
}

/// Starts the host and the adapter, walks through the saga, checks the books and ends. Exit code 0 means that there
/// were no deviations.
///
/// # Errors
/// A file is missing, the host did not start, ended by itself, or did not end cleanly.
pub async fn run<W: Write>(files: &FulfilmentFiles, page: &mut WalkPage<W>) -> Result<ExitCode> {
    let launch = launch(files)?;
    hosted(&launch, page, async |host, gateway, page| {
        let mut services = Services::of(host)?;
        steps::walk(&mut services, gateway, page).await
    })
    .await
}

/// The same with rules in three languages, which are swapped under load.
///
/// # Errors
/// As those of [`run`].
pub async fn run_in_languages<W: Write>(
    files: &LanguagesFiles,
    page: &mut WalkPage<W>,
) -> Result<ExitCode> {
    let builds = Builds::in_directories(&files.fulfilment.components, &files.languages)?;
    let launch = builds.launch(&files.fulfilment)?;
    hosted(&launch, page, async |host, gateway, page| {
        languages::walk(host, &files.fulfilment, &builds, gateway, page).await
    })
    .await
}

/// Starts the host and the adapter, walks, and ends.
async fn hosted<W: Write>(
    launch: &Launch,
    page: &mut WalkPage<W>,
    walk: impl AsyncFnOnce(&Host, &Mutex<FakeGateway>, &mut WalkPage<W>) -> Result<()>,
) -> Result<ExitCode> {
    let mut interrupt = Interrupt::new()?;
    page.say("one host serves four participants over the embedded log:")?;
    page.request(&launch.command_line())?;
    let host = tokio::select! {
        host = Host::start(launch) => host?,
        () = interrupt.recv() => return Err(anyhow!("interrupted before the walk began")),
    };
    for (name, url) in &host.services {
        page.say(&format!("  {name:<10} {url}"))?;
    }
    let payments = host
        .service("payments")
        .context("payments is not served")?
        .clone();
    let gateway = Mutex::new(FakeGateway::default());
    let walked = tokio::select! {
        walked = walk(&host, &gateway, page) => {
            walked.map_err(|error| anyhow!("{error:#}\n{}", host.log_tail()))
        }
        () = adapter::run(&payments, &gateway, ADAPTER_LOOKS) => Err(anyhow!("the adapter ended")),
        status = host.exited() => Err(anyhow!("the host ended ({status})\n{}", host.log_tail())),
        () = interrupt.recv() => Err(anyhow!("interrupted before the walk was over")),
    };
    if let Err(error) = walked {
        // The error of the walk is more useful than that of the drain after it.
        let _ = hosts::drain(vec![host], interrupt.recv()).await;
        return Err(error);
    }
    page.verdict()?;
    hosts::drain(vec![host], interrupt.recv()).await?;
    page.say("the host has ended; its state is kept")?;
    Ok(match page.right() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn launch(files: &FulfilmentFiles) -> Result<Launch> {
    files::check_file(&files.saga, "--saga", "make build")?;
    let mut launch = Launch {
        settings: SETTINGS.to_owned(),
        ..files::host(&files.saga, &files.data)
    };
    for name in PARTICIPANTS {
        let component = files.components.join(format!("fulfilment_{name}.wasm"));
        files::check_file(&component, "--components", "make components")?;
        launch = launch.participant(name, &component, 0);
    }
    Ok(launch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_files_are_named_with_a_remedy() {
        let data = tempfile::tempdir().unwrap();
        let files = FulfilmentFiles {
            saga: data.path().join("saga"),
            components: data.path().to_owned(),
            data: data.path().to_owned(),
        };
        let error = launch(&files).unwrap_err().to_string();
        assert!(error.contains("make build"), "{error}");
        std::fs::write(&files.saga, "").unwrap();
        let error = launch(&files).unwrap_err().to_string();
        assert!(
            error.contains("fulfilment_orders.wasm does not exist"),
            "{error}"
        );
        assert!(error.contains("--components"), "{error}");
        for name in PARTICIPANTS {
            std::fs::write(data.path().join(format!("fulfilment_{name}.wasm")), "").unwrap();
        }
        let launch = launch(&files).unwrap();
        assert_eq!(launch.participants.len(), 4);
    }
}
