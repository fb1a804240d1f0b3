//! Swaps under load (invariant 6), and that what is told of each generation is exactly what it did.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, rollback, serve as start, swap, told_of};
use crate::expect::{broke, problem, until};
use crate::store_file::{number, published, rows};
use crate::support::Host;

/// Clients that send requests at the same time.
const CLIENTS: usize = 8;

/// Swaps and replies that are wanted at least.
const SWAPS: usize = 60;
const REPLIES: u64 = 10_000;

/// A build whose decisions show whose they are: in the state, in the step that it counts by, in its event.
fn counting(version: &str, step: i64, timers: &[&str]) -> Chameleon {
    Chameleon::new().version(version).with(json!({
        "timers": timers,
        "handle": {"count": [{"count": step}, {"publish": {"event_type": "changed"}}]},
    }))
}

/// The answer to a client: the key, and the state after its turn.
type Told = (String, Value);

/// The load: what has been answered so far, and whether that is enough.
#[derive(Default)]
struct Load {
    replies: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Counts until it is over; every request must be answered.
    fn client(&self, host: &Host, number: usize) -> Vec<Told> {
        let mut told = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            // Some keys are of one client, one is of all.
            let key = match told.len() % 4 {
                0 => "shared".to_owned(),
                _ => format!("{number}-{}", told.len() % 16),
            };
            let state = count(host, &key);
            self.replies.fetch_add(1, Ordering::Relaxed);
            told.push((key, state));
        }
        told
    }

    /// Swaps from one build to the next until there is enough of everything.
    fn swap(&self, host: &Host, builds: &[Build]) {
        let mut swaps = 0;
        while swaps < SWAPS || self.replies() < REPLIES {
            swaps += 1;
            swap(host, &builds[swaps % builds.len()].2);
            // Every other one follows as soon as can be; before the others each client is answered by this build.
            let replies = self.replies();
            until("the clients are answered", || {
                swaps % 2 == 0 || self.replies() > replies + 2 * CLIENTS as u64
            });
        }
    }
}

/// A version, the step that it counts by, and the build.
type Build = (&'static str, i64, Chameleon);

#[test]
fn invariant_6_a_turn_runs_on_one_generation_whatever_is_swapped_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    // From the one with a timer to the one without, all workers are held; the other ways they switch one by one.
    let builds = [
        ("1.0.0", 1, counting("1.0.0", 1, &["later"])),
        ("2.0.0", 10, counting("2.0.0", 10, &["later"])),
        ("3.0.0", 100, counting("3.0.0", 100, &[])),
    ];
    let host = start(data, &builds[0].2);
    let load = Load::default();
    let told: Vec<Told> = std::thread::scope(|scope| {
        let (load, host) = (&load, &host);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || load.client(host, number)))
            .collect();
        // A swap that fails must not leave the clients running.
        let swapped = catch_unwind(AssertUnwindSafe(|| load.swap(host, &builds)));
        load.is_over.store(true, Ordering::Relaxed);
        let told = clients.into_iter().map(|client| client.join().unwrap());
        let told = told.flatten().collect();
        swapped.unwrap();
        told
    });

    // What is told of the generations is what the clients were told.
    for (version, _, build) in &builds {
        let of_build = told
            .iter()
            .filter(|(_, state)| state["by"] == *version)
            .count();
        assert!(of_build > 0, "{version} never decided");
        let listed = told_of(&host, build);
        assert_eq!(
            (&listed["decisions"], &listed["refusals"], &listed["faults"]),
            (&json!(of_build), &json!(0), &json!(0)),
            "{version}"
        );
    }
    assert!(host.stop().success());
    check_provenance(data, &builds, &told);
}

/// Compares what clients were told with what is recorded, and with the events.
fn check_provenance(data: &Path, builds: &[Build], told: &[Told]) {
    let steps: HashMap<String, (&str, i64)> = (builds.iter())
        .map(|(version, step, build)| (build.digest(), (*version, *step)))
        .collect();
    let journal = "SELECT json_extract(j.message, '$.id'), j.key, g.digest, j.state, json_extract(j.outcome, '$.state.put')
                   FROM journal j JOIN generations g ON g.id = j.generation ORDER BY j.seq";
    let (mut decided, mut made_by, mut sums) = (
        HashMap::new(),
        HashMap::new(),
        HashMap::<String, i64>::new(),
    );
    for row in rows(data, journal) {
        let [id, key, digest, before, after] = row.try_into().unwrap();
        let after: Value = serde_json::from_str(&after).unwrap();
        let before = match before.as_str() {
            "NULL" => 0,
            state => serde_json::from_str::<Value>(state).unwrap()["count"]
                .as_i64()
                .unwrap(),
        };
        let (version, step) = steps[&digest];
        let count = after["count"].as_i64().unwrap();
        // All of the turn is of the build that is recorded: what was written, and by how much it was counted.
        assert_eq!(
            (&after["by"], count),
            (&json!(version), before + step),
            "{id}"
        );
        *sums.entry(key.clone()).or_default() += step;
        assert_eq!(decided.insert((key, count), after), None, "{id}");
        assert_eq!(made_by.insert(id, digest), None);
    }
    assert_eq!(decided.len(), told.len(), "each request was decided once");
    for (key, state) in told {
        let count = state["count"].as_i64().unwrap();
        assert_eq!(decided.get(&(key.clone(), count)), Some(state), "{key}");
    }
    for row in rows(
        data,
        "SELECT key, json_extract(state, '$.count') FROM aggregates",
    ) {
        assert_eq!(row[1], sums[&row[0]].to_string(), "{}", row[0]);
    }
    let events = "SELECT o.causation, g.digest, json_extract(o.value, '$.by') FROM outbox o JOIN generations g ON g.id = o.generation";
    let events = rows(data, events);
    assert_eq!(
        events.len(),
        told.len(),
        "each decision published one event"
    );
    for event in events {
        assert_eq!(made_by[&event[0]], event[1], "{event:?}");
        assert_eq!(steps[&event[1]].0, event[2], "{event:?}");
    }
}

