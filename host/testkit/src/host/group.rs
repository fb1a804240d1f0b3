//! The hosts of a run: one with all participants, or one for each over Kafka.
//!
//! Owns: starting them one by one, finding the host of a participant, noticing the end of a host,
//! and draining all at once. Errors name the host and show the end of its log.
//!
//! Must not know: requests to the services.

use std::fmt::Write as _;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Host, Launch};
use crate::http::BaseUrl;
use crate::usage::Process;

/// Longest drain, which finishes what is in flight.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// Ready hosts that together serve all participants. Without [`Hosts::drain`] they are killed on
/// drop.
#[derive(Debug)]
pub struct Hosts(Vec<Host>);

impl Hosts {
    /// Starts them in this order. If one fails, those before it are drained.
    ///
    /// # Errors
    /// A host did not get ready; see [`Host::start`].
    pub async fn start(launches: &[Launch]) -> Result<Self> {
        let mut hosts = Vec::new();
        for launch in launches {
            match Host::start(launch).await {
                Ok(host) => hosts.push(host),
                Err(error) => {
                    // The reported error is that of the other host.
                    let _ = drain(hosts, std::future::pending()).await;
                    return Err(error);
                }
            }
        }
        Ok(Self(hosts))
    }

    /// All hosts.
    pub fn all(&self) -> &[Host] {
        &self.0
    }

    /// The URL of a participant.
    ///
    /// # Errors
    /// No host serves it.
    pub fn service(&self, participant: &str) -> Result<&BaseUrl> {
        let found = self.0.iter().find_map(|host| host.service(participant));
        found.with_context(|| format!("no host serves {participant}"))
    }

    /// The URLs of a participant at all hosts that serve it.
    pub fn services(&self, participant: &str) -> Vec<BaseUrl> {
        let found = self.0.iter().filter_map(|host| host.service(participant));
        found.cloned().collect()
    }

    /// The URL of the admin interface of a participant's host.
    ///
    /// # Errors
    /// No host serves the participant, or its host has no admin interface.
    pub fn admin(&self, participant: &str) -> Result<&BaseUrl> {
        let mut hosts = self.0.iter();
        let host = hosts.find(|host| host.service(participant).is_some());
        let host = host.with_context(|| format!("no host serves {participant}"))?;
        let admin = host.admin.as_ref();
        admin.with_context(|| {
            format!(
                "{} did not say `admin URL`: its admin interface is off, or it is older than this program",
                host.title
            )
        })
    }

    /// Time from the start of the first to `ready` of the last.
    pub fn ready_after(&self) -> Duration {
        self.0.iter().map(|host| host.ready_after).sum()
    }

    /// Their processes, by name.
    pub fn processes(&self) -> Vec<Process> {
        self.0.iter().map(Host::in_system).collect()
    }

