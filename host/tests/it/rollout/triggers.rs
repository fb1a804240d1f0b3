//! The ways by which new rules come to a host that runs: their file, SIGHUP, `saga apply`, the admin interface,
//! `saga rollback`; and what is no reason to swap.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, is_active, told, told_of};
use crate::commands::{asks, call, json_of};
use crate::expect::until;
use crate::support::{Host, request, signal};

/// The warning about a file that differs from the active build and is not applied.
const LEFT_ALONE: &str =
    "the file differs from the active component, but has not changed; nothing is swapped";

/// A build that differs from others in its version only.
fn build(version: &str) -> Chameleon {
    Chameleon::new().version(version)
}

fn by(host: &Host) -> Value {
    count(host, "k")["by"].clone()
}

/// Waits until turns run on this build, which is some moments after the store has it as the active one.
fn until_active(host: &Host, build: &Chameleon) {
    let version = build.names_version();
    until(&format!("turns run on {version}"), || {
        is_active(host, build) && by(host) == version
    });
}

/// A directory with a host on it whose files are looked at as often as can be, and which shows that they were.
struct Watched {
    directory: tempfile::TempDir,
    host: Host,
    looks: Cell<u32>,
}

impl Watched {
    /// Starts the host on the first build, behind a symbolic link.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        build("1.0.0").write(&file("first.wasm"));
        std::os::unix::fs::symlink("first.wasm", file("chameleon.wasm")).unwrap();
        let witness = json!({"name": "witness", "subscriptions": [], "publications": []});
        Chameleon::new().with(witness).write(&file("witness.wasm"));
        let plugin = format!("witness={}", file("witness.wasm").display());
        let host = chameleon::start(&file("chameleon.wasm"), directory.path())
            .arguments(&["--plugin", &plugin, "--listen", "witness=127.0.0.1:0"])
            .setting("reload.watch_ms", 50)
            .start();
        Self {
            directory,
            host,
            looks: Cell::new(0),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file at once: one that is written in place may be seen empty.
    fn put(&self, text: &str, name: &str) {
        let beside = self.file("beside");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, self.file(name)).unwrap();
    }

    /// Returns when the files have been looked at so often that a change before would have been taken: files
    /// are looked at one after the other, and one that has changed is seen twice before it is taken.
    fn looks_go_by(&self) {
        let url = format!("{}/participants/witness/generations", self.host.admin());
        for _ in 0..2 {
            // Other bytes each time: the same ones would be no news.
            let look = self.looks.get() + 1;
            self.looks.set(look);
            let refused = || request("GET", &url, &[], b"").json()["refused"].clone();
            let before = refused().as_array().unwrap().len();
            self.put(&format!("no component, look {look}"), "witness.wasm");
            until("the witness was looked at", || {
                refused().as_array().unwrap().len() > before
            });
        }
    }

    /// Waits until this build is active, taken from the file.
    fn until_taken(&self, build: &Chameleon) {
        until_active(&self.host, build);
        assert_eq!(told_of(&self.host, build)["way"], "file");
    }

    fn refused(&self) -> usize {
        told(&self.host)["refused"].as_array().unwrap().len()
    }
}

