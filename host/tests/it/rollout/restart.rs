//! Which rules a host comes up with: those that were active, from its own copy, whatever has become of the file at
//! the path; and how long it keeps copies.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, rollback, swap, told, told_of};
use crate::commands::{asks, call};
use crate::expect::problem;
use crate::rollout::refused;
use crate::store_file::{execute, publish, record};
use crate::support::{Host, Start, component};

fn build(version: &str) -> Chameleon {
    Chameleon::new().version(version)
}

fn start(data: &Path) -> Start {
    let path = data.join("chameleon.wasm");
    if fs::symlink_metadata(&path).is_err() {
        build("1.0.0").write(&path);
    }
    chameleon::start(&path, data).setting("reload.watch_ms", 0)
}

/// A data directory on which the second build is active; the file at the path has the first one.
fn with_the_second_active() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let host = start(directory.path()).start();
    count(&host, "k");
    swap(&host, &build("2.0.0"));
    assert!(host.stop().success());
    directory
}

fn by(host: &Host) -> Value {
    count(host, "k")["by"].clone()
}

/// The host's own copy of a build.
fn copy(data: &Path, build: &Chameleon) -> PathBuf {
    data.join("components")
        .join(format!("{}.wasm", build.digest()))
}

/// The warning of a host whose file differs from the active build.
const DIFFERS: &str =
    "the file differs from the component that was active last, which stays active";

#[test]
fn a_start_uses_the_generation_that_was_active_whatever_the_file() {
    let directory = with_the_second_active();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    let missing: fn(&Path) = |path| fs::remove_file(path).unwrap();
    let garbage: fn(&Path) = |path| fs::write(path, "no component").unwrap();
    let a_directory: fn(&Path) = |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    let untouched: fn(&Path) = |_| {};
    for (number, make) in [untouched, garbage, missing].into_iter().enumerate() {
        make(&path);
        // `start` would write the file anew.
        let host = chameleon::start(&path, data)
            .setting("reload.watch_ms", 0)
            .start();
        assert_eq!(by(&host), "2.0.0", "{number}");
        let told = told(&host);
        assert_eq!(told["active"], build("2.0.0").digest());
        assert_eq!(told["file"]["is_active"], false, "{told}");
        let log = host.log();
        let warnings: Vec<_> = log.lines().filter(|line| line.contains(DIFFERS)).collect();
        assert_eq!(warnings.len(), number + 1, "{log}");
        let last = warnings[number];
        assert!(
            last.contains("WARN")
                && last.contains(&build("2.0.0").digest())
                && last.contains("saga apply chameleon")
                && last.contains("saga run --apply"),
            "{last}"
        );
        assert!(host.stop().success());
    }
    fs::write(&path, "").unwrap();
    a_directory(&path);
    let host = chameleon::start(&path, data).start();
    assert_eq!(by(&host), "2.0.0");
    assert!(host.stop().success());
    // A start is no activation: the list goes on where it was.
    fs::remove_dir(&path).unwrap();
    build("2.0.0").write(&path);
    let host = start(data).start();
    let second = told_of(&host, &build("2.0.0"));
    assert_eq!(
        (&second["way"], &second["activations"], &second["decisions"]),
        (&json!("apply"), &json!(1), &json!(4))
    );
    let warned = host.log().matches(DIFFERS).count();
    assert_eq!(warned, 4, "the file is what is active: nothing to warn of");
    assert_eq!(rollback(&host).json()["version"], "1.0.0");
    assert!(host.stop().success());
}

#[test]
fn a_start_with_a_clock_that_is_ahead_drops_nothing_that_was_used() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data).start();
    count(&host, "k");
    assert!(host.stop().success());
    // For the next start the clock leapt.
    let days = 40 * 86_400_000_u64;
    execute(data, &format!("UPDATE tallies SET last = last - {days}"));
    execute(
        data,
        &format!("UPDATE trusted_time SET time = time - {days}"),
    );
    let lacking = build("2.0.0").with(json!({"commands": [
        {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
    ]}));
    lacking.write(&data.join("chameleon.wasm"));
    let (status, said) = start(data).arguments(&["--apply"]).fail();
    assert_eq!(status.code(), Some(65), "{said}");
    assert!(said.contains("the last request for it came "), "{said}");
    let way_out =
        "start without --apply, and take it with `saga apply --drop-used` if it has to be";
    assert!(said.contains(way_out), "{said}");
    // When it became active is told by the clock all the same.
    let host = start(data).start();
    chameleon::swap_with(&host, &lacking, "drop-used=true");
    let (first, second) = (told_of(&host, &build("1.0.0")), told_of(&host, &lacking));
    assert!(
        second["since"].as_u64() >= first["since"].as_u64(),
        "{first} {second}"
    );
    assert!(host.stop().success());
}

