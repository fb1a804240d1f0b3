//! The steps of a walk over Kafka that any Kafka client could take: reading the events of the
//! services, and writing one by hand.
//!
//! Owns: the expected records of an order, the purpose of their headers, and a record without key
//! and headers that has the effect of an order.
//!
//! Must not know: how a host publishes.

use std::io::Write;

use anyhow::{Context, Result};
use serde_json::Value;

use super::call::{self, PlacedOrder};
use super::page::WalkPage;
use crate::cents::Cents;
use crate::contract::OrderState;
use crate::kafka::cluster::Cluster;
use crate::kafka::records::{self, TopicRecord};
use crate::kafka::topics::{self, Ends};
use crate::kafka::{CUSTOMER_TOPIC, ORDER_TOPIC};
use saga_testkit::http::{BaseUrl, Client};

/// Added to an offset, gives an order id that no order service has used.
const FOREIGN_IDS: i64 = 1_000_000;
/// Limit of the customer of the hand-written order.
const LIMIT: Cents = Cents::whole(100);
/// The amount of the hand-written order.
const TOTAL: Cents = Cents::whole(40);

/// Shows the records of these orders; deviations go to the page.
///
/// # Errors
/// Kafka does not answer.
pub(super) async fn show<W: Write>(
    cluster: &Cluster,
    before: Ends,
    placed: &[PlacedOrder],
    page: &mut WalkPage<W>,
) -> Result<()> {
    let until = topics::ends(&cluster.bootstrap, &[ORDER_TOPIC, CUSTOMER_TOPIC]).await?;
    let read = records::read(&cluster.bootstrap, before, until, TopicRecord::of).await?;
    page.heading("What the two services said to each other: the records on the topics")?;
    for (number, order) in placed.iter().enumerate() {
        let asked = one_of(&read, ORDER_TOPIC, order, OrderState::Pending, page)?;
        let answered = one_of(&read, CUSTOMER_TOPIC, order, order.state, page)?;
        let (Some(asked), Some(answered)) = (asked, answered) else {
            continue;
        };
        belong_together(asked, answered, page)?;
        for record in [asked, answered] {
            print(record, number == 0, page)?;
        }
        if number == 0 {
            explain(page)?;
        }
    }
    Ok(())
}

/// The only record of an order on a topic; notes a deviation if there are others, or if it differs.
fn one_of<'a, W: Write>(
    read: &'a [TopicRecord],
    topic: &str,
    order: &PlacedOrder,
    state: OrderState,
    page: &mut WalkPage<W>,
) -> Result<Option<&'a TopicRecord>> {
    let of_order =
        |record: &&TopicRecord| record.topic == topic && id(record) == Some(order.order_id);
    let found: Vec<&TopicRecord> = read.iter().filter(of_order).collect();
    let order_id = order.order_id;
    let what = format!("records of order {order_id} on {topic}");
    page.must_be(&what, 1, found.len())?;
    let Some(record) = found.first() else {
        return Ok(None);
    };
    let expected = value(order_id, state, order.customer_id, order.total);
    let is_right = same(&expected, &record.value_text());
    let found = if is_right {
        expected.clone()
    } else {
        record.value_text()
    };
    page.must_be(&format!("value on {topic}"), expected, found)?;
    page.must_be(
        &format!("key on {topic}"),
        order.customer_id.to_string(),
        record.key_text(),
    )?;
    Ok(Some(record))
}

