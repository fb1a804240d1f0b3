//! Changes of one field of each of the saga's messages, seen from each side.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::description::OlderVersion;

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

/// A participant of this name, with these parts of its description.
fn participant(name: &str, parts: Value) -> Description {
    let mut description = json!({
        "name": name, "version": "1.0.0", "summary": "",
        "state": {"version": 1, "oldest_readable": 1, "schema": "true"},
        "endpoint": {"base_path": "", "port": 0},
        "commands": [], "subscriptions": [], "publications": [], "timers": [], "listings": [],
    });
    for (name, part) in parts.as_object().cloned().unwrap_or_default() {
        description[name] = part;
    }
    serde_json::from_value(description).unwrap()
}

fn publication(event_type: &str, topic: &str, schema: &Value) -> Value {
    json!({"event_type": event_type, "topic": topic, "schema": schema.to_string()})
}

fn subscription(event_type: &str, topic: &str, schema: &Value) -> Value {
    json!({
        "event_type": event_type, "topic": topic, "schema": schema.to_string(),
        "group": "g", "key": "/customerId", "untyped": false,
    })
}

fn order(schema: &Value) -> Description {
    let events = json!([publication("order.created", "orders", schema)]);
    participant("order", json!({ "publications": events }))
}

fn customer(schema: &Value) -> Description {
    let events = json!([subscription("order.created", "orders", schema)]);
    participant("customer", json!({ "subscriptions": events }))
}

fn created(id: &str) -> Value {
    object(
        json!({id: {"type": "integer"}, "total": {"type": "number"}}),
        &[id, "total"],
    )
}

static NO_NAMES: BTreeMap<String, String> = BTreeMap::new();

fn member(description: &Description) -> ShapeMember<'_> {
    ShapeMember {
        description,
        topics: &NO_NAMES,
    }
}

fn texts(found: &ShapeFinding) -> Vec<&str> {
    found.breaks.iter().map(|one| one.text.as_str()).collect()
}

/// The findings on a candidate beside these others.
fn told(active: &Description, candidate: &Description, others: &[&Description]) -> ShapeFinding {
    let others: Vec<_> = others.iter().map(|other| member(other)).collect();
    let mut found = among(Some(active), member(candidate), &others);
    found.add(against(active, candidate));
    note_understood(&mut found, member(candidate), &others);
    found
}

#[test]
fn a_renamed_field_of_a_published_event_is_told_of_by_who_reads_it() {
    let (before, after) = (order(&created("customerId")), order(&created("customer")));
    let reader = customer(&created("customerId"));
    assert_eq!(
        texts(&told(&before, &after, &[&reader])),
        [
            "event `order.created`: /customerId is required by participant customer but no longer published"
        ]
    );
    // No participant reads it, but there may be other readers.
    assert_eq!(
        texts(&told(&before, &after, &[])),
        [
            "event `order.created`: /customerId is required by readers of the active build's events but no longer published"
        ]
    );
    assert_eq!(told(&before, &before, &[&reader]), ShapeFinding::default());
}

#[test]
fn a_renamed_field_of_an_event_that_is_read_is_told_of_by_who_publishes_it() {
    let (before, after) = (
        customer(&created("customerId")),
        customer(&created("customer")),
    );
    let writer = order(&created("customerId"));
    assert_eq!(
        texts(&told(&before, &after, &[&writer])),
        [
            "event `order.created`: /customer is required by this build but not published by participant order",
            "subscription `order.created`: /customer is required by this build but not in events that the active build takes",
        ]
    );
    // Requirements may be relaxed.
    let looser = customer(&object(json!({"customerId": {"type": "number"}}), &[]));
    assert_eq!(texts(&told(&before, &looser, &[&writer])), [""; 0]);
}

#[test]
fn a_subscriber_may_take_less_where_it_takes_all_that_the_known_publishers_publish() {
    let kind = |kind: &str| object(json!({"customerId": {"type": kind}}), &["customerId"]);
    let (before, after) = (customer(&kind("number")), customer(&kind("integer")));
    let says = "subscription `order.created`: /customerId may be a number with a fraction in events that the active build \
                takes, and this build takes an integer";
    let writer = order(&kind("integer"));
    let found = told(&before, &after, &[&writer]);
    assert_eq!(texts(&found), [""; 0]);
    assert_eq!(
        found.notes,
        [format!(
            "{says}; the participants that are known to publish it publish none such"
        )]
    );
    // If no publisher is known, there may be one; each known publisher must be understood.
    assert_eq!(texts(&told(&before, &after, &[])), [says]);
    let other = participant(
        "import",
        json!({ "publications": order(&kind("number")).publications }),
    );
    let found = told(&before, &after, &[&writer, &other]);
    assert!(texts(&found).contains(&says), "{found:?}");
}

#[test]
fn the_key_that_a_subscriber_looks_for_has_to_be_published() {
    let (before, after) = (order(&created("customerId")), order(&created("customer")));
    let reader = customer(&json!(true));
    let found = told(&before, &after, &[&reader]);
    assert_eq!(
        texts(&found),
        [
            "event `order.created`: /customerId is required by participant customer but no longer published"
        ]
    );
    // A schema that says nothing gives no finding.
    let silent = order(&json!(true));
    assert_eq!(told(&silent, &silent, &[&reader]), ShapeFinding::default());
}

