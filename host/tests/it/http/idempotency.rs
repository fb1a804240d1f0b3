//! `Idempotency-Key`: a command that is sent again takes effect once and is answered alike, whatever happens in between.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, look, swap};
use crate::expect::{address, broke, connect, path_of, problem, until};
use crate::store_file::{execute, number};
use crate::support::{Host, Response, Start, request, try_request};

const ORDERS: &str = "SELECT count(*) FROM aggregates a JOIN participants p ON p.id = a.participant
    WHERE p.name = 'order'";
const KEYS: &str = "SELECT count(*) FROM idempotency_keys";

/// Clients that send the same at the same time.
const CLIENTS: usize = 64;

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
}

/// Sends a command with an idempotency key.
fn send(
    host: &Host,
    participant: &str,
    (method, path): (&str, &str),
    key: &str,
    body: &Value,
) -> Response {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let url = format!("{}{path}", host.url(participant));
    request(method, &url, &headers, body.to_string().as_bytes())
}

fn order(amount: u64) -> Value {
    json!({"customerId": 1, "orderTotal": {"amount": amount}})
}

fn place(host: &Host, key: &str, amount: u64) -> Response {
    send(host, "order", ("POST", "/orders"), key, &order(amount))
}

fn is_replayed(response: &Response) -> bool {
    response.header("idempotency-replayed") == Some("true")
}

/// Checks that this is the first answer again, and says so.
fn replays(again: &Response, first: &Response) {
    assert!(!is_replayed(first), "{first:?}");
    assert!(is_replayed(again), "{again:?}");
    let seen = |response: &Response| {
        let header = |name| response.header(name).map(str::to_owned);
        let headers = (header("location"), header("content-type"));
        (response.status, headers, response.text())
    };
    assert_eq!(seen(again), seen(first));
}

/// Keeps the host from committing until it is dropped, for four seconds at most: then its commit fails.
fn hold_commits(data: &Path) -> Connection {
    let sql = Connection::open(data.join("saga.db")).unwrap();
    sql.busy_timeout(Duration::from_secs(10)).unwrap();
    sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    sql
}

#[test]
fn the_same_request_is_answered_alike_after_restart_and_crash_too() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let first = place(&host, "k", 5);
    assert_eq!(first.status, 201, "{}", first.text());
    assert!(first.header("location").unwrap().ends_with("/orders/1"));
    replays(&place(&host, "k", 5), &first);
    replays(&place(&host, "\"k\"", 5), &first);
    assert_eq!(place(&host, "l", 5).json()["orderId"], 2);
    assert!(host.stop().success());

    let host = start(data.path()).start();
    replays(&place(&host, "k", 5), &first);
    host.kill();
    let host = start(data.path()).start();
    replays(&place(&host, "k", 5), &first);
    assert_eq!(place(&host, "m", 5).json()["orderId"], 3);
    assert_eq!(number(data.path(), ORDERS), 3);
}

#[test]
fn a_key_belongs_to_one_request_of_one_participant() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "booking"], data.path()).start();
    let send =
        |method: &str, path: &str, body: Value| send(&host, "booking", (method, path), "k", &body);
    let room = |seats: u64| json!({"code": "A", "seats": seats});
    let first = send("PUT", "/rooms", room(2));
    assert_eq!(first.status, 201, "{}", first.text());
    for other in [
        send("PUT", "/rooms", room(3)),
        send("PUT", "/rooms?seats=3", room(2)),
        send("DELETE", "/rooms/A", json!(null)),
        send("POST", "/rooms/A/confirm", json!({})),
    ] {
        problem(&other, 422, "idempotency-key-reused");
        assert!(!is_replayed(&other));
    }
    assert_eq!(host.get("booking", "/rooms/A").json()["seats"], 2);
    replays(&send("PUT", "/rooms", room(2)), &first);

    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1}});
    let theirs = self::send(&host, "customer", ("POST", "/customers"), "k", &customer);
    assert_eq!(theirs.json()["customerId"], 1, "{}", theirs.text());
    assert!(!is_replayed(&theirs));
    assert_eq!(number(data.path(), KEYS), 2);
}

