//! A step of the walk: rules with a bug, an order that nobody answers, and the repair.
//!
//! Owns: the requests, the expected answers, and the sentences that explain them. Leaves the hosts
//! with the rules and settings that they had.
//!
//! Must not know: how a host keeps dead letters.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::page::WalkPage;
use super::{call, operator};
use crate::admin::{self, DeadLetter};
use crate::cents::Cents;
use crate::contract::OrderState;
use crate::files;
use crate::hosts::Hosts;
use saga_testkit::http::{BaseUrl, Client, Response};

/// Limit of the customer.
const LIMIT: Cents = Cents::whole(1_000);
/// An amount with cents, on which the faulty build breaks.
const TOTAL: Cents = Cents(30_050);
/// The time that an order waits for its answer, in this step.
const ANSWER_TIMEOUT: &str = "2s";

/// Clients of both services and of their admin interfaces.
pub(super) struct Repair {
    customers: Client,
    orders: Client,
    customer_admin: Client,
    order_admin: Client,
}

impl Repair {
    /// Clients of these hosts, if they have admin interfaces.
    pub(super) fn of(hosts: &Hosts) -> Option<Self> {
        let client = |url: &_| Client::new(BaseUrl::clone(url), false);
        Some(Self {
            customers: client(&hosts.customer),
            orders: client(&hosts.order),
            customer_admin: client(hosts.admin("customer")?),
            order_admin: client(hosts.admin("order")?),
        })
    }

    /// Breaks a saga and repairs it; deviations go to the page.
    ///
    /// # Errors
    /// A service can't be reached, or a component can't be read.
    pub(super) async fn walk<W: Write>(
        &mut self,
        faulty: &Path,
        fixed: &Path,
        page: &mut WalkPage<W>,
    ) -> Result<()> {
        page.heading("Nobody answers, and an operator repairs it")?;
        self.set_answer_timeout(&format!("\"{ANSWER_TIMEOUT}\""), page)
            .await?;
        page.say(&format!(
            "For this step an order waits {ANSWER_TIMEOUT} for its answer: a setting of the order's rules. A change of \
             settings is a swap too: it is checked and recorded, and can be rolled back."
        ))?;
        let admin = &mut self.customer_admin;
        let query = "?allow-breaking=true";
        let applied = operator::apply(admin, "customer", faulty, query, page).await?;
        if applied.is_none() {
            return self.set_answer_timeout("null", page).await;
        }
        page.say(
            "These rules of the customer service have a bug: they break on amounts with cents. The host \
             refuses them if they break on a recorded message; `allow-breaking` overrules that.",
        )?;
        let broken = self.break_one(fixed, page).await?;
        operator::roll_back(&mut self.customer_admin, "customer", page).await?;
        if let Some((customer, letter)) = broken {
            self.redrive(letter, page).await?;
            let left = call::credit_becomes(&mut self.customers, customer, LIMIT, page).await?;
            if left.is_some() {
                page.say(
                    "The right rules decided the message and reserved the credit. The order service had rejected \
                     the order in the meantime, so it answered with a cancellation, and the credit was released.",
                )?;
            }
        }
        self.set_answer_timeout("null", page).await?;
        let Some((customer, _)) = broken else {
            return Ok(());
        };
        call::place(
            &mut self.orders,
            customer,
            TOTAL,
            OrderState::Approved,
            page,
        )
        .await?;
        let left = Cents(LIMIT.0 - TOTAL.0);
        call::credit_left(&mut self.customers, customer, left, page).await?;
        page.say("The timeout is its default again, and the same order is approved.")?;
        Ok(())
    }

    /// Places an order on which the rules break. Returns the customer and the number of the dead
    /// letter.
    async fn break_one<W: Write>(
        &mut self,
        fixed: &Path,
        page: &mut WalkPage<W>,
    ) -> Result<Option<(i64, i64)>> {
        let Some(customer) = call::register(&mut self.customers, "Dora", LIMIT, page).await? else {
            return Ok(None);
        };
        call::place(
            &mut self.orders,
            customer,
            TOTAL,
            OrderState::Rejected,
            page,
        )
        .await?;
        page.say(
            "Nobody answered, so the timer of the order rejected it. The order service can't know if credit was \
             reserved.",
        )?;
        let Some(letter) = self.dead_letter(customer, page).await? else {
            return Ok(None);
        };
        page.say(
            "The message is a dead letter of the customer service: kept, with the reason. Later messages of this \
             customer would wait behind it, so that their order is kept; other customers go on.",
        )?;
        self.try_on(letter.id, fixed, page).await?;
        page.say(
            "This is what the build without the bug would decide. The question changed nothing.",
        )?;
        Ok(Some((customer, letter.id)))
    }

