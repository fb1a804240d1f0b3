//! Registers many customers, and reads back the credit of each.
//!
//! Owns: these two steps before and after a run, which load and benchmarks share, each spread over
//! several connections.
//!
//! Must not know: orders.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::load::ledger::{Ledger, Violation};
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::{CallError, CustomerClient};
use saga_testkit::http::{BaseUrl, Client};

/// Number of retries of a registration that broke off, for a client that retries.
const REGISTRATIONS_MAX: usize = 20;

/// Registers one customer per limit; returns the ids in the order of the limits.
///
/// With `retry`, a registration that broke off is repeated. That may leave an unused customer
/// behind, but never changes one that the run uses.
///
/// # Errors
/// The error of the first registration that failed.
pub(crate) async fn register_all(
    endpoint: &BaseUrl,
    limits: &[Cents],
    connections: usize,
    retry: bool,
) -> Result<Vec<i64>> {
    let limits: Arc<[Cents]> = limits.into();
    let ids = Arc::new(Mutex::new(vec![0; limits.len()]));
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks: JoinSet<Result<(), CallError>> = JoinSet::new();
    for _ in 0..connections {
        let mut service = CustomerClient(Client::new(endpoint.clone(), retry));
        let (limits, ids, next) = (Arc::clone(&limits), Arc::clone(&ids), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let customer = next.fetch_add(1, Ordering::Relaxed);
                let Some(limit) = limits.get(customer) else {
                    return Ok(());
                };
                let id = register(&mut service, &format!("Customer {customer}"), *limit).await?;
                if let Some(slot) = ids
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_mut(customer)
                {
                    *slot = id;
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended
            .context("a connection's task broke")?
            .context("can't register the customers")?;
    }
    let ids = ids.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(ids)
}

/// Reads the credit of every customer and compares it with the ledger.
///
/// # Errors
/// A task panicked. Errors of the service are entered into the ledger.
pub(crate) async fn compare_all(
    endpoint: &BaseUrl,
    ledger: &Arc<Ledger>,
    connections: usize,
    retry: bool,
) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut service = CustomerClient(Client::new(endpoint.clone(), retry));
        let (ledger, next) = (Arc::clone(ledger), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let customer = next.fetch_add(1, Ordering::Relaxed);
                let Some(id) = ledger.customer_id(customer) else {
                    return;
                };
                if ledger.hopeless() {
                    return;
                }
                ledger.compare(customer, service.credit_left(id).await);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a connection's task broke")?;
    }
    Ok(())
}

/// Compares the credit of every customer at each host with the ledger, and closes it: returns all
/// violations.
///
/// # Errors
/// As for [`compare_all`].
pub(crate) async fn settle(
    hosts: &[BaseUrl],
    ledger: &Arc<Ledger>,
    connections: usize,
) -> Result<Vec<Violation>> {
    eprintln!("reading back what is left of {} limits", ledger.customers());
    for endpoint in hosts {
        compare_all(endpoint, ledger, connections, false).await?;
    }
    Ok(ledger.close())
}

async fn register(
    service: &mut CustomerClient,
    name: &str,
    limit: Cents,
) -> Result<i64, CallError> {
    let mut tries = 1;
    loop {
        match service.register(name, limit).await {
            Err(error)
                if service.0.retries() && error.fate_unknown() && tries < REGISTRATIONS_MAX =>
            {
                tries += 1;
            }
            registered => return registered,
        }
    }
}
