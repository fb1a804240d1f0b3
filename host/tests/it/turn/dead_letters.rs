//! Records that can't be decided: each becomes a dead letter that says why, and those after it go on
//! (invariants 3, 4, 5). The broken rules' share is in `broken_rules`.

use serde_json::{Value, json};

use crate::booking::add_room;
use crate::expect::{problem, until};
use crate::store_file::{Foreign, number, publish, published, record, rows, until_consumed};
use crate::support::{Host, Start};

/// A host that has run once, with rooms A and B, and is stopped.
fn office(data: &tempfile::TempDir) {
    let host = Start::new(&["booking"], data.path()).start();
    for code in ["A", "B"] {
        add_room(&host, code);
    }
    assert!(host.stop().success());
}

fn room(host: &Host, code: &str) -> Value {
    host.get("booking", &format!("/rooms/{code}")).json()
}

fn cleaned(code: &str) -> Foreign {
    record(json!({"code": code}).to_string())
}

fn inspected(code: &str, inspector: &str, later: bool) -> Foreign {
    record(json!({"code": code, "inspector": inspector, "later": later}).to_string())
        .of_type("room-inspected")
}

#[test]
fn unreadable_records_become_dead_letters_and_others_are_decided() {
    let data = tempfile::tempdir().unwrap();
    office(&data);
    let huge = json!({"code": "A", "pad": "x".repeat(5_000)}).to_string();
    let long_key = json!({"code": "k".repeat(600)}).to_string();
    let deep = format!(
        r#"{{"code":"A","pad":{}1{}}}"#,
        "[".repeat(1_500),
        "]".repeat(1_500)
    );
    let cases: Vec<(Foreign, &str)> = vec![
        (record("not json"), "value is not JSON"),
        (record(b"{\"code\":\"A\xff\"}"), "value is not UTF-8"),
        (record(""), "has an empty value"),
        (record("").tombstone(), "has no value (a tombstone)"),
        (
            record("").tombstone().key("A"),
            "has no value (a tombstone)",
        ),
        (record(&huge), "over the limit of 4096"),
        (record(r#"{"room":"A"}"#), "has no key at /code"),
        (record("null"), "has no key at /code"),
        (record("[]"), "has no key at /code"),
        (record("\"A\""), "has no key at /code"),
        (record(r#"{"code":null}"#), "key at /code is null"),
        (
            record(r#"{"code":1.5}"#),
            "key at /code is a number with a fraction",
        ),
        (record(r#"{"code":["A"]}"#), "key at /code is an array"),
        (record(r#"{"code":""}"#), "key at /code is empty"),
        (record(&long_key), "over the limit of 512"),
        (record(&deep), "value is nested deeper than 127 levels"),
        (record("\0"), "value is not JSON"),
        (
            record(r#"{"code":"Z"}"#).key("Z").id("e-1"),
            "there is no room \"Z\" to clean",
        ),
        (
            record(r#"{"code":"A"}"#).of_type("room-inspected"),
            "inspector",
        ),
    ];
    let mut records: Vec<Foreign> = cases
        .iter()
        .flat_map(|(bad, _)| [bad.clone(), cleaned("A")])
        .collect();
    records.push(cleaned("A").of_type("room-painted"));
    publish(data.path(), "roomEvents", &records);

    let host = Start::new(&["booking"], data.path())
        .setting("turn.record_bytes", 4_096)
        .setting("retry.then", "skip")
        .start();
    until_consumed(data.path(), "roomEvents");
    assert_eq!(
        room(&host, "A")["cleanings"],
        cases.len(),
        "every good one was decided, the unknown type passed over"
    );
    assert!(host.log().contains("dead letter"), "{}", host.log());
    assert!(host.stop().success());

    let letters = rows(
        data.path(),
        "SELECT offset, detail, reason, attempts, consumer, topic, partition, coalesce(key, 'NULL'), value, digest
         FROM dead_letters ORDER BY offset",
    );
    let digest = rows(data.path(), "SELECT digest FROM generations")[0][0].clone();
    assert_eq!(letters.len(), cases.len());
    for (letter, (number, (bad, why))) in letters.iter().zip(cases.iter().enumerate()) {
        assert_eq!(letter[0], (2 * number).to_string(), "{letter:?}");
        assert!(letter[1].contains(why), "{why}: {letter:?}");
        assert_eq!(
            letter[2..7],
            ["malformed", "1", "booking", "roomEvents", "0"]
        );
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map_or("NULL".into(), |bytes| {
                String::from_utf8_lossy(bytes).into_owned()
            })
        };
        assert_eq!(
            letter[7..9],
            [text(&bad.key), text(&bad.value)],
            "kept as it came"
        );
        assert_eq!(letter[9], digest);
    }
}

#[test]
fn a_dead_letter_has_a_hint_on_foreign_formats() {
    let data = tempfile::tempdir().unwrap();
    office(&data);
    let json = r#"{"code":"A"}"#;
    let utf_16: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let with = |prefix: &[u8]| record([prefix, json.as_bytes()].concat());
    let cases = [
        (
            with(b"\xef\xbb\xbf"),
            "begins with a byte order mark (BOM): write UTF-8 without one",
        ),
        (
            record([b"\xff\xfe".as_slice(), &utf_16].concat()),
            "looks like UTF-16: write JSON in UTF-8",
        ),
        (record(&utf_16), "looks like UTF-16"),
        (
            with(b"\0\0\0\x01\x02"),
            "schema registry's serializer writes (a zero byte, and schema 258",
        ),
        (
            record(format!(r#"{{"before":null,"after":{json},"op":"c"}}"#)),
            "has no key at /code; it looks like a change of Debezium",
        ),
        (
            record(format!(r#"{{"schema":null,"payload":{json}}}"#)),
            "value.converter.schemas.enable=false",
        ),
        (
            record(format!(
                r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{json}}}"#
            )),
            "CloudEvent in structured mode: send it in binary mode",
        ),
    ];
    let records: Vec<_> = cases.iter().map(|(record, _)| record.clone()).collect();
    publish(data.path(), "roomEvents", &records);
    let host = Start::new(&["booking"], data.path()).start();
    until_consumed(data.path(), "roomEvents");
    assert!(host.stop().success());
    let letters = rows(
        data.path(),
        "SELECT reason, detail FROM dead_letters ORDER BY offset",
    );
    assert_eq!(letters.len(), cases.len());
    for (letter, (_, expected)) in letters.iter().zip(cases) {
        assert_eq!(letter[0], "malformed");
        assert!(letter[1].contains(expected), "{expected}: {letter:?}");
        assert!(host_log_has(&data, expected), "{expected}");
    }
}

fn host_log_has(data: &tempfile::TempDir, text: &str) -> bool {
    let log = std::fs::read_to_string(data.path().join("log.txt")).unwrap();
    log.lines()
        .any(|line| line.contains("dead letter") && line.contains(text))
}

#[test]
fn invariant_9_a_value_beyond_a_mebibyte_is_not_kept_with_its_dead_letter() {
    let data = tempfile::tempdir().unwrap();
    office(&data);
    let of = |bytes: usize| record("x".repeat(bytes)).of_type("room-cleaned");
    publish(data.path(), "roomEvents", &[of(1 << 20), of((1 << 20) + 1)]);
    let host = Start::new(&["booking"], data.path()).start();
    until_consumed(data.path(), "roomEvents");
    assert!(host.stop().success());
    let letters = rows(
        data.path(),
        "SELECT coalesce(length(value), 'NULL'), detail LIKE '%its value of 1048577 bytes is not kept%'
         FROM dead_letters ORDER BY offset",
    );
    assert_eq!(letters, [["1048576", "0"], ["NULL", "1"]]);
}

#[test]
fn a_dead_letter_is_published_with_its_origin_and_reason() {
    let data = tempfile::tempdir().unwrap();
    office(&data);
    publish(
        data.path(),
        "roomEvents",
        &[
            cleaned("Z").key("Z").id("e-1").of_type("room-cleaned"),
            record("no json"),
        ],
    );
    // One worker, so that the two come in their order.
    let host = Start::new(&["booking"], data.path())
        .setting("instances", 1)
        .start();
    until_consumed(data.path(), "roomEvents");
    assert!(host.stop().success());
    let letters = rows(
        data.path(),
        "SELECT key, value, event_id, event_type, extra, generation FROM outbox o JOIN topics t ON t.id = o.topic
         WHERE t.name = 'roomEvents.booking.dlq' ORDER BY offset",
    );
    assert_eq!(letters.len(), 2);
    assert_eq!(
        letters[0][..4],
        ["Z", r#"{"code":"Z"}"#, "e-1", "room-cleaned"]
    );
    assert_eq!(letters[1][..4], ["NULL", "no json", "NULL", "NULL"]);
    let digest = rows(data.path(), "SELECT digest FROM generations")[0][0].clone();
    for (number, letter) in letters.iter().enumerate() {
        assert_eq!(letter[5], "NULL", "no build decided it");
        let headers: Vec<(String, String)> = serde_json::from_str(&letter[4]).unwrap();
        let header = |name: &str| {
            headers
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(header("dlq-topic"), Some("roomEvents"));
        assert_eq!(header("dlq-partition"), Some("0"));
        assert_eq!(header("dlq-offset"), Some(number.to_string().as_str()));
        assert_eq!(header("dlq-group"), Some("booking"));
        assert_eq!(header("dlq-reason"), Some("malformed"));
        assert_eq!(header("dlq-attempts"), Some("1"));
        assert_eq!(header("dlq-digest"), Some(digest.as_str()));
        assert!(header("dlq-detail").is_some_and(|detail| !detail.is_empty()));
    }
}

/// Invariant 3.
#[test]
fn the_same_event_is_applied_once_however_often_it_comes() {
    let data = tempfile::tempdir().unwrap();
    office(&data);
    let first = cleaned("A").id("e-1");
    publish(
        data.path(),
        "roomEvents",
        &[
            first.clone(),
            first.clone(),
            cleaned("A").id("e-2"),
            first.clone(),
        ],
    );
    let host = Start::new(&["booking"], data.path()).start();
    until_consumed(data.path(), "roomEvents");
    assert_eq!(room(&host, "A")["cleanings"], 2);
    host.kill();
    // Again, after a crash, and with another body: the id says what it is.
    publish(
        data.path(),
        "roomEvents",
        &[
            first.clone(),
            cleaned("B").id("e-1"),
            cleaned("A").id("e-3"),
        ],
    );
    let host = Start::new(&["booking"], data.path()).start();
    until_consumed(data.path(), "roomEvents");
    assert_eq!(room(&host, "A")["cleanings"], 3);
    assert_eq!(room(&host, "B")["cleanings"], 0);
    assert!(host.stop().success());
    assert_eq!(
        rows(data.path(), "SELECT id, source FROM inbox ORDER BY id").len(),
        3
    );
    assert!(
        rows(data.path(), "SELECT * FROM dead_letters").is_empty(),
        "a repetition is no failure"
    );
}

#[test]
fn a_record_without_headers_is_identified_by_its_position() {
    let data = tempfile::tempdir().unwrap();
    office(&data);
    publish(
        data.path(),
        "roomEvents",
        &[cleaned("A"), cleaned("A"), cleaned("A").key("A")],
    );
    let host = Start::new(&["booking"], data.path()).start();
    until_consumed(data.path(), "roomEvents");
    assert_eq!(
        room(&host, "A")["cleanings"],
        3,
        "equal values at different places are different events"
    );
    assert!(host.stop().success());
    let known = rows(data.path(), "SELECT id, source FROM inbox ORDER BY id");
    let expected: Vec<_> = (0..3)
        .map(|offset| {
            [
                format!("roomEvents/0/{offset}"),
                "/topics/roomEvents".to_owned(),
            ]
        })
        .collect();
    assert_eq!(known, expected);
}

/// Invariant 4, and that no other key pays for it.
#[test]
fn a_retried_record_holds_back_only_its_own_key() {
    let data = tempfile::tempdir().unwrap();
    office(&data);
    publish(
        data.path(),
        "roomEvents",
        &[
            inspected("A", "Ann", true),
            inspected("A", "Bob", false),
            cleaned("A"),
            cleaned("B"),
        ],
    );
    let start = Start::new(&["booking"], data.path())
        .setting("instances", 1)
        .setting("retry.first_delay_ms", 10);
    let host = start
        .setting("retry.max_delay_ms", 20)
        .setting("retry.attempts", 1_000_000)
        .start();
    until("B overtakes", || room(&host, "B")["cleanings"] == 1);
    assert_eq!(
        room(&host, "A")["cleanings"],
        0,
        "A waits behind its first record"
    );
    assert_eq!(room(&host, "A")["lastInspector"], Value::Null);
    // A command is let through.
    let hold = r#"{"by":"Eve","ttlMillis":60000}"#;
    let held = host.send("booking", "POST", "/rooms/A/hold", hold);
    assert_eq!(held.status, 202, "{}", held.text());
    assert_eq!(room(&host, "A")["cleanings"], 0);
    assert_eq!(
        number(data.path(), "SELECT next_offset FROM offsets"),
        0,
        "an offset is stored when all before it is decided"
    );
    host.kill();

    let host = Start::new(&["booking"], data.path())
        .setting("retry.attempts", 3)
        .setting("retry.then", "skip")
        .setting("retry.first_delay_ms", 10)
        .start();
    until_consumed(data.path(), "roomEvents");
    assert_eq!(
        (
            &room(&host, "A")["cleanings"],
            &room(&host, "A")["lastInspector"]
        ),
        (&json!(1), &json!("Bob"))
    );
    assert_eq!(
        room(&host, "B")["cleanings"],
        1,
        "B came again and was known"
    );
    assert!(host.stop().success());
    let letters = rows(
        data.path(),
        "SELECT offset, reason, detail, attempts FROM dead_letters",
    );
    assert_eq!(
        letters,
        [[
            "0",
            "retries-exhausted",
            "the inspection's report is not out yet",
            "3"
        ]]
    );
    assert_eq!(published(data.path(), "roomEvents.booking.dlq"), 1);
    let of_a = rows(
        data.path(),
        "SELECT json_extract(message, '$.name') FROM journal WHERE key = 'A' ORDER BY seq",
    );
    assert_eq!(
        of_a.concat(),
        ["add-room", "hold-room", "room-inspected", "room-cleaned"]
    );
}

#[test]
fn an_answer_for_an_unknown_order_becomes_a_dead_letter() {
    let data = tempfile::tempdir().unwrap();
    Start::new(&["order"], data.path()).run_once();
    let answer = |id: u64, state: &str| {
        record(json!({"id": id, "state": state, "orderDetails": {"customerId": 1, "orderTotal": {"amount": 1}}}).to_string())
    };
    publish(
        data.path(),
        "customerTopic",
        &[
            answer(77, "APPROVED"),
            answer(1, "PENDING"),
            answer(1, "MAYBE"),
        ],
    );
    let host = Start::new(&["order"], data.path())
        .setting("retry.then", "skip")
        .start();
    until_consumed(data.path(), "customerTopic");
    problem(&host.get("order", "/orders/77"), 404, "not-found");
    let placed = host.post(
        "order",
        "/orders",
        &json!({"customerId": 1, "orderTotal": {"amount": 300}}),
    );
    assert_eq!((placed.status, &placed.json()["orderId"]), (201, &json!(1)));
    assert!(host.stop().success());
    let letters = rows(
        data.path(),
        "SELECT reason, detail FROM dead_letters ORDER BY offset",
    );
    for (letter, why) in letters
        .iter()
        .zip(["there is no order 77", "neither APPROVED", "MAYBE"])
    {
        assert!(
            letter[0] == "malformed" && letter[1].contains(why),
            "{letter:?}"
        );
    }
    assert_eq!(letters.len(), 3);
    // The order that was placed meanwhile can be answered.
    publish(data.path(), "customerTopic", &[answer(1, "APPROVED")]);
    let host = Start::new(&["order"], data.path())
        .setting("retry.then", "skip")
        .start();
    host.get_until("order", "/orders/1", |response| {
        response.json()["orderState"] == "APPROVED"
    });
}

/// Invariant 5, the other way round: what the rules refuse is an answer and no dead letter.
#[test]
fn an_order_without_enough_credit_is_rejected_and_no_dead_letter() {
    let data = tempfile::tempdir().unwrap();
    Start::new(&["customer"], data.path()).run_once();
    let order = |id: u64, customer: &str, amount: &str| {
        record(format!(
            r#"{{"id":{id},"state":"PENDING","orderDetails":{{"customerId":{customer},"orderTotal":{{"amount":{amount}}}}}}}"#
        ))
    };
    let refused = [
        ("5", "1"),
        ("5", "-1"),
        ("5", "0"),
        ("5", "0.001"),
        ("5", "123456789012345678901234567890"),
        ("9223372036854775807", "1"),
    ];
    let mut records: Vec<_> = (1..)
        .zip(refused)
        .map(|(id, (customer, amount))| order(id, customer, amount))
        .collect();
    records.push(order(50, "99999999999999999999", "1"));
    records.push(order(51, "1", "\"1\""));
    publish(data.path(), "orderTopic", &records);
    let host = Start::new(&["customer"], data.path()).start();
    until_consumed(data.path(), "orderTopic");
    assert!(host.stop().success());
    let answers = rows(
        data.path(),
        "SELECT json_extract(CAST(value AS TEXT), '$.id'), json_extract(CAST(value AS TEXT), '$.state')
         FROM outbox o JOIN topics t ON t.id = o.topic WHERE t.name = 'customerTopic' ORDER BY 1",
    );
    let expected: Vec<_> = (1..=refused.len())
        .map(|id| [id.to_string(), "REJECTED".to_owned()])
        .collect();
    assert_eq!(answers, expected);
    let letters = rows(
        data.path(),
        "SELECT offset, reason FROM dead_letters ORDER BY offset",
    );
    assert_eq!(
        letters,
        [["6", "malformed"], ["7", "malformed"]],
        "no order at all"
    );
}

#[test]
fn a_dead_letter_never_grows_too_large_to_be_published() {
    let data = tempfile::tempdir().unwrap();
    office(&data);
    let (key, id) = ("k".repeat(1_048_000), "i".repeat(5_000));
    publish(
        data.path(),
        "roomEvents",
        &[record(r#"{"code":"A"}"#)
            .of_type("room-cleaned")
            .key(&key)
            .id(&id)
            .header("x-tenant", "acme")
            .header("x-proof", &"p".repeat(5_000))],
    );
    let host = Start::new(&["booking"], data.path()).start();
    until_consumed(data.path(), "roomEvents");
    assert!(host.stop().success());
    let letters = rows(
        data.path(),
        "SELECT reason, detail, length(key) FROM dead_letters",
    );
    assert_eq!(letters.len(), 1, "{letters:?}");
    let said = format!("{letters:?}");
    assert!(
        said.contains("header ce_id of 5000 bytes is over the limit"),
        "{said}"
    );
    assert!(
        said.contains("1048000"),
        "the letter itself is whole: {said}"
    );
    let sizes = rows(
        data.path(),
        "SELECT ifnull(length(o.key), 0) + ifnull(length(o.event_id), 0) + length(o.extra), o.extra
         FROM outbox o JOIN topics t ON t.id = o.topic WHERE t.name = 'roomEvents.booking.dlq'",
    );
    let said = format!("{sizes:?}");
    assert!(
        said.contains("dlq-key-omitted") && said.contains("1048000 bytes"),
        "{said}"
    );
    assert!(said.contains("x-tenant") && said.contains("acme"), "{said}");
    assert!(said.len() < 5_000, "{} bytes", said.len());
}
