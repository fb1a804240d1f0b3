//! A step of the walk: rules with a bug, an order that nobody answers, and the repair.
//!
//! Owns: the requests, the expected answers, and the sentences that explain them. Leaves the hosts
//! with the rules and settings that they had.
//!
//! Must not know: how a host keeps dead letters.

use std::path::Path;

use anyhow::Result;
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::OrderState;

use super::client::Walk;

/// Limit of the customer.
const LIMIT: Cents = Cents::whole(1_000);
/// An amount with cents, on which the faulty build breaks.
const TOTAL: Cents = Cents(30_050);
/// The time that an order waits for its answer, in this step.
const ANSWER_TIMEOUT: &str = "2s";

/// Breaks a saga and repairs it; deviations go to the page.
///
/// # Errors
/// A service can't be reached, a component can't be read, or the walk can't go on without an
/// answer.
pub(super) async fn walk(walk: &mut Walk<'_>, faulty: &Path, fixed: &Path) -> Result<()> {
    walk.page
        .heading("Nobody answers, and an operator repairs it")?;
    walk.set_answer_timeout(&format!("\"{ANSWER_TIMEOUT}\""))
        .await?;
    walk.page.say(&format!(
        "For this step an order waits {ANSWER_TIMEOUT} for its answer: a setting of the order's rules. A change of \
         settings is a swap too: it is checked and recorded, and can be rolled back."
    ))?;
    walk.apply(faulty, "?allow-breaking=true").await?;
    walk.page.say(
        "These rules of the customer service have a bug: they break on amounts with cents. The host \
         refuses them if they break on a recorded message; `allow-breaking` overrules that.",
    )?;
    let customer = walk.register("Dora", LIMIT).await?;
    walk.place(customer, TOTAL, OrderState::Rejected).await?;
    walk.page.say(
        "Nobody answered, so the timer of the order rejected it. The order service can't know if credit was \
         reserved.",
    )?;

    let letter = walk.dead_letter(customer).await?;
    walk.page.say(
        "The message is a dead letter of the customer service: kept, with the reason. Later messages of this \
         customer would wait behind it, so that their order is kept; other customers go on.",
    )?;
    walk.try_on(letter.id, fixed).await?;
    walk.page.say(
        "This is what the build without the bug would decide. The question changed nothing.",
    )?;
    walk.roll_back().await?;
    walk.redrive(letter.id).await?;
    walk.credit_becomes(customer, LIMIT).await?;
    walk.page.say(
        "The right rules decided the message and reserved the credit. The order service had rejected \
         the order in the meantime, so it answered with a cancellation, and the credit was released.",
    )?;

    walk.set_answer_timeout("null").await?;
    walk.place(customer, TOTAL, OrderState::Approved).await?;
    walk.credit_left(customer, Cents(LIMIT.0 - TOTAL.0)).await?;
    walk.page
        .say("The timeout is its default again, and the same order is approved.")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use saga_demo_client::mock::MockFault;

    use super::*;
    use crate::walk::tests::{component, walked};

    async fn repaired(fault: MockFault) -> (bool, String) {
        let (faulty, fixed) = (component("0.3.0"), component("0.1.0"));
        walked(fault, async |it| {
            walk(it, faulty.path(), fixed.path()).await
        })
        .await
    }

    #[tokio::test]
    async fn an_order_that_ends_by_itself_and_a_letter_that_is_redriven_are_found_right() {
        let (right, text) = repaired(MockFault::None).await;
        assert!(right, "{text}");
        for line in [
            r#"/participants/order/settings -d '{"answer_timeout":"2s"}'"#,
            "/participants/customer/component?allow-breaking=true",
            r#"200 {"orderId":1,"orderState":"REJECTED"}"#,
            "/participants/customer/dead-letters/1/trial",
            "/participants/customer/dead-letters/1/redrive",
            r#"200 {"id":1,"name":"Dora","creditLimit":1000}"#,
            r#"200 {"orderId":2,"orderState":"APPROVED"}"#,
            r#"200 {"id":1,"name":"Dora","creditLimit":699.50}"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_letter_that_fails_again_is_found_wrong() {
        let (right, text) = repaired(MockFault::FailsAgain).await;
        let said = "state of the dead letter: expected decided, found open";
        assert!(!right && text.contains(said), "{text}");
    }
}
