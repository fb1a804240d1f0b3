//! `saga replay`: recorded decisions made again, by other rules and by their own.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count};
use crate::commands::{asks, call};
use crate::store_file;
use crate::support::{Host, request, saga};

/// Rules whose `count` refuses an aggregate that has this count.
fn limited(version: &str, limit: i64) -> Chameleon {
    Chameleon::new()
        .version(version)
        .with(json!({"handle": {"count": [
            {"count": 1}, {"publish": {"event_type": "changed"}},
            {"if-state": [{"count": limit}, {"set": ["full", true]}]},
        ]}}))
}

fn written(data: &Path, name: &str, build: &Chameleon) -> String {
    let path = data.join(name);
    build.write(&path);
    path.to_str().unwrap().to_owned()
}

/// Exit code and report of a replay of `chameleon`.
fn replayed(data: &Path, more: &[&str]) -> (i32, Value) {
    let arguments = [&["replay", "chameleon", "--json"], more].concat();
    let (code, out, err) = call(&mut asks(data, &arguments));
    assert_eq!(err, "", "{out}");
    (code, serde_json::from_str(&out).unwrap())
}

/// A host that has counted each of these keys as often.
fn counted(data: &Path, build: &Chameleon, keys: &[(&str, usize)]) -> Host {
    let host = chameleon::serve(data, build);
    for (key, times) in keys {
        for _ in 0..*times {
            count(&host, key);
        }
    }
    host
}

fn counts(report: &Value) -> [u64; 4] {
    ["replayed", "unchanged", "changed", "faults"].map(|name| report[name].as_u64().unwrap())
}

/// The groups as text, with their counts.
fn groups(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let groups = report["changes"].as_array().unwrap().iter();
    groups
        .map(|group| {
            let [what, pointer, from, to] =
                ["what", "pointer", "from", "to"].map(|name| text(&group[name]));
            format!("{what} {pointer}: {from} -> {to}: {}", group["count"])
        })
        .collect()
}

#[test]
fn a_changed_limit_changes_exactly_the_decisions_at_the_limit() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let keys = [("a", 5), ("b", 2), ("c", 3), ("d", 7)];
    // Beside the running host. The version is written into the state, so it stays the same.
    let host = counted(data, &limited("1.0.0", 5), &keys);
    let same = written(data, "same.wasm", &limited("1.0.0", 5));
    let (code, report) = replayed(data, &["--candidate", &same]);
    assert_eq!((code, counts(&report)), (0, [17, 17, 0, 0]), "{report}");
    assert_eq!(report["mode"], "recorded");
    let other = written(data, "other.wasm", &limited("1.0.0", 3));
    let (code, report) = replayed(data, &["--candidate", &other]);
    // Each aggregate that was counted three times is full then; those that were counted five times
    // were full then, and are not any more. What came after has it in its recorded state.
    assert_eq!((code, counts(&report)), (1, [17, 12, 5, 0]), "{report}");
    let groups = groups(&report);
    for expected in [
        "state /full: nothing -> true: 3",
        "state /full: true -> nothing: 2",
        "reply /done/full: nothing -> true: 3",
        "reply /done/full: true -> nothing: 2",
    ] {
        assert!(groups.iter().any(|one| one == expected), "{groups:?}");
    }
    let example = &report["changes"][0]["examples"][0];
    for (decision, full) in [("decided", Value::Null), ("would_decide", json!(true))] {
        let decision: Value = serde_json::from_str(example[decision].as_str().unwrap()).unwrap();
        let state = &decision["state"]["put"];
        assert_eq!((&state["count"], &state["full"]), (&json!(3), &full));
    }
    assert_eq!(
        (&example["key"], &example["name"], &example["revision"]),
        (&json!("a"), &json!("count"), &json!(2)),
        "{example}"
    );
    // As text, the same.
    let arguments = ["replay", "chameleon", "--candidate", &other];
    let (code, out, err) = call(&mut asks(data, &arguments));
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    for line in [
        "\nunchanged 12, changed 5, faults 0, no baseline 0\n",
        "\nstate /full: nothing -> true: 3\n  a: command `count` (",
    ] {
        assert!(out.contains(line), "{line:?} is not in\n{out}");
    }
    assert!(host.stop().success());
}

