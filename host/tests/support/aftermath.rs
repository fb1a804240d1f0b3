//! The remains of crashes, read through the API and from the store, and the invariants it must keep.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use saga_core::message::{Message, Origin};
use saga_core::outcome::{Outcome, StateChange};
use serde_json::Value;

use crate::server_store::ServerStore;
use crate::store_file;
use crate::support::{Host, Response};

/// The answers that clients had, and requests that broke off.
#[derive(Debug, Default)]
pub struct Asked {
    /// Limits of the customers 1, 2, …, in cents.
    pub limits: Vec<i64>,
    /// Orders that were acknowledged: id, customer, cents.
    pub acknowledged: Vec<(u64, u64, i64)>,
    /// Orders whose answer did not come.
    pub broken_off: usize,
}

/// The state after crashes.
pub struct Aftermath {
    pub asked: Asked,
    /// All orders, by reading ids upwards: id → state.
    pub orders: BTreeMap<u64, String>,
    /// Credit left, by customer, in cents.
    left: BTreeMap<u64, i64>,
    /// Published events of all topics, by topic, partition, offset.
    events: Vec<Event>,
    journal: Vec<Decision>,
    /// Participant, event id.
    inbox: Vec<(String, String)>,
    /// Participant, key, revision.
    aggregates: Vec<(String, String, u64)>,
    /// Next offset of each consumer, and of what it reads.
    progress: Vec<(u64, u64)>,
}

struct Event {
    topic: String,
    participant: String,
    id: String,
    key: String,
    causation: String,
    value: Value,
}

struct Decision {
    participant: String,
    revision: u64,
    message: Message,
    outcome: Outcome,
}

/// The store that is left.
#[derive(Clone, Copy)]
pub enum StoreLeft<'a> {
    /// The file in this data directory.
    File(&'a Path),
    /// The tables on a server.
    Server(&'a ServerStore),
}

impl StoreLeft<'_> {
    fn rows(self, query: &str) -> Vec<Vec<String>> {
        match self {
            Self::File(data) => store_file::rows(data, query),
            Self::Server(store) => store.rows(query),
        }
    }
}

/// Lets everything settle on a host of both participants, reads what is left in its data directory, and stops
/// it. After `gap` ids that are missing in a row no more orders are looked for.
pub fn look(host: Host, data: &Path, asked: Asked, gap: u64) -> Aftermath {
    look_into(host, StoreLeft::File(data), asked, gap)
}

/// The same with this store.
pub fn look_into(host: Host, store: StoreLeft<'_>, asked: Asked, gap: u64) -> Aftermath {
    let mut orders = BTreeMap::new();
    let (mut id, mut missing) = (1, 0);
    while missing < gap {
        let path = format!("/orders/{id}");
        missing = match state_of(&host.get("order", &path)) {
            None => missing + 1,
            Some(_) => {
                let decided = host.get_until("order", &path, |answer| {
                    answer.json()["orderState"] != "PENDING"
                });
                orders.insert(id, state_of(&decided).unwrap());
                0
            }
        };
        id += 1;
    }
    let left = |id: u64| {
        (
            id,
            credit_of(&host.get("customer", &format!("/customer/{id}"))),
        )
    };
    let left = (1..=asked.limits.len() as u64).map(left).collect();
    assert!(host.stop().success());
    Aftermath {
        asked,
        orders,
        left,
        events: events(store),
        journal: journal(store),
        inbox: store.rows("SELECT p.name, i.id FROM inbox i JOIN participants p ON p.id = i.participant ORDER BY p.name, i.id")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect(),
        aggregates: store.rows("SELECT p.name, a.key, a.revision FROM aggregates a JOIN participants p ON p.id = a.participant")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone(), row[2].parse().unwrap()))
        .collect(),
        progress: store.rows("SELECT coalesce(o.next_offset, 0), p.next_offset FROM partitions p
             LEFT JOIN offsets o ON o.topic = p.topic AND o.partition = p.partition")
        .into_iter()
        .map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap()))
        .collect(),
    }
}