    /// The ends of their logs, with the names of the hosts if there are several.
    pub fn log_tails(&self) -> String {
        match self.0.as_slice() {
            [only] => only.log_tail(),
            hosts => {
                let tail = |host: &Host| format!("{}: {}", host.title, host.log_tail());
                hosts.iter().map(tail).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// Returns when one of them has ended by itself, with its name. Cancel-safe.
    pub async fn exited(&self) -> String {
        let ends: Vec<_> = self
            .0
            .iter()
            .map(|host| {
                Box::pin(async {
                    let status = host.exited().await;
                    format!("{} ended ({status})\n{}", host.title, host.log_tail())
                })
            })
            .collect();
        first(ends).await
    }

    /// Drains all and waits for their ends. If `again` completes first, they are signalled again,
    /// which ends them at once.
    ///
    /// # Errors
    /// One did not end in time (it is then killed), or not with exit code 0.
    pub async fn drain(self, again: impl Future<Output = ()>) -> Result<()> {
        drain(self.0, again).await
    }
}

/// Drains hosts; see [`Hosts::drain`].
///
/// # Errors
/// One did not end in time (it is then killed), or not with exit code 0.
pub async fn drain(hosts: Vec<Host>, again: impl Future<Output = ()>) -> Result<()> {
    hosts.iter().for_each(Host::ask_to_end);
    let until = Instant::now() + DRAIN_WITHIN;
    let mut again = pin!(again);
    let mut asked_again = false;
    loop {
        let all_ended = async {
            for host in &hosts {
                host.exited().await;
            }
        };
        tokio::select! {
            biased;
            () = all_ended => break,
            () = &mut again, if !asked_again => {
                asked_again = true;
                hosts.iter().for_each(Host::ask_to_end);
            }
            () = tokio::time::sleep_until(until.into()) => break,
        }
    }
    let mut problems = String::new();
    for host in &hosts {
        let how = match host.status() {
            Some(status) if status.success() => continue,
            Some(status) => format!("ended with {status} when it was asked to drain"),
            None => format!(
                "did not end within {} s of being asked to, and was killed",
                DRAIN_WITHIN.as_secs()
            ),
        };
        // Writing to a string does not fail.
        let _ = writeln!(problems, "{} {how}\n{}", host.title, host.log_tail());
    }
    if !problems.is_empty() {
        bail!("{}", problems.trim_end());
    }
    Ok(())
}

/// The output of the first of these futures to complete.
async fn first<F: Future + Unpin>(mut futures: Vec<F>) -> F::Output {
    std::future::poll_fn(|context| {
        for future in &mut futures {
            let ready = std::pin::Pin::new(future).poll(context);
            if ready.is_ready() {
                return ready;
            }
        }
        std::task::Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::script;

    /// Two hosts, which are scripts, with a participant each.
    fn two(data: &Path) -> [Launch; 2] {
        [("customer", 1), ("order", 2)].map(|(name, port)| {
            let data = data.join(name);
            std::fs::create_dir_all(&data).unwrap();
            let says = format!(
                "listening {name} http://127.0.0.1:{port}/{name}\nadmin http://127.0.0.1:1{port}\n"
            );
            std::fs::write(data.join("stdout"), says).unwrap();
            Launch::new(&script(), &data).participant(name, &script(), 0)
        })
    }

    #[tokio::test]
    async fn two_hosts_serve_as_one_and_drain_together() {
        let data = tempfile::tempdir().unwrap();
        let hosts = Hosts::start(&two(data.path())).await.unwrap();
        let url = |found: Result<&BaseUrl>| {
            found.map_or_else(|error| error.to_string(), |url| url.to_string())
        };
        assert_eq!(
            url(hosts.service("customer")),
            "http://127.0.0.1:1/customer"
        );
        assert_eq!(url(hosts.service("order")), "http://127.0.0.1:2/order");
        assert_eq!(url(hosts.admin("customer")), "http://127.0.0.1:11");
        assert_eq!(url(hosts.admin("nobody")), "no host serves nobody");
        let names: Vec<_> = hosts
            .processes()
            .iter()
            .map(|process| process.name.clone())
            .collect();
        assert_eq!(names, ["customer", "order"]);
        hosts.drain(std::future::pending()).await.unwrap();
        for name in ["customer", "order"] {
            let log = std::fs::read_to_string(data.path().join(name).join("host.log")).unwrap();
            assert!(log.contains("drained"), "{name}: {log}");
        }
    }

    #[tokio::test]
    async fn the_host_that_fails_is_named_and_the_other_one_drained() {
        let data = tempfile::tempdir().unwrap();
        let launches = two(data.path());
        std::fs::write(data.path().join("order/fail"), "").unwrap();
        let error = Hosts::start(&launches).await.unwrap_err().to_string();
        assert!(
            error.contains("the order host ended") && error.contains("order/host.log"),
            "{error}"
        );
        let log = std::fs::read_to_string(data.path().join("customer/host.log")).unwrap();
        assert!(log.contains("drained"), "{log}");
    }

    #[tokio::test]
    async fn the_host_that_ends_by_itself_is_named() {
        let data = tempfile::tempdir().unwrap();
        let hosts = Hosts::start(&two(data.path())).await.unwrap();
        hosts.0[1].ask_to_end();
        let said = hosts.exited().await;
        assert!(
            said.starts_with("the order host ended (exit status: 0)") && said.contains("| drained"),
            "{said}"
        );
        hosts.drain(std::future::pending()).await.unwrap();
    }

    #[tokio::test]
    async fn a_host_that_does_not_drain_is_asked_again_and_reported() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("stdout"), "").unwrap();
        let stubborn = data.path().join("stubborn");
        std::fs::write(&stubborn, "").unwrap();
        let hosts = Hosts::start(&[Launch::new(&script(), data.path())])
            .await
            .unwrap();
        // The script removes the file at the first signal.
        let again = async {
            while stubborn.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let error = hosts.drain(again).await.unwrap_err().to_string();
        assert!(
            error.contains("the host ended with exit status: 143"),
            "{error}"
        );
    }
}
