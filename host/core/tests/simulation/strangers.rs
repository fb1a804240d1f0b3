//! Records of other producers, and repeated records.

use saga_core::record::Attributes;

use crate::broker::{Fresh, PARTITIONS};
use crate::rules::{ANSWERS, Body, ORDERS};
use crate::world::World;

/// The first number of their orders.
const FOREIGN: u64 = 1_000_000;

impl World {
    /// Another producer announces orders: without headers, with ids of its own, or with invalid
    /// values.
    pub(crate) fn foreign_record(&mut self) {
        self.foreign += 1;
        let number = FOREIGN + self.foreign;
        let random = &mut self.scene.random;
        let account = (1 + random.below(6)).to_string();
        let amount = random.below(20);
        let body = Body {
            order: number,
            account: account.clone(),
            amount,
            state: "PENDING".into(),
            by: String::new(),
        };
        let value = serde_json::to_vec(&body).expect("a body is JSON");
        let named = Attributes {
            id: Some(format!("f{number}")),
            source: Some("/foreign".into()),
            ..Attributes::default()
        };
        let mut second = None;
        let (topic, value, attributes) = match random.below(19) {
            0 => (ORDERS, None, Attributes::default()),
            1 => (ORDERS, Some(b"{\"order\":".to_vec()), Attributes::default()),
            2 => (ANSWERS, Some(b"\xff\xfe".to_vec()), Attributes::default()),
            3 => (ANSWERS, Some(vec![b' '; 500]), Attributes::default()),
            4 => (
                ORDERS,
                Some(value),
                Attributes {
                    event_type: Some("unheard-of".into()),
                    ..named
                },
            ),
            12.. => {
                // Two in a row for one account, by whichever key.
                let reminded = |id| Attributes {
                    id: Some(id),
                    event_type: Some("order-reminded".into()),
                    ..named.clone()
                };
                let again = Body {
                    order: number + 1,
                    ..body
                };
                second = Some(("pair", again, reminded(format!("f{number}-again"))));
                (ORDERS, Some(value), reminded(format!("f{number}")))
            }
            5 => (
                ORDERS,
                Some(value),
                Attributes {
                    source: None,
                    ..named
                },
            ),
            6..9 => {
                // The same id for two accounts: only one of them may be applied.
                let account = (1 + random.below(6)).to_string();
                second = Some(("same-id", Body { account, ..body }, named.clone()));
                (ORDERS, Some(value), named)
            }
            _ => (ORDERS, Some(value), Attributes::default()),
        };
        let partition = self.scene.random.below(PARTITIONS.unsigned_abs().into()) as i32;
        let mut fresh = Fresh {
            key: None,
            value,
            attributes,
            timestamp: self.scene.now,
        };
        let offset = self.broker.append(topic, partition, 0, fresh.clone());
        self.scene
            .note("foreign", format_args!("{topic}/{partition}/{offset}"));
        if let Some((what, body, attributes)) = second {
            fresh.value = Some(serde_json::to_vec(&body).expect("a body is JSON"));
            fresh.attributes = attributes;
            let offset = self.broker.append(topic, partition, 0, fresh);
            self.scene
                .note(what, format_args!("{topic}/{partition}/{offset}"));
        }
    }

    /// A record is repeated, on any partition. An answer may be repeated without its headers: then
    /// it is another message for the host, and the rules must see that it says nothing new.
    pub(crate) fn copy_record(&mut self) {
        let topic = if self.scene.random.percent(50) {
            ORDERS
        } else {
            ANSWERS
        };
        let from = self.scene.random.below(PARTITIONS.unsigned_abs().into()) as i32;
        let records = self.broker.records(topic, from);
        if records.is_empty() {
            return;
        }
        let record = &records[self.scene.random.index(records.len())];
        let strip = topic == ANSWERS && self.scene.random.percent(30);
        if record.attributes.id.is_none() && !strip {
            return;
        }
        let attributes = if strip {
            Attributes::default()
        } else {
            record.attributes.clone()
        };
        let fresh = Fresh {
            key: record.key.clone(),
            value: record.value.clone(),
            attributes,
            timestamp: record.timestamp,
        };
        let of = record.position.clone();
        let to = self.scene.random.below(PARTITIONS.unsigned_abs().into()) as i32;
        let offset = self.broker.append(topic, to, 0, fresh);
        self.scene.note(
            "copy",
            format_args!("{of} as {topic}/{to}/{offset}, stripped: {strip}"),
        );
    }
}
