//! A step of the walk: a swap of the customer's rules while the host runs, and a rollback.
//!
//! Owns: the requests before, between and after, the expected answers, and the sentences that
//! explain them. Leaves the host with its original rules.
//!
//! Must not know: how a host swaps.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::page::WalkPage;
use super::{call, operator};
use crate::cents::Cents;
use crate::contract::OrderState;
use saga_testkit::http::{BaseUrl, Client};

/// Limit of the customer.
const LIMIT: Cents = Cents::whole(100_000);
/// An order within the credit, but too large for the cautious build.
const LARGE: Cents = Cents::whole(20_000);

/// Swaps and rolls back; deviations go to the page.
///
/// # Errors
/// A service can't be reached, or the component can't be read.
pub(super) async fn walk<W: Write>(
    customer: &BaseUrl,
    order: &BaseUrl,
    admin: &BaseUrl,
    cautious: &Path,
    page: &mut WalkPage<W>,
) -> Result<()> {
    let mut customers = Client::new(customer.clone(), false);
    let mut orders = Client::new(order.clone(), false);
    let mut operator = Client::new(admin.clone(), false);

    page.heading("The customer's rules are swapped while the host runs")?;
    let Some(customer_id) = call::register(&mut customers, "Carl", LIMIT, page).await? else {
        return Ok(());
    };
    call::place(&mut orders, customer_id, LARGE, OrderState::Approved, page).await?;
    page.say(&format!(
        "An order of {LARGE} by a customer with a limit of {LIMIT}: approved, as one would expect."
    ))?;

    let swapped = operator::apply(&mut operator, "customer", cautious, "", page).await?;
    let Some(swapped) = swapped else {
        return Ok(());
    };
    page.must_be("whether the swap changed something", true, swapped.changed)?;
    page.say(&format!(
        "The host compiled the other build ({}), checked that it is the same participant and reads what is \
         stored, offered it the last {} messages (it decided {} of them otherwise), and handed over between two \
         turns. Nothing was restarted, and no state was touched.",
        swapped.version, swapped.probe.inputs, swapped.probe.decided_otherwise
    ))?;
    call::place(&mut orders, customer_id, LARGE, OrderState::Rejected, page).await?;
    page.say(
        "The same order once more, and now it is rejected: the cautious build approves no single order above \
         10000, whatever credit is left.",
    )?;

    if let Some(back) = operator::roll_back(&mut operator, "customer", page).await? {
        page.must_be("the build that decides", swapped.previous, back.digest)?;
    }
    page.say("One step back: the host kept the build that it ran before.")?;
    call::place(&mut orders, customer_id, LARGE, OrderState::Approved, page).await?;
    let left = Cents(LIMIT.0 - 2 * LARGE.0);
    let left = call::credit_left(&mut customers, customer_id, left, page).await?;
    if let Some(left) = left {
        page.say(&format!(
            "Approved again. {left} of the limit of {LIMIT} is left: two orders were taken off, the rejected \
             one was not."
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Mock, MockFault};

    async fn walked(fault: MockFault) -> (bool, String) {
        let mock = Mock::start(fault).await;
        let directory = tempfile::tempdir().unwrap();
        let cautious = directory.path().join("cautious.wasm");
        std::fs::write(&cautious, "0.2.0").unwrap();
        let mut page = WalkPage::new(Vec::new(), false);
        walk(
            &mock.customer,
            &mock.order,
            &mock.admin,
            &cautious,
            &mut page,
        )
        .await
        .unwrap();
        page.verdict().unwrap();
        (page.right(), page.text())
    }

    #[tokio::test]
    async fn a_swap_that_takes_effect_and_is_undone_is_found_right() {
        let (right, text) = walked(MockFault::None).await;
        assert!(right, "{text}");
        for line in [
            r#"200 {"orderId":1,"orderState":"APPROVED"}"#,
            "/participants/customer/component",
            r#"200 {"orderId":2,"orderState":"REJECTED"}"#,
            "/participants/customer/rollback",
            r#"200 {"orderId":3,"orderState":"APPROVED"}"#,
            r#"200 {"id":1,"name":"Carl","creditLimit":60000}"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_swap_that_is_refused_or_has_no_effect_is_found_wrong() {
        let (right, text) = walked(MockFault::RefusesSwaps).await;
        assert!(!right && text.contains("found 422 refused"), "{text}");
        let (right, text) = walked(MockFault::SwapsNothing).await;
        assert!(!right, "{text}");
        assert!(
            text.contains("state of the order: expected REJECTED, found APPROVED"),
            "{text}"
        );
    }
}