#[test]
fn ranges_and_keys_select_decisions() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &limited("1.0.0", 5), &[("a", 5), ("b", 2)]);
    let other = written(data, "other.wasm", &limited("1.0.0", 2));
    for (more, expected) in [
        (&["--key", "b"][..], [2, 1, 1, 0]),
        (&["--key", "a", "--last", "2"], [2, 1, 1, 0]),
        (&["--last", "1"], [1, 0, 1, 0]),
        (&["--since", "1h"], [7, 4, 3, 0]),
        (&["--since", "0s"], [0, 0, 0, 0]),
        (&["--key", "none"], [0, 0, 0, 0]),
    ] {
        let arguments = [&["--candidate", &other], more].concat();
        let (code, report) = replayed(data, &arguments);
        assert_eq!(counts(&report), expected, "{more:?}: {report}");
        assert_eq!(code, i32::from(expected[2] > 0), "{more:?}");
    }
    assert!(host.stop().success());
}

#[test]
fn a_counterfactual_run_ends_where_a_host_with_the_candidate_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (data, fresh) = (directory.path().join("one"), directory.path().join("two"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(&fresh).unwrap();
    let step = |by: i64| Chameleon::new().with(json!({"handle": {"count": {"count": by}}}));
    let keys = [("a", 3), ("b", 1)];
    let host = counted(&data, &step(1), &keys);
    let by_ten = written(&data, "ten.wasm", &step(10));
    let (code, report) = replayed(&data, &["--candidate", &by_ten, "--counterfactual"]);
    assert_eq!((code, counts(&report)), (1, [4, 0, 4, 0]), "{report}");
    assert_eq!(report["mode"], "counterfactual");
    assert_eq!(report["on_other_states"], 2, "{report}");
    assert!(host.stop().success());
    // A host that ran the candidate from the start.
    let host = counted(&fresh, &step(10), &keys);
    let state = chameleon::look(&host, "a");
    assert_eq!(state["count"], 30);
    let groups = groups(&report);
    for expected in [
        "state /count: 1 -> 10: 2",
        "state /count: 2 -> 20: 1",
        "state /count: 3 -> 30: 1",
    ] {
        assert!(groups.iter().any(|one| one == expected), "{groups:?}");
    }
    assert!(host.stop().success());
    // On the recorded states, it adds ten to each.
    let (_, report) = replayed(&data, &["--candidate", &by_ten]);
    let groups = self::groups(&report);
    assert!(
        groups.contains(&"state /count: 3 -> 12: 1".to_owned()),
        "{groups:?}"
    );
}

#[test]
fn invariant_7_own_rules_repeat_their_decisions_unless_they_keep_something() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &limited("1.0.0", 5), &[("a", 6)]);
    chameleon::swap(&host, &limited("2.0.0", 3));
    for _ in 0..4 {
        count(&host, "b");
    }
    let (code, report) = replayed(data, &["--self"]);
    assert_eq!((code, counts(&report)), (0, [10, 10, 0, 0]), "{report}");
    assert_eq!(report["mode"], "own-rules");
    assert!(host.stop().success());

    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let keeping = Chameleon::new().with(json!({"handle": {"count": [{"count": 1}, "tell-calls"]}}));
    let path = data.join("chameleon.wasm");
    keeping.write(&path);
    let host = chameleon::start(&path, data)
        .setting("instances", 1)
        .start();
    for key in ["a", "b", "c", "d", "e", "f"] {
        count(&host, key);
    }
    assert!(host.stop().success());
    // Also where they come again in the order in which they were decided.
    for more in [&["--last", "1"][..], &["--last", "3"], &[]] {
        let arguments = [&["replay", "chameleon", "--self"], more].concat();
        let (code, out, err) = call(&mut asks(data, &arguments));
        assert_eq!((code, err.as_str()), (65, ""), "{more:?}: {out}");
        assert!(out.contains("not a function of their input"), "{out}");
    }
}

