//! `saga tail` and `saga publish`: the records of a topic of the embedded log.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon};
use crate::commands::{asks, call, fails, json_of};
use crate::decider;
use crate::expect::{problem, until};
use crate::mock_kafka;
use crate::store_file::{number, rows};
use crate::support::{Host, Start, request, saga};

const ORDER: &str = r#"{"customerId":1,"orderTotal":{"amount":300}}"#;
const ANSWERED: &str = "saga.customer.credit-answered";
const CREATED: &str = "saga.order.created";

/// The customer's answer on an order.
fn answer(order: u64, state: &str) -> String {
    let details = json!({"customerId": 1, "orderTotal": {"amount": 300}});
    json!({"id": order, "state": state, "orderDetails": details}).to_string()
}

/// A host with the order service alone, and so many orders that wait.
fn waiting(data: &Path, orders: usize) -> Host {
    let host = Start::new(&["order"], data).start();
    place(&host, orders);
    host
}

fn place(host: &Host, orders: usize) {
    for _ in 0..orders {
        assert_eq!(host.send("order", "POST", "/orders", ORDER).status, 201);
    }
}

/// The records that `saga tail --json` prints, one in each line.
fn records(data: &Path, arguments: &[&str]) -> Vec<Value> {
    let all = [&["tail"], arguments, &["--json"]].concat();
    let (code, out, err) = call(&mut asks(data, &all));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn offsets(records: &[Value]) -> Vec<u64> {
    let offsets = records
        .iter()
        .map(|record| record["offset"].as_u64().unwrap());
    offsets.collect()
}

fn publish(data: &Path, value: &str, arguments: &[&str]) -> Value {
    let all = [&["publish", "customerTopic", value], arguments].concat();
    json_of(&mut asks(data, &all))
}

fn state(host: &Host, order: u64) -> Value {
    host.get("order", &format!("/orders/{order}")).json()["orderState"].clone()
}

#[test]
fn the_records_of_a_topic_are_one_line_each_and_are_narrowed_down() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = waiting(data, 5);
    let (code, out, err) = call(&mut asks(data, &["tail", "orderTopic"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 5, "{out}");
    let parts: Vec<_> = lines[2].splitn(5, ' ').collect();
    let [time, place, _, event_type, value] = parts[..] else {
        panic!("{out}");
    };
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    assert_eq!((place, event_type), ("0/2", CREATED));
    let value: Value = serde_json::from_str(value).unwrap();
    assert_eq!(
        (&value["id"], &value["state"]),
        (&json!(3), &json!("PENDING"))
    );

    let all = records(data, &["orderTopic"]);
    assert_eq!(offsets(&all), [0, 1, 2, 3, 4]);
    let headers = &all[0]["headers"];
    assert_eq!(
        (&all[0]["event_type"], &headers["ce_source"]),
        (&json!(CREATED), &json!("/saga/order"))
    );
    assert_eq!(
        offsets(&records(data, &["orderTopic", "--from", "3"])),
        [3, 4]
    );
    assert_eq!(
        offsets(&records(data, &["orderTopic", "--limit", "2"])),
        [0, 1]
    );
    assert_eq!(
        offsets(&records(data, &["orderTopic", "--from", "end"])),
        [0; 0]
    );
    let key = all[0]["key"]["text"].as_str().unwrap();
    let of_key = |record: &&Value| record["key"]["text"] == key;
    let with_key = records(data, &["orderTopic", "--key", key]);
    assert_eq!(with_key.len(), all.iter().filter(of_key).count());
    assert_eq!(
        records(data, &["orderTopic", "--key", "none"]),
        Vec::<Value>::new()
    );

    assert!(host.stop().success());
    assert_eq!(records(data, &["orderTopic"]), all, "from the store");
    let (code, err) = fails(&mut asks(data, &["tail", "orderTopic", "--follow"]));
    assert_eq!(code, 69, "{err}");
}

#[test]
fn records_of_several_partitions_and_pages_come_by_their_times() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path())
        .setting("embedded.partitions", 3)
        .start();
    place(&host, 450);
    // Customers are the keys of orders.
    for customer in 2..30 {
        let body = json!({"customerId": customer, "orderTotal": {"amount": 1}});
        assert_eq!(host.post("order", "/orders", &body).status, 201);
    }
    let all = records(data.path(), &["orderTopic"]);
    assert_eq!(all.len(), 478);
    let times = all.iter().map(|record| record["time"].as_u64().unwrap());
    assert!(times.is_sorted());
    for partition in 0..3 {
        let of: Vec<_> = (all.iter())
            .filter(|record| record["partition"] == partition)
            .cloned()
            .collect();
        let count = of.len() as u64;
        assert_eq!(offsets(&of), (0..count).collect::<Vec<_>>());
        let number = partition.to_string();
        assert_eq!(
            records(data.path(), &["orderTopic", "--partition", &number]),
            of
        );
    }
    let (code, err) = fails(&mut asks(
        data.path(),
        &["tail", "orderTopic", "--partition", "3"],
    ));
    assert_eq!((code, err.contains("unknown-topic")), (64, true), "{err}");
    assert!(host.stop().success());
}

