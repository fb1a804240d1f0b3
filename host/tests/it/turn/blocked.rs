//! A dead letter keeps the order of its aggregate: later messages wait behind it until an operator
//! redrives or discards it (invariants 3, 4).

use std::path::Path;

use serde_json::{Value, json};

use crate::booking::add_room;
use crate::commands::{asks, call, fails, json_of};
use crate::expect::{problem, until};
use crate::exposition::scrape;
use crate::store_file::{Foreign, publish, record, rows, until_consumed};
use crate::support::{Host, Response, Start, component, request};

fn cleaned(code: &str) -> Foreign {
    record(json!({"code": code}).to_string()).of_type("room-cleaned")
}

fn inspected(code: &str, inspector: Value) -> Foreign {
    record(json!({"code": code, "inspector": inspector, "later": false}).to_string())
        .of_type("room-inspected")
}

fn room(host: &Host, code: &str) -> Value {
    host.get("booking", &format!("/rooms/{code}")).json()
}

/// The decisions on an aggregate, in order.
fn decided(data: &Path, key: &str) -> Vec<String> {
    let query = format!(
        "SELECT json_extract(message, '$.name') FROM journal WHERE key = '{key}' ORDER BY seq"
    );
    rows(data, &query).concat()
}

/// A host with room A that has read these records.
fn after(data: &Path, records: &[Foreign]) -> Host {
    let host = Start::new(&["booking"], data).start();
    add_room(&host, "A");
    assert!(host.stop().success());
    publish(data, "roomEvents", records);
    let host = Start::new(&["booking"], data).start();
    until_consumed(data, "roomEvents");
    host
}

fn admin(host: &Host, path: &str) -> Response {
    request("GET", &format!("{}{path}", host.admin()), &[], b"")
}

fn letters(data: &Path, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["dead-letters", "list", "booking"], arguments].concat();
    let told = json_of(&mut asks(data, &arguments));
    told["letters"].as_array().unwrap().clone()
}

/// Calls `saga dead-letters`, which must print one line.
fn letter(data: &Path, arguments: &[&str]) -> (i32, String) {
    let (code, out, err) = call(&mut asks(data, &[&["dead-letters"], arguments].concat()));
    assert_eq!(err, "", "{out}");
    (code, out)
}

fn number(letter: &Value) -> String {
    letter["id"].to_string()
}