/// `same`, `others`, and what is not judged.
fn own_fuel(report: &Value) -> (u64, u64, Vec<String>) {
    let fuel = &report["own_fuel"];
    let count = |name: &str| fuel[name].as_u64().unwrap();
    let not_judged = fuel["not_judged"].as_array().unwrap().iter();
    let not_judged = not_judged.map(|one| {
        let reason = one["reason"].as_str().unwrap();
        format!("{reason}: {}", one["count"])
    });
    (count("same"), count("others"), not_judged.collect())
}

#[test]
fn invariant_7_the_same_engine_takes_the_same_fuel_on_fresh_instances() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let start = |is_fresh: bool, memory: usize| {
        chameleon::start_unwatched(data)
            .setting("participants.chameleon.fresh_instances", is_fresh)
            .setting("guest.memory_bytes", memory)
            .start()
    };
    const MEMORY: usize = 64 << 20;
    for (is_fresh, memory) in [(true, MEMORY), (false, MEMORY), (true, MEMORY / 2)] {
        let host = start(is_fresh, memory);
        for key in ["a", "b", "a"] {
            count(&host, key);
        }
        assert!(host.stop().success());
    }
    let (code, report) = replayed(data, &["--self"]);
    assert_eq!((code, counts(&report)), (0, [9, 9, 0, 0]), "{report}");
    let memory = format!("guest.memory_bytes was {}, not {MEMORY}: 3", MEMORY / 2);
    let used = "it was measured on instances that were used before: 3";
    let mut found = own_fuel(&report);
    found.2.sort();
    assert_eq!(found, (3, 0, vec![memory, used.into()]), "{report}");
    let arguments = ["replay", "chameleon", "--self"];
    let told = |expected: i32, lines: &[&str]| {
        let (code, out, err) = call(&mut asks(data, &arguments));
        assert_eq!((code, err.as_str()), (expected, ""), "{out}");
        for line in lines {
            assert!(out.contains(line), "{line:?} is not in\n{out}");
        }
    };
    let used = "\nthe fuel is not judged for 3 decisions: it was measured on instances that were used before\n";
    told(
        0,
        &[
            "\nthe fuel is judged for 3 decisions: the same in all\n",
            used,
        ],
    );
    // A candidate may take any.
    let path = data.join("chameleon.wasm");
    let (_, report) = replayed(data, &["--candidate", path.to_str().unwrap()]);
    assert_eq!(report["own_fuel"], Value::Null);

    store_file::execute(
        data,
        "UPDATE journal SET fuel = fuel + 1 WHERE seq IN (2, 4)",
    );
    let (code, report) = replayed(data, &["--self"]);
    assert_eq!((code, counts(&report)), (65, [9, 9, 0, 0]), "{report}");
    assert_eq!(own_fuel(&report).1, 1, "{report}");
    let first = &report["own_fuel"]["first"];
    assert_eq!(
        (&first["key"], &first["revision"]),
        (&json!("b"), &json!(0))
    );
    told(
        65,
        &[
            "no baseline 0; the rules are not a function of their input\n",
            "\nother fuel on the same engine: 1 of 3 decisions, the first for b at revision 0: ",
        ],
    );

    let other =
        "UPDATE generations SET fuel_terms = replace(fuel_terms, 'wasmtime ', 'wasmtime 1.')";
    store_file::execute(data, other);
    let (code, report) = replayed(data, &["--self"]);
    let (same, others, not_judged) = own_fuel(&report);
    assert_eq!((code, same, others), (0, 0, 0), "{report}");
    assert!(
        not_judged[0].starts_with("it was measured with wasmtime 1."),
        "{not_judged:?}"
    );
    store_file::execute(data, "UPDATE generations SET fuel_terms = NULL");
    let (code, report) = replayed(data, &["--self"]);
    let unknown = "it was not recorded with which engine: 9".to_owned();
    assert_eq!((code, own_fuel(&report)), (0, (0, 0, vec![unknown])));
}

