//! Swaps that are only tried: all checks take place, everything is told, and nothing is changed; and what is told
//! beforehand of a way that leads in one direction only.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, is_active, told};
use crate::commands::{asks, call, json_of};
use crate::store_file::rows;
use crate::support::{Host, saga};

fn build(version: &str, settings: Value) -> Chameleon {
    Chameleon::new().version(version).with(settings)
}

/// A build whose states are of version 2, and which publishes and listens elsewhere too.
fn migrating() -> Chameleon {
    build(
        "2.0.0",
        json!({
            "state": {"version": 2, "oldest_readable": 1},
            "subscriptions": [{"event_type": "counted"}, {"event_type": "new", "topic": "newTopic"}],
            "publications": [{"event_type": "changed", "topic": "changedTopic"}, {"event_type": "gone", "topic": "goneTopic"}],
        }),
    )
}

fn start(data: &Path) -> Host {
    let path = data.join("chameleon.wasm");
    build("1.0.0", json!({})).write(&path);
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .start();
    count(&host, "k");
    host
}

/// Everything that a swap leaves behind.
fn traces(host: &Host, data: &Path) -> (Vec<Vec<Vec<String>>>, Vec<String>, Value) {
    let tables = [
        "generations",
        "activations",
        "topics",
        "offsets",
        "refused_components",
    ];
    let tables = tables
        .iter()
        .map(|table| rows(data, &format!("SELECT count(*) FROM {table}")));
    let kept = std::fs::read_dir(data.join("components")).unwrap();
    let mut files: Vec<_> = kept
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    files.sort();
    (tables.collect(), files, told(host))
}

const ONE_WAY: &str = "state version 1 -> 2: after this, going back to version 1.0.0 (";

#[test]
fn a_dry_run_changes_nothing_and_is_reported_in_full() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data);
    let first = build("1.0.0", json!({}));
    let path = data.join("candidate.wasm");
    let path = path.to_str().unwrap();
    migrating().write(Path::new(path));
    let before = traces(&host, data);

    let dry = ["apply", "chameleon", path, "--dry-run"];
    let (code, out, err) = call(&mut asks(data, &dry));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let lines: Vec<_> = out.lines().collect();
    let (tried, active) = (&migrating().digest()[..12], &first.digest()[..12]);
    assert!(
        lines[0].starts_with(&format!(
            "chameleon 2.0.0 {tried} would be active, {active} is; checked in "
        )),
        "{out}"
    );
    // Which decisions would be others, and what there is no way back from.
    assert!(out.contains("count for k ("), "{out}");
    assert!(out.contains(&format!("note: {ONE_WAY}{active})")), "{out}");
    let told = json_of(&mut asks(data, &dry));
    assert_eq!(
        (&told["dry_run"], &told["changed"], &told["previous"]),
        (&json!(true), &json!(false), &json!(first.digest()))
    );
    assert_eq!(traces(&host, data), before);

    // What would be refused is, and is not put down as refused.
    build("3.0.0", json!({"commands": []})).write(Path::new(path));
    let (code, out, err) = call(&mut asks(data, &dry));
    assert_eq!((code, out.as_str()), (65, ""));
    assert!(err.contains("command `count`, or another one at"), "{err}");
    std::fs::write(path, "no component").unwrap();
    let (code, _, err) = call(&mut asks(data, &dry));
    assert_eq!(code, 65, "{err}");
    assert_eq!(traces(&host, data), before);
    assert!(is_active(&host, &first));
    // The active one itself.
    first.write(Path::new(path));
    let (code, out, _) = call(&mut asks(data, &dry));
    assert_eq!(
        (code, out),
        (0, format!("chameleon 1.0.0 {active} was active already\n"))
    );
    host.log_until("a component was checked only; nothing was changed");
    assert!(host.stop().success());
}

#[test]
fn a_dry_run_of_a_rollback_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data);
    chameleon::swap(&host, &build("1.1.0", json!({})));
    count(&host, "k");
    let before = traces(&host, data);
    let (code, out, err) = call(&mut asks(data, &["rollback", "chameleon", "--dry-run"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains(" would be active, "), "{out}");
    assert_eq!(traces(&host, data), before);
    for query in [
        "dry-run=true",
        "dry_run=true",
        "dry-run=true&drop-used=true&allow-breaking=true",
    ] {
        let tried = chameleon::rollback_with(&host, query);
        assert_eq!(tried.status, 200, "{}", tried.text());
        assert_eq!(tried.json()["dry_run"], true);
    }
    assert_eq!(traces(&host, data), before);
    assert_eq!(chameleon::rollback(&host).json()["changed"], true);
    assert!(host.stop().success());
}

#[test]
fn a_dry_run_reports_that_a_migration_prevents_a_rollback() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data);
    let first = data.join("chameleon.wasm");
    let path = data.join("candidate.wasm");
    migrating().write(&path);
    let path = path.to_str().unwrap();
    for against in [
        ["--against", first.to_str().unwrap()],
        ["--data", data.to_str().unwrap()],
    ] {
        let (code, out, err) = call(saga().args(["verify", path]).args(against));
        assert_eq!((code, err.as_str()), (0, ""), "{against:?}");
        assert!(
            out.contains(&format!("note: {ONE_WAY}")),
            "{against:?}: {out}"
        );
    }
    let applied = chameleon::swap(&host, &migrating());
    assert!(applied["notes"].to_string().contains(ONE_WAY), "{applied}");
    // Where no state was written yet the way is open, and that it leads back is no news.
    let back = chameleon::rollback(&host);
    assert_eq!(back.status, 200, "{}", back.text());
    assert!(!back.text().contains("state version"), "{}", back.text());
    assert!(host.stop().success());
}