#[test]
fn an_invalid_idempotency_key_is_refused_without_effect() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let long = "k".repeat(256);
    for key in ["", "\"\"", "a b", "\"a", "a,b", "k\u{fc}", &long] {
        problem(&place(&host, key, 5), 400, "bad-idempotency-key");
    }
    let url = format!("{}/orders", host.url("order"));
    let twice = [("idempotency-key", "k"), ("Idempotency-Key", "k")];
    let several = request("POST", &url, &twice, order(5).to_string().as_bytes());
    let detail = problem(&several, 400, "bad-idempotency-key");
    assert!(detail.contains("several times"), "{detail}");
    assert_eq!(number(data.path(), ORDERS), 0);
    let longest = format!("\"{}\"", &long[1..]);
    assert_eq!(place(&host, &longest, 5).json()["orderId"], 1);
    assert!(is_replayed(&place(&host, &long[1..], 5)));
    // What a read carries means nothing.
    let read = [("idempotency-key", "a b")];
    let url = format!("{}/orders/1", host.url("order"));
    assert_eq!(request("GET", &url, &read, b"").status, 200);
}

#[test]
fn refusals_are_decisions_and_every_kind_of_answer_is_given_again() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    let send =
        |what: (&str, &str), key: &str, body: Value| send(&host, "booking", what, key, &body);
    let room = json!({"code": "A", "seats": 2});
    let (add, hold) = (("PUT", "/rooms"), ("POST", "/rooms/A/hold"));
    let hold_by = |who: &str| json!({"by": who, "ttlMillis": 3_600_000});

    let unknown = send(hold, "unknown", hold_by("Ann"));
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    let added = send(add, "add", room.clone());
    assert_eq!(added.status, 201, "{}", added.text());
    let held = send(hold, "ann", hold_by("Ann"));
    assert_eq!(held.status, 202, "{}", held.text());
    let taken = send(hold, "bob", hold_by("Bob"));
    problem(&taken, 409, "taken");
    let closed = send(("DELETE", "/rooms/A"), "close", json!(null));
    assert_eq!(closed.status, 200, "{}", closed.text());
    assert_eq!(send(add, "add-again", room.clone()).status, 201);

    // By now the rules would answer each of them otherwise.
    replays(&send(hold, "unknown", hold_by("Ann")), &unknown);
    replays(&send(hold, "bob", hold_by("Bob")), &taken);
    replays(&send(add, "add", room), &added);
    replays(&send(hold, "ann", hold_by("Ann")), &held);
    replays(&send(("DELETE", "/rooms/A"), "close", json!(null)), &closed);
    assert_eq!(host.get("booking", "/rooms/A").status, 200);
    assert_eq!(send(hold, "bob-again", hold_by("Bob")).status, 202);
}

#[test]
fn an_undecided_command_leaves_its_idempotency_key_free() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    let act = |body: Value| send(&host, "mischief", ("POST", "/acts/k"), "k", &body);
    broke(&act(json!({"do": "trap"})), "trap");
    problem(&act(json!({"do": "malformed"})), 400, "malformed");
    problem(&act(json!({"do": "retry-later"})), 503, "try-later");
    problem(&act(json!({"do": 5})), 422, "invalid-body");
    problem(&act(json!("no object")), 422, "invalid-body");
    assert_eq!(number(data.path(), KEYS), 0);
    let counted = act(json!({"do": "count"}));
    assert_eq!(counted.json(), json!({"count": 1}));
    replays(&act(json!({"do": "count"})), &counted);
    problem(&act(json!({"do": "trap"})), 422, "idempotency-key-reused");
}

