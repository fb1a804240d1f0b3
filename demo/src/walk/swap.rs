//! The last step of the walk: the customer's rules are swapped while the host runs, and swapped back.
//!
//! Owns: what is asked before, between and after, what each must answer, and the sentences that explain
//! it. Leaves the host with the rules that it was started with.
//!
//! Must not know: how a host swaps.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;

use super::call;
use super::page::Page;
use crate::admin;
use crate::cents::Cents;
use crate::contract::OrderState;
use saga_testkit::http::{BaseUrl, Client};

/// Limit of the customer.
const LIMIT: Cents = Cents::whole(100_000);
/// An order that the credit covers, and that the cautious build finds too large all the same.
const LARGE: Cents = Cents::whole(20_000);

/// Swaps and goes back, against running services, and notes on the page what is not as it must be.
///
/// # Errors
/// A service can't be reached, or the component can't be read.
pub(super) async fn walk<W: Write>(
    customer: &BaseUrl,
    order: &BaseUrl,
    admin: &BaseUrl,
    cautious: &Path,
    page: &mut Page<W>,
) -> Result<()> {
    let component = std::fs::read(cautious).with_context(|| {
        format!(
            "can't read {}: build it with `make components`, or say with --cautious where it is",
            cautious.display()
        )
    })?;
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

    let path = admin::component_path(admin, "customer");
    let url = admin.url(&path);
    page.request(&format!("curl -s -T {} {url}", cautious.display()))?;
    let answer = operator.put(&path, Bytes::from(component)).await;
    let answer = answer.context("the walk can't go on")?;
    page.answer(&answer, None)?;
    let swapped = admin::read_swapped(&answer.body);
    let Some(swapped) = page.check("the rules are swapped", &answer, swapped)? else {
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

    let path = admin::rollback_path(admin, "customer");
    page.request(&format!("curl -s -X POST {}", admin.url(&path)))?;
    let answer = operator.post(&path, Bytes::new()).await;
    let answer = answer.context("the walk can't go on")?;
    page.answer(&answer, None)?;
    let back = admin::read_swapped(&answer.body);
    if let Some(back) = page.check("the rules are those of before", &answer, back)? {
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
    use crate::mock::{Fault, Mock};

    async fn walked(fault: Fault) -> (bool, String) {
        let mock = Mock::start(fault).await;
        let directory = tempfile::tempdir().unwrap();
        let cautious = directory.path().join("cautious.wasm");
        std::fs::write(&cautious, "0.2.0").unwrap();
        let mut page = Page::new(Vec::new(), false);
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
        let (right, text) = walked(Fault::None).await;
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
        let (right, text) = walked(Fault::RefusesSwaps).await;
        assert!(!right && text.contains("found 422 refused"), "{text}");
        let (right, text) = walked(Fault::SwapsNothing).await;
        assert!(!right, "{text}");
        assert!(
            text.contains("state of the order: expected REJECTED, found APPROVED"),
            "{text}"
        );
    }
}