#[test]
fn what_the_active_build_breaks_too_is_a_note() {
    let (active, candidate) = (order(&created("customer")), order(&created("customer")));
    let reader = customer(&created("customerId"));
    let found = told(&active, &candidate, &[&reader]);
    assert_eq!(found.breaks, []);
    assert_eq!(
        found.notes,
        [
            "event `order.created`: /customerId is required by participant customer but no longer published; so it is with the \
          active build"
        ]
    );
    // Without an active build it is a break.
    let found = among(None, member(&candidate), &[member(&reader)]);
    assert_eq!(
        texts(&found),
        [
            "event `order.created`: /customerId is required by participant customer but not published"
        ]
    );
}

#[test]
fn participants_meet_where_the_settings_say() {
    let (before, after) = (order(&created("customerId")), order(&created("customer")));
    let reader = customer(&created("customerId"));
    let named = BTreeMap::from([("orders".to_owned(), "prod-orders".to_owned())]);
    let elsewhere = ShapeMember {
        topics: &named,
        ..member(&reader)
    };
    let found = among(Some(&before), member(&after), &[elsewhere]);
    assert_eq!(found.breaks, []);
    let candidate = ShapeMember {
        topics: &named,
        ..member(&after)
    };
    let found = among(Some(&before), candidate, &[elsewhere]);
    assert_eq!(found.breaks.len(), 1, "{found:?}");
}

#[test]
fn a_participant_that_listens_to_itself_is_compared_with_itself() {
    let both = |published: &str, read: &str| {
        participant(
            "order",
            json!({
                "publications": [publication("order.created", "orders", &created(published))],
                "subscriptions": [subscription("order.created", "orders", &created(read))],
            }),
        )
    };
    let (before, after) = (
        both("customerId", "customerId"),
        both("customer", "customerId"),
    );
    let found = among(Some(&before), member(&after), &[]);
    assert_eq!(
        texts(&found),
        ["event `order.created`: /customerId is required by it itself but no longer published"]
    );
}

#[test]
fn an_event_that_somebody_waits_for_is_not_dropped_without_a_word() {
    let schema = created("customerId");
    let (before, reader) = (order(&schema), customer(&schema));
    let renamed = json!([
        publication("order.placed", "orders", &schema),
        publication("orderCreated", "orders", &schema)
    ]);
    let after = participant("order", json!({ "publications": renamed }));
    assert_eq!(
        told(&before, &after, &[&reader]).dropped,
        [
            "event `order.created` is no longer published on topic `orders`: participant customer would wait for it; did you \
          mean `orderCreated`, which this build publishes on orders?"
        ]
    );
    assert_eq!(told(&before, &after, &[]), ShapeFinding::default());
    // Another participant publishes it too.
    let other = participant("import", json!({ "publications": before.publications }));
    assert_eq!(told(&before, &after, &[&reader, &other]).dropped, [""; 0]);
}

#[test]
fn a_subscription_that_nobody_serves_is_told_of_where_it_may_be_misspelt() {
    let schema = created("customerId");
    let writer = participant(
        "order",
        json!({"publications": [publication("saga.order.created", "orders", &schema)]}),
    );
    assert_eq!(
        unheard(member(&customer(&schema)), &[member(&writer)]),
        [
            "subscription `order.created` of topic `orders`: no participant that is known here publishes it; did you mean \
          `saga.order.created`, which order publishes on orders?"
        ]
    );
    // If it is alone on its host, its events come from elsewhere.
    assert_eq!(unheard(member(&customer(&schema)), &[]), [""; 0]);
    assert_eq!(
        unheard(member(&customer(&schema)), &[member(&order(&schema))]),
        [""; 0]
    );
}

fn command(parts: Value) -> Value {
    let mut command = json!({
        "name": "place", "summary": "", "method": "POST", "path": "/orders",
        "kind": {"create": ""}, "key": "generated", "request": null, "reply": "true", "refusals": [],
    });
    for (name, part) in parts.as_object().cloned().unwrap_or_default() {
        command[name] = part;
    }
    command
}

#[test]
fn clients_go_on_with_what_they_send_and_read() {
    let with = |parts: Value| participant("order", json!({"commands": [command(parts)]}));
    let request = |schema: &Value| with(json!({"request": schema.to_string()}));
    let reply = |schema: &Value| with(json!({"name": "placed", "reply": schema.to_string()}));
    let (old, new) = (created("customerId"), created("customer"));
    assert_eq!(
        texts(&against(&request(&old), &request(&new))),
        [
            "request of command `place`: /customer is required by this build but not in requests that the active build takes"
        ]
    );
    assert_eq!(
        texts(&against(&reply(&old), &reply(&new))),
        [
            "reply of command `placed`: /customerId is required by clients of the active build but no longer in the reply"
        ]
    );
    assert_eq!(
        texts(&against(&with(json!({})), &request(&old))),
        [
            "request of command `place`: a body is required by this build, and the active build takes none"
        ]
    );
    assert_eq!(
        against(&request(&old), &with(json!({}))),
        ShapeFinding::default()
    );
    // The reply has more, the request needs less.
    let more = object(
        json!({"customerId": {"type": "integer"}, "total": {"type": "number"}, "note": {"type": "string"}}),
        &["customerId", "total", "note"],
    );
    assert_eq!(
        against(&reply(&old), &reply(&more)),
        ShapeFinding::default()
    );
    assert_eq!(
        against(&request(&more), &request(&old)),
        ShapeFinding::default()
    );
}