#[test]
fn invariant_4_messages_wait_behind_a_dead_letter_until_it_is_redriven() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let records = [
        cleaned("Z").id("one"),
        inspected("Z", json!("Bob")),
        cleaned("A"),
    ];
    let host = after(data, &records);
    assert_eq!(room(&host, "A")["cleanings"], 1, "other aggregates go on");
    let listed = letters(data, &[]);
    let [first] = &listed[..] else {
        panic!("one dead letter: {listed:?}");
    };
    assert_eq!(first["aggregate"], "Z");
    assert_eq!(
        (&first["blocks"], &first["waiting"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(first["reason"], "malformed");
    let ready = admin(&host, "/readyz");
    assert_eq!(ready.status, 200);
    let told = &ready.json()["participants"][0]["dead_letters"];
    assert_eq!(*told, json!({"open": 1, "blocked_aggregates": 1}));
    let figures = scrape(&host);
    assert_eq!(figures.one("saga_open_dead_letters", &[]), 1.0);
    assert_eq!(figures.one("saga_blocked_aggregates", &[]), 1.0);
    let hold = json!({"by": "Ann", "ttlMillis": 60_000});
    let refused = host.post("booking", "/rooms/Z/hold", &hold);
    problem(&refused, 409, "blocked");

    // A restart knows of it.
    assert!(host.stop().success());
    assert_eq!(letters(data, &[]), listed, "also where no host runs");
    let host = Start::new(&["booking"], data).start();
    problem(
        &host.post("booking", "/rooms/Z/hold", &hold),
        409,
        "blocked",
    );
    let id = number(first);
    let (code, said) = letter(data, &["redrive", "booking", &id]);
    assert_eq!(code, 65, "{said}");
    assert!(
        said.contains("failed again: malformed: there is no room"),
        "{said}"
    );
    assert_eq!(letters(data, &[])[0]["failed_redrives"], 1);

    add_room(&host, "Z");
    let (code, said) = letter(data, &["redrive", "booking", &id]);
    assert_eq!((code, &*said), (0, &*format!("{id} decided\n")));
    until("it is decided", || {
        room(&host, "Z")["lastInspector"] == "Bob"
    });
    assert_eq!(
        decided(data, "Z"),
        ["add-room", "room-cleaned", "room-inspected"]
    );
    assert_eq!(letters(data, &[]), Vec::<Value>::new());
    let ended = letters(data, &["--ended"]);
    assert_eq!(ended[0]["state"], "decided");
    let (code, said) = fails(&mut asks(
        data,
        &["dead-letters", "redrive", "booking", &id],
    ));
    assert_eq!(code, 64);
    assert!(said.contains("was decided before"), "{said}");
    let shown = json_of(&mut asks(data, &["dead-letters", "show", "booking", &id]));
    let acts: Vec<&str> = (shown["acts"].as_array().unwrap().iter())
        .map(|act| act["act"].as_str().unwrap())
        .collect();
    assert_eq!(acts, ["redrive", "failed", "redrive", "decided"]);
    assert_eq!(shown["value"]["text"], r#"{"code":"Z"}"#);
    assert_eq!(shown["headers"]["ce_id"], "one");
}

#[test]
fn invariant_4_a_discarded_dead_letter_releases_what_waits_behind_it() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let records = [
        inspected("A", json!(5)),
        cleaned("A"),
        inspected("A", json!("Bob")),
    ];
    let host = after(data, &records);
    assert_eq!(room(&host, "A")["cleanings"], 0);
    let (code, said) = letter(data, &["discard", "booking", "--all", "--key", "A"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("discarded\n"), "{said}");
    until("it is decided", || {
        room(&host, "A")["lastInspector"] == "Bob"
    });
    assert_eq!(
        decided(data, "A"),
        ["add-room", "room-cleaned", "room-inspected"]
    );
}

/// Each line is a document of its own, as `jq` reads them.
#[test]
fn redriven_letters_are_json_lines_each_with_the_number_of_its_letter() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = after(data, &[cleaned("Y"), record("no json"), cleaned("Z")]);
    add_room(&host, "Z");
    let listed = letters(data, &[]);
    let redrive = ["dead-letters", "redrive", "booking", "--all", "--json"];
    let (code, out, _) = call(&mut asks(data, &redrive));
    assert_eq!(code, 65, "{out}");
    let lines: Vec<Value> = (out.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers = |values: &[Value]| -> Vec<_> {
        (values.iter()).map(|value| value["id"].as_i64()).collect()
    };
    assert_eq!(numbers(&lines), numbers(&listed), "{out}");
    let line = |aggregate: Value| {
        let of_aggregate = listed.iter().position(|it| it["aggregate"] == aggregate);
        &lines[of_aggregate.unwrap()]
    };
    let failed = line(json!("Y"));
    assert_eq!(failed["state"], "open");
    assert_eq!(failed["acts"][1]["act"], "failed", "as `show` prints it");
    let refused = line(Value::Null);
    assert_eq!(refused["status"], 422);
    let kind = refused["type"].as_str().unwrap();
    assert!(kind.ends_with("dead-letter-refused"), "{refused}");
    assert_eq!(line(json!("Z"))["state"], "decided");
    let discard = [
        "dead-letters",
        "discard",
        "booking",
        "--all",
        "--json",
        "--key",
        "none",
    ];
    assert_eq!(
        call(&mut asks(data, &discard)),
        (0, String::new(), String::new())
    );
}

#[test]
fn a_dead_letter_is_redriven_with_another_value_and_keeps_its_own() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let records = [inspected("A", json!(5)), record("no json").key("A")];
    let host = after(data, &records);
    let listed = letters(data, &[]);
    let (id, stray) = (number(&listed[0]), number(&listed[1]));
    assert_eq!(
        listed[1]["aggregate"],
        Value::Null,
        "it has no key in its body"
    );
    let file = data.join("value.json");
    let edit = file.to_str().unwrap();
    std::fs::write(&file, r#"{"code":"B","inspector":"Bob","later":false}"#).unwrap();
    let (code, said) = fails(&mut asks(
        data,
        &["dead-letters", "redrive", "booking", &id, "--edit", edit],
    ));
    assert_eq!(code, 65);
    assert!(said.contains("its key is `B`, and was `A`"), "{said}");
    std::fs::write(
        &file,
        "{\"code\":\"A\",\"inspector\":\"Bob\",\"later\":false}\n",
    )
    .unwrap();
    let (code, said) = letter(data, &["redrive", "booking", &id, "--edit", edit]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(room(&host, "A")["lastInspector"], "Bob");
    let shown = json_of(&mut asks(data, &["dead-letters", "show", "booking", &id]));
    assert!(
        shown["value"]["text"].as_str().unwrap().contains(":5"),
        "{shown}"
    );
    assert!(
        shown["corrected"]["text"].as_str().unwrap().contains("Bob"),
        "{shown}"
    );

    // One that could not be read at all.
    let (code, said) = fails(&mut asks(
        data,
        &["dead-letters", "redrive", "booking", &stray],
    ));
    assert_eq!(code, 65);
    assert!(said.contains("value is not JSON"), "{said}");
    std::fs::write(&file, r#"{"code":"A"}"#).unwrap();
    let (code, said) = letter(data, &["redrive", "booking", &stray, "--edit", edit]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(room(&host, "A")["cleanings"], 1);
}

#[test]
fn invariant_3_a_record_with_the_id_of_a_dead_letter_is_decided_in_its_place() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let records = [inspected("A", json!(5)).id("one"), cleaned("A")];
    let host = after(data, &records);
    assert_eq!(room(&host, "A")["cleanings"], 0);
    assert!(host.stop().success());
    publish(
        data,
        "roomEvents",
        &[inspected("A", json!("Bob")).id("one")],
    );
    let host = Start::new(&["booking"], data).start();
    until("it is decided", || room(&host, "A")["cleanings"] == 1);
    assert_eq!(room(&host, "A")["lastInspector"], "Bob");
    assert_eq!(
        decided(data, "A"),
        ["add-room", "room-inspected", "room-cleaned"]
    );
    let ended = letters(data, &["--ended"]);
    assert_eq!((ended.len(), &ended[0]["state"]), (1, &json!("decided")));
    // Once more is a repetition.
    assert!(host.stop().success());
    publish(
        data,
        "roomEvents",
        &[inspected("A", json!("Eve")).id("one")],
    );
    let host = Start::new(&["booking"], data).start();
    until_consumed(data, "roomEvents");
    assert_eq!(room(&host, "A")["lastInspector"], "Bob");
}

#[test]
fn a_record_with_the_id_of_a_dead_letter_of_another_aggregate_is_dropped_with_a_warning() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = after(data, &[inspected("A", json!(5)).id("one")]);
    add_room(&host, "B");
    assert!(host.stop().success());
    let other = inspected("B", json!("Bob")).id("one");
    publish(
        data,
        "roomEvents",
        &[other, inspected("A", json!(5)).id("two")],
    );
    let host = Start::new(&["booking"], data).start();
    until_consumed(data, "roomEvents");
    assert_eq!(room(&host, "B")["lastInspector"], Value::Null);
    let listed = letters(data, &[]);
    assert_eq!((listed.len(), &listed[0]["state"]), (1, &json!("open")));
    assert!(host.stop().success());
    let log = std::fs::read_to_string(data.join("log.txt")).unwrap();
    let warnings: Vec<_> = (log.lines())
        .filter(|line| line.contains("dropped as a repetition"))
        .collect();
    let [warning] = &warnings[..] else {
        panic!("one warning: {warnings:?}");
    };
    for words in [
        "WARN",
        "offset=1",
        "letter=1",
        "publish it with an id of its own",
    ] {
        assert!(warning.contains(words), "{words}: {warning}");
    }
}

#[test]
fn requests_that_dead_letters_do_not_allow_are_refused_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = after(data, &[cleaned("Z")]);
    for (arguments, code, words) in [
        (&["redrive", "booking", "99"][..], 64, "no dead letter 99"),
        (&["redrive", "nobody", "1"], 64, "nobody"),
        (&["redrive", "booking"], 64, "required"),
        (
            &["redrive", "booking", "1", "--edit", "/none"],
            64,
            "can't be read",
        ),
        (
            &["redrive", "booking", "1", "2", "--edit", "/dev/null"],
            64,
            "one dead letter",
        ),
        (&["show", "booking", "99"], 64, "no dead letter 99"),
        (
            &["discard", "booking", "1", "--key", "Z"],
            64,
            "go with --all",
        ),
        (&["discard", "booking", "x"], 64, "invalid value"),
    ] {
        let (found, said) = fails(&mut asks(data, &[&["dead-letters"], arguments].concat()));
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let path = "/participants/booking/dead-letters?colour=red";
    problem(&admin(&host, path), 400, "bad-query");
    assert_eq!(letters(data, &[]).len(), 1, "nothing was changed");
}

#[test]
fn a_letter_that_blocks_nothing_blocks_nothing_after_a_failed_redrive() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = after(data, &[record("no json")]);
    let file = data.join("value.json");
    std::fs::write(&file, r#"{"code":"Z"}"#).unwrap();
    let edit = file.to_str().unwrap();
    let id = number(&letters(data, &[])[0]);
    let (code, said) = letter(data, &["redrive", "booking", &id, "--edit", edit]);
    assert_eq!(code, 65, "{said}");
    let listed = letters(data, &[]);
    assert_eq!(
        (&listed[0]["blocks"], &listed[0]["aggregate"]),
        (&json!(false), &Value::Null)
    );
    let hold = json!({"by": "Ann", "ttlMillis": 60_000});
    problem(
        &host.post("booking", "/rooms/Z/hold", &hold),
        404,
        "not-found",
    );
    // It may be of another aggregate the next time.
    std::fs::write(&file, r#"{"code":"A"}"#).unwrap();
    let (code, said) = letter(data, &["redrive", "booking", &id, "--edit", edit]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(room(&host, "A")["cleanings"], 1);
    assert_eq!(
        scrape(&host).sum("saga_dead_letters_total", &[]),
        1.0,
        "one, however often it is tried"
    );
}

/// A redrive may be requested while the entry of a failed one is on its way to the store.
#[test]
fn redrives_of_operators_at_the_same_time_are_all_tried() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = after(data, &[record("no json")]);
    let id = number(&letters(data, &[])[0]);
    let url = format!(
        "{}/participants/booking/dead-letters/{id}/redrive",
        host.admin()
    );
    let body = json!({"by": "Ann", "value": r#"{"code":"Z"}"#}).to_string();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let answer = request("POST", &url, &[], body.as_bytes());
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    // Others may have asked again meanwhile, but it never waits for the next request.
                    let letter = answer.json();
                    assert!(letter["failed_redrives"].as_u64() > Some(0), "{letter}");
                }
            });
        }
    });
    until("no redrive is pending", || {
        letters(data, &[])[0]["state"] == "open"
    });
}

#[test]
fn invariant_9_a_record_without_room_is_parked_when_there_is_room() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = Start::new(&["booking"], data).start();
    add_room(&host, "A");
    assert!(host.stop().success());
    let records = [
        cleaned("Y"),
        cleaned("Z"),
        inspected("Z", json!("Bob")),
        cleaned("A"),
    ];
    publish(data, "roomEvents", &records);
    let host = Start::new(&["booking"], data)
        .setting("parked.messages", 2)
        .start();
    until("both are dead letters", || letters(data, &[]).len() == 2);
    let waiting = || letters(data, &["--key", "Z"])[0]["waiting"].clone();
    until("others go on", || room(&host, "A")["cleanings"] == 1);
    assert_eq!(waiting(), 0, "there is no room");
    let (code, said) = letter(data, &["discard", "booking", "--all", "--key", "Y"]);
    assert_eq!(code, 0, "{said}");
    until("there is room", || waiting() == 1);
    until_consumed(data, "roomEvents");
}

