//! Versions of events: their header, the key of each, and a version that the rules don't read.

use serde_json::{Value, json};

use crate::chameleon::{Chameleon, apply, serve, swap};
use crate::commands::{asks, call};
use crate::expect::until;
use crate::store_file::{Foreign, publish, record, rows};
use crate::support::Host;

/// Reads `counted` in its second version, and these older ones; publishes `changed` in its third.
fn reading(version: &str, older: Value) -> Chameleon {
    Chameleon::new().version(version).with(json!({
        "subscriptions": [
            {"event_type": "counted", "version": 2, "older": older},
        ],
        "publications": [{"event_type": "changed", "topic": "changedTopic", "version": 3}],
        "handle": {"counted": [{"count": 1}, {"publish": {"event_type": "changed"}}]},
    }))
}

fn counted(body: Value) -> Foreign {
    record(body.to_string()).of_type("counted")
}

fn seen(host: &Host, key: &str) -> Value {
    host.get("chameleon", &format!("/counters/{key}")).json()["count"].clone()
}

#[test]
fn a_record_is_read_by_its_version_and_what_is_published_names_its_own() {
    let data = tempfile::tempdir().unwrap();
    let build = reading("1.0.0", json!([]));
    assert!(serve(data.path(), &build).stop().success());
    let records = [
        counted(json!({"key": "a"})).header("ce_dataversion", "2"),
        counted(json!({"id": "b"})).id("first-version"),
        counted(json!({"key": "a"})).header("ce_dataversion", "9"),
    ];
    publish(data.path(), "chameleonTopic", &records);
    let host = serve(data.path(), &build);
    until("the versions that are not read are dead letters", || {
        rows(
            data.path(),
            "SELECT detail FROM dead_letters ORDER BY offset",
        )
        .len()
            == 2
    });
    let letters = rows(
        data.path(),
        "SELECT detail FROM dead_letters ORDER BY offset",
    )
    .concat();
    assert!(
        letters[0].contains("is version 1 of the event counted, and the rules read 2"),
        "{letters:?}"
    );
    assert!(
        letters[1].contains("is version 9 of the event counted"),
        "{letters:?}"
    );
    assert_eq!(seen(&host, "a"), 1);
    let published = "SELECT extra FROM outbox WHERE event_type = 'changed'";
    assert_eq!(
        rows(data.path(), published),
        [[r#"[["ce_dataversion","3"]]"#]]
    );

    // A build that reads the first version takes the letter.
    swap(
        &host,
        &reading("2.0.0", json!([{"version": 1, "key": "/id"}])),
    );
    let letter = "SELECT id FROM dead_letters WHERE detail LIKE '%version 1 of%'";
    let number = rows(data.path(), letter)[0][0].clone();
    let redrive = ["dead-letters", "redrive", "chameleon", &number];
    let (code, said, _) = call(&mut asks(data.path(), &redrive));
    assert_eq!((code, said), (0, format!("{number} decided\n")));
    until("it is decided", || seen(&host, "b") == 1);

    // One that does not read it any more is refused as long as the first version was used.
    let refused = apply(&host, &reading("3.0.0", json!([])));
    assert_eq!(refused.status, 422, "{}", refused.text());
    let reasons = refused.json()["reasons"].to_string();
    assert!(
        reasons.contains("version 1 of the event is not read any more (only 2)"),
        "{reasons}"
    );
}
