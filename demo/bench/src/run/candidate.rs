//! Measured hosts, with the ledger of their orders.
//!
//! Owns: the customers of a benchmark, its rounds, and the check of the ledger at the end: a fast
//! wrong host is no result. Works with one host or several.
//!
//! Must not know: the comparison.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::load::customers;
use crate::load::ledger::{Ledger, Violation};
use crate::load::shown;
use crate::run::rounds::{MeasuredRound, Round};
use saga_demo_client::cents::Cents;
use saga_testkit::host::Hosts;
use saga_testkit::http::BaseUrl;
use saga_testkit::usage::{Process, ProcessTree};

/// Customers of the orders.
pub(crate) const CUSTOMERS: usize = 1_000;
/// The limit of each customer, far more than all rounds can spend.
const LIMIT: Cents = Cents::whole(1_000_000);
/// Connections for registering and reading back.
const CONNECTIONS: usize = 16;
/// The share of the warm-up in a window.
const WARM_UP_PART: u32 = 5;
/// The seed of the orders: the same in every run.
const SEED: u64 = 1;

/// Measured hosts.
#[derive(Debug)]
pub(crate) struct Candidate {
    name: &'static str,
    hosts: Hosts,
    customers: Vec<BaseUrl>,
    orders: Vec<BaseUrl>,
    processes: Vec<Process>,
    server: Option<ProcessTree>,
    ledger: Arc<Ledger>,
}

impl Candidate {
    /// Registers the customers. `others` are measured with the hosts, since they work for them.
    ///
    /// # Errors
    /// A customer can't be registered; with the ends of the hosts' logs.
    pub(crate) async fn new(name: &'static str, hosts: Hosts, others: &[Process]) -> Result<Self> {
        let limits = vec![LIMIT; CUSTOMERS];
        let customer = hosts.service("customer")?;
        let ids = customers::register_all(customer, &limits, CONNECTIONS, false).await;
        let ids = ids.with_context(|| hosts.log_tails())?;
        let ledger = Arc::new(Ledger::new(ids.into_iter().zip(limits), false));
        let processes = [hosts.processes(), others.to_vec()].concat();
        Ok(Self {
            name,
            customers: hosts.services("customer"),
            orders: hosts.services("order"),
            hosts,
            processes,
            server: None,
            ledger,
        })
    }

    /// Sends an idempotency key of its own with each order.
    pub(crate) fn with_fresh_keys(self) -> Self {
        let fresh = self.orders.into_iter().map(BaseUrl::with_fresh_keys);
        Self {
            orders: fresh.collect(),
            ..self
        }
    }

    /// Measures the database server of the hosts with them.
    pub(crate) fn on(self, server: ProcessTree) -> Self {
        Self {
            server: Some(server),
            ..self
        }
    }

    /// Measures one round.
    ///
    /// # Errors
    /// A host ended, or there are too many violations.
    pub(crate) async fn measure(
        &self,
        connections: usize,
        round: usize,
        window: Duration,
    ) -> Result<MeasuredRound> {
        eprintln!(
            "{}: {connections} connections, round {round}, {:.0} s",
            self.name,
            window.as_secs_f64()
        );
        let round = Round {
            orders: &self.orders,
            processes: &self.processes,
            server: self.server.as_ref(),
            ledger: &self.ledger,
            connections,
            warm_up: window / WARM_UP_PART,
            window,
            seed: SEED,
        };
        let measured = round.run().await;
        let measured = measured.with_context(|| self.hosts.log_tails())?;
        if self.ledger.hopeless() {
            self.judge(&self.ledger.close())?;
        }
        Ok(measured)
    }

    /// Reads back the credit of all customers, at each host, closes the ledger, and drains the hosts.
    ///
    /// # Errors
    /// The ledger is not correct, or a host does not drain.
    pub(crate) async fn close(self) -> Result<()> {
        eprintln!("{}: checking the books", self.name);
        let violations = customers::settle(&self.customers, &self.ledger, CONNECTIONS).await?;
        self.judge(&violations)?;
        self.hosts.drain(std::future::pending()).await
    }

    fn judge(&self, violations: &[Violation]) -> Result<()> {
        let lines: Vec<String> = shown(violations).collect();
        ensure!(
            violations.is_empty(),
            "the books of the {} are wrong:\n{}",
            self.name,
            lines.join("\n")
        );
        Ok(())
    }
}
