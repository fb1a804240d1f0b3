//! Builds of the participant `chameleon`, as many as a test likes, without compiling any: its settings are
//! patched into its bytes. What they may say is documented in `tests/components/chameleon/src/settings.rs`.

use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Host, Response, Start, component, request};

/// The beginning of the blob of settings.
const MARKER: &[u8] = b"CHAMELEON-SETTINGS-BEGIN";

/// Bytes of the blob, marker included.
const LENGTH: usize = 16 * 1024;

/// A build of chameleon.
#[derive(Debug, Clone, Default)]
pub struct Chameleon {
    settings: Map<String, Value>,
}

impl Chameleon {
    /// The build that has every default.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another version of the rules. `count` writes it into the state, so it shows who wrote.
    pub fn version(self, version: &str) -> Self {
        self.with(json!({ "version": version }))
    }

    /// The version that it writes into states.
    pub fn names_version(&self) -> &str {
        let version = self.settings.get("version").and_then(Value::as_str);
        version.unwrap_or("1.0.0")
    }

    /// With these settings, in the place of the ones of the same name: `json!({"handle": {"count": {"count": 10}}})`.
    pub fn with(mut self, settings: Value) -> Self {
        let Value::Object(members) = settings else {
            panic!("settings are an object, not {settings}");
        };
        self.settings.extend(members);
        self
    }

    /// The component. Two builds with the same settings are the same bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = std::fs::read(component("chameleon")).unwrap();
        let blob = blob(&bytes);
        let mut text = MARKER.to_vec();
        text.extend(Value::from(self.settings.clone()).to_string().bytes());
        text.push(b'\n');
        assert!(
            text.len() <= LENGTH,
            "the settings are longer than {LENGTH} bytes"
        );
        text.resize(LENGTH, b' ');
        bytes[blob].copy_from_slice(&text);
        bytes
    }

    /// SHA-256 of the component, in hexadecimal.
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes the component to this path, as a whole or not at all: a host that watches it sees no half of it.
    pub fn write(&self, path: &Path) {
        let beside = path.with_extension("writing");
        std::fs::write(&beside, self.bytes()).unwrap();
        std::fs::rename(beside, path).unwrap();
    }
}

/// Where the settings stand.
fn blob(bytes: &[u8]) -> std::ops::Range<usize> {
    let mut places = bytes
        .windows(MARKER.len())
        .enumerate()
        .filter(|(_, window)| *window == MARKER)
        .map(|(at, _)| at);
    let at = places.next().expect("chameleon.wasm has settings");
    assert_eq!(places.next(), None, "chameleon.wasm has settings once");
    at..at + LENGTH
}

/// A host on one file as the participant `chameleon`, to be given settings and started.
pub fn start(path: &Path, data: &Path) -> Start {
    let plugin = format!("chameleon={}", path.display());
    Start::new(&[], data).arguments(&["--plugin", &plugin, "--listen", "chameleon=127.0.0.1:0"])
}

/// A host with the first build, whose file is not watched.
pub fn start_unwatched(data: &Path) -> Start {
    let path = data.join("chameleon.wasm");
    if !path.exists() {
        Chameleon::new().write(&path);
    }
    start(&path, data).setting("reload.watch_ms", 0)
}

/// A build that lacks nothing of the first.
pub fn second() -> Chameleon {
    Chameleon::new().version("2.0.0")
}

/// Starts a host on this build, whose file is not watched.
pub fn serve(data: &Path, build: &Chameleon) -> Host {
    let path = data.join("chameleon.wasm");
    build.write(&path);
    start(&path, data).setting("reload.watch_ms", 0).start()
}

/// A build whose `count` takes a body, so that a test can hold one back.
pub fn taking_bodies() -> Chameleon {
    Chameleon::new().with(json!({"commands": [
        {"name": "count", "method": "POST", "path": "/counters/{key}", "request": {"type": "object"}},
    ]}))
}