#[test]
fn a_repeat_during_the_first_request_is_told_to_retry() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let held = hold_commits(data.path());
    let (give, take) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (give, host) = (give.clone(), &host);
            scope.spawn(move || give.send(place(host, "k", 5)).unwrap());
        }
        let second = take.recv().unwrap();
        problem(&second, 409, "idempotency-key-in-use");
        assert_eq!(second.header("retry-after"), Some("1"));
        // Another request is told nothing else, and another key is free.
        problem(&place(&host, "k", 6), 409, "idempotency-key-in-use");
        drop(held);
        let first = take.recv().unwrap();
        assert_eq!(first.json()["orderId"], 1, "{}", first.text());
        replays(&place(&host, "k", 5), &first);
    });
    problem(&place(&host, "k", 6), 422, "idempotency-key-reused");
    assert_eq!(place(&host, "l", 6).json()["orderId"], 2);
}

/// A connection that reads, places an order, and has read nothing of what came back: dropped, it is reset. It reads what nobody
/// makes: of an order that is not on disk yet, the read would wait.
fn impatient(host: &Host) -> TcpStream {
    let url = format!("{}/orders", host.url("order"));
    let (path, body) = (path_of(&url), order(5).to_string());
    let head = format!("host: {}\r\n", address(&url));
    let requests = format!(
        "GET {path}/99 HTTP/1.1\r\n{head}\r\nPOST {path} HTTP/1.1\r\n{head}idempotency-key: k\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(&url);
    stream.write_all(requests.as_bytes()).unwrap();
    stream
}

#[test]
fn a_disconnected_client_gets_its_answer_when_it_repeats_the_command() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let held = hold_commits(data.path());
    let clients = [impatient(&host), impatient(&host)];
    let came = |stream: &TcpStream| {
        let mut bytes = [0; 8 << 10];
        let length = stream.peek(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    // One of them is told that the key is in use; so the other one has it.
    until("one of the two is sent away", || {
        clients.iter().any(|client| came(client).contains(" 409 "))
    });
    assert!(clients.iter().all(|client| came(client).contains(" 404 ")));
    drop(clients);
    problem(&place(&host, "k", 5), 409, "idempotency-key-in-use");
    drop(held);
    let mut answer = None;
    until("the turn is over", || {
        let again = place(&host, "k", 5);
        let is_over = again.status != 409;
        answer = is_over.then_some(again);
        is_over
    });
    let answer = answer.unwrap();
    assert!(is_replayed(&answer) && answer.status == 201, "{answer:?}");
    assert_eq!(answer.json()["orderId"], 1);
    assert_eq!(number(data.path(), ORDERS), 1);
}

#[test]
fn invariant_2_a_commit_that_fails_keeps_neither_order_nor_key() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let held = hold_commits(data.path());
    problem(&place(&host, "k", 5), 503, "store-failed");
    drop(held);
    assert_eq!(
        (number(data.path(), ORDERS), number(data.path(), KEYS)),
        (0, 0)
    );
    // Nothing was decided, so the key is free for another request too.
    let placed = place(&host, "k", 6);
    assert!(placed.status == 201 && !is_replayed(&placed), "{placed:?}");
    assert_eq!(
        (number(data.path(), ORDERS), number(data.path(), KEYS)),
        (1, 1)
    );
}

#[test]
fn invariant_9_at_the_bound_a_new_key_is_refused_until_old_ones_are_deleted() {
    let data = tempfile::tempdir().unwrap();
    let start = || start(data.path()).setting("http.idempotency_keys", 3);
    let host = start().start();
    let placed: Vec<_> = (1..=3).map(|n| place(&host, &n.to_string(), n)).collect();
    for (n, first) in (1..).zip(&placed) {
        replays(&place(&host, &n.to_string(), n), first);
    }
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1}});
    let refused = |host: &Host| {
        for full in [
            place(host, "4", 4),
            send(host, "customer", ("POST", "/customers"), "1", &customer),
        ] {
            let detail = problem(&full, 503, "too-many-idempotency-keys");
            assert!(detail.contains("all 3 ") && detail.contains("[http] idempotency_keys"));
            assert_eq!(full.header("retry-after"), Some("60"));
        }
        problem(&place(host, "1", 9), 422, "idempotency-key-reused");
    };
    refused(&host);
    assert_eq!(
        host.post("order", "/orders", &order(4)).json()["orderId"],
        4
    );
    host.kill();
    let host = start().start();
    refused(&host);
    assert!(host.stop().success());
    assert_eq!(number(data.path(), ORDERS), 4);

    // A day later: the pruner goes on by itself.
    execute(
        data.path(),
        "UPDATE idempotency_keys SET time = time - 86400000 WHERE key < 3",
    );
    let host = start().start();
    until("two keys are deleted", || number(data.path(), KEYS) == 1);
    until("there is room", || place(&host, "4", 4).status == 201);
    replays(&place(&host, "3", 3), &placed[2]);
    // Deleted, it is a new key.
    let anew = place(&host, "1", 9);
    assert!(anew.status == 201 && !is_replayed(&anew), "{anew:?}");
    problem(&place(&host, "5", 5), 503, "too-many-idempotency-keys");
}

