//! The steps of a walk over Kafka that any Kafka client could take: reading the events of the
//! services, and writing one by hand.
//!
//! Owns: the expected records of an order, the purpose of their headers, and a record without key
//! and headers that has the effect of an order.
//!
//! Must not know: how a host publishes.

use anyhow::{Context, Result};
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::{CUSTOMER_TOPIC, ORDER_TOPIC, OrderState};
use saga_testkit::kafka::cluster::Cluster;
use saga_testkit::kafka::records::{self, TopicRecord};
use saga_testkit::kafka::topics::{self, Ends};
use serde_json::Value;

use super::client::{PlacedOrder, Walk};
use crate::page::WalkPage;

/// Added to an offset, gives an order id that no order service has used.
const FOREIGN_IDS: i64 = 1_000_000;
/// Limit of the customer of the hand-written order.
const LIMIT: Cents = Cents::whole(100);
/// The amount of the hand-written order.
const TOTAL: Cents = Cents::whole(40);

const HEADERS: [&str; 6] = [
    "The value is the whole agreement between the two services; either of them may be another program. All the \
     rest is ours, and may be missing:",
    "  key: the customer, so that the orders of one customer stay in order;",
    "  ce_specversion, ce_id, ce_source, ce_type, ce_time, content-type: CloudEvents 1.0. A record that comes twice \
     has the same ce_id, and is applied once;",
    "  ce_correlationid, ce_causationid, ce_sagadigest: provenance. Which saga, which message caused this one, and \
     the digest of the component that decided;",
    "  traceparent: W3C trace context. All of one saga is one trace.",
    "The other orders, without their headers:",
];

/// Shows the records of these orders since `before`; deviations go to the page.
///
/// # Errors
/// Kafka does not answer.
pub(super) async fn show(
    bootstrap: &str,
    before: Ends,
    placed: &[PlacedOrder],
    page: &mut WalkPage,
) -> Result<()> {
    let until = topics::ends(bootstrap, &[ORDER_TOPIC, CUSTOMER_TOPIC]).await?;
    let read = records::read(bootstrap, before, until, TopicRecord::of).await?;
    page.heading("What the two services said to each other: the records on the topics")?;
    for (number, order) in placed.iter().enumerate() {
        let is_first = number == 0;
        let asked = one_of(&read, ORDER_TOPIC, order, OrderState::Pending, page)?;
        let answered = one_of(&read, CUSTOMER_TOPIC, order, order.state, page)?;
        let (Some(asked), Some(answered)) = (asked, answered) else {
            continue;
        };
        belong_together(asked, answered, page)?;
        print(asked, is_first, page)?;
        print(answered, is_first, page)?;
        if is_first {
            HEADERS.iter().try_for_each(|sentence| page.say(sentence))?;
        }
    }
    Ok(())
}

/// The only record of an order on a topic; notes a deviation if there are others, or if it differs.
fn one_of<'a>(
    read: &'a [TopicRecord],
    topic: &str,
    order: &PlacedOrder,
    state: OrderState,
    page: &mut WalkPage,
) -> Result<Option<&'a TopicRecord>> {
    let (order_id, customer_id) = (order.order_id, order.customer_id);
    let of_order = |record: &&TopicRecord| record.topic == topic && id(record) == Some(order_id);
    let found: Vec<&TopicRecord> = read.iter().filter(of_order).collect();
    page.must_be(
        &format!("records of order {order_id} on {topic}"),
        1,
        found.len(),
    )?;
    let Some(record) = found.first() else {
        return Ok(None);
    };
    let expected = value(order_id, state, customer_id, order.total);
    value_must_be(&format!("value on {topic}"), &expected, record, page)?;
    let key = customer_id.to_string();
    page.must_be(&format!("key on {topic}"), key, record.key_text())?;
    Ok(Some(record))
}

/// Notes a deviation if the value of a record is another JSON value, whatever the order of members.
fn value_must_be(
    what: &str,
    expected: &str,
    record: &TopicRecord,
    page: &mut WalkPage,
) -> Result<()> {
    let found = record.value_text();
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    if read(&found).is_none_or(|found| Some(found) != read(expected)) {
        page.must_be(what, expected, &found)?;
    }
    Ok(())
}

/// Notes a deviation if the headers do not link the answer to the order.
fn belong_together(asked: &TopicRecord, answered: &TopicRecord, page: &mut WalkPage) -> Result<()> {
    let header = |record: &TopicRecord, name| record.header(name).unwrap_or("(none)").to_owned();
    let trace = |record| {
        header(record, "traceparent")
            .split('-')
            .nth(1)
            .map(str::to_owned)
    };
    for (what, expected, found) in [
        (
            "ce_causationid",
            header(asked, "ce_id"),
            header(answered, "ce_causationid"),
        ),
        (
            "ce_correlationid",
            header(asked, "ce_correlationid"),
            header(answered, "ce_correlationid"),
        ),
        (
            "trace",
            trace(asked).unwrap_or_default(),
            trace(answered).unwrap_or_default(),
        ),
    ] {
        page.must_be(&format!("{what} of the answer"), expected, found)?;
    }
    Ok(())
}