/// Counts on this key by a command; gives the state.
pub fn count(host: &Host, key: &str) -> Value {
    let response = host.post("chameleon", &format!("/counters/{key}"), &json!({}));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// The state of this key, `null` for none.
pub fn look(host: &Host, key: &str) -> Value {
    let response = host.get("chameleon", &format!("/counters/{key}"));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// Hands a build to the admin interface of a host, which is to swap to it.
pub fn apply(host: &Host, build: &Chameleon) -> Response {
    offer(host, &build.bytes())
}

/// The same for any bytes.
pub fn offer(host: &Host, bytes: &[u8]) -> Response {
    let url = format!("{}/participants/chameleon/component", host.admin());
    request("PUT", &url, &[], bytes)
}

/// Swaps to a build that must be taken; gives what is said of it.
pub fn swap(host: &Host, build: &Chameleon) -> Value {
    let applied = apply(host, build);
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(applied.json()["changed"], true, "{}", applied.text());
    applied.json()
}

/// Swaps to a build with these flags, such as `drop-used=true`; gives what is said of it.
pub fn swap_with(host: &Host, build: &Chameleon, flags: &str) -> Value {
    let url = format!("{}/participants/chameleon/component?{flags}", host.admin());
    let applied = request("PUT", &url, &[], &build.bytes());
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(applied.json()["changed"], true, "{}", applied.text());
    applied.json()
}

/// Asks a host to go back to the generation before.
pub fn rollback(host: &Host) -> Response {
    rollback_with(host, "")
}

/// The same with flags.
pub fn rollback_with(host: &Host, flags: &str) -> Response {
    let url = format!("{}/participants/chameleon/rollback?{flags}", host.admin());
    request("POST", &url, &[], b"")
}

/// The generations, as the host tells them.
pub fn told(host: &Host) -> Value {
    let url = format!("{}/participants/chameleon/generations", host.admin());
    let response = request("GET", &url, &[], b"");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// The generation of one build, which must have run.
pub fn told_of(host: &Host, build: &Chameleon) -> Value {
    let (told, digest) = (told(host), build.digest());
    let generations = told["generations"].as_array().unwrap().iter();
    let found = generations.filter(|generation| generation["digest"] == *digest);
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), 1, "{digest} in {told}");
    found[0].clone()
}

/// True if this build is the active one.
pub fn is_active(host: &Host, build: &Chameleon) -> bool {
    told(host)["active"] == build.digest()
}

#[test]
fn builds_differ_in_their_settings_and_in_nothing_else() {
    let one = Chameleon::new().version("1.0.1");
    let other = Chameleon::new().version("1.0.2");
    assert_eq!(one.digest(), one.digest());
    assert_ne!(one.digest(), other.digest());
    let (one, other) = (one.bytes(), other.bytes());
    let blob = blob(&one);
    assert_eq!(one.len(), other.len());
    assert_eq!(one[..blob.start], other[..blob.start]);
    assert_eq!(one[blob.end..], other[blob.end..]);
    assert_ne!(one[blob.clone()], other[blob]);
}

#[test]
fn builds_behave_as_they_are_set() {
    let directory = tempfile::tempdir().unwrap();
    let (data, path) = (
        directory.path().join("data"),
        directory.path().join("chameleon.wasm"),
    );
    let first = Chameleon::new();
    first.write(&path);
    let host = start(&path, &data).start();
    assert_eq!(look(&host, "k"), json!(null));
    assert_eq!(count(&host, "k"), json!({"count": 1, "by": "1.0.0"}));

    let second = Chameleon::new().version("2.0.0").with(json!({
        "state": {"version": 2, "oldest_readable": 1},
        "commands": [
            {"name": "count", "method": "POST", "path": "/counters/{key}"},
            {"name": "refuse", "method": "PUT", "path": "/counters/{key}"},
            {"name": "break", "method": "DELETE", "path": "/counters/{key}"},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
        ],
        "handle": {
            "count": [{"count": 10}, {"publish": {"event_type": "changed"}}],
            "refuse": {"refuse": "no"},
            "break": "trap",
        },
    }));
    let applied = apply(&host, &second);
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(applied.json()["previous"], first.digest());
    assert_eq!(applied.json()["digest"], second.digest());
    let migrated = json!({"count": 1, "by": "1.0.0", "migrated_from": 1});
    assert_eq!(look(&host, "k"), migrated);
    let counted = json!({"count": 11, "by": "2.0.0", "migrated_from": 1});
    assert_eq!(count(&host, "k"), counted);
    let refused = host.send("chameleon", "PUT", "/counters/k", "");
    assert_eq!(refused.status, 409, "{}", refused.text());
    let broke = host.send("chameleon", "DELETE", "/counters/k", "");
    crate::expect::broke(&broke, "trap");
    assert_eq!(look(&host, "k"), counted);
    assert!(host.stop().success());
    assert_eq!(crate::store_file::published(&data, "changedTopic"), 1);
}

#[test]
fn a_description_can_break_as_it_is_set() {
    for (describe, says) in [("trap", "trap"), ("spin", "fuel"), ("garbage", "NO NAME")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chameleon.wasm");
        Chameleon::new()
            .with(json!({ "describe": describe }))
            .write(&path);
        let (status, said) = start(&path, directory.path()).fail();
        assert_eq!(status.code(), Some(65), "{describe}: {said}");
        assert!(said.contains(says), "{describe}: {said}");
    }
}
