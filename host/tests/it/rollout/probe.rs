//! A candidate's failures with what is stored, recorded or in flight are found before it is active, by whichever way it
//! comes (invariant 13).

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, is_active, look, swap, told};
use crate::commands::{asks, call, json_of};
use crate::expect::until;
use crate::rollout::refused::{first, other, refuses, start, use_everything};
use crate::store_file::{number, rows};
use crate::support::{Host, signal};

/// A build for which the member `count` of its states is called `total`, and which says nothing of it.
fn renamed(state: Value) -> Chameleon {
    let mut described = json!({"version": 2});
    let members = state.as_object().unwrap().clone();
    described.as_object_mut().unwrap().extend(members);
    other(json!({ "state": described }))
}

#[test]
fn invariant_13_a_state_that_cannot_be_read_is_found_whoever_would_find_it() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data);
    let unread = |more: Value| {
        let mut state = json!({"needs": ["total"], "decoded": false});
        state
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        renamed(state)
    };
    let requires = json!({"if": {}, "then": {"required": ["total"]}});
    for (build, says) in [
        // Rules that decode what they are asked to, as those of the SDK do.
        (
            renamed(json!({"needs": ["total"]})),
            "can't read the state of k (version 2): missing field `total`",
        ),
        // Rules that give it back unread, by what they describe.
        (
            unread(json!({ "schema": requires })),
            "describes another shape than that of the state of k (version 2): \"total\" is a required property",
        ),
        // Rules that describe nothing, by what they show.
        (
            unread(json!({})),
            "can't show the state of k (version 2): read `look`: trap: ",
        ),
    ] {
        refuses(&host, data, &build.bytes(), "probe", says);
    }
    assert_eq!(look(&host, "k")["by"], "1.0.0");
    assert!(host.stop().success());
}

/// Waits until the host has refused something by this way, for this reason.
fn until_refused(host: &Host, way: &str, says: &str) {
    until(&format!("it is refused by {way}"), || {
        let refused = told(host)["refused"][0].clone();
        let reasons = refused["reasons"].to_string();
        refused["way"] == way && refused["check"] == "probe" && reasons.contains(says)
    });
}

#[test]
fn a_replaced_file_sighup_and_a_start_with_apply_refuse_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let (data, path) = (
        directory.path().join("data"),
        directory.path().join("c.wasm"),
    );
    let says = "can't read the state of k (version 2): missing field `total`";
    first().write(&path);
    let host = chameleon::start(&path, &data)
        .setting("reload.watch_ms", 50)
        .start();
    count(&host, "k");
    renamed(json!({"needs": ["total"]})).write(&path);
    until_refused(&host, "file", says);
    assert!(is_active(&host, &first()));
    assert!(host.stop().success());

    first().write(&path);
    let host = chameleon::start(&path, &data)
        .setting("reload.watch_ms", 0)
        .start();
    renamed(json!({"needs": ["total"]}))
        .version("3.0.0")
        .write(&path);
    signal(host.id(), "HUP");
    until_refused(&host, "signal", says);
    assert_eq!(count(&host, "k")["count"], 2);
    assert!(host.stop().success());

    let (status, said) = chameleon::start(&path, &data)
        .arguments(&["--apply"])
        .fail();
    assert_eq!(status.code(), Some(65), "{said}");
    assert!(said.contains(says), "{said}");
    let way_out =
        "start without --apply, and take it with `saga apply --allow-breaking` if it has to be";
    assert!(said.contains(way_out), "{said}");
}

#[test]
fn waiting_events_that_a_candidate_can_not_decide_are_found() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data);
    use_everything(&host, data);
    let handling = |name: &str, act: Value| {
        let mut handle = json!({
            "awaited": {"retry-later": "not yet"},
            "tell": {"publish": {"event_type": "counted", "body": {"key": "told"}}},
            "ask": {"publish": {"event_type": "awaited", "body": {"key": "asked"}}},
            "set": {"set-timer": {"name": "later", "after_ms": 3_600_000}},
        });
        handle[name] = act;
        other(json!({ "handle": handle }))
    };
    let malformed = json!({"malformed": "missing field `shop`"});
    for (name, act, says) in [
        (
            "later",
            malformed.clone(),
            "can't decide on the timer `later` that k has set: malformed: missing field `shop`",
        ),
        (
            "later",
            json!("trap"),
            "can't decide on the timer `later` that k has set: trap",
        ),
        (
            "awaited",
            malformed.clone(),
            "can't decide on the event `awaited` that waits at awaitedTopic/",
        ),
        ("awaited", json!("trap"), "for asked: trap"),
        (
            "counted",
            malformed,
            "`counted` of aggregate told: malformed: missing field `shop`",
        ),
    ] {
        refuses(&host, data, &handling(name, act).bytes(), "probe", says);
    }
    // Later is no refusal, and what can be decided is.
    let applied = swap(&host, &handling("later", json!({"retry-later": "not yet"})));
    let probe = &applied["probe"];
    assert_eq!(
        (&probe["timers"], &probe["events"]),
        (&json!(1), &json!(1)),
        "{applied}"
    );
    assert_eq!(number(data, "SELECT count(*) FROM dead_letters"), 0);
    assert!(host.stop().success());
}

