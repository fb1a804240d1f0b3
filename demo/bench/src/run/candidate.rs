//! Hosts that are measured, and the books of what was asked of them.
//!
//! Owns: the customers of a benchmark, its rounds, and the judgement at the end: a fast wrong host is no
//! result. One host or several, over whatever carries their events.
//!
//! Must not know: what it is compared with.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::load::customers;
use crate::load::ledger::Ledger;
use crate::load::shown;
use crate::run::rounds::{Measured, Round};
use saga_demo::cents::Cents;
use saga_demo::hosts::Hosts;
use saga_testkit::usage::Process;

/// Customers that the orders are spread over.
pub(crate) const CUSTOMERS: usize = 1_000;
/// Far more than all rounds can spend.
const LIMIT: Cents = Cents::whole(1_000_000);
/// Connections for registering and reading back.
const CONNECTIONS: usize = 16;
/// The warm-up is this part of a window.
const WARM_UP_PART: u32 = 5;
/// Every run draws the same orders.
const SEED: u64 = 1;

/// Hosts that are measured.
#[derive(Debug)]
pub(crate) struct Candidate {
    name: &'static str,
    hosts: Hosts,
    processes: Vec<Process>,
    ledger: Arc<Ledger>,
}

impl Candidate {
    /// Registers the customers. The processes that work for the hosts are measured with them.
    ///
    /// # Errors
    /// A customer can't be registered; with the ends of the hosts' logs.
    pub(crate) async fn new(name: &'static str, hosts: Hosts, others: &[Process]) -> Result<Self> {
        let limits = vec![LIMIT; CUSTOMERS];
        let ids = customers::register_all(&hosts.customer, &limits, CONNECTIONS, false).await;
        let ids = ids.with_context(|| hosts.log_tails())?;
        let ledger = Arc::new(Ledger::new(ids.into_iter().zip(limits), false));
        let processes = [hosts.processes(), others.to_vec()].concat();
        Ok(Self {
            name,
            hosts,
            processes,
            ledger,
        })
    }

    /// Measures one round.
    ///
    /// # Errors
    /// A host went away, or the books are hopeless.
    pub(crate) async fn measure(
        &self,
        connections: usize,
        round: usize,
        window: Duration,
    ) -> Result<Measured> {
        eprintln!(
            "{}: {connections} connections, round {round}, {:.0} s",
            self.name,
            window.as_secs_f64()
        );
        let round = Round {
            order: &self.hosts.order,
            processes: &self.processes,
            ledger: &self.ledger,
            connections,
            warm_up: window / WARM_UP_PART,
            window,
            seed: SEED,
        };
        let measured = round.run().await;
        let measured = measured.with_context(|| self.hosts.log_tails())?;
        if self.ledger.hopeless() {
            self.judge()?;
        }
        Ok(measured)
    }

    /// Reads back what is left of the limits, closes the books, and drains the hosts.
    ///
    /// # Errors
    /// The books are wrong, or a host does not drain.
    pub(crate) async fn close(self) -> Result<()> {
        eprintln!(
            "{}: reading back what is left of {CUSTOMERS} limits",
            self.name
        );
        customers::compare_all(&self.hosts.customer, &self.ledger, CONNECTIONS, false).await?;
        self.judge()?;
        self.hosts.drain(std::future::pending()).await
    }

    fn judge(&self) -> Result<()> {
        let violations = self.ledger.close();
        let lines: Vec<String> = shown(&violations).collect();
        ensure!(
            violations.is_empty(),
            "the books of the {} are wrong:\n{}",
            self.name,
            lines.join("\n")
        );
        Ok(())
    }
}