/// Notes a deviation if the headers do not link the answer to the order.
fn belong_together<W: Write>(
    asked: &TopicRecord,
    answered: &TopicRecord,
    page: &mut WalkPage<W>,
) -> Result<()> {
    let header = |record: &TopicRecord, name| record.header(name).unwrap_or("(none)").to_owned();
    let trace = |record: &TopicRecord| {
        header(record, "traceparent")
            .split('-')
            .nth(1)
            .map(str::to_owned)
    };
    let (cause, caused_by) = (header(asked, "ce_id"), header(answered, "ce_causationid"));
    page.must_be("ce_causationid of the answer", cause, caused_by)?;
    let name = "ce_correlationid";
    page.must_be(
        "ce_correlationid of the answer",
        header(asked, name),
        header(answered, name),
    )?;
    let (asked, answered) = (
        trace(asked).unwrap_or_default(),
        trace(answered).unwrap_or_default(),
    );
    page.must_be("trace of the answer", asked, answered)?;
    Ok(())
}

fn print<W: Write>(record: &TopicRecord, with_headers: bool, page: &mut WalkPage<W>) -> Result<()> {
    let TopicRecord {
        topic,
        partition,
        offset,
        headers,
        ..
    } = record;
    let key = record.key_text();
    page.record(&format!(
        "{topic}, partition {partition}, offset {offset}, key {key}"
    ))?;
    if with_headers {
        for (name, value) in headers {
            page.say(&format!("  {name:<17} {value}"))?;
        }
    }
    page.say(&format!("  {}", record.value_text()))?;
    Ok(())
}

fn explain<W: Write>(page: &mut WalkPage<W>) -> Result<()> {
    for sentence in [
        "The value is the whole agreement between the two services; either of them may be another program. All the \
         rest is ours, and may be missing:",
        "  key: the customer, so that the orders of one customer stay in order;",
        "  ce_specversion, ce_id, ce_source, ce_type, ce_time, content-type: CloudEvents 1.0. A record that comes twice \
         has the same ce_id, and is applied once;",
        "  ce_correlationid, ce_causationid, ce_sagadigest: provenance. Which saga, which message caused this one, and \
         the digest of the component that decided;",
        "  traceparent: W3C trace context. All of one saga is one trace.",
        "The other orders, without their headers:",
    ] {
        page.say(sentence)?;
    }
    Ok(())
}

/// Writes an order by hand, and shows that it is answered like any other.
///
/// # Errors
/// Kafka or the customer service can't be reached.
pub(super) async fn by_hand<W: Write>(
    cluster: &Cluster,
    customer: &BaseUrl,
    page: &mut WalkPage<W>,
) -> Result<()> {
    let bootstrap = &cluster.bootstrap;
    let mut customers = Client::new(customer.clone(), false);
    page.heading("An order that no order service has placed: a record written by hand")?;
    let Some(customer_id) = call::register(&mut customers, "Dora", LIMIT, page).await? else {
        return Ok(());
    };
    let orders = topics::ends(bootstrap, &[ORDER_TOPIC]).await?;
    let order_id = FOREIGN_IDS + orders.values().sum::<i64>();
    let written = value(order_id, OrderState::Pending, customer_id, TOTAL);
    page.request(&cluster.command_to_write(ORDER_TOPIC, &written))?;
    let before = topics::ends(bootstrap, &[CUSTOMER_TOPIC]).await?;
    records::write(bootstrap, ORDER_TOPIC, written).await?;
    page.say(
        "This program has just written the same record: no key and no headers, as the article's service would.",
    )?;
    let is_answer = move |record: &TopicRecord| id(record) == Some(order_id);
    let answer = records::find(bootstrap, before, is_answer).await?;
    let answer = answer.with_context(|| format!("nothing on {CUSTOMER_TOPIC} answers it"))?;
    print(&answer, true, page)?;
    let expected = value(order_id, OrderState::Approved, customer_id, TOTAL);
    let is_right = same(&expected, &answer.value_text());
    let found = if is_right {
        expected.clone()
    } else {
        answer.value_text()
    };
    page.must_be("the answer", expected, found)?;
    let left = Cents(LIMIT.0 - TOTAL.0);
    let left = call::credit_left(&mut customers, customer_id, left, page).await?;
    if let Some(left) = left {
        page.say(&format!(
            "Approved, and {left} of {LIMIT} is left. A record without headers is known by its topic, partition and \
             offset: see ce_causationid. The order service heard the answer too, but has no order {order_id}: it put the \
             answer aside, in {CUSTOMER_TOPIC}.customer.dlq with the reason in its headers."
        ))?;
    }
    Ok(())
}

