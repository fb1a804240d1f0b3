//! Places the orders of a plan, those of one customer one after the other, and records what a client
//! sees.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use crate::load::customers;
use crate::load::plan::Plan;
use crate::replay::model::{CustomerRecord, OrderRecord};
use crate::saga::pace::Pace;
use crate::saga::timer::PreciseTimer;
use crate::saga::{self, SagaClocks};
use saga_demo_client::contract::{CustomerClient, OrderClient, OrderState};
use saga_testkit::host::Hosts;
use saga_testkit::http::Client;

/// Longest time that an order may be PENDING.
const PATIENCE: Duration = Duration::from_secs(30);

/// Registers all customers and places all orders. The records come in the order of the plan's
/// customers.
///
/// # Errors
/// A call failed, or an order stays PENDING.
pub(crate) async fn all(
    hosts: &Hosts,
    plan: &Plan,
    connections: usize,
) -> Result<Vec<CustomerRecord>> {
    let ids = customers::register_all(hosts.service("customer")?, &plan.limits, connections, false)
        .await?;
    let mut orders = vec![Vec::new(); ids.len()];
    for order in &plan.orders {
        if let Some(of_customer) = orders.get_mut(order.customer) {
            of_customer.push(order.total);
        }
    }
    let customers = ids.into_iter().zip(plan.limits.iter().copied()).zip(orders);
    let waiting: VecDeque<_> = customers.enumerate().collect();
    let waiting = Arc::new(Mutex::new(waiting));
    let clocks = Arc::new(SagaClocks {
        timer: PreciseTimer::start()?,
        pace: Pace::new(connections),
        patience: PATIENCE,
    });
    let mut tasks: JoinSet<Result<Vec<_>>> = JoinSet::new();
    for _ in 0..connections {
        let mut at_orders = OrderClient(Client::new(hosts.service("order")?.clone(), false));
        let mut at_customers =
            CustomerClient(Client::new(hosts.service("customer")?.clone(), false));
        let (waiting, clocks) = (Arc::clone(&waiting), Arc::clone(&clocks));
        tasks.spawn(async move {
            let next = || {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.pop_front()
            };
            let mut records = Vec::new();
            while let Some((number, ((id, limit), totals))) = next() {
                let mut orders = Vec::new();
                for total in totals {
                    let decided = saga::run(&mut at_orders, &clocks, id, total).await?;
                    orders.push(OrderRecord {
                        id: decided.order_id,
                        total,
                        is_approved: decided.state == OrderState::Approved,
                    });
                }
                let left = at_customers.credit_left(id).await?;
                let record = CustomerRecord {
                    id,
                    limit,
                    orders,
                    left,
                };
                records.push((number, record));
            }
            Ok(records)
        });
    }
    let mut records = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        records.extend(ended.context("a connection's task broke")??);
    }
    records.sort_by_key(|(number, _)| *number);
    Ok(records.into_iter().map(|(_, record)| record).collect())
}
