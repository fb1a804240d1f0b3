//! The orders of the walk: within the limit, up to it, beyond it, and of an unknown customer.
//!
//! Owns: the steps, their expected answers, and the sentences that explain them.
//!
//! Must not know: the number of hosts, or the transport of events.

use anyhow::{Result, bail};
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::OrderState;

use super::client::{PlacedOrder, Walk};

/// The limit of the customer.
const LIMIT: Cents = Cents::whole(1_000);
/// An id that no run reaches.
const NOBODY: i64 = 999_999_999;

/// One order of the walk.
struct OrderStep {
    title: &'static str,
    total: Cents,
    state: OrderState,
    left: Cents,
    because: &'static str,
}

const STEPS: [OrderStep; 3] = [
    OrderStep {
        title: "An order of 300, within the limit",
        total: Cents::whole(300),
        state: OrderState::Approved,
        left: Cents::whole(700),
        because: "The customer service took 300 from the credit and published APPROVED; the order service \
                  heard it and set the order.",
    },
    OrderStep {
        title: "An order of 700, which uses the limit up exactly",
        total: Cents::whole(700),
        state: OrderState::Approved,
        left: Cents(0),
        because: "What is left is just enough, and that is enough.",
    },
    OrderStep {
        title: "An order of 1, beyond the limit",
        total: Cents::whole(1),
        state: OrderState::Rejected,
        left: Cents(0),
        because: "The customer service refused and took nothing; the order service, hearing REJECTED, set the order \
                  to REJECTED.",
    },
];

/// Runs the steps; deviations go to the page. Returns the orders that were placed.
///
/// # Errors
/// A service can't be reached, or the walk can't go on without an answer.
pub(super) async fn walk(walk: &mut Walk<'_>) -> Result<Vec<PlacedOrder>> {
    let mut placed = Vec::new();
    walk.page
        .heading("A customer registers with a credit limit of 1000")?;
    let customer_id = walk.register("Ann", LIMIT).await?;
    walk.page
        .say("The customer service gave an id and keeps the limit; nobody else has to know.")?;

    for step in &STEPS {
        walk.page.heading(step.title)?;
        placed.push(walk.place(customer_id, step.total, step.state).await?);
        walk.page.say(step.because)?;
        walk.credit_left(customer_id, step.left).await?;
        let left = step.left;
        walk.page
            .say(&format!("{left} of the limit of {LIMIT} is left."))?;
    }

    walk.page
        .heading("An order for a customer who does not exist")?;
    placed.push(
        walk.place(NOBODY, Cents::whole(10), OrderState::Rejected)
            .await?,
    );
    walk.page.say(
        "The order service can't know who exists, so it takes the order; the customer service refuses it, as \
         it refuses what the credit does not cover.",
    )?;

    walk.page.heading("The order of 700 is cancelled")?;
    let [_, of_700, ..] = placed.as_slice() else {
        bail!("the walk can't go on without the order of 700");
    };
    walk.cancel(of_700.order_id).await?;
    walk.page.say(
        "The order is CANCELLED at once, and that it was cancelled is published, both or neither.",
    )?;
    walk.credit_becomes(customer_id, of_700.total).await?;
    walk.page.say(
        "The customer service heard it and gave the credit back: the compensation of the saga. An order that \
         nobody answers in time ends like this too, as REJECTED with a reason.",
    )?;
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use saga_demo_client::mock::MockFault;

    use super::*;
    use crate::walk::tests::walked;

    #[tokio::test]
    async fn a_right_service_is_explained_and_found_right() {
        let (right, text) = walked(MockFault::None, async |it| walk(it).await.map(drop)).await;
        assert!(right, "{text}");
        for line in [
            r#"{"name":"Ann","creditLimit":{"amount":1000}}'"#,
            r#"201 {"customerId":1,"name":"Ann","amount":1000}"#,
            r#"201 {"orderId":2,"orderState":"PENDING","customerId":1,"orderTotal":700}"#,
            r#"200 {"orderId":3,"orderState":"REJECTED"}"#,
            r#"200 {"orderId":4,"orderState":"REJECTED"}"#,
            r#"200 {"id":1,"name":"Ann","creditLimit":0}"#,
            "/orders/2/cancel",
            r#"200 {"orderId":2,"orderState":"CANCELLED"}"#,
            r#"200 {"id":1,"name":"Ann","creditLimit":700}"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_wrong_service_is_found_wrong_with_expected_and_found() {
        for (fault, said) in [
            (
                MockFault::ApprovesBeyond,
                "state of the order: expected REJECTED, found APPROVED",
            ),
            (
                MockFault::ApprovesBeyond,
                "credit left: expected 0, found -1",
            ),
            (MockFault::KeepsCredit, "credit left: expected 700, found 0"),
        ] {
            let (right, text) = walked(fault, async |it| walk(it).await.map(drop)).await;
            assert!(
                !right && text.contains(said),
                "{said} is missing in:\n{text}"
            );
        }
    }
}