fn events(store: StoreLeft<'_>) -> Vec<Event> {
    let query = "SELECT t.name, p.name, o.event_id, o.key, o.causation, o.value FROM outbox o
                 JOIN topics t ON t.id = o.topic JOIN generations g ON g.id = o.generation
                 JOIN participants p ON p.id = g.participant ORDER BY t.name, o.partition, ";
    let (key, value, offset) = match store {
        StoreLeft::File(_) => ("o.key", "o.value", "o.offset"),
        StoreLeft::Server(_) => (
            "convert_from(o.key, 'UTF8')",
            "convert_from(o.value, 'UTF8')",
            "o.position",
        ),
    };
    let query = query.replace("o.value", value).replace("o.key", key) + offset;
    let event = |row: Vec<String>| Event {
        topic: row[0].clone(),
        participant: row[1].clone(),
        id: row[2].clone(),
        key: row[3].clone(),
        causation: row[4].clone(),
        value: serde_json::from_str(&row[5]).unwrap(),
    };
    store.rows(&query).into_iter().map(event).collect()
}

fn journal(store: StoreLeft<'_>) -> Vec<Decision> {
    let data = match store {
        StoreLeft::File(data) => data,
        StoreLeft::Server(store) => {
            let decision = |(participant, revision, (message, outcome))| Decision {
                participant,
                revision,
                message,
                outcome,
            };
            return store.decisions().into_iter().map(decision).collect();
        }
    };
    let query = "SELECT p.name, j.revision, j.message, j.outcome FROM journal j
                 JOIN generations g ON g.id = j.generation JOIN participants p ON p.id = g.participant ORDER BY j.seq";
    let decision = |row: Vec<String>| Decision {
        participant: row[0].clone(),
        revision: row[1].parse().unwrap(),
        message: serde_json::from_str(&row[2]).unwrap(),
        outcome: serde_json::from_str(&row[3]).unwrap(),
    };
    store_file::rows(data, query)
        .into_iter()
        .map(decision)
        .collect()
}

impl Aftermath {
    pub fn invariant_10_every_acknowledged_order_is_there_as_it_was_placed_and_is_decided(&self) {
        let placed: HashMap<u64, &Event> = self
            .events_on("orderTopic")
            .map(|event| (event.value["id"].as_u64().unwrap(), event))
            .collect();
        let mut seen = BTreeSet::new();
        for (id, customer, amount) in &self.asked.acknowledged {
            assert!(seen.insert(id), "id {id} was given out twice");
            let state = self
                .orders
                .get(id)
                .unwrap_or_else(|| panic!("order {id} is lost"));
            assert!(
                state == "APPROVED" || state == "REJECTED",
                "order {id} is {state}"
            );
            let details = &placed[id].value["orderDetails"];
            assert_eq!(
                details["customerId"].as_u64(),
                Some(*customer),
                "order {id}"
            );
            assert_eq!(
                cents(&details["orderTotal"]["amount"]),
                *amount,
                "order {id}"
            );
        }
        let unknown = self.orders.len() - seen.len();
        assert!(
            unknown <= self.asked.broken_off,
            "{unknown} orders that nobody placed"
        );
    }

    pub fn invariant_3_credit_is_taken_once_for_each_approved_order(&self) {
        let mut taken: BTreeMap<u64, i64> = BTreeMap::new();
        for event in self.events_on("orderTopic") {
            let details = &event.value["orderDetails"];
            if self.orders[&event.value["id"].as_u64().unwrap()] == "APPROVED" {
                *taken
                    .entry(details["customerId"].as_u64().unwrap())
                    .or_default() += cents(&details["orderTotal"]["amount"]);
            }
        }
        for (customer, limit) in (1..).zip(&self.asked.limits) {
            let credit = self.left[&customer];
            assert!(credit >= 0, "customer {customer} has {credit} left");
            let taken = taken.remove(&customer).unwrap_or_default();
            assert_eq!(limit - taken, credit, "customer {customer}");
        }
        assert!(
            taken.is_empty(),
            "approved for customers that do not exist: {taken:?}"
        );
    }