    /// Sets `answer_timeout` of the order's rules to a JSON value.
    async fn set_answer_timeout<W: Write>(
        &mut self,
        value: &str,
        page: &mut WalkPage<W>,
    ) -> Result<()> {
        let settings = format!(r#"{{"answer_timeout":{value}}}"#);
        operator::configure(&mut self.order_admin, "order", settings, page).await?;
        Ok(())
    }

    /// The only open dead letter of a customer.
    async fn dead_letter<W: Write>(
        &mut self,
        customer: i64,
        page: &mut WalkPage<W>,
    ) -> Result<Option<DeadLetter>> {
        let url = self.customer_admin.url();
        let path = admin::dead_letters_path(url, "customer", customer);
        page.request(&format!("curl -s '{}'", url.url(&path)))?;
        // Over Kafka, the message may be read after the timeout.
        let is_there = |answer: &Response| admin::read_only_letter(&answer.body).is_ok();
        let answer = call::get_until(&mut self.customer_admin, &path, is_there).await?;
        page.answer(&answer, None)?;
        let letter = admin::read_only_letter(&answer.body);
        let letter = page.check("there is one dead letter", &answer, letter)?;
        if let Some(letter) = &letter {
            page.must_be("reason of the dead letter", "trap", &letter.reason)?;
        }
        Ok(letter)
    }

    /// Shows what a component would decide on a dead letter.
    async fn try_on<W: Write>(
        &mut self,
        letter: i64,
        component: &Path,
        page: &mut WalkPage<W>,
    ) -> Result<()> {
        let url = self.customer_admin.url();
        let path = admin::dead_letter_path(url, "customer", letter, "trial");
        let shown = component.display();
        page.request(&format!(
            "curl -s --data-binary @{shown} {}",
            url.url(&path)
        ))?;
        let answer = self.customer_admin.post(&path, files::read(component)?);
        let answer = page.answered(answer.await)?;
        let would_publish = admin::read_trial(&answer.body);
        if let Some(found) = page.check("the component is tried", &answer, would_publish)? {
            page.must_be("state that it would publish", "APPROVED", &found)?;
        }
        Ok(())
    }

    async fn redrive<W: Write>(&mut self, letter: i64, page: &mut WalkPage<W>) -> Result<()> {
        let url = self.customer_admin.url();
        let path = admin::dead_letter_path(url, "customer", letter, "redrive");
        let body = r#"{"by":"the walk"}"#;
        page.request(&format!("curl -s {} -d '{body}'", url.url(&path)))?;
        let answer = page.answered(self.customer_admin.post(&path, body.into()).await)?;
        let redriven = admin::read_letter(&answer.body);
        if let Some(redriven) = page.check("the letter is redriven", &answer, redriven)? {
            page.must_be("state of the dead letter", "decided", &redriven.state)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Mock, MockFault};

    async fn walked(fault: MockFault) -> (bool, String) {
        let mock = Mock::start(fault).await;
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, version: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, version).unwrap();
            path
        };
        let (faulty, fixed) = (write("faulty.wasm", "0.3.0"), write("fixed.wasm", "0.1.0"));
        let client = |url: &BaseUrl| Client::new(url.clone(), false);
        let mut repair = Repair {
            customers: client(&mock.customer),
            orders: client(&mock.order),
            customer_admin: client(&mock.admin),
            order_admin: client(&mock.admin),
        };
        let mut page = WalkPage::new(Vec::new(), false);
        repair.walk(&faulty, &fixed, &mut page).await.unwrap();
        page.verdict().unwrap();
        (page.right(), page.text())
    }

    #[tokio::test]
    async fn an_order_that_ends_by_itself_and_a_letter_that_is_redriven_are_found_right() {
        let (right, text) = walked(MockFault::None).await;
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
        let (right, text) = walked(MockFault::FailsAgain).await;
        assert!(!right);
        assert!(
            text.contains("state of the dead letter: expected decided, found open"),
            "{text}"
        );
    }
}
