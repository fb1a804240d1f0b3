//! Builds of any participant to swap between, and what a host and its store say of them.
//!
//! Builds of the saga's participants differ in their digest and decide alike, so what must hold of the saga
//! must hold whatever is swapped. Must not know how a test swaps, or what it breaks.

use std::path::{Path, PathBuf};

use saga_host::plugin::compile;
use serde_json::Value;

use crate::store_file;
use crate::support::{Host, Response, Start, component, request, try_request};

/// A build of a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub participant: String,
    pub digest: String,
    pub bytes: Vec<u8>,
}

impl Build {
    /// These bytes, as a build of this participant.
    pub fn new(participant: &str, bytes: Vec<u8>) -> Self {
        Self {
            participant: participant.to_owned(),
            digest: compile::digest(&bytes),
            bytes,
        }
    }

    /// The component of this name with another digest: a custom section says `mark`.
    pub fn marked(participant: &str, mark: &str) -> Self {
        let section = [b"\x04mark", mark.as_bytes()].concat();
        let length = u8::try_from(section.len()).unwrap();
        assert!(length < 0x80, "would need a longer LEB128");
        let mut bytes = std::fs::read(component(participant)).unwrap();
        bytes.extend([0, length]);
        bytes.extend(section);
        Self::new(participant, bytes)
    }

    /// Where a host keeps its copy.
    pub fn copy(&self, data: &Path) -> PathBuf {
        data.join("components")
            .join(format!("{}.wasm", self.digest))
    }

    /// Hands it to a host, which may break off.
    pub fn try_apply(&self, admin: &str) -> std::io::Result<Response> {
        let url = format!("{admin}/participants/{}/component", self.participant);
        try_request("PUT", &url, &[], &self.bytes)
    }

    /// Hands it to a host, which must take it.
    pub fn apply(&self, host: &Host) {
        let applied = self.try_apply(host.admin()).unwrap();
        assert_eq!(applied.status, 200, "{}", applied.text());
        assert_eq!(applied.json()["digest"], self.digest);
    }

    /// Goes back to it, on a host that may break off.
    pub fn try_go_back(&self, admin: &str) -> std::io::Result<Response> {
        let url = format!("{admin}/participants/{}/rollback", self.participant);
        let body = format!(r#"{{"digest": "{}"}}"#, self.digest);
        try_request("POST", &url, &[], body.as_bytes())
    }
}

/// Files of these builds, from which a host is started. They are not watched.
pub struct Files {
    paths: Vec<(String, PathBuf)>,
}

impl Files {
    /// Writes them.
    pub fn write(directory: &Path, builds: &[Build]) -> Self {
        let write = |build: &Build| {
            let path = directory.join(format!("{}.wasm", build.participant));
            std::fs::write(&path, &build.bytes).unwrap();
            (build.participant.clone(), path)
        };
        Self {
            paths: builds.iter().map(write).collect(),
        }
    }

    /// A host on them.
    pub fn start(&self, data: &Path) -> Start {
        let start = Start::new(&[], data).setting("reload.watch_ms", 0);
        self.paths.iter().fold(start, |start, (name, path)| {
            let plugin = format!("{name}={}", path.display());
            let listen = format!("{name}=127.0.0.1:0");
            start.arguments(&["--plugin", &plugin, "--listen", &listen])
        })
    }

    /// Makes garbage of them.
    pub fn spoil(&self) {
        for (_, path) in &self.paths {
            std::fs::write(path, "no component").unwrap();
        }
    }
}

/// A participant's generations, as the host tells them.
pub fn generations(host: &Host, participant: &str) -> Value {
    let url = format!("{}/participants/{participant}/generations", host.admin());
    let response = request("GET", &url, &[], b"");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// Digest of the active generation, of which the host, its store and its copies must say the same.
pub fn active(host: &Host, data: &Path, participant: &str) -> String {
    let told = generations(host, participant)["active"].clone();
    let stored = store_file::rows(
        data,
        &format!(
            "SELECT g.digest FROM activations a JOIN generations g ON g.id = a.generation
             JOIN participants p ON p.id = a.participant
             WHERE p.name = '{participant}' ORDER BY a.id DESC LIMIT 1"
        ),
    );
    assert_eq!(told, stored[0][0], "{participant}: told, and stored");
    let path = data
        .join("components")
        .join(format!("{}.wasm", stored[0][0]));
    let kept = std::fs::read(path).unwrap();
    assert_eq!(compile::digest(&kept), told, "{participant}: the copy");
    stored[0][0].clone()
}

/// Longest time that a message waits for its turn on a busy machine. Its time is from when it came.
const WAITS_MS: u32 = 10_000;

/// Checks that nothing was decided by a generation before it became active.
pub fn nothing_decided_before_it_was_active(data: &Path) {
    let early = store_file::rows(
        data,
        &format!(
            "SELECT p.name, g.digest, j.seq, j.time FROM journal j
             JOIN generations g ON g.id = j.generation JOIN participants p ON p.id = g.participant
             WHERE NOT EXISTS
                 (SELECT 1 FROM activations a WHERE a.generation = j.generation AND a.time <= j.time + {WAITS_MS})"
        ),
    );
    assert_eq!(early, Vec::<Vec<String>>::new(), "decided too early");
}

/// How far the store was at some moment.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    activation: i64,
    decision: i64,
}

impl Mark {
    /// How far it is now.
    pub fn now(data: &Path) -> Self {
        let last = |table: &str, id: &str| {
            store_file::number(data, &format!("SELECT coalesce(max({id}), 0) FROM {table}"))
        };
        // In this order: a decision may follow an activation that was seen, and none that was not.
        let decision = last("journal", "seq");
        let activation = last("activations", "id");
        Self {
            activation,
            decision,
        }
    }

    /// Checks that what was decided between two moments was decided by what was active at the first, or became so
    /// until the second.
    pub fn only_active_ones_decided_until(self, until: Self, data: &Path) {
        let others = format!(
            "SELECT p.name, g.digest, j.seq FROM journal j
             JOIN generations g ON g.id = j.generation JOIN participants p ON p.id = g.participant
             WHERE j.seq > {} AND j.seq <= {} AND NOT EXISTS (
                 SELECT 1 FROM activations a WHERE a.generation = j.generation AND a.id <= {} AND a.id >= (
                     SELECT max(id) FROM activations WHERE participant = p.id AND id <= {}))",
            self.decision, until.decision, until.activation, self.activation
        );
        let others = store_file::rows(data, &others);
        assert_eq!(others, Vec::<Vec<String>>::new(), "were not active");
    }
}