fn print(record: &TopicRecord, with_headers: bool, page: &mut WalkPage) -> Result<()> {
    let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
    let key = record.key_text();
    page.record(&format!(
        "{topic}, partition {partition}, offset {offset}, key {key}"
    ))?;
    for (name, value) in record.headers.iter().filter(|_| with_headers) {
        page.say(&format!("  {name:<17} {value}"))?;
    }
    page.say(&format!("  {}", record.value_text()))?;
    Ok(())
}

/// Writes an order by hand, and shows that it is answered like any other.
///
/// # Errors
/// Kafka or the customer service can't be reached.
pub(super) async fn by_hand(cluster: &Cluster, walk: &mut Walk<'_>) -> Result<()> {
    let bootstrap = &cluster.bootstrap;
    walk.page
        .heading("An order that no order service has placed: a record written by hand")?;
    let customer_id = walk.register("Dora", LIMIT).await?;
    let orders = topics::ends(bootstrap, &[ORDER_TOPIC]).await?;
    let order_id = FOREIGN_IDS + orders.values().sum::<i64>();
    let written = value(order_id, OrderState::Pending, customer_id, TOTAL);
    walk.page
        .request(&cluster.command_to_write(ORDER_TOPIC, &written))?;
    let before = topics::ends(bootstrap, &[CUSTOMER_TOPIC]).await?;
    records::write(bootstrap, ORDER_TOPIC, written).await?;
    walk.page.say(
        "This program has just written the same record: no key and no headers, as the article's service would.",
    )?;
    let is_answer = move |record: &TopicRecord| id(record) == Some(order_id);
    let answer = records::find(bootstrap, before, is_answer).await?;
    let answer = answer.with_context(|| format!("nothing on {CUSTOMER_TOPIC} answers it"))?;
    print(&answer, true, walk.page)?;
    let expected = value(order_id, OrderState::Approved, customer_id, TOTAL);
    value_must_be("the answer", &expected, &answer, walk.page)?;
    let left = Cents(LIMIT.0 - TOTAL.0);
    walk.credit_left(customer_id, left).await?;
    walk.page.say(&format!(
        "Approved, and {left} of {LIMIT} is left. A record without headers is known by its topic, partition and \
         offset: see ce_causationid. The order service heard the answer too, but has no order {order_id}: it put the \
         answer aside, in {CUSTOMER_TOPIC}.customer.dlq with the reason in its headers."
    ))?;
    Ok(())
}

/// The value of a record in the format of the two services.
fn value(order_id: i64, state: OrderState, customer_id: i64, total: Cents) -> String {
    format!(
        r#"{{"id":{order_id},"state":"{state}","orderDetails":{{"customerId":{customer_id},"orderTotal":{{"amount":{total}}}}}}}"#
    )
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
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        TopicRecord {
            topic: topic.to_owned(),
            partition: 0,
            offset: 0,
            timestamp: 0,
            key: Some(b"3".to_vec()),
            headers: headers.iter().map(header).collect(),
            value: value(7, state, 3, ORDER.total).into_bytes(),
        }
    }

    #[test]
    fn the_value_is_that_of_the_contract_in_any_order_of_fields() {
        let written = value(1, OrderState::Pending, 1, Cents::whole(300));
        assert_eq!(
            written,
            r#"{"id":1,"state":"PENDING","orderDetails":{"customerId":1,"orderTotal":{"amount":300}}}"#
        );
        let reordered = r#"{"state":"PENDING", "id":1, "orderDetails":{"orderTotal":{"amount":300},"customerId":1}}"#;
        let is_same = |expected: &str, found: &str| {
            let mut page = WalkPage::kept();
            let mut record = record(ORDER_TOPIC, OrderState::Pending, &[]);
            record.value = found.into();
            value_must_be("value", expected, &record, &mut page).unwrap();
            page.right()
        };
        assert!(is_same(&written, reordered) && !is_same(&written, "no JSON"));
    }

    #[test]
    fn a_record_that_is_missing_doubled_or_different_is_found() {
        let right = record(ORDER_TOPIC, OrderState::Pending, &[]);
        let other = record(ORDER_TOPIC, OrderState::Approved, &[]);
        let mut keyless = right.clone();
        keyless.key = None;
        for (read, said) in [
            (vec![right.clone()], ""),
            (vec![], "expected 1, found 0"),
            (vec![right.clone(), right], "expected 1, found 2"),
            (vec![other], r#""state":"APPROVED""#),
            (vec![keyless], "expected 3, found -"),
        ] {
            let mut page = WalkPage::kept();
            one_of(&read, ORDER_TOPIC, &ORDER, OrderState::Pending, &mut page).unwrap();
            assert_eq!(page.right(), said.is_empty(), "{}", page.text());
            assert!(page.text().contains(said), "{said}:\n{}", page.text());
        }
    }

    #[test]
    fn an_answer_that_names_another_cause_is_found() {
        let headers = |cause| {
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
            let mut page = WalkPage::kept();
            belong_together(&asked, &answered, &mut page).unwrap();
            assert_eq!(page.right(), is_right, "{}", page.text());
        }
    }
}
