//! The record of a decision, and that it is enough to run the decision again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use saga_core::message::{Message, Origin};
use saga_core::outcome::{Outcome, StateChange};
use saga_core::rules::Rules;
use saga_host::base::generation::CompiledRules as _;
use saga_host::plugin::compile::{self, CodeCache};
use saga_host::plugin::{ConfiguredComponent, GuestLimits, InstanceUse, LoadedComponent, Runtime};
use saga_host::rollout::given_settings::GivenSettings;
use saga_host::rollout::rule_settings;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::chameleon::{self, Chameleon};
use crate::commands::{asks, call};
use crate::expect::until;
use crate::store_file;
use crate::support::{Start, component};

/// A recorded decision.
struct Recorded {
    participant: String,
    digest: String,
    key: String,
    revision: u64,
    state: Option<String>,
    message: Message,
    outcome: String,
    fuel: u64,
    time: u64,
}

fn journal(data: &Path) -> Vec<Recorded> {
    let query = "SELECT p.name, g.digest, j.key, j.revision, j.state, j.message, j.outcome, j.fuel, j.time
                 FROM journal j JOIN generations g ON g.id = j.generation JOIN participants p ON p.id = g.participant
                 ORDER BY j.seq";
    let recorded = |row: Vec<String>| Recorded {
        participant: row[0].clone(),
        digest: row[1].clone(),
        key: row[2].clone(),
        revision: row[3].parse().unwrap(),
        state: Some(row[4].clone()).filter(|state| state != "NULL"),
        message: serde_json::from_str(&row[5]).unwrap(),
        outcome: row[6].clone(),
        fuel: row[7].parse().unwrap(),
        time: row[8].parse().unwrap(),
    };
    store_file::rows(data, query)
        .into_iter()
        .map(recorded)
        .collect()
}