/// The value of a record in the format of the two services.
fn value(order_id: i64, state: OrderState, customer_id: i64, total: Cents) -> String {
    format!(
        r#"{{"id":{order_id},"state":"{state}","orderDetails":{{"customerId":{customer_id},"orderTotal":{{"amount":{total}}}}}}}"#
    )
}

/// Compares two texts as JSON, whatever the order of the fields.
fn same(expected: &str, found: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    read(found).is_some_and(|found| Some(found) == read(expected))
}

fn id(record: &TopicRecord) -> Option<i64> {
    let value: Value = serde_json::from_slice(&record.value).ok()?;
    value.get("id")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: PlacedOrder = PlacedOrder {
        order_id: 7,
        customer_id: 3,
        total: Cents(1_025),
        state: OrderState::Approved,
    };

    fn record(topic: &str, state: OrderState, headers: &[(&str, &str)]) -> TopicRecord {
        TopicRecord {
            topic: topic.to_owned(),
            partition: 0,
            offset: 0,
            timestamp: 0,
            key: Some(b"3".to_vec()),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            value: value(7, state, 3, ORDER.total).into_bytes(),
        }
    }

    fn page() -> WalkPage<Vec<u8>> {
        WalkPage::new(Vec::new(), false)
    }

    #[test]
    fn the_value_is_that_of_the_contract_in_any_order_of_fields() {
        let written = value(1, OrderState::Pending, 1, Cents::whole(300));
        assert_eq!(
            written,
            r#"{"id":1,"state":"PENDING","orderDetails":{"customerId":1,"orderTotal":{"amount":300}}}"#
        );
        assert!(same(
            &written,
            r#"{"state":"PENDING", "id":1, "orderDetails":{"orderTotal":{"amount":300},"customerId":1}}"#
        ));
        assert!(!same(&written, "no JSON") && !same("no JSON", "no JSON"));
    }

    #[test]
    fn a_record_that_is_missing_doubled_or_different_is_found() {
        let right = record(ORDER_TOPIC, OrderState::Pending, &[]);
        let found = |read: &[TopicRecord]| {
            let mut page = page();
            one_of(read, ORDER_TOPIC, &ORDER, OrderState::Pending, &mut page).unwrap();
            (page.right(), page.text())
        };
        assert!(found(std::slice::from_ref(&right)).0);
        for (read, text) in [
            (vec![], "expected 1, found 0"),
            (vec![right.clone(), right.clone()], "expected 1, found 2"),
            (
                vec![record(ORDER_TOPIC, OrderState::Approved, &[])],
                r#""state":"APPROVED""#,
            ),
            (
                vec![TopicRecord {
                    key: None,
                    ..right.clone()
                }],
                "expected 3, found -",
            ),
        ] {
            let (is_right, printed) = found(&read);
            assert!(!is_right && printed.contains(text), "{text}:\n{printed}");
        }
    }

    #[test]
    fn an_answer_that_names_another_cause_is_found() {
        let headers = |cause: &'static str| {
            [
                ("ce_id", "a"),
                ("ce_causationid", cause),
                ("ce_correlationid", "c"),
                ("traceparent", "00-t-s-01"),
            ]
        };
        let asked = record(ORDER_TOPIC, OrderState::Pending, &headers("x"));
        for (cause, is_right) in [("a", true), ("b", false)] {
            let answered = record(CUSTOMER_TOPIC, OrderState::Approved, &headers(cause));
            let mut page = page();
            belong_together(&asked, &answered, &mut page).unwrap();
            assert_eq!(page.right(), is_right, "{}", page.text());
        }
    }
}