#[test]
fn a_start_with_apply_in_the_place_of_a_lost_copy_is_held_to_what_is_stored_alone() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = refused::start(data);
    refused::use_everything(&host, data);
    assert!(host.stop().success());
    fs::remove_file(copy(data, &refused::first())).unwrap();
    let next = |needs: Value| {
        let next = refused::other(json!({
            "state": {"version": 2, "needs": needs},
            "handle": {"later": "trap", "counted": "trap", "awaited": "trap", "look": {"reply": null}},
        }));
        next.write(&data.join("chameleon.wasm"));
        start(data).arguments(&["--apply"])
    };
    let (status, said) = next(json!(["total"])).fail();
    assert_eq!(status.code(), Some(65), "{said}");
    assert!(
        said.contains("can't read the state of k (version 2)"),
        "{said}"
    );
    assert!(!said.contains("start without --apply"), "{said}");
    let host = next(json!([])).start();
    let log = host.log();
    for harm in [
        "1 timers that are set would be put aside: can't decide on the timer `later`",
        "1 events that wait would become dead letters, or be parked: can't decide on the event `awaited`",
        "1 recorded events would become dead letters: can't decide on the recorded event ",
    ] {
        assert!(log.contains(harm), "{harm} is not in {log}");
    }
    assert!(host.stop().success());
}

#[test]
fn a_damaged_copy_is_repaired_from_the_file_or_reported() {
    let directory = with_the_second_active();
    let data = directory.path();
    let (path, copy) = (data.join("chameleon.wasm"), copy(data, &build("2.0.0")));
    let whole = fs::read(&copy).unwrap();
    assert_eq!(whole, build("2.0.0").bytes());
    let damage: [fn(&Path); 3] = [
        |copy| fs::write(copy, &fs::read(copy).unwrap()[..1_000]).unwrap(),
        |copy| fs::write(copy, "").unwrap(),
        |copy| fs::remove_file(copy).unwrap(),
    ];
    for damage in damage {
        damage(&copy);
        // The file is another build.
        build("1.0.0").write(&path);
        let (status, said) = start(data).fail();
        assert_eq!(status.code(), Some(65), "{said}");
        assert!(
            said.contains(&build("2.0.0").digest())
                && said.contains("put back the file with that digest, start with --apply"),
            "{said}"
        );
        // It is the same.
        build("2.0.0").write(&path);
        let host = start(data).start();
        assert_eq!(by(&host), "2.0.0");
        assert_eq!(fs::read(&copy).unwrap(), whole, "the copy is whole again");
        assert!(host.stop().success());
    }
    // Or it is another one, and is to be taken.
    fs::write(&copy, "no component").unwrap();
    build("3.0.0").write(&path);
    let host = start(data).arguments(&["--apply"]).start();
    assert_eq!(by(&host), "3.0.0");
    let gone = rollback(&host);
    let detail = problem(&gone, 404, "unknown-generation");
    assert!(
        detail.contains("is damaged") && detail.contains("apply the component again"),
        "{detail}"
    );
    swap(&host, &build("2.0.0"));
    assert_eq!(fs::read(&copy).unwrap(), whole);
    assert!(host.stop().success());
}