#[test]
fn a_changed_file_is_noticed_however_it_was_replaced() {
    let watched = Watched::start();
    let (host, path) = (&watched.host, watched.file("chameleon.wasm"));
    assert_eq!(by(host), "1.0.0");

    // The link is turned.
    build("2.0.0").write(&watched.file("second.wasm"));
    std::os::unix::fs::symlink("second.wasm", watched.file("link")).unwrap();
    fs::rename(watched.file("link"), &path).unwrap();
    watched.until_taken(&build("2.0.0"));
    assert_eq!(by(host), "2.0.0");
    // The file behind it is written over.
    build("3.0.0").write(&watched.file("second.wasm"));
    watched.until_taken(&build("3.0.0"));
    // A file is moved into its place.
    build("1.0.0").write(&path);
    watched.until_taken(&build("1.0.0"));
    assert!(fs::symlink_metadata(&path).unwrap().is_file());

    // It is removed, which leaves the rules as they are, and created again.
    fs::remove_file(&path).unwrap();
    watched.looks_go_by();
    assert_eq!(told(host)["file"]["digest"], Value::Null);
    assert_eq!(by(host), "1.0.0");
    build("2.0.0").write(&path);
    watched.until_taken(&build("2.0.0"));
    assert_eq!(by(host), "2.0.0");
    assert_eq!(
        watched.refused(),
        0,
        "what is not there is not refused: {}",
        told(host)
    );

    // Garbage is refused, once, and what follows it is taken.
    watched.put("no component", "chameleon.wasm");
    until("garbage is refused", || watched.refused() == 1);
    watched.looks_go_by();
    let told = told(host);
    assert_eq!(watched.refused(), 1, "it is not tried again: {told}");
    assert_eq!(
        (&told["refused"][0]["way"], &told["refused"][0]["check"]),
        (&json!("file"), &json!("component"))
    );
    assert_eq!(by(host), "2.0.0");
    build("3.0.0").write(&path);
    watched.until_taken(&build("3.0.0"));
    assert_eq!(by(host), "3.0.0");
    // Something that can't be read as a file is told of like any other.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    until("a directory is refused", || watched.refused() == 2);
    assert_eq!(by(host), "3.0.0");
    assert!(watched.host.stop().success());
}

#[test]
fn a_file_that_is_half_written_is_refused_and_the_finished_one_is_taken() {
    let watched = Watched::start();
    let (host, second) = (&watched.host, build("2.0.0"));
    let bytes = second.bytes();
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    let mut file = fs::File::create(watched.file("first.wasm")).unwrap();
    file.write_all(half).unwrap();
    until("the half is refused", || watched.refused() > 0);
    let told = told(host);
    let reason = told["refused"][0]["reasons"][0].as_str().unwrap();
    assert!(reason.contains("does not compile"), "{reason}");
    host.log_until("the component was refused; the active generation stays");
    assert_eq!(by(host), "1.0.0");
    file.write_all(rest).unwrap();
    watched.until_taken(&second);
    assert_eq!(by(host), "2.0.0");
    assert!(watched.host.stop().success());
}

#[test]
fn a_rolled_back_or_unchanged_file_is_not_activated() {
    let watched = Watched::start();
    let (host, path) = (&watched.host, watched.file("chameleon.wasm"));
    let (first, second) = (build("1.0.0"), build("2.0.0"));
    second.write(&path);
    watched.until_taken(&second);
    assert_eq!(chameleon::rollback(host).status, 200);
    watched.looks_go_by();
    assert!(is_active(host, &first), "{}", told(host));
    // Nor is it when somebody touches it, or asks for all files to be read again.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    watched.looks_go_by();
    signal(host.id(), "HUP");
    watched.looks_go_by();
    assert!(is_active(host, &first), "{}", told(host));
    assert_eq!(told(host)["file"]["is_active"], false);

    // The bytes that are active already, however often they are written.
    let activations = || told_of(host, &first)["activations"].clone();
    let before = activations();
    for _ in 0..2 {
        first.write(&path);
        watched.looks_go_by();
    }
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    watched.looks_go_by();
    assert_eq!(activations(), before);
    let log = host.log();
    let times_said = |says: &str| {
        let lines = log.lines().filter(|line| line.contains("chameleon.wasm"));
        lines.filter(|line| line.contains(says)).count()
    };
    assert_eq!(times_said("these rules are active already"), 1, "{log}");
    assert_eq!(times_said("the file holds what is active"), 2, "{log}");
    assert_eq!(times_said(LEFT_ALONE), 2, "{log}");
    // The one that was gone back from is taken when it comes anew.
    second.write(&path);
    watched.until_taken(&second);
    assert_eq!(by(host), "2.0.0");
    assert!(watched.host.stop().success());
}

