//! The steps of the walk.
//!
//! Must not know: processes.

use std::sync::{Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use fulfilment_gateway::fake::{FakeGateway, MOST_CENTS, Trouble};
use fulfilment_gateway::key_of;
use serde_json::{Value, json};

use super::client::{Services, becomes, post};
use super::locked;
use crate::page::WalkPage;

/// Pieces that are delivered at the start.
const DELIVERED: u64 = 5;

/// All steps; deviations go to the page.
pub(super) async fn walk(
    services: &mut Services,
    gateway: &Mutex<FakeGateway>,
    page: &mut WalkPage,
) -> Result<()> {
    let mut walk = Walk {
        item: services.new_items(1).await?.concat(),
        services,
        gateway,
        page,
    };
    walk.deliver().await?;
    let shipped = walk.ship().await?;
    walk.too_many().await?;
    walk.decline().await?;
    walk.cancel().await?;
    walk.lose().await?;
    walk.books(shipped).await
}

/// The things that all steps use.
struct Walk<'w> {
    services: &'w mut Services,
    gateway: &'w Mutex<FakeGateway>,
    page: &'w mut WalkPage,
    item: String,
}

impl Walk<'_> {
    async fn deliver(&mut self) -> Result<()> {
        self.page.heading("Stock comes in")?;
        let path = format!("/items/{}/deliveries", self.item);
        let delivery = json!({"quantity": DELIVERED});
        post(&mut self.services.inventory, &path, &delivery, self.page).await?;
        Ok(())
    }

    /// An order that goes well; returns its amount.
    async fn ship(&mut self) -> Result<u64> {
        self.page
            .heading("An order is reserved, paid and shipped")?;
        let cents = 4_200;
        self.gateway()
            .goes(vec![Trouble::AnswerLost, Trouble::CallLost, Trouble::None]);
        let calls = self.gateway().calls();
        let order = self.place(2, cents).await?;
        self.page.say("The inventory reserves the stock. Rules can't call a payment gateway: payments writes down")?;
        self.page.say("that it must charge, an adapter finds that in the list and does it, and reports by a command.")?;
        self.order_becomes(order, "APPROVED").await?;
        let calls = self.gateway().calls() - calls;
        self.page.say(&format!("The gateway lost an answer, then a call, so the adapter called it {calls} times, always with"))?;
        self.page.say(&format!(
            "the key {}: it charged once. Now the warehouse dispatches:",
            key_of(order)
        ))?;
        self.gateway_holds(order, cents)?;
        self.shipment_becomes(order, "REQUESTED").await?;
        let path = format!("/shipments/{order}/dispatch");
        post(&mut self.services.shipping, &path, &Value::Null, self.page).await?;
        self.order_becomes(order, "SHIPPED").await?;
        Ok(cents)
    }

    async fn too_many(&mut self) -> Result<()> {
        self.page.heading("There is not enough stock")?;
        let order = self.place(DELIVERED, 100).await?;
        self.order_becomes(order, "CANCELLED").await
    }

    async fn decline(&mut self) -> Result<()> {
        self.page
            .heading("The gateway declines, and the stock is free again")?;
        self.gateway().goes(Vec::new());
        let order = self.place(3, MOST_CENTS + 1).await?;
        self.order_becomes(order, "CANCELLED").await?;
        self.unshipped_is_free().await?;
        Ok(())
    }

    async fn cancel(&mut self) -> Result<()> {
        self.page
            .heading("A client cancels an order that is paid")?;
        let order = self.place(1, 900).await?;
        self.order_becomes(order, "APPROVED").await?;
        let path = format!("/orders/{order}/cancel");
        post(&mut self.services.orders, &path, &Value::Null, self.page).await?;
        self.page.say("First the shipment is stopped, if it has not left. Then the money goes back, and the stock is free.")?;
        self.order_becomes(order, "CANCELLED").await?;
        self.shipment_becomes(order, "STOPPED").await?;
        self.gateway_holds(order, 0)
    }

    async fn lose(&mut self) -> Result<()> {
        self.page
            .heading("The gateway charges, but all its answers are lost")?;
        self.gateway().goes(vec![Trouble::AnswerLost]);
        let order = self.place(1, 1_500).await?;
        self.page.say(
            "The order waits for its payment for 3 seconds (a setting of the rules), then gives up:",
        )?;
        self.order_becomes(order, "REFUNDING").await?;
        self.page.say(
            "Nobody here knows if the gateway has charged, so the order asks for a refund in any case.",
        )?;
        self.page
            .say("Once the gateway answers again, the adapter finds that in the list:")?;
        self.gateway().goes(Vec::new());
        self.order_becomes(order, "CANCELLED").await?;
        self.gateway_holds(order, 0)?;
        self.page
            .say("The report of the charge arrives now, much too late. It changes nothing:")?;
        let path = format!("/payments/{order}/report");
        let report = json!({"done": "CHARGED"});
        let late = post(&mut self.services.payments, &path, &report, self.page).await?;
        let state = late
            .pointer("/state")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.page
            .must_be("state of the payment", "REFUNDED", state)?;
        Ok(())
    }

    async fn books(&mut self, shipped: u64) -> Result<()> {
        self.page.heading("The books")?;
        let stock = self.unshipped_is_free().await?;
        let expected = json!({"free": DELIVERED - 2, "reserved": {}, "shipped": 2});
        self.page.must_be("stock", expected, stock)?;
        self.page.say("Of 5 lamps, 2 have left and 3 are free.")?;
        let balance = self.gateway().balance();
        self.page
            .must_be("money that the gateway holds", shipped, balance)?;
        self.page.say(&format!(
            "The gateway holds {balance} cents, the amount of the order that was shipped."
        ))?;
        Ok(())
    }

    /// Places an order; returns its number.
    async fn place(&mut self, quantity: u64, cents: u64) -> Result<u64> {
        let body = json!({"item": self.item, "quantity": quantity, "cents": cents});
        let placed = post(&mut self.services.orders, "/orders", &body, self.page).await?;
        let order = placed.pointer("/order").and_then(Value::as_u64);
        order.context("the walk can't go on without an order")
    }

    async fn order_becomes(&mut self, order: u64, state: &str) -> Result<()> {
        let path = format!("/orders/{order}");
        let wanted = ("/state", json!(state));
        becomes(&mut self.services.orders, &path, wanted, self.page).await?;
        Ok(())
    }

    async fn shipment_becomes(&mut self, order: u64, state: &str) -> Result<()> {
        let path = format!("/shipments/{order}");
        let wanted = ("/shipment/state", json!(state));
        becomes(&mut self.services.shipping, &path, wanted, self.page).await?;
        Ok(())
    }

    /// All that has not left, in the one order that is shipped, becomes free; returns the stock.
    async fn unshipped_is_free(&mut self) -> Result<Value> {
        let path = format!("/items/{}", self.item);
        let wanted = ("/free", json!(DELIVERED - 2));
        becomes(&mut self.services.inventory, &path, wanted, self.page).await
    }

    fn gateway_holds(&mut self, order: u64, cents: u64) -> Result<()> {
        let held = self.gateway().held(&key_of(order));
        let what = "money that the gateway holds for the order";
        self.page.must_be(what, cents, held)?;
        Ok(())
    }

    fn gateway(&self) -> MutexGuard<'_, FakeGateway> {
        locked(self.gateway)
    }
}