#[test]
fn lists_go_on_to_show_and_to_filter() {
    let with = |item: &str, filter: Value| {
        let read = |name: &str, path: &str, schema: &Value| {
            command(json!({
                "name": name, "method": "GET", "path": path, "kind": "read",
                "key": {"path-parameter": "id"}, "reply": schema.to_string(),
            }))
        };
        participant(
            "order",
            json!({
                "commands": [
                    read("get", "/orders/{id}", &created("customerId")),
                    read("summary", "/summaries/{id}", &created("customer")),
                ],
                "listings": [{"name": "list", "summary": "", "path": "/orders", "item": item, "filters": [
                    {"parameter": "state", "pointer": "/state", "schema": filter.to_string()},
                ]}],
            }),
        )
    };
    let (all, some) = (json!({"enum": ["OPEN", "PAID"]}), json!({"enum": ["OPEN"]}));
    let active = with("get", all.clone());
    assert_eq!(
        texts(&against(&active, &with("get", some))),
        [
            "filter `state` of the listing at /orders: the value may be `\"PAID\"` in queries that the active build takes, and \
          this build takes `\"OPEN\"`"
        ]
    );
    assert_eq!(
        texts(&against(&active, &with("summary", all))),
        [
            "items of the listing at /orders: /customerId is required by clients of the active build but no longer in the reply"
        ]
    );
}

#[test]
fn timers_and_states_that_are_there_have_to_be_read() {
    let with = |id: &str, version: u32| {
        let schema = created(id).to_string();
        participant(
            "order",
            json!({
                "timers": [{"name": "late", "schema": schema}],
                "state": {"version": version, "oldest_readable": 1, "schema": schema},
            }),
        )
    };
    let found = against(&with("customerId", 1), &with("customer", 1));
    let concerns: Vec<_> = found
        .breaks
        .iter()
        .map(|one| one.concerns.clone())
        .collect();
    assert_eq!(concerns, [Concerns::Timer("late".into()), Concerns::States]);
    assert_eq!(
        texts(&found),
        [
            "timer `late`: /customer is required by this build but not in timers that the active build sets",
            "state: /customer is required by this build but not in states that the active build stores; raise state_version \
             and migrate, or give it #[serde(default)]",
        ]
    );
    // Migration may change the shape in any way.
    let found = against(&with("customerId", 1), &with("customer", 2));
    assert_eq!(found.breaks.len(), 1, "{found:?}");
}

#[test]
fn an_event_is_compared_with_the_version_that_is_published() {
    let (first, second) = (created("customerId"), created("customer"));
    let mut publisher = order(&second);
    publisher.publications[0].version = 2;
    let mut reader = customer(&second);
    reader.subscriptions[0].version = 2;
    reader.subscriptions[0].key = "/customer".into();
    reader.subscriptions[0].older = vec![OlderVersion {
        version: 1,
        key: "/customerId".into(),
        schema: first.to_string(),
    }];
    let before = order(&first);
    assert_eq!(texts(&told(&before, &publisher, &[&reader])), [""; 0]);
    // One that reads only version 1 does not understand it.
    let late = customer(&first);
    assert_eq!(
        texts(&told(&before, &publisher, &[&late])),
        [
            "event `order.created`: published in version 2, which participant customer does not read (only 1)"
        ]
    );
    // Readers that are not known may be late, too.
    let found = told(&before, &publisher, &[]);
    assert_eq!(texts(&found), [""; 0]);
    assert!(
        found.notes[0].contains("published in version 2 instead of 1"),
        "{found:?}"
    );
}

#[test]
fn a_version_is_compared_with_the_same_version_of_the_active_build() {
    let first = created("customerId");
    let active = customer(&first);
    let mut candidate = customer(&created("customer"));
    candidate.subscriptions[0].version = 2;
    candidate.subscriptions[0].key = "/customer".into();
    let mut older = OlderVersion {
        version: 1,
        key: "/customerId".into(),
        schema: first.to_string(),
    };
    candidate.subscriptions[0].older = vec![older.clone()];
    assert_eq!(texts(&told(&active, &candidate, &[])), [""; 0]);
    older.schema = object(
        json!({"customerId": {"type": "integer"}, "by": {"type": "string"}}),
        &["by"],
    )
    .to_string();
    candidate.subscriptions[0].older = vec![older];
    let found = told(&active, &candidate, &[]);
    assert!(
        texts(&found)[0].contains("subscription `order.created`"),
        "{found:?}"
    );
}
