//! The requests of the walk: of clients to the two services, and of an operator to their hosts. Each
//! is on the page with its answer, and its answer is checked.
//!
//! Owns: the clients, and the wait for a decision.
//!
//! Must not know: the order of the requests.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use saga_demo_client::admin::{self, DeadLetter, Swapped};
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::{self, OrderState};
use saga_demo_client::files;
use saga_testkit::host::Hosts;
use saga_testkit::http::{BaseUrl, Client, RequestError, Response};

use crate::call::{self, curl_get, get_until};
use crate::page::WalkPage;

/// The page, and clients of the services and of the admin interfaces of their hosts.
pub(super) struct Walk<'p> {
    pub(super) page: &'p mut WalkPage,
    customers: Client,
    orders: Client,
    customer_admin: Client,
    order_admin: Client,
}

/// An order of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlacedOrder {
    /// Its id.
    pub(super) order_id: i64,
    /// The customer.
    pub(super) customer_id: i64,
    /// Its amount.
    pub(super) total: Cents,
    /// The state that it must reach.
    pub(super) state: OrderState,
}

impl<'p> Walk<'p> {
    /// Clients of these hosts.
    ///
    /// # Errors
    /// A service or an admin interface is missing.
    pub(super) fn of(hosts: &Hosts, page: &'p mut WalkPage) -> Result<Self> {
        Ok(Self::at(
            [hosts.service("customer")?, hosts.service("order")?],
            [hosts.admin("customer")?, hosts.admin("order")?],
            page,
        ))
    }

    /// Clients at these addresses: of customer and order, and of their admin interfaces.
    pub(super) fn at(
        services: [&BaseUrl; 2],
        admins: [&BaseUrl; 2],
        page: &'p mut WalkPage,
    ) -> Self {
        let client = |url: &BaseUrl| Client::new(url.clone(), false);
        let [customers, orders] = services.map(client);
        let [customer_admin, order_admin] = admins.map(client);
        Self {
            page,
            customers,
            orders,
            customer_admin,
            order_admin,
        }
    }

    /// Registers a customer; returns the id.
    pub(super) async fn register(&mut self, name: &str, limit: Cents) -> Result<i64> {
        let path = contract::customers_path(self.customers.url());
        let body = contract::registration(name, limit);
        let answer = call::post(&mut self.customers, &path, body, self.page).await?;
        let registered = contract::read_registered(&answer.body, name, limit);
        (self.page).need("the customer is registered", &answer, registered)
    }

    /// Places an order and waits for its decision, which must be `state`.
    pub(super) async fn place(
        &mut self,
        customer_id: i64,
        total: Cents,
        state: OrderState,
    ) -> Result<PlacedOrder> {
        let start = Instant::now();
        let path = contract::orders_path(self.orders.url());
        let body = contract::order(customer_id, total);
        let answer = call::post(&mut self.orders, &path, body, self.page).await?;
        let placed = contract::read_placed(&answer.body, customer_id, total);
        let order_id = self.page.need("the order is placed", &answer, placed)?;
        self.page.say(
            "Stored as PENDING and answered; the event about it is on its way to the customer service.",
        )?;
        let path = contract::order_path(self.orders.url(), order_id);
        let read = |answer: &Response| contract::read_order_state(&answer.body, order_id);
        let is_decided = |answer: &Response| read(answer) != Ok(OrderState::Pending);
        let answer = get_until(&mut self.orders, &path, is_decided).await?;
        self.page.request(&curl_get(&self.orders, &path))?;
        self.page.answer(&answer, Some(start.elapsed()))?;
        let found = (self.page).need("the order has a state", &answer, read(&answer))?;
        self.page.must_be("state of the order", state, found)?;
        Ok(PlacedOrder {
            order_id,
            customer_id,
            total,
            state,
        })
    }

    /// Cancels an order.
    pub(super) async fn cancel(&mut self, order_id: i64) -> Result<()> {
        let path = contract::cancel_path(self.orders.url(), order_id);
        let answer = call::post(&mut self.orders, &path, String::new(), self.page).await?;
        let found = contract::read_order_state(&answer.body, order_id);
        let found = (self.page).need("the order is cancelled", &answer, found)?;
        (self.page).must_be("state of the order", OrderState::Cancelled, found)?;
        Ok(())
    }

    /// Reads the credit of a customer, which must be `left`.
    pub(super) async fn credit_left(&mut self, customer_id: i64, left: Cents) -> Result<()> {
        let path = contract::customer_path(self.customers.url(), customer_id);
        self.page.request(&curl_get(&self.customers, &path))?;
        let answer = self.page.answered(self.customers.get(&path).await)?;
        let found = contract::read_credit_left(&answer.body, customer_id);
        let found = self.page.need("the customer is known", &answer, found)?;
        self.page.must_be("credit left", left, found)?;
        Ok(())
    }

    /// [`Walk::credit_left`] once an event has changed the credit, or after some seconds.
    pub(super) async fn credit_becomes(&mut self, customer_id: i64, left: Cents) -> Result<()> {
        let path = contract::customer_path(self.customers.url(), customer_id);
        let read = |answer: &Response| contract::read_credit_left(&answer.body, customer_id);
        get_until(&mut self.customers, &path, |answer| {
            read(answer) == Ok(left)
        })
        .await?;
        self.credit_left(customer_id, left).await
    }