#[test]
fn rules_that_come_back_are_recorded_with_the_engine_that_they_come_back_on() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let first = Chameleon::new();
    let host = chameleon::serve(data, &first);
    chameleon::swap(&host, &chameleon::second());
    assert!(host.stop().success());
    let host = chameleon::start_unwatched(data)
        .setting("participants.chameleon.fresh_instances", true)
        .start();
    chameleon::swap(&host, &first);
    count(&host, "a");
    assert!(host.stop().success());
    let (code, report) = replayed(data, &["--self"]);
    assert_eq!((code, own_fuel(&report)), (0, (1, 0, vec![])), "{report}");
}

#[test]
fn a_candidate_that_breaks_is_told_with_the_first_decision() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &Chameleon::new(), &[("a", 3)]);
    let breaking = Chameleon::new().with(json!({"handle": {"count": [
        {"if-state": [{"count": 2}, "trap"]}, {"count": 1},
    ]}}));
    let path = written(data, "breaks.wasm", &breaking);
    let (code, report) = replayed(data, &["--candidate", &path]);
    assert_eq!((code, counts(&report)), (1, [3, 2, 0, 1]), "{report}");
    let group = &report["fault_groups"][0];
    assert_eq!(
        (&group["kind"], &group["count"]),
        (&json!("trap"), &json!(1))
    );
    assert_eq!(group["examples"][0]["revision"], 2, "{group}");
    assert!(host.stop().success());
}

#[test]
fn what_a_candidate_does_not_take_or_read_is_a_fault() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &Chameleon::new(), &[("a", 3)]);
    assert!(host.stop().success());
    let without = Chameleon::new().with(json!({"commands": [
        {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
    ]}));
    let newer = Chameleon::new().with(json!({"state": {"version": 3, "oldest_readable": 2}}));
    for (name, candidate, kind, says) in [
        (
            "without.wasm",
            without,
            "not-taken",
            "don't take the command `count`",
        ),
        (
            "newer.wasm",
            newer,
            "migration",
            "don't read states of version 1",
        ),
    ] {
        let path = written(data, name, &candidate);
        for more in [&[][..], &["--counterfactual"]] {
            let (code, report) = replayed(data, &[&["--candidate", &*path], more].concat());
            assert_eq!((code, counts(&report)), (1, [3, 0, 0, 3]), "{report}");
            assert_eq!(report["no_baseline"], json!([]));
            let group = &report["fault_groups"][0];
            assert_eq!(group["kind"], kind);
            let said = group["examples"][0]["would_decide"].as_str().unwrap();
            assert!(said.contains(says), "{said}");
        }
    }
}

#[test]
fn rules_that_are_gone_are_no_success() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &Chameleon::new(), &[("a", 2)]);
    let second = chameleon::second();
    chameleon::swap(&host, &second);
    count(&host, "a");
    assert!(host.stop().success());
    let copies = data.join("components");
    std::fs::remove_file(copies.join(format!("{}.wasm", second.digest()))).unwrap();
    let page = data.join("page.html");
    let report_to = ["--self", "--report", page.to_str().unwrap()];
    let (code, report) = replayed(data, &report_to);
    assert_eq!((code, counts(&report)), (1, [2, 2, 0, 0]), "{report}");
    assert_eq!(report["no_baseline"][0]["count"], 1);
    let told = std::fs::read_to_string(&page).unwrap();
    assert!(
        told.contains("Every decision that was made again is the same."),
        "{told}"
    );
    let (code, report) = replayed(data, &[&report_to[..], &["--last", "1"]].concat());
    assert_eq!((code, counts(&report)), (1, [0, 0, 0, 0]), "{report}");
    let told = std::fs::read_to_string(&page).unwrap();
    assert!(told.contains("No decision was made again."), "{told}");
    let (code, out, _) = call(&mut asks(
        data,
        &["replay", "chameleon", "--self", "--last", "1"],
    ));
    assert_eq!(code, 1);
    assert!(
        out.contains("no baseline 1; no decision was made again\n"),
        "{out}"
    );
}