#[test]
fn inputs_are_of_each_kind_however_many_of_one_kind_were_the_latest() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    first().write(&path);
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("reload.probe_inputs", 8)
        .start();
    count(&host, "k");
    count(&host, "k");
    use_everything(&host, data);
    for key in 0..30 {
        count(&host, &format!("new-{key}"));
    }
    let on_nothing = "SELECT count(*) FROM (SELECT state FROM journal ORDER BY seq DESC LIMIT 30) WHERE state IS NULL";
    assert_eq!(
        number(data, on_nothing),
        30,
        "the latest all made an aggregate"
    );
    let acting = |name: &str, act: Value| other(json!({ "handle": { name: act } }));
    for (build, says) in [
        (
            acting("count", json!({"if-state": [{}, "trap"]})),
            "`count` of aggregate k: trap",
        ),
        (acting("tell", json!("trap")), "`tell` of aggregate k: trap"),
        (
            acting("counted", json!("trap")),
            "`counted` of aggregate told: trap",
        ),
    ] {
        let refused = chameleon::apply(&host, &build);
        assert_eq!(refused.status, 422, "{says}: {}", refused.text());
        assert!(refused.text().contains(says), "{says}: {}", refused.text());
    }
    assert!(host.stop().success());
}

#[test]
fn failures_that_the_active_build_has_too_do_not_prevent_a_swap() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    first().write(&path);
    let untried = |probe_inputs: u64| {
        chameleon::start(&path, data)
            .setting("reload.watch_ms", 0)
            .setting("reload.probe_inputs", probe_inputs)
            .start()
    };
    let host = untried(0);
    count(&host, "k");
    swap(&host, &renamed(json!({"needs": ["total"]})));
    assert!(host.stop().success());

    let host = untried(64);
    let worse = renamed(json!({"needs": ["total", "more"]})).version("3.0.0");
    let applied = swap(&host, &worse);
    let note = applied["notes"][0].as_str().unwrap();
    assert!(
        note.contains("that the active build fails too: can't read the state of k (version 2): missing field `total`"),
        "{note}"
    );
    let applied = swap(&host, &first().version("4.0.0"));
    assert_eq!(applied["notes"], json!([]), "{applied}");
    assert_eq!(count(&host, "k")["count"], 2);
    assert!(host.stop().success());
}

/// A build of which a list is narrowed down by the value at this pointer.
fn listing(build: Chameleon, pointer: &str) -> Chameleon {
    build.with(json!({"listings": [{
        "name": "list", "path": "/counters",
        "filters": [{"parameter": "by", "pointer": pointer, "schema": {"type": "string"}}],
    }]}))
}

#[test]
fn a_filter_that_would_find_nothing_any_more_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let (data, path) = (directory.path(), directory.path().join("chameleon.wasm"));
    listing(first(), "/by").write(&path);
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .start();
    count(&host, "k");
    let says = "the listing at /counters would find nothing by `by`: none of 1 stored states has a value at /writer, and 1 \
                can be found by it now, such as k";
    refuses(
        &host,
        data,
        &listing(other(json!({})), "/writer").bytes(),
        "probe",
        says,
    );
    let renaming = other(json!({
        "state": {"version": 3, "oldest_readable": 2},
        "migrate": {"rename": {"by": "writer"}},
    }));
    let applied = swap(&host, &listing(renaming, "/writer"));
    assert_eq!(applied["probe"]["states"], 1, "{applied}");
    assert!(host.stop().success());
}

/// Verifies a build against what a host has stored; gives what is printed.
fn verified(data: &Path, build: &Chameleon) -> String {
    let path = data.join("verified.wasm");
    build.write(&path);
    let (code, out, err) = call(&mut asks(data, &["verify", path.to_str().unwrap()]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

#[test]
fn the_samples_of_the_probe_are_reported() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data);
    use_everything(&host, data);
    let told = verified(data, &first().version("1.0.1"));
    let line = told.lines().next().unwrap();
    assert!(
        line.contains(" recorded inputs decided differently; 2 of 2 stored states read; tried on 1 set timers and 1 waiting events"),
        "{told}"
    );
    let path = data.join("verified.wasm");
    let json = json_of(&mut asks(data, &["verify", path.to_str().unwrap()]));
    let probe = &json["probe"];
    let counted = ["states", "timers", "events", "left_out"].map(|name| probe[name].as_u64());
    assert_eq!(counted, [Some(2), Some(1), Some(1), Some(0)], "{json}");
    assert_eq!(
        rows(data, "SELECT key FROM aggregates WHERE state IS NOT NULL").len(),
        2
    );
    fs::remove_file(path).unwrap();
    assert!(host.stop().success());
}
