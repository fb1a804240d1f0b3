//! The way back from rules with which no host starts: `saga rollback` where none runs, and a start with `--apply`.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::chameleon::{self, Chameleon, count, swap, told_of};
use crate::commands::{asks, call, fails, json_of};
use crate::store_file::{execute, rows};
use crate::support::{Start, saga};

fn build(version: &str) -> Chameleon {
    Chameleon::new().version(version)
}

fn start(data: &Path) -> Start {
    chameleon::start(&file(data), data).setting("reload.watch_ms", 0)
}

fn file(data: &Path) -> PathBuf {
    data.join("chameleon.wasm")
}

/// A host that has stopped after its rules were swapped; the file at the path has the first ones.
fn stopped() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    build("1.0.0").write(&file(data));
    let host = start(data).start();
    count(&host, "k");
    swap(&host, &build("2.0.0"));
    count(&host, "k");
    assert!(host.stop().success());
    directory
}

/// Makes the active build break when it is described, as if another host had taken it.
fn broken(data: &Path) {
    let breaks = build("2.0.0").with(json!({"describe": "panic"}));
    breaks.write(
        &data
            .join("components")
            .join(format!("{}.wasm", breaks.digest())),
    );
    let renamed = format!(
        "UPDATE generations SET digest = '{0}', component = '{0}' WHERE digest = '{1}'",
        breaks.digest(),
        build("2.0.0").digest()
    );
    assert_eq!(execute(data, &renamed), 1);
}

#[test]
fn a_stopped_host_is_rolled_back_and_starts_with_the_rules_before() {
    let directory = stopped();
    let data = directory.path();
    let tried = json_of(&mut asks(data, &["rollback", "chameleon", "--dry-run"]));
    assert_eq!(
        (&tried["version"], &tried["changed"]),
        (&json!("1.0.0"), &json!(false))
    );
    let (code, out, said) = call(&mut asks(data, &["rollback", "chameleon"]));
    assert_eq!(code, 0, "{out} {said}");
    assert!(
        out.contains("the next start is with this generation"),
        "{out}"
    );
    let host = start(data).start();
    assert_eq!(count(&host, "k"), json!({"count": 3, "by": "1.0.0"}));
    assert_eq!(told_of(&host, &build("1.0.0"))["way"], "rollback");
    // One that runs is asked.
    let (code, said) = fails(&mut asks(data, &["rollback", "nobody"]));
    assert_eq!(code, 64, "{said}");
    assert!(host.stop().success());
    let (code, said) = fails(&mut asks(data, &["rollback", "chameleon"]));
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("no earlier generation"), "{said}");
    let (code, said) = fails(&mut asks(data, &["rollback", "nobody"]));
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("there are: chameleon"), "{said}");
}

#[test]
fn rules_that_can_not_be_loaded_any_more_are_rolled_back_or_replaced() {
    for way in ["rollback", "--apply"] {
        let directory = stopped();
        let data = directory.path();
        broken(data);
        let (status, said) = start(data).fail();
        assert_eq!(status.code(), Some(65), "{said}");
        assert!(
            said.contains("chameleon can't describe itself")
                && said.contains("`saga rollback chameleon`")
                && said.contains("--apply"),
            "{said}"
        );
        let flags = match way {
            "rollback" => {
                let (code, out, said) = call(&mut asks(data, &["rollback", "chameleon"]));
                assert_eq!(code, 0, "{out} {said}");
                &[][..]
            }
            flag => &[flag][..],
        };
        let host = start(data).arguments(flags).start();
        assert_eq!(
            count(&host, "k"),
            json!({"count": 3, "by": "1.0.0"}),
            "{way}"
        );
        assert!(host.stop().success());
    }
}

#[test]
fn a_clock_that_is_ahead_puts_nothing_out_of_use_for_a_host_that_is_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let lacking = build("1.0.0").with(json!({"commands": [
        {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
    ]}));
    lacking.write(&file(data));
    let host = start(data).start();
    let both = build("2.0.0");
    swap(&host, &both);
    count(&host, "k");
    assert!(host.stop().success());
    // For the next look the clock leapt.
    let days = 40 * 86_400_000_u64;
    execute(data, &format!("UPDATE tallies SET last = last - {days}"));
    execute(
        data,
        &format!("UPDATE trusted_time SET time = time - {days}"),
    );
    let verify = || {
        let mut command = saga();
        command
            .arg("verify")
            .arg(file(data))
            .arg("--data")
            .arg(data);
        command
    };
    for mut asked in [asks(data, &["rollback", "chameleon"]), verify()] {
        let (code, said) = fails(&mut asked);
        assert_eq!(code, 65, "{said}");
        assert!(said.contains("the last request for it came "), "{said}");
    }
}

#[test]
fn a_rollback_of_a_stopped_host_is_held_to_what_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    build("1.0.0").write(&file(data));
    let host = start(data).start();
    swap(
        &host,
        &build("2.0.0").with(json!({"state": {"version": 2, "oldest_readable": 1}})),
    );
    count(&host, "k");
    assert!(host.stop().success());
    let before = rows(data, "SELECT * FROM activations");
    let (code, said) = fails(&mut asks(data, &["rollback", "chameleon"]));
    assert_eq!(code, 65, "{said}");
    let refusal =
        "reads states of version 1 only; the store holds states of chameleon of version 2";
    assert!(said.contains(refusal), "{said}");
    assert_eq!(rows(data, "SELECT * FROM activations"), before);
}

#[test]
fn a_rollback_under_another_programs_lock_names_the_program_and_changes_nothing() {
    let directory = stopped();
    let data = directory.path();
    let lock = rusqlite::Connection::open(data.join("saga.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (code, said) = fails(&mut asks(data, &["rollback", "chameleon"]));
    assert_eq!(code, 73, "{said}");
    let own = format!("process {} (", std::process::id());
    let remedy = "has locked it; end that program, or its transaction";
    assert!(said.contains(&own) && said.contains(remedy), "{said}");
    drop(lock);
    let tried = json_of(&mut asks(data, &["rollback", "chameleon", "--dry-run"]));
    assert_eq!(tried["version"], "1.0.0", "it was not gone back");
}
