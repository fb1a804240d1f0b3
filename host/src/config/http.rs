//! The participants' listeners: what can be set of them.

use schemars::JsonSchema;
use serde::Serialize;

use super::reader::Reader;
use super::{in_range, memory, not_empty};
use crate::http::cors;
use crate::http::origin;
use crate::http::tls::CertificateFiles;
use crate::store::IdempotencySettings;

/// The listeners: their bounds, what they do alike, and TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HttpSettings {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Whether bodies are checked against their schemas; otherwise what the rules can't read is all that is refused.
    pub check_bodies: bool,
    /// Connections of one listener. One that is idle gives way to the next.
    pub connections: usize,
    /// Bytes that the bodies of requests in flight, and answers that clients have not taken, hold together, of all participants.
    pub memory_bytes: usize,
    /// Seconds after which a connection ends whose client takes nothing of an answer, of participants and of the admin interface.
    pub stall_seconds: u64,
    /// Seconds for which a command or a read waits for its turn and its commit. Beyond them a command is answered 503
    /// `outcome-unknown`, and may take effect all the same.
    pub answer_seconds: u64,
    /// Items on one page of a list at most.
    pub page_items: usize,
    /// Hours for which a command with an `Idempotency-Key` is answered as it was the first time.
    pub idempotency_hours: u64,
    /// Such keys at most, of all participants.
    pub idempotency_keys: usize,
    /// Longest that a request may wait for the decision of the saga (`Prefer: wait`), in seconds; 0 for not at all.
    pub wait_seconds: u64,
    /// Requests of one listener that wait for decisions or follow changes; unless set, half as many as `connections`.
    pub watchers: usize,
    /// Seconds after which a stream of events says that it is still there.
    pub heartbeat_seconds: u64,
    /// Hosts for which requests are served, such as `shop.example`; `*` for all. Those of loopback always are. With none, a
    /// listener on loopback serves no others, another one all.
    pub hosts: Vec<String>,
    /// Origins whose pages may use the API, such as `https://shop.example`; `*` for all, none for no CORS.
    pub cors_origins: Vec<String>,
    /// The certificate of all listeners but those that have their own; none for HTTP without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<CertificateFiles>,
}

impl HttpSettings {
    /// What the store is to know of it.
    #[must_use]
    pub fn idempotency(&self) -> IdempotencySettings {
        IdempotencySettings {
            hours: self.idempotency_hours,
            keys: self.idempotency_keys,
        }
    }
}

pub(super) fn read_http(reader: &mut Reader) -> HttpSettings {
    let default = IdempotencySettings::default();
    let body_bytes = reader.get(&["http", "body_bytes"], 1 << 20, in_range(1, 1 << 30));
    let connections = reader.get(&["http", "connections"], 1_024, in_range(1, 1 << 20));
    let memory_bytes = reader.get(
        &["http", "memory_bytes"],
        memory::share().max(body_bytes),
        in_range(1 << 16, 1 << 40),
    );
    if memory_bytes < body_bytes {
        reader.problem(format!(
            "http.memory_bytes: {memory_bytes} is less than http.body_bytes ({body_bytes}), so that no body as large could be taken"
        ));
    }
    HttpSettings {
        body_bytes,
        memory_bytes,
        stall_seconds: reader.get(&["http", "stall_seconds"], 60, in_range(1, 3_600)),
        check_bodies: reader.get(&["http", "check_bodies"], true, |_| Ok(())),
        connections,
        answer_seconds: reader.get(&["http", "answer_seconds"], 10, in_range(1, 3_600)),
        page_items: reader.get(&["http", "page_items"], 200, in_range(1, 1_000)),
        idempotency_hours: reader.get(
            &["http", "idempotency_hours"],
            default.hours,
            in_range(1, 8_760),
        ),
        idempotency_keys: reader.get(
            &["http", "idempotency_keys"],
            default.keys,
            in_range(1, 100_000_000),
        ),
        wait_seconds: reader.get(&["http", "wait_seconds"], 30, in_range(0, 3_600)),
        watchers: reader.get(
            &["http", "watchers"],
            (connections / 2).max(1),
            in_range(0, 1 << 20),
        ),
        heartbeat_seconds: reader.get(&["http", "heartbeat_seconds"], 15, in_range(1, 3_600)),
        hosts: reader.get(&["http", "hosts"], Vec::new(), are_hosts),
        cors_origins: reader.get(&["http", "cors_origins"], Vec::new(), are_origins),
        tls: read_tls(reader, &["http", "tls"]),
    }
}

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn are_hosts(hosts: &Vec<String>) -> Result<(), String> {
    for host in hosts {
        origin::check_host(host).map_err(|reason| format!("is refused: {host} {reason}"))?;
    }
    Ok(())
}

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn are_origins(origins: &Vec<String>) -> Result<(), String> {
    for origin in origins {
        cors::check_origin(origin).map_err(|reason| format!("is refused: {origin} {reason}"))?;
    }
    if origins.len() > 1 && origins.iter().any(|origin| origin == "*") {
        return Err("lists `*`, which stands for all, beside others".into());
    }
    Ok(())
}

/// The certificate that is set there; none where nothing is, or where the files can't be used.
pub(super) fn read_tls(reader: &mut Reader, path: &[&str]) -> Option<CertificateFiles> {
    if reader.names(path).is_empty() {
        return None;
    }
    let shown = path.join(".");
    let mut file = |key| {
        let path: Vec<&str> = path.iter().copied().chain([key]).collect();
        let is_given = reader.is_given(&path);
        let file: Option<String> = reader.find(&path, not_empty);
        if !is_given {
            reader.problem(format!(
                "{shown}.{key}: is missing; a certificate and its key belong together"
            ));
        }
        file
    };
    let (certificate, key) = (file("certificate"), file("key"));
    let files = CertificateFiles {
        certificate: certificate?.into(),
        key: key?.into(),
    };
    let problems = files.problems();
    for problem in &problems {
        reader.problem(format!("{shown}.{problem}"));
    }
    problems.is_empty().then_some(files)
}