fn digest(name: &str) -> String {
    let bytes = std::fs::read(component(name)).unwrap();
    Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Runs a saga of each kind, with a restart in between, and gives what was recorded.
fn decisions(data: &Path) -> Vec<Recorded> {
    let start = Start::new(&["customer", "order"], data);
    let host = start.start();
    for (name, limit) in [
        ("Ann", "1000"),
        ("Bo \u{1f600} \"quoted\" \\ \u{7}", "0.01"),
    ] {
        let body = format!(
            "{}, \"creditLimit\": {{\"amount\": {limit}}}}}",
            &json!({"name": name}).to_string().trim_end_matches('}')
        );
        let registered = host.send("customer", "POST", "/customers", &body);
        assert_eq!(registered.status, 201, "{}", registered.text());
    }
    let mut host = Some(host);
    for (number, (customer, amount)) in [
        (1, "300"),
        (1, "700.00"),
        (1, "0.01"),
        (2, "0.01"),
        (77, "5"),
        (2, "1e1"),
    ]
    .iter()
    .enumerate()
    {
        if number == 3 {
            assert!(host.take().unwrap().stop().success());
        }
        let host = host.get_or_insert_with(|| start.start());
        let body = format!(r#"{{"customerId": {customer}, "orderTotal": {{"amount": {amount}}}}}"#);
        let placed = host.send("order", "POST", "/orders", &body);
        assert_eq!(placed.status, 201, "{}", placed.text());
        let path = format!("/orders/{}", placed.json()["orderId"]);
        host.get_until("order", &path, |response| {
            response.json()["orderState"] != "PENDING"
        });
    }
    // The rules say no to this one themselves, and that is a decision too.
    let host = host.unwrap();
    let refused = host.send(
        "order",
        "POST",
        "/orders",
        r#"{"customerId": 1, "orderTotal": {"amount": 0.001}}"#,
    );
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(host.stop().success());
    journal(data)
}

#[test]
fn invariant_6_every_decision_is_recorded_with_its_input_its_outcome_and_the_digest() {
    let data = tempfile::tempdir().unwrap();
    let journal = decisions(data.path());
    // 2 customers, 6 orders with three turns each, 1 refusal.
    assert_eq!(journal.len(), 2 + 6 * 3 + 1);
    let digests = HashMap::from([("customer", digest("customer")), ("order", digest("order"))]);
    let mut known: HashMap<(String, String), (u64, Option<String>)> = HashMap::new();
    for entry in &journal {
        assert_eq!(
            entry.digest,
            digests[entry.participant.as_str()],
            "the digest is the SHA-256 of the file"
        );
        assert!(
            entry.fuel > 0 && entry.fuel < GuestLimits::default().fuel,
            "fuel {}",
            entry.fuel
        );
        assert_eq!(
            (entry.message.key.as_str(), entry.message.time),
            (entry.key.as_str(), entry.time)
        );
        let aggregate = (entry.participant.clone(), entry.key.clone());
        let (revision, state) = known.get(&aggregate).cloned().unwrap_or_default();
        assert_eq!(
            (entry.revision, &entry.state),
            (revision, &state),
            "{aggregate:?}: as the last turn left it"
        );
        let outcome: Outcome = serde_json::from_str(&entry.outcome).unwrap();
        let after = match outcome.state {
            StateChange::Unchanged => (revision, state),
            StateChange::Put(state) => (revision + 1, Some(state)),
            StateChange::Remove => (revision + 1, None),
        };
        known.insert(aggregate, after);
    }
    known.retain(|_, (revision, _)| *revision > 0);
    let query = "SELECT p.name, a.key, a.revision, a.state FROM aggregates a JOIN participants p ON p.id = a.participant";
    let stored = store_file::rows(data.path(), query);
    assert_eq!(stored.len(), known.len());
    for row in stored {
        let expected = &known[&(row[0].clone(), row[1].clone())];
        assert_eq!(
            (row[2].as_str(), Some(&row[3])),
            (expected.0.to_string().as_str(), expected.1.as_ref()),
            "{row:?}"
        );
    }
    // Events say which decision caused them, and which build decided.
    let causes = "SELECT o.causation, g.digest, p.name FROM outbox o JOIN generations g ON g.id = o.generation
                  JOIN participants p ON p.id = g.participant";
    let events = store_file::rows(data.path(), causes);
    assert_eq!(events.len(), 12);
    for event in events {
        assert!(
            journal
                .iter()
                .any(|entry| entry.message.id == event[0] && entry.participant == event[2]),
            "{event:?}"
        );
        assert_eq!(event[1], digests[event[2].as_str()]);
    }
}

fn load(runtime: &Runtime, cache: &CodeCache, name: &str) -> ConfiguredComponent {
    let bytes = std::fs::read(component(name)).unwrap();
    let digest = compile::digest(&bytes);
    let component = LoadedComponent::load(runtime, cache, &bytes, &digest, name).unwrap();
    let none = GivenSettings::default();
    let settings = rule_settings::effective(component.description(), &none).unwrap();
    Arc::new(component).configured(InstanceUse::Reused, none.values, &settings)
}

#[test]
fn invariant_7_a_recorded_decision_comes_out_the_same_when_it_is_run_again() {
    let data = tempfile::tempdir().unwrap();
    let journal = decisions(data.path());
    let runtime = Runtime::new(GuestLimits::default()).unwrap();
    let cache = CodeCache::new(data.path());
    let builds: HashMap<&str, ConfiguredComponent> = ["customer", "order"]
        .into_iter()
        .map(|name| (name, load(&runtime, &cache, name)))
        .collect();
    // Once with the instance that the entries before were run on, once with a fresh one for each, last first.
    let mut reused: HashMap<&str, _> = builds
        .iter()
        .map(|(name, build)| (*name, build.instance().unwrap()))
        .collect();
    for entry in &journal {
        replay(
            reused.get_mut(entry.participant.as_str()).unwrap().as_mut(),
            entry,
        );
    }
    for entry in journal.iter().rev() {
        let build = &builds[entry.participant.as_str()];
        assert_eq!(build.digest(), entry.digest);
        replay(build.instance().unwrap().as_mut(), entry);
    }
    assert!(
        journal
            .iter()
            .any(|entry| entry.message.origin == Origin::Event)
    );
}

fn replay(rules: &mut dyn Rules, entry: &Recorded) {
    let decision = rules
        .handle(entry.state.as_deref(), &entry.message)
        .unwrap();
    assert!(decision.fuel > 0);
    let outcome = serde_json::to_string(&decision.answer.unwrap()).unwrap();
    assert_eq!(
        outcome, entry.outcome,
        "{} on {}",
        entry.message.name, entry.key
    );
}

#[test]
fn payloads_are_kept_out_of_the_journal_of_a_participant_and_what_needs_them_says_so() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let secret = "not-to-be-kept";
    let build = Chameleon::new().with(json!({"handle": {"count": [
        {"count": 1}, {"set": ["name", secret]},
    ]}}));
    let path = data.join("chameleon.wasm");
    build.write(&path);
    let start = |kept: &str| {
        chameleon::start(&path, data)
            .setting("participants.chameleon.journal", kept)
            .start()
    };
    let host = start("no-payloads");
    for _ in 0..2 {
        chameleon::count(&host, "a");
    }
    assert!(host.stop().success());
    let rows = store_file::rows(
        data,
        "SELECT CAST(decision AS TEXT), state FROM journal ORDER BY seq",
    );
    assert!(!format!("{rows:?}").contains(secret));
    assert_eq!((&*rows[0][1], &*rows[1][1]), ("NULL", ""));
    // What was recorded before and after stays as it is.
    let host = start("full");
    chameleon::count(&host, "a");
    assert_eq!(chameleon::look(&host, "a")["count"], 3);
    assert!(host.stop().success());

    let candidate = path.to_str().unwrap();
    let says = |arguments: &[&str], expected: i32, lines: &[&str]| {
        let (code, out, err) = call(&mut asks(data, arguments));
        assert_eq!(code, expected, "{arguments:?}: {out}{err}");
        for line in lines {
            assert!(
                out.contains(line) || err.contains(line),
                "{line:?} is not in\n{out}{err}"
            );
        }
    };
    let replay = ["replay", "chameleon", "--candidate", candidate];
    let line = "\nnot replayed: payload not kept: 2, the first for a\n";
    says(
        &replay,
        0,
        &["\nunchanged 1, changed 0, faults 0, no baseline 2\n", line],
    );
    says(&["replay", "chameleon", "--self"], 1, &[line]);
    says(
        &["explain", "chameleon", "a", "--all", "--with", candidate],
        0,
        &[
            "its payload is not kept: message ",
            "state created\n",
            "state written\n",
            "state /count: 2 → 3\n",
        ],
    );
    says(
        &["journal", "export", "chameleon"],
        1,
        &["2 decisions were left out, the first: decision 1 on a: payload not kept"],
    );
    let digest = build.digest();
    let repair = [
        "repair",
        "chameleon",
        "--generation",
        &digest,
        "--with",
        candidate,
    ];
    says(&repair, 1, &["decision 1 on a: payload not kept"]);
}

#[test]
fn invariant_9_the_oldest_decisions_go_beyond_the_bytes_that_the_journal_may_take() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let path = data.join("chameleon.wasm");
    Chameleon::new().write(&path);
    let host = chameleon::start(&path, data)
        .setting("store.journal_bytes", 2_000)
        .start();
    for _ in 0..60 {
        chameleon::count(&host, "a");
    }
    let bytes = "SELECT sum(octet_length(key) + coalesce(octet_length(state), 0) + octet_length(decision) + 24) FROM journal";
    until("the journal fits", || {
        store_file::number(data, bytes) <= 2_000
    });
    // The latest ones are there, without a gap.
    let left = "SELECT count(*) FROM journal";
    let left = store_file::number(data, left);
    assert!((5..60).contains(&left), "{left}");
    let first = store_file::number(data, "SELECT min(seq) FROM journal");
    let last = store_file::number(data, "SELECT max(seq) FROM journal");
    assert_eq!((last, last - first + 1), (60, left));
    assert_eq!(chameleon::look(&host, "a")["count"], 60);
    assert!(host.stop().success());
    let (code, out, err) = call(&mut asks(data, &["replay", "chameleon", "--self"]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&format!("unchanged {left}, ")), "{out}");
}
