//! Failures of a candidate on trial are taken where the operator allows it, and told with what comes of it; and what it
//! is tried on of what waits.

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, is_active, swap, swap_with};
use crate::commands::{asks, call, json_of};
use crate::rollout::refused::{other, refuses, start, use_everything};

#[test]
fn a_component_that_fails_on_recorded_events_is_accepted_with_the_flag() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data);
    use_everything(&host, data);
    let told = json!({"if-body": [{"key": "told"}, {"malformed": "missing field `shop`"}]});
    let breaking = other(json!({"handle": {
        "counted": told,
        "awaited": {"retry-later": "not yet"},
        "tell": {"publish": {"event_type": "counted", "body": {"key": "told"}}},
        "ask": {"publish": {"event_type": "awaited", "body": {"key": "asked"}}},
        "set": {"set-timer": {"name": "later", "after_ms": 3_600_000}},
    }}));
    let says = "`counted` of aggregate told: malformed: missing field `shop`";
    refuses(&host, data, &breaking.bytes(), "probe", says);
    let refused = chameleon::apply(&host, &breaking).json();
    assert_eq!(
        refused["allowed_by"],
        json!(["allow-breaking"]),
        "{refused}"
    );

    let harm = "of what it was tried on, 1 recorded events would become dead letters: can't decide on the recorded event ";
    let path = data.join("breaking.wasm");
    breaking.write(&path);
    let path = path.to_str().unwrap();
    let (code, out, err) = call(&mut asks(data, &["verify", path, "--allow-breaking"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains(&format!("note: {harm}")), "{out}");
    let applied = swap_with(&host, &breaking, "allow-breaking=true");
    assert!(applied["notes"].to_string().contains(harm), "{applied}");
    assert!(is_active(&host, &breaking));
    assert!(host.stop().success());
}

#[test]
fn a_flag_allows_a_rollback_despite_unreadable_states() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    let needing = |version: &str, member: &str| {
        Chameleon::new().version(version).with(json!({
            "state": {"version": 1, "needs": [member]},
            "handle": {"count": [{"set": [member, 1]}]},
        }))
    };
    let (first, second) = (needing("1.0.0", "count"), needing("1.1.0", "total"));
    first.write(&path);
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .start();
    swap(&host, &second);
    count(&host, "k");

    let back = chameleon::rollback(&host);
    assert_eq!(back.status, 422, "{}", back.text());
    let refused = back.json();
    assert_eq!(
        (&refused["check"], &refused["allowed_by"]),
        (&json!("probe"), &json!(["allow-breaking"])),
        "{refused}"
    );
    let remedy = format!(
        "saga rollback --allow-breaking chameleon {}",
        first.digest()
    );
    assert!(host.log().contains(&remedy), "{}", host.log());
    let arguments: Vec<_> = remedy.split(' ').skip(1).collect();
    let applied = json_of(&mut asks(data, &arguments));
    let notes = applied["notes"].to_string();
    let harm = "1 aggregates would be quarantined: can't read the state of k (version 1): missing field `count`";
    assert!(notes.contains(harm), "{notes}");
    assert!(is_active(&host, &first));
    // Others go on, and so does this one with rules that read it.
    assert_eq!(count(&host, "l")["count"], 1);
    let put_off = host.post("chameleon", "/counters/k", &json!({}));
    assert_eq!(put_off.status, 503, "{}", put_off.text());
    swap_with(&host, &second, "allow-breaking=true");
    assert_eq!(count(&host, "k")["total"], 1);
    assert!(host.stop().success());
}

#[test]
fn waiting_events_of_each_topic_are_tried_however_many_wait_in_one() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    let topics = [("awaited", "awaitedTopic"), ("late", "lateTopic")];
    let events =
        topics.map(|(event_type, topic)| json!({"event_type": event_type, "topic": topic}));
    let publish = |event_type: &str, key: String| json!({"publish": {"event_type": event_type, "key": key, "body": {"key": key}}});
    let mut acts: Vec<_> = (0..12)
        .map(|number| publish("awaited", format!("asked-{number}")))
        .collect();
    acts.push(publish("late", "zz".into()));
    let build = |version: &str, late: Value| {
        Chameleon::new().version(version).with(json!({
            "subscriptions": events.clone(),
            "publications": events.clone(),
            "handle": {"count": acts.clone(), "awaited": {"retry-later": "not yet"}, "late": late},
        }))
    };
    let waits = json!({"retry-later": "not yet"});
    build("1.0.0", waits).write(&path);
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("reload.probe_inputs", 4)
        .setting("retry.first_delay_ms", 3_600_000)
        .setting("retry.max_delay_ms", 3_600_000)
        .start();
    assert_eq!(
        host.post("chameleon", "/counters/k", &json!({})).status,
        200
    );
    let refused = chameleon::apply(&host, &build("2.0.0", json!("trap")));
    assert_eq!(refused.status, 422, "{}", refused.text());
    let says = "can't decide on the event `late` that waits at lateTopic/";
    assert!(refused.text().contains(says), "{}", refused.text());
    assert!(host.stop().success());
}