#[test]
fn a_follower_gets_each_new_record_and_a_closed_pipe_ends_it() {
    let data = tempfile::tempdir().unwrap();
    let host = waiting(data.path(), 1);
    let arguments = ["tail", "orderTopic", "-f", "--from", "0"];
    let mut tail = asks(data.path(), &arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    for offset in 0..4 {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!(" 0/{offset} ")), "{line}");
        place(&host, 1);
    }
    drop(lines);
    until("the follower ends", || {
        place(&host, 1);
        tail.try_wait().unwrap().is_some()
    });
    assert!(tail.wait().unwrap().success());
    // What was there before is left out where it begins at the end.
    let arguments = ["tail", "orderTopic", "-f", "--limit", "1"];
    let mut tail = asks(data.path(), &arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("the follower has got one", || {
        place(&host, 1);
        tail.try_wait().unwrap().is_some()
    });
    let mut line = String::new();
    BufReader::new(tail.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(!line.contains(" 0/0 ") && line.contains(CREATED), "{line}");
    assert!(host.stop().success());
}

#[test]
fn a_follower_goes_on_where_it_was_when_the_host_is_back() {
    let data = tempfile::tempdir().unwrap();
    let host = waiting(data.path(), 1);
    let arguments = ["tail", "orderTopic", "-f", "--from", "0", "--limit", "4"];
    let mut tail = asks(data.path(), &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(tail.stderr.take().unwrap()).lines();
    let mut next = |offset: u64| {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!(" 0/{offset} ")), "{line}");
    };
    next(0);
    host.kill();
    let line = said.next().unwrap().unwrap();
    assert!(
        line.contains("the host can't be asked: ") && line.contains("follow when it can"),
        "{line}"
    );
    // It has another port now, and one that drains removes its address first.
    let host = waiting(data.path(), 1);
    next(1);
    assert!(host.stop().success());
    let line = said.next().unwrap().unwrap();
    assert!(line.contains("the host can't be asked: "), "{line}");
    let host = waiting(data.path(), 2);
    next(2);
    next(3);
    assert!(tail.wait().unwrap().success());
    assert_eq!(said.count(), 0, "each time is said once");
    assert!(host.stop().success());
}

