//! The orders of the walk: within the limit, up to it, beyond it, and of an unknown customer.
//!
//! Owns: the steps, their expected answers, and the sentences that explain them.
//!
//! Must not know: the number of hosts, or the transport of events.

use std::io::Write;

use anyhow::Result;

use super::call::{self, PlacedOrder};
use super::page::WalkPage;
use crate::cents::Cents;
use crate::contract::OrderState;
use saga_testkit::http::{BaseUrl, Client};

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

/// Runs the steps against the two services; deviations go to the page. Returns the orders that were
/// placed.
///
/// # Errors
/// A service can't be reached.
pub(super) async fn walk<W: Write>(
    customer: &BaseUrl,
    order: &BaseUrl,
    page: &mut WalkPage<W>,
) -> Result<Vec<PlacedOrder>> {
    let mut customers = Client::new(customer.clone(), false);
    let mut orders = Client::new(order.clone(), false);
    let mut placed = Vec::new();

    page.heading("A customer registers with a credit limit of 1000")?;
    let limit = Cents::whole(1_000);
    let Some(customer_id) = call::register(&mut customers, "Ann", limit, page).await? else {
        return Ok(placed);
    };
    page.say("The customer service gave an id and keeps the limit; nobody else has to know.")?;

    for step in &STEPS {
        page.heading(step.title)?;
        placed.extend(call::place(&mut orders, customer_id, step.total, step.state, page).await?);
        page.say(step.because)?;
        let left = call::credit_left(&mut customers, customer_id, step.left, page).await?;
        if let Some(left) = left {
            page.say(&format!("{left} of the limit of {limit} is left."))?;
        }
    }

    page.heading("An order for a customer who does not exist")?;
    let total = Cents::whole(10);
    placed.extend(call::place(&mut orders, NOBODY, total, OrderState::Rejected, page).await?);
    page.say(
        "The order service can't know who exists, so it takes the order; the customer service refuses it, as \
         it refuses what the credit does not cover.",
    )?;

    page.heading("The order of 700 is cancelled")?;
    let Some(order) = placed.iter().find(|order| order.total == STEPS[1].total) else {
        return Ok(placed);
    };
    call::cancel(&mut orders, order.order_id, page).await?;
    page.say(
        "The order is CANCELLED at once, and that it was cancelled is published, both or neither.",
    )?;
    let left = call::credit_becomes(&mut customers, customer_id, STEPS[1].total, page).await?;
    if left.is_some() {
        page.say(
            "The customer service heard it and gave the credit back: the compensation of the saga. An order that \
             nobody answers in time ends like this too, as REJECTED with a reason.",
        )?;
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Mock, MockFault};

    async fn walked(fault: MockFault) -> (bool, String) {
        let mock = Mock::start(fault).await;
        let mut page = WalkPage::new(Vec::new(), false);
        walk(&mock.customer, &mock.order, &mut page).await.unwrap();
        page.verdict().unwrap();
        (page.right(), page.text())
    }

    #[tokio::test]
    async fn a_right_service_is_explained_and_found_right() {
        let (right, text) = walked(MockFault::None).await;
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
        let (right, text) = walked(MockFault::ApprovesBeyond).await;
        assert!(!right);
        assert!(
            text.contains("state of the order: expected REJECTED, found APPROVED"),
            "{text}"
        );
        assert!(text.contains("credit left: expected 0, found -1"), "{text}");
        let (right, text) = walked(MockFault::KeepsCredit).await;
        assert!(!right);
        assert!(
            text.contains("credit left: expected 700, found 0"),
            "{text}"
        );
    }
}