/// A host on a file that nobody looks at.
fn unwatched(data: &Path) -> Host {
    let path = data.join("chameleon.wasm");
    build("1.0.0").write(&path);
    chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .start()
}

#[test]
fn the_list_shows_the_way_of_each_activation() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = unwatched(data);
    let list = || json_of(&mut asks(data, &["generations", "chameleon"]));
    let latest = || {
        let latest = list()["generations"][0].clone();
        (latest["version"].clone(), latest["way"].clone())
    };
    assert_eq!(latest(), (json!("1.0.0"), json!("start")));

    let second = build("2.0.0");
    second.write(&data.join("chameleon.wasm"));
    signal(host.id(), "HUP");
    until_active(&host, &second);
    assert_eq!(latest(), (json!("2.0.0"), json!("signal")));

    let path = data.join("third.wasm");
    build("3.0.0").write(&path);
    let path = path.to_str().unwrap();
    let (code, out, err) = call(&mut asks(data, &["apply", "chameleon", path]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(latest(), (json!("3.0.0"), json!("apply")));

    let back = json_of(&mut asks(data, &["rollback", "chameleon"]));
    assert_eq!(back["version"], "2.0.0");
    assert_eq!(latest(), (json!("2.0.0"), json!("rollback")));

    chameleon::swap(&host, &build("1.0.0"));
    assert_eq!(latest(), (json!("1.0.0"), json!("apply")));

    let output = asks(data, &["apply", "chameleon", "-"])
        .stdin(fs::File::open(path).unwrap())
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(latest(), (json!("3.0.0"), json!("apply")));

    // The way is the last one, and the times that a build became active are counted.
    let count: Vec<_> = (list()["generations"].as_array().unwrap().iter())
        .map(|one| (one["version"].clone(), one["activations"].clone()))
        .collect();
    let expected = [("3.0.0", 2), ("1.0.0", 2), ("2.0.0", 2)];
    assert_eq!(
        count,
        expected.map(|(version, times)| (json!(version), json!(times)))
    );
    assert!(host.stop().success());
}

#[test]
fn sighup_activates_a_changed_file_and_warns_of_an_unchanged_or_missing_one() {
    let directory = tempfile::tempdir().unwrap();
    let host = unwatched(directory.path());
    let (path, second) = (directory.path().join("chameleon.wasm"), build("2.0.0"));
    second.write(&path);
    signal(host.id(), "HUP");
    until_active(&host, &second);
    // What was gone back from does not come back by itself.
    assert_eq!(chameleon::rollback(&host).status, 200);
    signal(host.id(), "HUP");
    host.log_until(LEFT_ALONE);
    assert_eq!(by(&host), "1.0.0");
    let log = host.log();
    let said: Vec<_> = (log.lines())
        .filter(|line| line.contains(LEFT_ALONE))
        .collect();
    assert_eq!(said.len(), 1, "{log}");
    let command = format!("saga apply chameleon {}", path.display());
    for part in ["WARN", &second.digest(), &build("1.0.0").digest(), &command] {
        assert!(said[0].contains(part), "{part}: {}", said[0]);
    }
    build("3.0.0").write(&path);
    signal(host.id(), "HUP");
    until_active(&host, &build("3.0.0"));

    fs::remove_file(&path).unwrap();
    signal(host.id(), "HUP");
    until("that there is no file is told", || {
        told(&host)["refused"] != json!([])
    });
    let refused = told(&host)["refused"][0].clone();
    assert_eq!(
        (&refused["way"], &refused["check"], &refused["digest"]),
        (&json!("signal"), &json!("component"), &Value::Null)
    );
    let reason = refused["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("chameleon.wasm: can't be read: No such file"),
        "{reason}"
    );
    let ready = request("GET", &format!("{}/readyz", host.admin()), &[], b"").json();
    assert_eq!(ready["participants"][0]["refused"], refused);
    host.log_until(reason);
    assert_eq!(by(&host), "3.0.0");
    assert!(host.stop().success());
}

#[test]
fn sighup_activates_an_older_file_that_was_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let host = unwatched(directory.path());
    let path = directory.path().join("chameleon.wasm");
    let (first, second) = (build("1.0.0"), build("2.0.0"));
    chameleon::swap(&host, &second);
    // The file was there before: a hangup for certificates is none for it.
    signal(host.id(), "HUP");
    host.log_until(LEFT_ALONE);
    assert!(is_active(&host, &second), "{}", told(&host));
    first.write(&path);
    signal(host.id(), "HUP");
    until_active(&host, &first);
    assert_eq!(told_of(&host, &first)["way"], "signal");

    // What was gone back from is taken too, when somebody writes it anew, but not for other rights.
    chameleon::swap(&host, &second);
    second.write(&path);
    assert_eq!(chameleon::rollback(&host).status, 200);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    signal(host.id(), "HUP");
    until("it is left alone once more", || {
        host.log().matches(LEFT_ALONE).count() == 2
    });
    assert!(is_active(&host, &first), "{}", told(&host));
    second.write(&path);
    signal(host.id(), "HUP");
    until_active(&host, &second);

    // Nor does a start make it new.
    assert_eq!(chameleon::rollback(&host).status, 200);
    assert!(host.stop().success());
    let host = chameleon::start(&path, directory.path())
        .setting("reload.watch_ms", 0)
        .start();
    signal(host.id(), "HUP");
    host.log_until(LEFT_ALONE);
    assert!(is_active(&host, &first), "{}", told(&host));
    assert!(host.stop().success());
}

