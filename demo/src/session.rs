//! The hosts of a walk, from their start to their end.
//!
//! Owns: their addresses on the page, the verdict and the exit code. Ctrl-C, or the end of a host,
//! ends the walk.
//!
//! Must not know: the steps.

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use saga_testkit::host::{Hosts, Launch};
use saga_testkit::interrupt::Interrupt;

use crate::page::WalkPage;

/// No invitation: the session ends after the walk.
pub(crate) const END: Option<fn(&Hosts, &mut WalkPage) -> Result<()>> = None;

/// Starts the hosts, walks, and drains them. If `invite` says so on the page, they stay up until
/// Ctrl-C. Exit code 0 means that there were no deviations.
///
/// # Errors
/// A host did not start, ended by itself, or did not end cleanly; or the walk can't go on.
pub(crate) async fn run(
    launches: &[Launch],
    interrupt: &mut Interrupt,
    page: &mut WalkPage,
    walk: impl AsyncFnOnce(&Hosts, &mut WalkPage) -> Result<()>,
    invite: Option<impl FnOnce(&Hosts, &mut WalkPage) -> Result<()>>,
) -> Result<ExitCode> {
    let hosts = tokio::select! {
        hosts = start(launches, page) => hosts?,
        () = interrupt.recv() => bail!("interrupted before the walk began"),
    };
    if let Err(error) = during(&hosts, interrupt, page, walk, invite).await {
        // The error of the walk is more useful than that of the drain after it.
        let _ = hosts.drain(interrupt.recv()).await;
        return Err(error);
    }
    hosts.drain(interrupt.recv()).await?;
    page.say(match launches {
        [_] => "the host has ended; its state is kept",
        _ => "the hosts have ended; their state is kept",
    })?;
    Ok(page.exit_code())
}

/// Starts the hosts and prints their addresses.
async fn start(launches: &[Launch], page: &mut WalkPage) -> Result<Hosts> {
    page.say(match launches {
        [_] => "starting the host",
        _ => "starting two hosts, one for each service",
    })?;
    for launch in launches {
        page.request(&launch.command_line())?;
    }
    let hosts = Hosts::start(launches).await?;
    page.say(&format!(
        "ready after {} ms",
        hosts.ready_after().as_millis()
    ))?;
    for (host, launch) in hosts.all().iter().zip(launches) {
        page.say("")?;
        let mut line = |what: &str, place: &dyn Display| page.say(&format!("  {what:<17} {place}"));
        for (name, url) in &host.services {
            line(&format!("{name} service"), url)?;
        }
        if let Some(admin) = &host.admin {
            line("admin interface", admin)?;
        }
        line("state", &launch.data.display())?;
        line("the host's log", &host.log_path().display())?;
    }
    Ok(hosts)
}

/// All that happens while the hosts run.
async fn during(
    hosts: &Hosts,
    interrupt: &mut Interrupt,
    page: &mut WalkPage,
    walk: impl AsyncFnOnce(&Hosts, &mut WalkPage) -> Result<()>,
    invite: Option<impl FnOnce(&Hosts, &mut WalkPage) -> Result<()>>,
) -> Result<()> {
    tokio::select! {
        walked = walk(hosts, page) => {
            walked.map_err(|error| anyhow!("{error:#}\n{}", hosts.log_tails()))?;
        }
        ended = hosts.exited() => bail!(ended),
        () = interrupt.recv() => bail!("interrupted before the walk was over"),
    }
    page.verdict()?;
    if let Some(invite) = invite {
        invite(hosts, page)?;
        tokio::select! {
            () = interrupt.recv() => {}
            ended = hosts.exited() => bail!(ended),
        }
        page.say("\ndraining: what is in flight is finished; Ctrl-C again ends at once")?;
    }
    Ok(())
}