    /// Activates a component of the customer, with a query such as `?allow-breaking=true`.
    pub(super) async fn apply(&mut self, component: &Path, query: &str) -> Result<Swapped> {
        let admin = &mut self.customer_admin;
        let path = admin::component_path(admin.url(), "customer") + query;
        let (file, url) = (component.display(), admin.url().url(&path));
        self.page.request(&format!("curl -s -T {file} '{url}'"))?;
        let answer = admin.put(&path, files::read(component)?).await;
        self.swapped("the rules are swapped", answer)
    }

    /// Returns to the component of the customer that was active before.
    pub(super) async fn roll_back(&mut self) -> Result<Swapped> {
        let admin = &mut self.customer_admin;
        let path = admin::rollback_path(admin.url(), "customer");
        let url = admin.url().url(&path);
        self.page.request(&format!("curl -s -X POST {url}"))?;
        let answer = admin.post(&path, Bytes::new()).await;
        self.swapped("the rules are those of before", answer)
    }

    /// Sets the time that an order waits for its answer, as a JSON value; `null` for the default.
    pub(super) async fn set_answer_timeout(&mut self, value: &str) -> Result<Swapped> {
        let admin = &mut self.order_admin;
        let settings = format!(r#"{{"answer_timeout":{value}}}"#);
        let path = admin::settings_path(admin.url(), "order");
        let url = admin.url().url(&path);
        (self.page).request(&format!("curl -s -X PATCH {url} -d '{settings}'"))?;
        let answer = admin.patch(&path, settings.into()).await;
        self.swapped("the setting is changed", answer)
    }

    /// The only open dead letter of a customer.
    pub(super) async fn dead_letter(&mut self, customer_id: i64) -> Result<DeadLetter> {
        let admin = &mut self.customer_admin;
        let path = admin::dead_letters_path(admin.url(), "customer", customer_id);
        let url = admin.url().url(&path);
        self.page.request(&format!("curl -s '{url}'"))?;
        // Over Kafka, the message may be read after the timeout.
        let read = |answer: &Response| admin::read_only_letter(&answer.body);
        let answer = get_until(admin, &path, |answer| read(answer).is_ok()).await?;
        self.page.answer(&answer, None)?;
        let letter = (self.page).need("there is one dead letter", &answer, read(&answer))?;
        (self.page).must_be("reason of the dead letter", "trap", &letter.reason)?;
        Ok(letter)
    }

    /// Asks what a component would decide on a dead letter: it must approve the order.
    pub(super) async fn try_on(&mut self, letter: i64, component: &Path) -> Result<()> {
        let admin = &mut self.customer_admin;
        let path = admin::dead_letter_path(admin.url(), "customer", letter, "trial");
        let (file, url) = (component.display(), admin.url().url(&path));
        (self.page).request(&format!("curl -s --data-binary @{file} {url}"))?;
        let answer = admin.post(&path, files::read(component)?).await;
        let answer = self.page.answered(answer)?;
        let would_publish = admin::read_trial(&answer.body);
        let found = (self.page).need("the component is tried", &answer, would_publish)?;
        (self.page).must_be("state that it would publish", "APPROVED", &found)?;
        Ok(())
    }

    /// Offers a dead letter to the active rules again: they must decide it.
    pub(super) async fn redrive(&mut self, letter: i64) -> Result<()> {
        let admin = &mut self.customer_admin;
        let path = admin::dead_letter_path(admin.url(), "customer", letter, "redrive");
        let (url, body) = (admin.url().url(&path), r#"{"by":"the walk"}"#);
        self.page.request(&format!("curl -s {url} -d '{body}'"))?;
        let answer = admin.post(&path, body.into()).await;
        let answer = self.page.answered(answer)?;
        let redriven = admin::read_letter(&answer.body);
        let redriven = (self.page).need("the letter is redriven", &answer, redriven)?;
        (self.page).must_be("state of the dead letter", "decided", &redriven.state)?;
        Ok(())
    }

    fn swapped(&mut self, what: &str, answer: Result<Response, RequestError>) -> Result<Swapped> {
        let answer = self.page.answered(answer)?;
        let swapped = admin::read_swapped(&answer.body);
        self.page.need(what, &answer, swapped)
    }

    /// Prints what a reader can try while the services stay up.
    pub(super) fn invite(self) -> Result<()> {
        let (customers, orders) = (&self.customers, &self.orders);
        let body = contract::registration("Bob", Cents::whole(50));
        let path = contract::customers_path(customers.url());
        self.page.say("\nBoth services stay up. Try:\n")?;
        self.page
            .request(&call::curl_post(customers, &path, &body))?;
        let body = contract::order(1, Cents(1_025));
        let path = contract::orders_path(orders.url());
        self.page.request(&call::curl_post(orders, &path, &body))?;
        let path = contract::order_path(orders.url(), 1);
        self.page.request(&curl_get(orders, &path))?;
        let path = contract::customer_path(customers.url(), 1);
        self.page.request(&curl_get(customers, &path))?;
        Ok(())
    }
}