#[test]
fn an_older_file_is_reported_by_the_watch_and_activated_by_sighup() {
    let watched = Watched::start();
    let (host, path) = (&watched.host, watched.file("chameleon.wasm"));
    let (first, second) = (build("1.0.0"), build("2.0.0"));
    chameleon::swap(host, &second);
    first.write(&path);
    host.log_until(LEFT_ALONE);
    assert!(is_active(host, &second), "{}", told(host));
    signal(host.id(), "HUP");
    until_active(host, &first);
    assert!(watched.host.stop().success());
}

#[test]
fn a_rollback_to_rules_that_fail_on_recorded_messages_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let commands = json!([
        {"name": "count", "method": "POST", "path": "/counters/{key}"},
        {"name": "double", "method": "PUT", "path": "/counters/{key}"},
        {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
    ]);
    let with = |version: &str, double: Value| {
        build(version).with(json!({
            "commands": commands.clone(),
            "handle": {"count": {"count": 1}, "double": double},
        }))
    };
    let (first, second) = (
        with("1.0.0", json!("trap")),
        with("1.1.0", json!({"count": 2})),
    );
    let path = directory.path().join("chameleon.wasm");
    first.write(&path);
    let host = chameleon::start(&path, directory.path()).start();
    assert_eq!(host.send("chameleon", "PUT", "/counters/k", "").status, 500);
    chameleon::swap(&host, &second);
    assert_eq!(host.send("chameleon", "PUT", "/counters/k", "").status, 200);
    let back = chameleon::rollback(&host);
    assert_eq!(back.status, 422, "{}", back.text());
    let refused = back.json();
    assert_eq!(refused["check"], "probe");
    assert_eq!(refused["allowed_by"], json!(["allow-breaking"]));
    let reasons = refused["reasons"].to_string();
    assert!(
        reasons.contains("can't decide on the recorded command "),
        "{reasons}"
    );
    assert!(is_active(&host, &second));
    // It is what is told of it as something new.
    let applied = chameleon::apply(&host, &first);
    assert_eq!(applied.status, 422, "{}", applied.text());
    assert_eq!(applied.json()["reasons"], refused["reasons"]);
    assert!(host.stop().success());
}