#[test]
fn after_a_fault_a_recorded_decision_of_an_older_shape_leaves_a_state_in_the_shape_of_the_candidate()
 {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let steady = Chameleon::new().with(json!({"handle": {"count": {"count": 0}}}));
    let host = counted(data, &steady, &[("a", 4)]);
    assert!(host.stop().success());
    // It leaves each state as it was too, but for a member that its migration adds.
    let faulty = Chameleon::new().with(json!({
        "state": {"version": 2, "oldest_readable": 1},
        "handle": {"count": [
            {"if-state": [{"count": 0}, "trap"]}, {"count": 0}, {"set": ["migrated_from", 1]},
        ]},
    }));
    let path = written(data, "faulty.wasm", &faulty);
    let (_, report) = replayed(data, &["--candidate", &path, "--counterfactual"]);
    assert_eq!(report["faults"], 3, "{report}");
    assert_eq!(report["on_other_states"], 0, "{report}");
}

#[test]
fn the_file_of_a_report_is_opened_first() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &Chameleon::new(), &[("a", 1)]);
    assert!(host.stop().success());
    let fails = |report: &Path| {
        let candidate = ["replay", "chameleon", "--candidate", "none.wasm"];
        let report = ["--report", report.to_str().unwrap()];
        let (code, out, err) = call(&mut asks(data, &[&candidate[..], &report].concat()));
        assert_eq!(out, "");
        (code, err)
    };
    let (code, err) = fails(&data.join("nowhere/page.html"));
    assert_eq!(code, 73, "{err}");
    assert!(
        err.contains("the report can't be written: ") && err.contains("nowhere/page.html"),
        "{err}"
    );
    // Without a replay, a report stays as it was.
    let page = data.join("page.html");
    assert_eq!(fails(&page).0, 65);
    assert!(!page.exists());
    std::fs::write(&page, "before").unwrap();
    assert_eq!(fails(&page).0, 65);
    assert_eq!(std::fs::read_to_string(&page).unwrap(), "before");
}

#[test]
fn a_page_has_no_script_and_no_text_becomes_a_part_of_it() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &Chameleon::new(), &[("k", 1)]);
    let named = Chameleon::new().version("</pre><script>1</script>");
    let other = written(data, "other.wasm", &named);
    let page = data.join("page.html");
    let arguments = ["--candidate", &other, "--report", page.to_str().unwrap()];
    let (code, _) = replayed(data, &arguments);
    assert_eq!(code, 1);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        !page.contains("<script") && page.contains("&lt;script&gt;"),
        "{page}"
    );
    assert!(!page.contains("http"), "it needs nothing else: {page}");
    assert!(host.stop().success());
}