#[test]
fn keys_are_kept_for_the_time_that_is_set() {
    let data = tempfile::tempdir().unwrap();
    let start = |hours: u64| start(data.path()).setting("http.idempotency_hours", hours);
    let host = start(2).start();
    let first = place(&host, "k", 5);
    assert!(host.stop().success());
    // Ninety minutes pass.
    execute(
        data.path(),
        "UPDATE idempotency_keys SET time = time - 5400000",
    );
    let host = start(2).start();
    replays(&place(&host, "k", 5), &first);
    assert!(host.stop().success());
    let host = start(1).start();
    until("the key is deleted", || number(data.path(), KEYS) == 0);
    until("the key is free", || place(&host, "k", 6).status == 201);
    assert_eq!(number(data.path(), ORDERS), 2);
    drop(host);
    for (setting, value) in [("idempotency_hours", 0), ("idempotency_keys", 0)] {
        let path = format!("http.{setting}");
        let (status, said) = self::start(data.path()).setting(&path, value).fail();
        assert_eq!(status.code(), Some(64), "{said}");
        assert!(said.contains("is not between 1 and"), "{said}");
    }
}

/// A build whose `count` takes a body with these members.
fn counting(version: &str, required: &[&str]) -> Chameleon {
    let request = json!({"type": "object", "required": required, "title": version});
    Chameleon::new().version(version).with(json!({"commands": [
        {"name": "count", "method": "POST", "path": "/counters/{key}", "request": request},
        {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
    ]}))
}

fn count(host: &Host, key: &str) -> Response {
    send(host, "chameleon", ("POST", "/counters/k"), key, &json!({}))
}

fn start_chameleon(data: &Path, build: &Chameleon) -> Host {
    let path = data.join("chameleon.wasm");
    build.write(&path);
    let start = chameleon::start(&path, data).setting("reload.watch_ms", 0);
    start.start()
}

#[test]
fn a_repeat_gets_its_first_answer_under_rules_that_would_refuse_it() {
    let data = tempfile::tempdir().unwrap();
    let host = start_chameleon(data.path(), &counting("1.0.1", &[]));
    let first = count(&host, "k");
    assert_eq!(first.json()["count"], 1, "{}", first.text());
    let url = format!(
        "{}/participants/chameleon/component?drop-used=true&allow-breaking=true",
        host.admin()
    );
    let swapped = request("PUT", &url, &[], &counting("1.0.2", &["n"]).bytes());
    assert_eq!(swapped.status, 200, "{}", swapped.text());
    problem(&count(&host, "l"), 422, "invalid-body");
    replays(&count(&host, "k"), &first);
    assert_eq!(look(&host, "k")["count"], 1);
}

/// A build that tells what it was told, and asks for these headers.
fn telling(version: &str, metadata: &[&str]) -> Chameleon {
    Chameleon::new().version(version).with(json!({
        "metadata": metadata,
        "commands": [{"name": "tell", "method": "POST", "path": "/told/{key}"}],
        "handle": {"tell": "tell"},
    }))
}

#[test]
fn the_headers_that_rules_ask_for_are_of_the_request() {
    let data = tempfile::tempdir().unwrap();
    let host = start_chameleon(data.path(), &telling("1.0.1", &["x-tenant"]));
    let tell = |headers: &[(&str, &str)]| {
        let own = [
            ("content-type", "application/json"),
            ("idempotency-key", "k"),
        ];
        let url = format!("{}/told/k", host.url("chameleon"));
        request("POST", &url, &[&own, headers].concat(), b"")
    };
    let acme = [("x-tenant", "acme"), ("x-other", "1")];
    let first = tell(&acme);
    assert_eq!(first.json()["metadata"], json!([["x-tenant", "acme"]]));
    replays(&tell(&acme), &first);
    replays(&tell(&[("x-tenant", "acme"), ("x-other", "2")]), &first);
    for other in [&[("x-tenant", "globex")][..], &[]] {
        let detail = problem(&tell(other), 422, "idempotency-key-reused");
        assert!(
            detail.contains("other headers that the rules ask for"),
            "{detail}"
        );
    }
    // It is checked before it is compared.
    problem(&tell(&[("x-tenant", "a\tb")]), 400, "bad-header");

    // Which headers the first request would have had is not known any more.
    for (version, metadata) in [("1.0.2", &["x-tenant", "x-other"][..]), ("1.0.3", &[])] {
        swap(&host, &telling(version, metadata));
        replays(&tell(&acme), &first);
        replays(&tell(&[("x-tenant", "globex")]), &first);
    }
    swap(&host, &telling("1.0.4", &["x-tenant"]));
    replays(&tell(&acme), &first);
    problem(&tell(&[]), 422, "idempotency-key-reused");
}

/// Sends this until it is answered otherwise than that the key is in use.
fn persist(send: impl Fn() -> Response) -> Response {
    loop {
        let answer = send();
        if answer.status != 409 {
            return answer;
        }
        problem(&answer, 409, "idempotency-key-in-use");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_key_stays_taken_while_its_request_is_checked_again_by_the_next_rules() {
    const SWAPS: usize = 20;
    let data = tempfile::tempdir().unwrap();
    // The command is another one in each, so what is in flight at a swap is checked again.
    let builds = [counting("1.0.3", &[]), counting("1.0.4", &[])];
    let host = start_chameleon(data.path(), &builds[0]);
    let (sent, swaps) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for pair in 0..4 {
            let (host, sent, swaps) = (&host, &sent, &swaps);
            scope.spawn(move || {
                for number in 0.. {
                    if swaps.load(Ordering::Relaxed) == SWAPS {
                        break;
                    }
                    let key = format!("{pair}-{number}");
                    let answers = std::thread::scope(|scope| {
                        [0; 2]
                            .map(|_| scope.spawn(|| persist(|| count(host, &key))))
                            .map(|twin| twin.join().unwrap())
                    });
                    let [one, other] = &answers;
                    assert_eq!(one.status, 200, "{}", one.text());
                    assert_eq!(one.text(), other.text());
                    assert_ne!(is_replayed(one), is_replayed(other));
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 1..=SWAPS {
            swap(&host, &builds[number % 2]);
            swaps.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(look(&host, "k")["count"], sent.into_inner());
}

/// The answers to each key: the first, and the others.
#[derive(Default)]
struct Answers(Mutex<HashMap<usize, Vec<Response>>>);

impl Answers {
    fn add(&self, key: usize, answer: Response) {
        assert_eq!(answer.status, 201, "{}", answer.text());
        let mut answers = self.0.lock().unwrap();
        answers.entry(key).or_default().push(answer);
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Checks that each key has one answer, and gives the ids.
    fn ids(self, keys: usize) -> BTreeSet<u64> {
        let answers = self.0.into_inner().unwrap();
        assert_eq!(answers.len(), keys);
        let one_of = |key: &usize| {
            let answers = &answers[key];
            let firsts = answers.iter().filter(|answer| !is_replayed(answer)).count();
            assert!(
                firsts <= 1,
                "key {key} was answered {firsts} times for the first time"
            );
            let seen =
                |answer: &Response| (answer.text(), answer.header("location").unwrap().to_owned());
            let all: BTreeSet<_> = answers.iter().map(seen).collect();
            assert_eq!(all.len(), 1, "key {key}: {all:?}");
            let answer = answers[0].json();
            assert_eq!(
                answer["orderTotal"].as_u64(),
                Some(*key as u64 + 1),
                "{answer}"
            );
            answer["orderId"].as_u64().unwrap()
        };
        answers.keys().map(one_of).collect()
    }
}

/// Places the order of this key, at whatever host is at this URL by now, until it is answered.
fn place_somehow(url: &Mutex<String>, key: usize) -> Response {
    let name = format!("key-{key}");
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", name.as_str()),
    ];
    let body = order(key as u64 + 1).to_string();
    persist(|| {
        loop {
            let url = format!("{}/orders", url.lock().unwrap());
            match try_request("POST", &url, &headers, body.as_bytes()) {
                Ok(answer) => return answer,
                // It is down, and comes again elsewhere.
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    })
}

/// All clients send all keys while `meanwhile` goes on.
fn fire(url: &Mutex<String>, keys: usize, meanwhile: impl FnOnce(&Answers)) -> BTreeSet<u64> {
    let answers = Answers::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let answers = &answers;
            scope.spawn(move || {
                for number in 0..keys {
                    // Half of them in another order, so that several keys are in flight at a time.
                    let key = if client % 2 == 0 {
                        number
                    } else {
                        (number + keys / 2) % keys
                    };
                    answers.add(key, place_somehow(url, key));
                }
            });
        }
        meanwhile(&answers);
    });
    assert_eq!(answers.count(), CLIENTS * keys);
    answers.ids(keys)
}

#[test]
fn repeats_burn_no_ids() {
    const ORDERED: usize = 20;
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let url = Mutex::new(host.url("order").to_owned());
    let ids = fire(&url, ORDERED, |_| {});
    assert_eq!(ids, (1..=ORDERED as u64).collect());
    assert_eq!(number(data.path(), ORDERS), ORDERED as i64);
    assert_eq!(place(&host, "one-more", 1).json()["orderId"], ORDERED + 1);
}

#[test]
fn invariant_10_each_key_has_one_order_and_one_answer_under_fire_and_kill_9() {
    const ORDERED: usize = 60;
    const KILLS: usize = 4;
    let data = tempfile::tempdir().unwrap();
    let mut host = Some(start(data.path()).start());
    let url = Mutex::new(host.as_ref().unwrap().url("order").to_owned());
    let ids = fire(&url, ORDERED, |answers| {
        for kill in 1..=KILLS {
            let enough = kill * CLIENTS * ORDERED / (KILLS + 1);
            until("enough was answered", || answers.count() >= enough);
            host.take().unwrap().kill();
            let next = start(data.path()).start();
            *url.lock().unwrap() = next.url("order").to_owned();
            host = Some(next);
        }
    });
    assert_eq!(ids.len(), ORDERED, "two keys got the same order");
    let host = host.unwrap();
    for id in ids {
        let path = format!("/orders/{id}");
        host.get_until("order", &path, |order| {
            order.json()["orderState"] == "REJECTED"
        });
    }
    assert!(host.stop().success());
    for rows in [ORDERS, KEYS] {
        assert_eq!(number(data.path(), rows), ORDERED as i64);
    }
}