#[test]
fn a_published_record_is_decided_like_any_other_and_once_for_each_id() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = waiting(data, 2);
    let typed = ["--type", ANSWERED];
    let published = publish(data, &answer(1, "APPROVED"), &typed);
    assert_eq!(published["participants"], json!(["order"]));
    assert_eq!(
        (&published["partition"], &published["offset"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        (&published["key"], &published["source"]),
        (&json!("1"), &json!("/saga/operator"))
    );
    until("it is decided", || state(&host, 1) == "APPROVED");

    let given = [
        "--type",
        ANSWERED,
        "--id",
        "mine",
        "--source",
        "/gateway",
        "--correlation",
        "saga-1",
        "--key",
        "77",
    ];
    let first = publish(data, &answer(2, "REJECTED"), &given);
    until("it is decided", || state(&host, 2) == "REJECTED");
    let again = publish(data, &answer(2, "REJECTED"), &given);
    assert_eq!(
        (&first["id"], &again["offset"]),
        (&json!("mine"), &json!(2))
    );
    assert_eq!(
        (&first["known_to"], &again["known_to"]),
        (&json!([]), &json!(["order"])),
        "a repeat is known as one"
    );
    // Without a type, too: the order service takes such records. It comes after the repeat.
    place(&host, 1);
    publish(data, &answer(3, "APPROVED"), &[]);
    until("it is decided", || state(&host, 3) == "APPROVED");
    let decided = "SELECT count(*) FROM journal WHERE message LIKE '%\"mine\"%'";
    assert_eq!(number(data, decided), 1);

    let records = records(data, &["customerTopic"]);
    let headers = &records[1]["headers"];
    for (name, value) in [
        ("ce_id", "mine"),
        ("ce_source", "/gateway"),
        ("ce_correlationid", "saga-1"),
    ] {
        assert_eq!(headers[name], value, "{headers}");
    }
    assert_eq!(records[1]["key"], json!({"text": "77"}));
    let by = headers["saga-published-by"].as_str().unwrap();
    let line = format!("by=\"{by}\"");
    let log = host.log();
    let said = log
        .lines()
        .find(|line| line.contains("an operator has published a record"));
    let said = said.unwrap_or_default();
    assert!(
        said.contains(&line) || said.contains(&format!("by={by}")),
        "{said}"
    );
    assert!(host.stop().success());
}

#[test]
fn a_value_comes_from_a_file_or_standard_input() {
    let data = tempfile::tempdir().unwrap();
    let host = waiting(data.path(), 2);
    let path = data.path().join("answer.json");
    std::fs::write(&path, answer(1, "APPROVED") + "\n").unwrap();
    publish(data.path(), &format!("@{}", path.display()), &[]);
    let mut command = asks(data.path(), &["publish", "customerTopic", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let value = answer(2, "REJECTED");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(value.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && told.starts_with("customerTopic/0/1 key 2 id "),
        "{told}"
    );
    assert!(
        told.ends_with(" source /saga/operator version 1; for order\n"),
        "{told}"
    );
    until("both are decided", || {
        (state(&host, 1), state(&host, 2)) == (json!("APPROVED"), json!("REJECTED"))
    });
    assert!(host.stop().success());
}

#[test]
fn a_record_that_nobody_can_take_is_refused_unless_the_operator_insists() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = waiting(data, 1);
    let good = answer(1, "APPROVED");
    let lost = answer(1, "LOST");
    for (arguments, code, says) in [
        (
            vec!["customerTopic", "{", "--type", ANSWERED],
            65,
            "order: value is not JSON",
        ),
        (
            vec!["customerTopic", "", "--type", ANSWERED],
            65,
            "order: has an empty value",
        ),
        (
            vec!["customerTopic", "{}", "--type", ANSWERED],
            65,
            "order: has no key at /id",
        ),
        (
            vec!["customerTopic", &lost, "--type", ANSWERED],
            65,
            "the value at /state: \"LOST\"",
        ),
        (
            vec!["customerTopic", &good, "--type", CREATED],
            65,
            "no participant takes events of type `saga.order.created` from topic `customerTopic`; they take: saga.customer.credit-answered",
        ),
        (
            vec!["customerTopic", &good, "--id", ""],
            65,
            "ce_id is empty",
        ),
        (
            vec!["orderTopic", &good],
            64,
            "subscribes to topic `orderTopic`; there are: customerTopic",
        ),
        (vec!["none", &good], 64, "(unknown-topic)"),
        (vec!["", &good], 64, "the topic is empty"),
        (
            vec!["customerTopic", "@/none", "--type", ANSWERED],
            64,
            "the value /none: can't be read",
        ),
    ] {
        let all = [&["publish"], &arguments[..]].concat();
        let (exit, err) = fails(&mut asks(data, &all));
        assert_eq!(
            (exit, err.contains(says)),
            (code, true),
            "{arguments:?}: {err}"
        );
    }
    assert_eq!(
        records(data, &["customerTopic"]),
        Vec::<Value>::new(),
        "nothing was published"
    );
    let (code, err) = fails(&mut asks(data, &["tail", ""]));
    assert_eq!(
        (code, err.contains("the topic is empty")),
        (64, true),
        "{err}"
    );
    let (code, err) = fails(&mut asks(data, &["tail", "none"]));
    assert_eq!(code, 64, "{err}");
    assert!(
        err.contains("there are: cancellationTopic, customerTopic, orderTopic"),
        "{err}"
    );

    let (code, err) = fails(&mut asks(
        data,
        &["publish", "customerTopic", "{", "--unchecked"],
    ));
    assert_eq!(
        (code, err.contains("give the record a `key`")),
        (65, true),
        "{err}"
    );
    publish(
        data,
        "{",
        &["--key", "1", "--unchecked", "--type", ANSWERED],
    );
    until("it is a dead letter", || {
        let letters = json_of(&mut asks(data, &["dead-letters", "list", "order"]));
        letters["letters"][0]["reason"] == "malformed"
    });
    let of_all = || {
        let all = json_of(&mut asks(data, &["dead-letters", "list"]));
        let counted = all["participants"].as_array().unwrap();
        let names: Vec<_> = counted.iter().map(|one| &one["participant"]).collect();
        assert_eq!(names, ["order"], "{all}");
        let letter = &all["letters"][0];
        assert_eq!(
            (&letter["participant"], &letter["reason"]),
            (&"order".into(), &"malformed".into()),
            "{all}"
        );
    };
    of_all();
    assert!(host.stop().success());
    // From the store.
    of_all();
    let (code, err) = fails(&mut asks(data, &["publish", "customerTopic", &good]));
    assert_eq!(code, 69, "{err}");
}

/// A build that reads `counted` in its second version, and the first one too; a count is a `u64`.
fn reading_versions() -> Chameleon {
    let schema = |name: &str, other: &str| {
        let mut properties = serde_json::Map::new();
        properties.insert(
            name.into(),
            json!({"type": "integer", "format": "uint64", "minimum": 0}),
        );
        properties.insert(other.into(), json!({"type": "integer"}));
        json!({"type": "object", "properties": properties, "required": [name, other]})
    };
    Chameleon::new().with(json!({
        "metadata": ["x-tenant"],
        "subscriptions": [{
            "event_type": "counted", "key": "/id", "version": 2, "schema": schema("id", "by"),
            "older": [{"version": 1, "key": "/key", "schema": schema("key", "by")}],
        }],
        "handle": {"counted": {"count": 1}},
    }))
}

#[test]
fn a_record_is_published_in_the_present_version_or_the_given_one() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = chameleon::serve(data, &reading_versions());
    let publish = |value: &str, arguments: &[&str]| {
        let typed = ["publish", "chameleonTopic", value, "--type", "counted"];
        asks(data, &[&typed[..], arguments].concat())
    };
    let present = r#"{"id":1,"by":5}"#;
    let first = r#"{"key":1,"by":5}"#;
    let told = json_of(&mut publish(present, &[]));
    assert_eq!((&told["version"], &told["key"]), (&json!(2), &json!("1")));
    let told = json_of(&mut publish(first, &["--event-version", "1"]));
    assert_eq!((&told["version"], &told["key"]), (&json!(1), &json!("1")));
    let tenant = ["--header", "x-tenant=a=b"];
    json_of(&mut publish(present, &tenant));
    for (value, arguments, code, says) in [
        (first, &[][..], 65, "has no key at /id"),
        (present, &["--event-version", "1"], 65, "has no key at /key"),
        (
            present,
            &["--event-version", "3"],
            65,
            "is version 3 of the event counted, and the rules read 1, 2",
        ),
        (present, &["--event-version", "0"], 64, "--event-version"),
        (present, &["--header", "x-tenant"], 64, "NAME=VALUE"),
        (
            present,
            &["--header", "x-tenant=a", "--header", "x-tenant=b"],
            64,
            "is given twice",
        ),
        (
            present,
            &["--header", "x-tenant=a", "--header", "X-Tenant=b"],
            65,
            "is given twice",
        ),
        (
            present,
            &["--header", "x-region=a"],
            65,
            "nobody asks for the header `x-region` (asked for by chameleon: x-tenant)",
        ),
        (
            present,
            &["--header", "ce_dataversion=1"],
            65,
            "is given by `version` (`--event-version`)",
        ),
        (
            r#"{"id":18446744073709551616,"by":1}"#,
            &[],
            65,
            "the value at /id: 18446744073709551616 is out of range",
        ),
        (
            r#"{"id":-1,"by":1}"#,
            &[],
            65,
            "the value at /id: -1 is less than the minimum of 0",
        ),
    ] {
        let (exit, err) = fails(&mut publish(value, arguments));
        assert_eq!(
            (exit, err.contains(says)),
            (code, true),
            "{arguments:?}: {err}"
        );
    }
    // Rules get zero without a sign, and its aggregate has one key.
    let told = json_of(&mut publish(r#"{"id":-0,"by":-0e5}"#, &[]));
    assert_eq!(told["key"], "0");
    until("all are decided", || {
        number(data, "SELECT count(*) FROM journal") == 4
    });
    let messages = "SELECT coalesce(message -> '$.version', '1'), message -> '$.metadata', message ->> '$.body' FROM journal ORDER BY seq";
    let none = "NULL";
    assert_eq!(
        rows(data, messages),
        [
            ["2", none, present],
            ["1", none, first],
            ["2", r#"[["x-tenant","a=b"]]"#, present],
            ["2", none, r#"{"by":0,"id":0}"#],
        ]
    );
    let headers = &records(data, &["chameleonTopic"])[2]["headers"];
    assert_eq!(
        (&headers["ce_dataversion"], &headers["x-tenant"]),
        (&json!("2"), &json!("a=b"))
    );
    assert!(host.stop().success());
}

#[test]
fn a_host_on_the_other_usual_data_directory_is_named() {
    let project = tempfile::tempdir().unwrap();
    let host = waiting(&project.path().join(".saga"), 1);
    for arguments in [
        &["tail", "orderTopic"][..],
        &["tail", "orderTopic", "--follow"],
        &["publish", "customerTopic", "{}"],
        &["ready"],
        &["generations"],
        &["rollback", "order"],
        &["dead-letters", "list", "order"],
        &["quarantine", "list", "order"],
    ] {
        let (code, err) = fails(saga().current_dir(project.path()).args(arguments));
        assert_eq!(code, 69, "{arguments:?}: {err}");
        let says = "; a host runs on .saga: --data .saga";
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
    assert!(host.stop().success());
    let (_, err) = fails(saga().current_dir(project.path()).arg("ready"));
    assert!(!err.contains(".saga"), "{err}");
}

#[test]
fn the_records_of_a_topic_are_for_operators_only() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["order"], data.path())
        .setting("admin.token", "a-token-of-some-length")
        .start();
    let url = format!("{}/topics/customerTopic/records", host.admin());
    problem(&request("GET", &url, &[], b""), 401, "unauthorized");
    let value = json!({"value": answer(1, "APPROVED")}).to_string();
    problem(
        &request("POST", &url, &[], value.as_bytes()),
        401,
        "unauthorized",
    );
    let (code, _) = fails(&mut asks(data.path(), &["tail", "customerTopic"]));
    assert_eq!(code, 77);
    let token = [("authorization", "Bearer a-token-of-some-length")];
    let ask = |method, url: &str, body: &[u8]| request(method, url, &token, body);
    let page = ask("GET", &url, b"").json();
    assert_eq!(
        page,
        json!({"topic": "customerTopic", "records": [], "next": "0:0", "is_last": true})
    );
    problem(&ask("DELETE", &url, b""), 405, "method-not-allowed");
    problem(
        &ask("GET", &format!("{url}?limit=1001"), b""),
        400,
        "bad-query",
    );
    problem(&ask("GET", &format!("{url}?at=1"), b""), 400, "bad-query");
    problem(&ask("POST", &url, b"{\"valeu\": 1}"), 400, "bad-json");
    assert!(host.stop().success());
}

#[test]
fn over_kafka_other_tools_are_named() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), mock_kafka::cluster());
    let host = mock_kafka::start("order", &data, &cluster);
    place(&host, 1);
    let data = data.path().join("order");
    for arguments in [
        &["tail", "orderTopic"][..],
        &["publish", "customerTopic", "{}"],
    ] {
        let (code, err) = fails(&mut asks(&data, arguments));
        assert_eq!(code, 69, "{err}");
        assert!(
            err.contains("kafka-console-consumer") && err.contains("kcat"),
            "{err}"
        );
    }
    assert!(host.stop().success());
    let (code, err) = fails(&mut asks(&data, &["tail", "orderTopic"]));
    assert_eq!((code, err.contains("kcat")), (69, true), "{err}");
}
