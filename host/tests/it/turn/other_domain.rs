//! The host knows no business: a participant of another domain runs on it just as well, and its own source
//! names none.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::expect::problem;
use crate::store_file::{publish, record, rows, until_consumed};
use crate::support::{Host, Response, Start};

fn put(host: &Host, body: &Value) -> Response {
    host.send("booking", "PUT", "/rooms", &body.to_string())
}

#[test]
fn rooms_are_added_held_booked_and_closed() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    let free = json!({"seats": 4, "status": "free", "cleanings": 0, "lastInspector": null});

    // The key is in the body, and comes back in the location, encoded.
    let added = put(&host, &json!({"code": "A/1 ü", "seats": 4}));
    assert_eq!((added.status, added.json()), (201, free.clone()));
    let location = added.header("location").unwrap().to_owned();
    assert_eq!(location, "/office/booking/rooms/A%2F1%20%C3%BC");
    let path = location.strip_prefix("/office/booking").unwrap();
    assert_eq!(host.get("booking", path).json(), free);

    let held = host.post(
        "booking",
        &format!("{path}/hold"),
        &json!({"by": "Eve", "ttlMillis": 3_600_000}),
    );
    assert_eq!(
        held.status,
        202,
        "taken, and not yet decided: {}",
        held.text()
    );
    let again = host.post(
        "booking",
        &format!("{path}/hold"),
        &json!({"by": "Bob", "ttlMillis": 1}),
    );
    problem(&again, 409, "taken");
    assert_eq!(again.json()["errors"][0]["pointer"], "/by");
    let booked = host.send("booking", "POST", &format!("{path}/confirm"), "");
    assert_eq!(
        (booked.status, &booked.json()["status"]),
        (200, &json!({"booked": {"by": "Eve"}}))
    );
    problem(
        &host.send("booking", "POST", &format!("{path}/confirm"), ""),
        409,
        "not-held",
    );

    let closed = host.send("booking", "DELETE", path, "");
    assert_eq!(
        (closed.status, closed.json()),
        (200, json!({"code": "A/1 ü"}))
    );
    for (method, below) in [("GET", ""), ("DELETE", ""), ("POST", "/confirm")] {
        problem(
            &host.send("booking", method, &format!("{path}{below}"), ""),
            404,
            "not-found",
        );
    }
    assert!(host.stop().success());

    let events = rows(
        data.path(),
        "SELECT event_type, key, partition FROM outbox ORDER BY offset",
    );
    let expected = ["hold-placed", "room-booked", "room-closed"].map(|name| [name, "A/1 ü", "0"]);
    assert_eq!(events, expected);
}

#[test]
fn a_key_in_the_body_must_be_there() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    for (body, pointer) in [
        (json!({"seats": 4}), ""),
        (json!({"code": null, "seats": 4}), "/code"),
        (json!({"code": 7, "seats": 4}), "/code"),
        (json!({"code": "", "seats": 4}), "/code"),
        (json!({"code": "A", "seats": 0}), "/seats"),
        (json!({"code": "A", "seats": -1}), "/seats"),
    ] {
        let refused = put(&host, &body);
        problem(&refused, 422, "invalid-body");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    for code in ["A", "%20", "null", "-"] {
        problem(
            &host.get("booking", &format!("/rooms/{code}")),
            404,
            "not-found",
        );
    }
    assert_eq!(put(&host, &json!({"code": "A", "seats": 4})).status, 201);
}

#[test]
fn a_removed_aggregate_can_be_created_again_and_keeps_its_revision() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    assert_eq!(put(&host, &json!({"code": "A", "seats": 4})).status, 201);
    assert_eq!(host.send("booking", "DELETE", "/rooms/A", "").status, 200);
    host.kill();
    let host = Start::new(&["booking"], data.path()).start();
    problem(&host.get("booking", "/rooms/A"), 404, "not-found");
    assert_eq!(put(&host, &json!({"code": "A", "seats": 8})).status, 201);
    assert_eq!(host.get("booking", "/rooms/A").json()["seats"], 8);
    assert!(host.stop().success());
    assert_eq!(
        rows(data.path(), "SELECT key, revision FROM aggregates"),
        [["A", "3"]]
    );
}

