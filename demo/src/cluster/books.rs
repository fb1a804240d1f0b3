//! The books at the end: every acknowledged order is decided once, credit is right to the cent, no
//! event is there twice.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use saga_testkit::http::{BaseUrl, Client};

use super::load::Placed;
use super::{Cluster, LOOK_EVERY, Page, WITHIN};
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::{CustomerClient, OrderClient, OrderState};

/// Limit of the credit of each customer, by the customer's id.
pub(super) type Limits = BTreeMap<i64, Cents>;

/// Checks the books; deviations go to the page.
pub(super) async fn check(
    cluster: &Cluster,
    (limits, placed): (&Limits, &[Placed]),
    page: &mut Page,
) -> Result<()> {
    let mut hosts = Vec::new();
    for (customers, orders) in cluster.urls(0)?.into_iter().zip(cluster.urls(1)?) {
        hosts.push((
            client(customers, CustomerClient),
            client(orders, OrderClient),
        ));
    }
    let mut left = limits.clone();
    let mut counts = BTreeMap::<String, usize>::new();
    for (number, order) in placed.iter().enumerate() {
        let place = number % hosts.len().max(1);
        let (_, orders) = hosts.get_mut(place).context("there are no hosts")?;
        let state = decided(orders, order.id).await?;
        *counts.entry(state.to_string()).or_default() += 1;
        if state == OrderState::Approved
            && let Some(left) = left.get_mut(&order.customer)
        {
            left.0 -= order.total.0;
        }
    }
    let text = counts
        .iter()
        .map(|(state, count)| format!("{count} {state}"));
    let text = text.collect::<Vec<_>>().join(", ");
    page.say(&format!(
        "{} orders were acknowledged, and each is decided: {text}.",
        placed.len()
    ))?;
    for (customer, expected) in &left {
        for (number, (customers, _)) in (1..).zip(&mut hosts) {
            let found = customers.credit_left(*customer).await?;
            let what = format!("credit of customer {customer} at host {number}");
            page.must_be(&what, *expected, found)?;
        }
        let limit = limits.get(customer).copied().unwrap_or_default();
        page.say(&format!(
            "Customer {customer} has {expected} left of {limit}: the limit less the approved orders, at every host."
        ))?;
    }
    page.say("The store has as many orders, none of which was decided twice (revisions 1: placed, 2: decided):")?;
    let query = "SELECT a.revision, count(*) FROM saga.aggregates a JOIN saga.participants p ON p.id = a.participant \
                 WHERE p.name = 'order' GROUP BY 1";
    let found = cluster.show(query, page).await?.join(" ");
    page.must_be("orders by revision", format!("2|{}", placed.len()), found)?;
    page.say("One event for each order and one for each answer, and no id of an event twice:")?;
    let query = "SELECT t.name, count(*), count(DISTINCT o.event_id) FROM saga.outbox o JOIN saga.topics t ON t.id = o.topic \
                 GROUP BY 1 ORDER BY 1";
    let found = cluster.show(query, page).await?.join(" ");
    let all = placed.len();
    let expected = format!("customerTopic|{all}|{all} orderTopic|{all}|{all}");
    page.must_be("events", expected, found)?;
    if cluster.has_kafka {
        page.say("A host that was killed or paused while it copied them to Kafka may have sent some again, with their ids.")?;
    }
    Ok(())
}

/// Makes a client of one service, which waits for a host that is away.
pub(super) fn client<T>(url: BaseUrl, of: impl Fn(Client) -> T) -> T {
    of(Client::new(url, true))
}

/// The state of an order, once it is not pending.
pub(super) async fn decided(orders: &mut OrderClient, id: i64) -> Result<OrderState> {
    let began = Instant::now();
    loop {
        let state = orders.state(id).await?;
        if state != OrderState::Pending {
            return Ok(state);
        }
        if began.elapsed() > WITHIN {
            bail!("order {id} is not decided after {} s", WITHIN.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