#[test]
fn a_start_with_apply_checks_the_file_like_a_swap() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    let host = start(data).start();
    count(&host, "k");
    assert!(host.stop().success());
    // Nobody has read it yet.
    let waiting = record(r#"{"key": "k"}"#).of_type("counted");
    publish(data, "chameleonTopic", &[waiting]);
    let another = fs::read(component("booking")).unwrap();
    let with = |settings: Value| build("2.0.0").with(settings).bytes();
    for (bytes, says) in [
        (b"no component".to_vec(), "is not WebAssembly"),
        (another, "`name` is `booking`, not `chameleon`"),
        (
            with(json!({"describe": "trap"})),
            "broke in `describe`: trap",
        ),
        (
            with(json!({"state": {"version": 2}})),
            "the store holds states of chameleon of version 1",
        ),
        (
            with(json!({"commands": []})),
            "command `count`, or another one at POST /counters/{key}, is missing",
        ),
        (
            with(json!({"commands": [
                {"name": "count", "method": "POST", "path": "/counters/{key}", "request": {"type": "nonsense"}},
                {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
            ]})),
            "is not a JSON Schema",
        ),
        (
            with(json!({"subscriptions": []})),
            "1 such events wait to be read",
        ),
        (
            with(json!({"handle": {"count": "trap"}})),
            "can't decide on the recorded command ",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let (status, said) = start(data).arguments(&["--apply"]).fail();
        assert_eq!(status.code(), Some(65), "{says}: {said}");
        assert!(said.contains(says), "`{says}` is not in {said}");
    }
    // What was refused changed nothing.
    let host = start(data).start();
    assert_eq!(by(&host), "1.0.0");
    assert_eq!(told(&host)["generations"].as_array().unwrap().len(), 1);
    assert!(host.stop().success());
    // What is not refused is taken, and what it drops is dropped.
    build("2.0.0").with(json!({"timers": []})).write(&path);
    let host = start(data).arguments(&["--apply"]).start();
    assert_eq!(by(&host), "2.0.0");
    assert_eq!(told(&host)["generations"][0]["way"], "start");
    assert!(host.stop().success());
}

/// The digests of which the host has copies, in order.
fn copies(data: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(data.join("components"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn names(builds: &[&Chameleon]) -> Vec<String> {
    let mut names: Vec<_> = builds
        .iter()
        .map(|build| format!("{}.wasm", build.digest()))
        .collect();
    names.sort();
    names
}

#[test]
fn the_configured_number_of_copies_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data).setting("reload.keep", 1).start();
    let (first, second, third) = (build("1.0.0"), build("2.0.0"), build("3.0.0"));
    assert_eq!(copies(data), names(&[&first]));
    swap(&host, &second);
    assert_eq!(copies(data), names(&[&first, &second]));
    swap(&host, &third);
    assert_eq!(copies(data), names(&[&second, &third]));
    // One that is refused leaves no copy.
    let refused = chameleon::apply(&host, &build("4.0.0").with(json!({"describe": "trap"})));
    assert_eq!(refused.status, 422);
    assert_eq!(copies(data), names(&[&second, &third]));

    let kept: Vec<_> = [&first, &second, &third]
        .map(|build| told_of(&host, build)["is_kept"].clone())
        .into();
    assert_eq!(kept, [false, true, true]);
    assert_eq!(rollback(&host).json()["digest"], second.digest());
    for arguments in [
        &["rollback", "chameleon"][..],
        &["rollback", "chameleon", &first.digest()[..12]],
    ] {
        let (code, _, err) = call(&mut asks(data, arguments));
        assert_eq!(code, 64, "{err}");
        assert!(
            err.contains(&first.digest()) && err.contains("apply the component again"),
            "{err}"
        );
    }
    assert_eq!(by(&host), "2.0.0");
    swap(&host, &first);
    assert_eq!(copies(data), names(&[&first, &second]));
    assert!(host.stop().success());
}

#[test]
fn copies_of_participants_that_do_not_run_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let both = || {
        let booking = format!("booking={}", component("booking").display());
        start(data).arguments(&["--plugin", &booking, "--listen", "booking=127.0.0.1:0"])
    };
    assert!(both().start().stop().success());
    let before = copies(data);
    assert_eq!(before.len(), 2);
    // Without booking for a while.
    let host = start(data).start();
    swap(&host, &build("2.0.0"));
    assert!(host.stop().success());
    let after = copies(data);
    assert!(before.iter().all(|copy| after.contains(copy)), "{after:?}");
}