#[test]
fn what_can_not_be_replayed_says_why() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = chameleon::serve(data, &Chameleon::new());
    let path = written(data, "same.wasm", &Chameleon::new());
    // An empty journal.
    let (code, report) = replayed(data, &["--candidate", &path]);
    assert_eq!((code, counts(&report)), (0, [0, 0, 0, 0]));
    assert_eq!(replayed(data, &["--self"]).0, 0);
    let customer = crate::support::component("customer");
    let customer = customer.to_str().unwrap();
    for (arguments, expected, says) in [
        (
            &["replay", "nobody", "--self"][..],
            64,
            "there is no participant `nobody`",
        ),
        (&["replay", "chameleon"], 64, "--candidate"),
        (
            &["replay", "chameleon", "--self", "--counterfactual"],
            64,
            "--counterfactual",
        ),
        (
            &["replay", "chameleon", "--self", "--candidate", &path],
            64,
            "--candidate",
        ),
        (&["replay", "chameleon", "--self", "--since", "7"], 64, "7d"),
        (
            &["replay", "chameleon", "--self", "--last", "0"],
            64,
            "--last",
        ),
        (
            &["replay", "chameleon", "--candidate", customer],
            65,
            "customer",
        ),
        (
            &["replay", "chameleon", "--candidate", "none.wasm"],
            65,
            "none.wasm",
        ),
    ] {
        let (code, out, err) = call(&mut asks(data, arguments));
        assert_eq!((code, out.as_str()), (expected, ""), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
    assert!(host.stop().success());
    let nothing = data.join("nothing");
    let (code, _, err) = call(&mut asks(&nothing, &["replay", "chameleon", "--self"]));
    assert_eq!(code, 73, "{err}");
}

#[test]
fn decisions_on_states_of_an_older_shape_are_replayed_in_the_shape_of_the_rules() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let shaped = |version: u32| {
        Chameleon::new().with(json!({
            "state": {"version": version, "oldest_readable": 1},
        }))
    };
    let host = counted(data, &shaped(1), &[("a", 2), ("b", 1)]);
    chameleon::swap(&host, &shaped(2));
    // `a` is migrated by its third decision, `c` is new in the new shape.
    for key in ["a", "a", "c"] {
        count(&host, key);
    }
    assert!(host.stop().success());
    // Each generation repeats its own decisions, also the one that migrated.
    let (code, report) = replayed(data, &["--self"]);
    assert_eq!((code, counts(&report)), (0, [6, 6, 0, 0]), "{report}");
    // The rules of the new shape make all of them: where a state of the older shape was left, it is brought to theirs.
    let newer = written(data, "newer.wasm", &shaped(2));
    for more in [&[][..], &["--counterfactual"]] {
        let (_, report) = replayed(data, &[&["--candidate", &*newer], more].concat());
        let [all, unchanged, changed, faults] = counts(&report);
        assert_eq!((all, unchanged + changed, faults), (6, 6, 0), "{report}");
        // What differs is what the migration adds.
        for group in groups(&report) {
            assert!(group.contains("/migrated_from: "), "{more:?}: {group}");
        }
    }
    // A change of the rules is seen through the migration.
    let other = shaped(2).with(json!({"handle": {"count": {"count": 2}}}));
    let other = written(data, "other.wasm", &other);
    let (code, report) = replayed(data, &["--candidate", &other]);
    assert_eq!((code, counts(&report)), (1, [6, 0, 6, 0]), "{report}");
    assert!(
        groups(&report)
            .iter()
            .any(|group| group == "state /count: 2 -> 3: 1"),
        "{report}"
    );
    // Rules of the older shape do not read the states of the newer one.
    let older = written(data, "older.wasm", &shaped(1));
    let (code, report) = replayed(data, &["--candidate", &older]);
    assert_eq!((code, counts(&report)), (1, [6, 3, 0, 3]), "{report}");
    assert_eq!(report["fault_groups"][0]["kind"], "migration", "{report}");
}

/// Replays `chameleon` over the admin interface of a host, from a directory without a store.
fn replayed_there(elsewhere: &Path, host: &Host, more: &[&str]) -> (i32, String, String) {
    let admin = host.admin();
    let arguments = [&["replay", "chameleon", "--admin", admin], more].concat();
    call(saga().current_dir(elsewhere).args(arguments))
}

/// Removes what was measured from a report's fuel, or that of one message; what was recorded stays.
fn without_present_fuel(members: &mut serde_json::Map<String, Value>) {
    let fuel = members["fuel"].as_object_mut().unwrap();
    assert!(fuel.remove("now").is_some() && fuel.remove("same").is_some());
}