#[test]
fn decisions_refusals_and_faults_are_counted_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let command = |name: &str, path: &str| json!({"name": name, "method": "POST", "path": path});
    let build = |version: &str| {
        Chameleon::new().version(version).with(json!({
            "commands": [
                command("count", "/counters/{key}"),
                {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
                {"name": "peek", "method": "GET", "path": "/peeks/{key}", "kind": "read"},
                command("refuse", "/refused/{key}"),
                command("break", "/broken/{key}"),
                command("tell", "/told/{key}"),
                command("tell-badly", "/told-badly/{key}"),
                command("set", "/timers/{key}"),
                command("wait", "/waits/{key}"),
            ],
            "subscriptions": [{"event_type": "counted"}, {"event_type": "bad"}],
            "publications": [
                {"event_type": "counted", "topic": "chameleonTopic"},
                {"event_type": "bad", "topic": "chameleonTopic"},
            ],
            "handle": {
                "refuse": {"refuse": "no"},
                "break": "trap",
                "peek": "trap",
                "bad": "trap",
                "wait": {"malformed": "never"},
                "tell": {"publish": {"event_type": "counted", "body": {"key": "told"}}},
                "tell-badly": {"publish": {"event_type": "bad", "body": {"key": "told"}}},
                "set": {"set-timer": {"name": "later", "after_ms": 0}},
            },
        }))
    };
    let (first, second) = (build("1.0.0"), build("2.0.0"));
    let host = start(data, &first);
    let post = |path: &str| host.post("chameleon", path, &json!({}));
    let counts = |build: &Chameleon| {
        let told = told_of(&host, build);
        ["decisions", "refusals", "faults"].map(|count| told[count].as_u64().unwrap())
    };
    let done = |path: &str| assert_eq!(post(path).status, 200, "{path}");
    assert_eq!(counts(&first), [0, 0, 0]);
    for _ in 0..3 {
        count(&host, "k");
    }
    for _ in 0..2 {
        problem(&post("/refused/k"), 409, "no");
    }
    for _ in 0..4 {
        broke(&post("/broken/k"), "trap");
    }
    assert_eq!(counts(&first), [5, 2, 4]);
    // Reads are not decisions, but can break; what is malformed, or never reaches the rules, is neither.
    host.get("chameleon", "/counters/k");
    broke(&host.get("chameleon", "/peeks/k"), "trap");
    assert_eq!(post("/waits/k").status, 400);
    assert_eq!(post("/nowhere/k").status, 404);
    assert_eq!(counts(&first), [5, 2, 5]);
    // An event and a timer, each with the command that it comes from; and one on which the rules break.
    done("/told/k");
    done("/timers/timed");
    until("the event and the timer were decided", || {
        counts(&first) == [9, 2, 5]
    });
    done("/told-badly/k");
    until("the event is given up", || counts(&first) == [10, 2, 6]);
    assert_eq!(published(data, "chameleonTopic.chameleon.dlq"), 1);

    // The next build has counts of its own, and going back goes on with those that were there.
    swap(&host, &second);
    assert_eq!(counts(&second), [0, 0, 0]);
    count(&host, "k");
    problem(&post("/refused/k"), 409, "no");
    broke(&post("/broken/k"), "trap");
    assert_eq!(counts(&second), [2, 1, 1]);
    assert_eq!(rollback(&host).status, 200);
    count(&host, "k");
    assert_eq!((counts(&first), counts(&second)), ([11, 2, 6], [2, 1, 1]));
    assert!(host.stop().success());
    // They are what is recorded, and survive the restart.
    assert_eq!(number(data, "SELECT count(*) FROM journal"), 13);
    let path = data.join("chameleon.wasm");
    let host = chameleon::start(&path, data).start();
    let told = told_of(&host, &first);
    assert_eq!(
        (&told["decisions"], &told["faults"]),
        (&json!(11), &json!(6))
    );
    assert!(host.stop().success());
}

#[test]
fn the_span_of_each_turn_has_the_digest_that_decided() {
    let data = tempfile::tempdir().unwrap();
    let builds = ["1.0.0", "2.0.0"].map(|version| Chameleon::new().version(version));
    let path = data.path().join("chameleon.wasm");
    builds[0].write(&path);
    let host = chameleon::start(&path, data.path())
        .setting("reload.watch_ms", 0)
        .setting("log.level", "debug")
        .start();
    count(&host, "k");
    swap(&host, &builds[1]);
    count(&host, "k");
    let log = host.log();
    let decided: Vec<_> = (log.lines())
        .filter(|line| line.contains("turn{participant=chameleon") && line.contains("decided"))
        .collect();
    assert_eq!(decided.len(), 2, "{log}");
    for (line, build) in decided.iter().zip(&builds) {
        assert!(line.contains(&build.digest()), "{line}");
    }
    assert!(host.stop().success());
}