#[test]
fn a_command_may_bring_about_what_an_exhausted_message_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = Start::new(&["booking"], data).start();
    add_room(&host, "A");
    assert!(host.stop().success());
    let later = json!({"code": "A", "inspector": "Bob", "later": true}).to_string();
    let records = [record(later).of_type("room-inspected"), cleaned("A")];
    publish(data, "roomEvents", &records);
    let host = Start::new(&["booking"], data)
        .setting("retry.attempts", 2)
        .setting("retry.first_delay_ms", 1)
        .start();
    until_consumed(data, "roomEvents");
    let listed = letters(data, &[]);
    assert_eq!(listed[0]["reason"], "retries-exhausted");
    assert_eq!(room(&host, "A")["cleanings"], 0, "events wait");
    let hold = json!({"by": "Ann", "ttlMillis": 60_000});
    let held = host.post("booking", "/rooms/A/hold", &hold);
    assert_eq!(held.status, 202, "commands do not: {}", held.text());
}

#[test]
fn what_another_build_would_decide_on_a_dead_letter_is_shown_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = after(data, &[cleaned("Z")]);
    let id = letters(data, &[])[0]["id"].to_string();
    let path = component("booking");
    let through = path.to_str().unwrap();
    let dry = ["redrive", "booking", &id, "--through", through, "--dry-run"];
    let (code, said) = letter(data, &dry);
    assert_eq!(code, 65, "{said}");
    assert!(
        said.contains(" would fail with ") && said.contains("malformed: "),
        "{said}"
    );
    add_room(&host, "Z");
    let (code, said) = letter(data, &dry);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(&format!("{id} would be decided by ")),
        "{said}"
    );
    // Nothing was decided, and the letter waits as before.
    assert_eq!(decided(data, "Z").len(), 1);
    assert_eq!(letters(data, &[])[0]["failed_redrives"], 0);
    // It only shows.
    let (code, _) = fails(&mut asks(
        data,
        &[
            "dead-letters",
            "redrive",
            "booking",
            &id,
            "--through",
            through,
        ],
    ));
    assert_eq!(code, 64);
    assert!(host.stop().success());
}
