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

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use fulfilment_gateway::adapter;
use fulfilment_gateway::fake::FakeGateway;
use saga_demo_client::files;
use saga_testkit::host::{Hosts, Launch};
use saga_testkit::interrupt::Interrupt;

use crate::page::WalkPage;
use crate::session;
use client::Services;
use languages::Builds;

/// The participants; the component of each is `fulfilment_NAME.wasm`.
const PARTICIPANTS: [&str; 4] = ["orders", "inventory", "payments", "shipping"];

/// A short time for payments, so that the walk need not wait long for the end of it.
const SETTINGS: &str = "[participants.orders.rules]\npayment_within = \"3s\"\n";

/// The time between two looks of the adapter.
const ADAPTER_LOOKS: Duration = Duration::from_millis(50);

/// The files of a walk, as options.
#[derive(Debug, Args)]
pub struct FulfilmentFiles {
    /// The host
    #[arg(long, value_name = "PATH", default_value_os_t = files::program())]
    pub saga: PathBuf,
    /// Directory of the components
    #[arg(long, value_name = "DIR", default_value_os_t = files::components())]
    pub components: PathBuf,
}

/// Starts the host and the adapter, with the state in `data`; walks through the saga, checks the books and ends. Exit
/// code 0 means that there were no deviations.
///
/// # Errors
/// A file is missing, the host did not start, ended by itself, or did not end cleanly.
pub async fn run(files: &FulfilmentFiles, data: &Path, page: &mut WalkPage) -> Result<ExitCode> {
    let launch = Launch {
        settings: SETTINGS.to_owned(),
        ..launch(files, data)?
    };
    hosted(&launch, page, async |hosts, gateway, page| {
        steps::walk(&mut Services::of(hosts)?, gateway, page).await
    })
    .await
}

/// The same with rules in three languages, which are swapped under load. The directory `languages` has the components
/// in other languages than Rust: `PARTICIPANT-LANGUAGE.wasm`.
///
/// # Errors
/// As those of [`run`].
pub async fn run_in_languages(
    files: &FulfilmentFiles,
    languages: &Path,
    data: &Path,
    page: &mut WalkPage,
) -> Result<ExitCode> {
    let builds = Builds::in_directories(&files.components, languages)?;
    let launch = builds.launch(files, data)?;
    hosted(&launch, page, async |hosts, gateway, page| {
        languages::walk(hosts, &launch, &builds, gateway, page).await
    })
    .await
}

/// Walks while the host and the adapter run.
async fn hosted(
    launch: &Launch,
    page: &mut WalkPage,
    walk: impl AsyncFnOnce(&Hosts, &Mutex<FakeGateway>, &mut WalkPage) -> Result<()>,
) -> Result<ExitCode> {
    let gateway = Mutex::new(FakeGateway::default());
    let walk = async |hosts: &Hosts, page: &mut WalkPage| {
        let payments = hosts.service("payments")?;
        tokio::select! {
            walked = walk(hosts, &gateway, page) => walked,
            () = adapter::run(payments, &gateway, ADAPTER_LOOKS) => bail!("the adapter ended"),
        }
    };
    page.say("one host serves four participants over the embedded log:")?;
    let launches = std::slice::from_ref(launch);
    session::run(launches, &mut Interrupt::new()?, page, walk, session::END).await
}

fn launch(files: &FulfilmentFiles, data: &Path) -> Result<Launch> {
    files::check_file(&files.saga, "--saga", "make build")?;
    let mut launch = files::host(&files.saga, data);
    for name in PARTICIPANTS {
        let component = files.components.join(format!("fulfilment_{name}.wasm"));
        files::check_file(&component, "--components", "make components")?;
        launch = launch.participant(name, &component, 0);
    }
    Ok(launch)
}

fn locked(gateway: &Mutex<FakeGateway>) -> MutexGuard<'_, FakeGateway> {
    gateway.lock().unwrap_or_else(PoisonError::into_inner)
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
        };
        let launch = || launch(&files, data.path()).map_err(|error| error.to_string());
        let error = launch().unwrap_err();
        assert!(error.contains("make build"), "{error}");
        std::fs::write(&files.saga, "").unwrap();
        let error = launch().unwrap_err();
        let said = "fulfilment_orders.wasm does not exist";
        assert!(
            error.contains(said) && error.contains("--components"),
            "{error}"
        );
        for name in PARTICIPANTS {
            std::fs::write(data.path().join(format!("fulfilment_{name}.wasm")), "").unwrap();
        }
        assert_eq!(launch().unwrap().participants.len(), 4);
    }
}