#[test]
fn decisions_of_a_running_host_are_replayed_over_its_admin_interface() {
    let directory = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (directory.path().join("data"), directory.path().join("else"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(&elsewhere).unwrap();
    // More than one page.
    let host = counted(&data, &limited("1.0.0", 5), &[("a%26b%20c", 505), ("b", 7)]);
    let other = written(&elsewhere, "other.wasm", &limited("1.0.0", 3));
    let told = |report: Value| {
        let Value::Object(mut members) = report else {
            panic!("{report}");
        };
        members.remove("elapsed_ms");
        // What a decision takes now depends on what the thread's instance decided before.
        without_present_fuel(&mut members);
        for message in members["messages"].as_array_mut().unwrap() {
            without_present_fuel(message.as_object_mut().unwrap());
        }
        // A share of the time is measured from now on.
        if let Some(Value::Object(range)) = members.get_mut("range") {
            range.remove("since");
        }
        Value::Object(members)
    };
    for more in [
        &[][..],
        &["--counterfactual"],
        &["--key", "a&b c"],
        &["--last", "3"],
        &["--since", "1h"],
        &["--key", "none"],
    ] {
        let arguments = [&["--candidate", &*other], more].concat();
        let (expected, here) = replayed(&data, &arguments);
        let (code, out, err) =
            replayed_there(&elsewhere, &host, &[&["--json"], &*arguments].concat());
        assert_eq!((code, err.as_str()), (expected, ""), "{more:?}: {out}");
        let there: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(told(there), told(here), "{more:?}");
    }
    for (arguments, expected, says) in [
        (
            &["--self", "--candidate", &*other][..],
            64,
            "cannot be used with",
        ),
        (&["--candidate", "none.wasm"], 65, "none.wasm"),
    ] {
        let (code, out, err) = replayed_there(&elsewhere, &host, arguments);
        assert_eq!((code, out.as_str()), (expected, ""), "{err}");
        assert!(err.contains(says), "{err}");
    }
    let nobody = [
        "replay",
        "nobody",
        "--candidate",
        &other,
        "--admin",
        host.admin(),
    ];
    let (code, _, err) = call(saga().current_dir(&elsewhere).args(nobody));
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("nobody"), "{err}");
    let admin = host.admin().to_owned();
    assert!(host.stop().success());
    let gone = [
        "replay",
        "chameleon",
        "--candidate",
        &other,
        "--admin",
        &admin,
    ];
    let (code, _, err) = call(saga().current_dir(&elsewhere).args(gone));
    assert_eq!(code, 69, "{err}");
}

#[test]
fn own_rules_of_a_running_host_repeat_their_decisions_over_its_admin_interface() {
    let directory = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (directory.path().join("data"), directory.path().join("else"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(&elsewhere).unwrap();
    let host = counted(&data, &limited("1.0.0", 5), &[("a", 7)]);
    // The decisions are of two generations.
    let path = written(&elsewhere, "second.wasm", &limited("2.0.0", 6));
    let apply = [
        "apply",
        "chameleon",
        &path,
        "--admin",
        host.admin(),
        "--allow-breaking",
    ];
    let (code, _, err) = call(saga().current_dir(&elsewhere).args(apply));
    assert_eq!(code, 0, "{err}");
    count(&host, "b");
    let (expected, here) = replayed(&data, &["--self"]);
    let (code, out, err) = replayed_there(&elsewhere, &host, &["--self", "--json"]);
    assert_eq!((code, expected, err.as_str()), (0, 0, ""), "{out}");
    let there: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(counts(&there), [8, 8, 0, 0], "{there}");
    assert_eq!(counts(&there), counts(&here));
    let status = |path: &str| request("GET", &format!("{}{path}", host.admin()), &[], b"");
    let rules = status("/participants/chameleon/rules").json();
    assert_eq!(rules.as_array().unwrap().len(), 2, "{rules}");
    let component = rules[0]["component"].as_str().unwrap();
    let sent = status(&format!("/participants/chameleon/rules/{component}"));
    assert_eq!(sent.header("content-type"), Some("application/wasm"));
    assert_eq!(&sent.body[..4], b"\0asm");
    let unknown = status("/participants/chameleon/rules/..%2fsaga.db");
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    assert!(host.stop().success());
}

#[test]
fn decisions_of_a_host_are_given_to_those_who_show_its_token_with_the_settings_of_its_rules() {
    let directory = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (directory.path().join("data"), directory.path().join("else"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(&elsewhere).unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "a-token-of-24-characters").unwrap();
    let path = data.join("chameleon.wasm");
    Chameleon::new().write(&path);
    let host = chameleon::start(&path, &data)
        .setting("admin.token_file", token.to_str().unwrap())
        .setting("participants.chameleon.journal", "no-payloads")
        .start();
    count(&host, "a");
    let candidate = path.to_str().unwrap();
    let (code, _, err) = replayed_there(&elsewhere, &host, &["--candidate", candidate]);
    assert_eq!(code, 77, "{err}");
    let shown = [
        "--candidate",
        candidate,
        "--token-file",
        token.to_str().unwrap(),
    ];
    let (code, out, err) = replayed_there(&elsewhere, &host, &shown);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert!(
        out.contains("\nnot replayed: payload not kept: 1, the first for a\n"),
        "{out}"
    );
    assert!(host.stop().success());
}
