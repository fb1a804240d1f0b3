//! The orders of the walk: within the limit, up to it, beyond it, and for nobody.
//!
//! Owns: the steps, what each must answer, and the sentence that explains it.
//!
//! Must not know: how many hosts there are, or what carries the events between them.

use std::io::Write;

use anyhow::Result;

use super::call::{self, Placed};
use super::page::Page;
use crate::cents::Cents;
use crate::contract::OrderState;
use saga_testkit::http::{BaseUrl, Client};

/// An id that no run gets to.
const NOBODY: i64 = 999_999_999;

/// One order of the walk.
struct Step {
    title: &'static str,
    total: Cents,
    state: OrderState,
    left: Cents,
    because: &'static str,
}

const STEPS: [Step; 3] = [
    Step {
        title: "An order of 300, within the limit",
        total: Cents::whole(300),
        state: OrderState::Approved,
        left: Cents::whole(700),
        because: "The customer service took 300 from the credit and published APPROVED; the order service \
                  heard it and set the order.",
    },
    Step {
        title: "An order of 700, which uses the limit up exactly",
        total: Cents::whole(700),
        state: OrderState::Approved,
        left: Cents(0),
        because: "What is left is just enough, and that is enough.",
    },
    Step {
        title: "An order of 1, beyond the limit",
        total: Cents::whole(1),
        state: OrderState::Rejected,
        left: Cents(0),
        because: "The customer service refused and took nothing; the order service, hearing REJECTED, undid its \
                  part by setting the order to REJECTED. That is the compensation.",
    },
];

/// Walks through the saga against two running services and notes on the page what is not as it must be. Gives the
/// orders that were placed.
///
/// # Errors
/// A service can't be reached.
pub(super) async fn walk<W: Write>(
    customer: &BaseUrl,
    order: &BaseUrl,
    page: &mut Page<W>,
) -> Result<Vec<Placed>> {
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
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Fault, Mock};

    async fn walked(fault: Fault) -> (bool, String) {
        let mock = Mock::start(fault).await;
        let mut page = Page::new(Vec::new(), false);
        walk(&mock.customer, &mock.order, &mut page).await.unwrap();
        page.verdict().unwrap();
        (page.right(), page.text())
    }

    #[tokio::test]
    async fn a_right_service_is_explained_and_found_right() {
        let (right, text) = walked(Fault::None).await;
        assert!(right, "{text}");
        for line in [
            r#"{"name":"Ann","creditLimit":{"amount":1000}}'"#,
            r#"201 {"customerId":1,"name":"Ann","amount":1000}"#,
            r#"201 {"orderId":2,"orderState":"PENDING","customerId":1,"orderTotal":700}"#,
            r#"200 {"orderId":3,"orderState":"REJECTED"}"#,
            r#"200 {"orderId":4,"orderState":"REJECTED"}"#,
            r#"200 {"id":1,"name":"Ann","creditLimit":0}"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_wrong_service_is_found_wrong_with_expected_and_found() {
        let (right, text) = walked(Fault::ApprovesBeyond).await;
        assert!(!right);
        assert!(
            text.contains("state of the order: expected REJECTED, found APPROVED"),
            "{text}"
        );
        assert!(text.contains("credit left: expected 0, found -1"), "{text}");
    }
}