    pub fn invariant_3_no_event_is_applied_twice(&self) {
        let ids: BTreeSet<&str> = self.events.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids.len(), self.events.len(), "an event id was used twice");
        let mut applied: Vec<(String, String)> = self
            .journal
            .iter()
            .filter(|entry| entry.message.origin == Origin::Event)
            .map(|entry| (entry.participant.clone(), entry.message.id.clone()))
            .collect();
        applied.sort();
        assert_eq!(
            applied, self.inbox,
            "decisions on events, and identities remembered"
        );
    }

    pub fn invariant_2_state_events_and_record_of_a_decision_are_there_together(&self) {
        let mut published: HashMap<(&str, &str), usize> = HashMap::new();
        for event in &self.events {
            *published
                .entry((&event.participant, &event.causation))
                .or_default() += 1;
        }
        let mut revisions: HashMap<(String, String), u64> = HashMap::new();
        for entry in &self.journal {
            let found = published
                .remove(&(entry.participant.as_str(), entry.message.id.as_str()))
                .unwrap_or_default();
            assert_eq!(
                found,
                entry.outcome.events.len(),
                "events of {} {}",
                entry.participant,
                entry.message.id
            );
            let revision = revisions
                .entry((entry.participant.clone(), entry.message.key.clone()))
                .or_default();
            assert_eq!(
                entry.revision, *revision,
                "{} {}",
                entry.participant, entry.message.key
            );
            *revision += u64::from(entry.outcome.state != StateChange::Unchanged);
        }
        assert!(
            published.is_empty(),
            "events without a recorded decision: {published:?}"
        );
        revisions.retain(|_, revision| *revision > 0);
        let stored: HashMap<_, _> = self
            .aggregates
            .iter()
            .map(|(participant, key, revision)| ((participant.clone(), key.clone()), *revision))
            .collect();
        assert_eq!(stored, revisions, "revisions stored, and as recorded");
    }

    pub fn invariant_1_every_event_is_decided_exactly_once(&self) {
        for (consumed, published) in &self.progress {
            assert_eq!(consumed, published, "consumed, and published");
        }
        for (topic, consumer) in [("orderTopic", "customer"), ("customerTopic", "order")] {
            let published: BTreeSet<&str> = self
                .events_on(topic)
                .map(|event| event.id.as_str())
                .collect();
            let decided: Vec<&str> = self
                .decisions(consumer, Origin::Event)
                .map(|entry| entry.message.id.as_str())
                .collect();
            assert_eq!(decided.len(), published.len(), "{topic}");
            assert_eq!(
                decided.into_iter().collect::<BTreeSet<_>>(),
                published,
                "{topic}"
            );
            assert_eq!(
                published.len(),
                self.orders.len(),
                "{topic} has one event for each order"
            );
        }
    }

    pub fn invariant_4_the_orders_of_a_customer_are_decided_in_their_order(&self) {
        let mut placed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for event in self.events_on("orderTopic") {
            placed.entry(&event.key).or_default().push(&event.id);
        }
        let mut decided: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for entry in self.decisions("customer", Origin::Event) {
            decided
                .entry(&entry.message.key)
                .or_default()
                .push(&entry.message.id);
        }
        assert_eq!(decided, placed, "consumed, and published");
    }

    fn decisions(
        &self,
        participant: &'static str,
        origin: Origin,
    ) -> impl Iterator<Item = &Decision> {
        self.journal
            .iter()
            .filter(move |entry| entry.participant == participant && entry.message.origin == origin)
    }

    fn events_on(&self, topic: &'static str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.topic == topic)
    }
}

/// State of an order; none where there is none.
pub fn state_of(answer: &Response) -> Option<String> {
    match answer.status {
        200 => Some(answer.json()["orderState"].as_str().unwrap().to_owned()),
        404 => None,
        _ => panic!("{} {}", answer.status, answer.text()),
    }
}

/// Credit that is left, in cents.
pub fn credit_of(answer: &Response) -> i64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    cents(&answer.json()["creditLimit"])
}

/// An amount as it stands in JSON.
pub fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// The amount of a JSON number.
pub fn cents(number: &Value) -> i64 {
    let text = number.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part = format!("{part:0<2}");
    assert!(number.is_number() && part.len() == 2, "{text} is no amount");
    whole.parse::<i64>().unwrap() * 100 + part.parse::<i64>().unwrap()
}
