//! The hosts of a run: one with both participants, or one for each over Kafka. Walk and benchmark
//! work with either.
//!
//! Owns: starting them one by one, finding the host of a participant, noticing the end of a host,
//! and draining all at once. Errors name the host and show the end of its log.
//!
//! Must not know: requests to the services.

use std::fmt::Write as _;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use saga_testkit::host::{Host, Launch};
use saga_testkit::http::BaseUrl;
use saga_testkit::usage::Process;

use crate::files;

/// Longest drain, which finishes what is in flight.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// Ready hosts that together serve both participants. Without [`Hosts::drain`] they are killed on
/// drop.
#[derive(Debug)]
pub struct Hosts {
    /// The customer service.
    pub customer: BaseUrl,
    /// The order service.
    pub order: BaseUrl,
    hosts: Vec<Host>,
}

impl Hosts {
    /// Starts them in this order. If one fails, those before it are drained.
    ///
    /// # Errors
    /// A file is missing, a port is in use, or a host did not get ready; see [`Host::start`].
    pub async fn start(launches: &[Launch]) -> Result<Self> {
        for launch in launches {
            files::check(launch)?;
        }
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
        let service = |name: &str| {
            let found = hosts.iter().find_map(|host| host.service(name));
            found
                .cloned()
                .with_context(|| format!("no host serves {name}"))
        };
        Ok(Self {
            customer: service("customer")?,
            order: service("order")?,
            hosts,
        })
    }

    /// All hosts.
    pub fn all(&self) -> &[Host] {
        &self.hosts
    }

    /// The URL of the admin interface of a participant's host, if it has one.
    pub fn admin(&self, participant: &str) -> Option<&BaseUrl> {
        let host = self
            .hosts
            .iter()
            .find(|host| host.service(participant).is_some());
        host.and_then(|host| host.admin.as_ref())
    }

    /// Time from the start of the first to `ready` of the last.
    pub fn ready_after(&self) -> Duration {
        self.hosts.iter().map(|host| host.ready_after).sum()
    }

    /// Their processes, by name.
    pub fn processes(&self) -> Vec<Process> {
        self.hosts.iter().map(Host::in_system).collect()
    }

    /// The ends of their logs, with the names of the hosts if there are several.
    pub fn log_tails(&self) -> String {
        match self.hosts.as_slice() {
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
            .hosts
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
        drain(self.hosts, again).await
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
    use crate::files::ServicePorts;
    use crate::mock::{script, script_alone};

    /// Two directories with a script for each participant.
    fn two(data: &Path) -> [Launch; 2] {
        for (name, port) in [("customer", 1), ("order", 2)] {
            let data = data.join(name);
            std::fs::create_dir_all(&data).unwrap();
            let says = format!(
                "listening {name} http://127.0.0.1:{port}/{name}\nadmin http://127.0.0.1:1{port}\n"
            );
            std::fs::write(data.join("stdout"), says).unwrap();
        }
        script().apart(data, ServicePorts::default())
    }

    #[tokio::test]
    async fn two_hosts_serve_as_one_and_drain_together() {
        let data = tempfile::tempdir().unwrap();
        let hosts = Hosts::start(&two(data.path())).await.unwrap();
        assert_eq!(hosts.customer.to_string(), "http://127.0.0.1:1/customer");
        assert_eq!(hosts.order.to_string(), "http://127.0.0.1:2/order");
        let admin = hosts.admin("customer").map(ToString::to_string);
        assert_eq!(admin.as_deref(), Some("http://127.0.0.1:11"));
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
        hosts.hosts[1].ask_to_end();
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
        std::fs::write(
            data.path().join("stdout"),
            "listening customer http://127.0.0.1:1/c\nlistening order http://127.0.0.1:2/o\n",
        )
        .unwrap();
        let stubborn = data.path().join("stubborn");
        std::fs::write(&stubborn, "").unwrap();
        let hosts = Hosts::start(&[script_alone(data.path())]).await.unwrap();
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
