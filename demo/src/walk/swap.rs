//! A step of the walk: a swap of the customer's rules while the host runs, and a rollback.
//!
//! Owns: the requests before, between and after, the expected answers, and the sentences that
//! explain them. Leaves the host with its original rules.
//!
//! Must not know: how a host swaps.

use std::path::Path;

use anyhow::Result;
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::OrderState;

use super::client::Walk;

/// Limit of the customer.
const LIMIT: Cents = Cents::whole(100_000);
/// An order within the credit, but too large for the cautious build.
const LARGE: Cents = Cents::whole(20_000);

/// Swaps and rolls back; deviations go to the page.
///
/// # Errors
/// A service can't be reached, the component can't be read, or the walk can't go on without an
/// answer.
pub(super) async fn walk(walk: &mut Walk<'_>, cautious: &Path) -> Result<()> {
    walk.page
        .heading("The customer's rules are swapped while the host runs")?;
    let customer_id = walk.register("Carl", LIMIT).await?;
    walk.place(customer_id, LARGE, OrderState::Approved).await?;
    walk.page.say(&format!(
        "An order of {LARGE} by a customer with a limit of {LIMIT}: approved, as one would expect."
    ))?;

    let swapped = walk.apply(cautious, "").await?;
    walk.page
        .must_be("whether the swap changed something", true, swapped.changed)?;
    walk.page.say(&format!(
        "The host compiled the other build ({}), checked that it is the same participant and reads what is \
         stored, offered it the last {} messages (it decided {} of them otherwise), and handed over between two \
         turns. Nothing was restarted, and no state was touched.",
        swapped.version, swapped.probe.inputs, swapped.probe.decided_otherwise
    ))?;
    walk.place(customer_id, LARGE, OrderState::Rejected).await?;
    walk.page.say(
        "The same order once more, and now it is rejected: the cautious build approves no single order above \
         10000, whatever credit is left.",
    )?;

    let back = walk.roll_back().await?;
    walk.page
        .must_be("the build that decides", swapped.previous, back.digest)?;
    walk.page
        .say("One step back: the host kept the build that it ran before.")?;
    walk.place(customer_id, LARGE, OrderState::Approved).await?;
    let left = Cents(LIMIT.0 - 2 * LARGE.0);
    walk.credit_left(customer_id, left).await?;
    walk.page.say(&format!(
        "Approved again. {left} of the limit of {LIMIT} is left: two orders were taken off, the rejected \
         one was not."
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use saga_demo_client::mock::MockFault;

    use super::*;
    use crate::walk::tests::{component, walked};

    async fn swapped(fault: MockFault) -> (bool, String) {
        let cautious = component("0.2.0");
        walked(fault, async |it| walk(it, cautious.path()).await).await
    }

    #[tokio::test]
    async fn a_swap_that_takes_effect_and_is_undone_is_found_right() {
        let (right, text) = swapped(MockFault::None).await;
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
        for (fault, said) in [
            (MockFault::RefusesSwaps, "found 422 refused"),
            (
                MockFault::SwapsNothing,
                "state of the order: expected REJECTED, found APPROVED",
            ),
        ] {
            let (right, text) = swapped(fault).await;
            assert!(
                !right && text.contains(said),
                "{said} is missing in:\n{text}"
            );
        }
    }
}