#[test]
fn events_are_told_apart_by_their_type() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    assert_eq!(put(&host, &json!({"code": "A", "seats": 4})).status, 201);
    assert!(host.stop().success());
    let body = r#"{"code":"A","inspector":"Ann"}"#;
    publish(
        data.path(),
        "roomEvents",
        &[
            record(body),
            record(body).of_type("room-cleaned"),
            record(body).of_type("room-inspected"),
            record(body).of_type("room-painted"),
            record(body).of_type("ROOM-CLEANED"),
        ],
    );
    let host = Start::new(&["booking"], data.path()).start();
    until_consumed(data.path(), "roomEvents");
    let room = host.get("booking", "/rooms/A").json();
    assert_eq!(
        (&room["cleanings"], &room["lastInspector"]),
        (&json!(2), &json!("Ann"))
    );
    assert!(host.stop().success());
    let names = rows(
        data.path(),
        "SELECT json_extract(message, '$.name') FROM journal ORDER BY seq",
    )
    .concat();
    assert_eq!(
        names,
        ["add-room", "room-cleaned", "room-cleaned", "room-inspected"]
    );
    assert!(rows(data.path(), "SELECT * FROM dead_letters").is_empty());
}

#[test]
fn two_domains_on_one_host_share_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking", "customer", "order"], data.path()).start();
    assert_eq!(put(&host, &json!({"code": "1", "seats": 4})).status, 201);
    problem(&host.get("customer", "/customer/1"), 404, "not-found");
    let ann = host.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": 5}}),
    );
    assert_eq!(ann.json()["customerId"], 1);
    problem(&host.get("order", "/orders/1"), 404, "not-found");
    assert_eq!(host.get("booking", "/rooms/1").json()["seats"], 4);
}

/// Words of the saga that the host is tried on. `order` itself is an English word, and means the order of
/// things everywhere in the host.
const BUSINESS: [&str; 10] = [
    "customer",
    "orders",
    "orderid",
    "order_id",
    "ordertopic",
    "order-service",
    "order_service",
    "ordertotal",
    "creditlimit",
    "\"order\"",
];

/// The examples in the program's help must name some participant.
const HELP: &str = "cli/options.rs";

/// Comments may give examples, and so may the host's own tests.
#[test]
fn the_host_names_no_business() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "contract/src", "core/src"] {
        code_files(&host.join(directory), &mut files);
    }
    assert!(files.len() > 40, "only {} files were found", files.len());
    files.retain(|path| !path.ends_with(HELP));
    let mut named = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        named.extend(business_lines(&text).map(|line| format!("{}: {line}", path.display())));
    }
    assert!(named.is_empty(), "{}", named.join("\n"));
}

/// Rust files below a directory, those left out that are compiled for tests only.
fn code_files(directory: &Path, files: &mut Vec<PathBuf>) {
    let mut here = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            here.push(path);
        }
    }
    let texts: String = here
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    here.retain(|path| {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let by_path = format!("#[path = \"{stem}.rs\"]\nmod tests;");
        !texts.contains(&by_path)
            && !texts.contains(&format!("#[cfg(test)]\nmod {stem};"))
            && !texts.contains(&format!("#[cfg(test)]\npub(crate) mod {stem};"))
            && stem != "tests"
    });
    files.extend(here);
}

/// Lines of code with a business word, up to the tests, which stand last.
fn business_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| *line != "mod tests {")
        .map(|line| line.split("//").next().unwrap_or_default())
        .filter(|line| {
            let line = line.to_lowercase();
            BUSINESS.iter().any(|word| line.contains(word))
        })
}

#[test]
fn the_search_for_business_words_finds_them() {
    for line in [
        "let customer = 1;",
        "fn order_id()",
        r#""orderTopic""#,
        "struct Orders",
        "creditLimit",
        "\"Order\"",
    ] {
        assert_eq!(business_lines(line).count(), 1, "{line}");
    }
    for line in [
        "// a customer",
        "ORDER BY offset",
        "Ordering::Relaxed",
        "reorder",
        "mod tests {\nlet customer;",
    ] {
        assert_eq!(business_lines(line).count(), 0, "{line}");
    }
}
