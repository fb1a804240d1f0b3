//! Settings of the participants' listeners.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reader::SettingsReader;
use super::section::section_with;
use super::{auth, memory, not_empty};
use crate::http::auth::settings::AuthSettings;
use crate::http::cors;
use crate::http::origin;
use crate::http::tls::CertificateFiles;
use crate::store::IdempotencySettings;

/// The listeners: their bounds, common behaviour and TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpSettings {
    /// Bytes of a request's body.
    #[schemars(range(min = 1, max = 1 << 30))]
    pub body_bytes: usize,
    /// Check bodies against their schemas; otherwise only bodies that the rules can't read are
    /// refused.
    pub check_bodies: bool,
    /// Connections of one listener. An idle one gives way to the next.
    #[schemars(range(min = 1, max = 1 << 20))]
    pub connections: usize,
    /// Bytes that the bodies of requests in flight and unsent answers may hold together, of all
    /// participants.
    #[schemars(range(min = 1 << 16, max = 1_i64 << 40))]
    pub memory_bytes: usize,
    /// Seconds after which a connection ends if its client takes nothing of an answer, of
    /// participants and of the admin interface.
    #[schemars(range(min = 1, max = 3_600))]
    pub stall_seconds: u64,
    /// Seconds that a command or a read waits for its turn and its commit. After that a command is
    /// answered 503 `outcome-unknown`, and may still take effect.
    #[schemars(range(min = 1, max = 3_600))]
    pub answer_seconds: u64,
    /// Most items on one page of a list.
    #[schemars(range(min = 1, max = 1_000))]
    pub page_items: usize,
    /// Hours during which a repeated command with an `Idempotency-Key` gets the answer of the
    /// first.
    #[schemars(range(min = 1, max = 8_760))]
    pub idempotency_hours: u64,
    /// Most such keys, of all participants.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub idempotency_keys: usize,
    /// Longest time that a request may wait for the decision of the saga (`Prefer: wait`), in
    /// seconds; 0 for no waiting.
    #[schemars(range(min = 0, max = 3_600))]
    pub wait_seconds: u64,
    /// Requests of one listener that wait for decisions or follow changes; half of `connections` if
    /// unset.
    #[schemars(range(min = 0, max = 1 << 20))]
    pub watchers: usize,
    /// Seconds between heartbeats of an event stream.
    #[schemars(range(min = 1, max = 3_600))]
    pub heartbeat_seconds: u64,
    /// Hosts for which requests are served, such as `shop.example`; `*` for all. Loopback hosts are
    /// always served. If empty, a listener on loopback serves no others, and any other listener
    /// serves all.
    pub hosts: Vec<String>,
    /// Origins whose pages may use the API, such as `https://shop.example`; `*` for all, none for
    /// no CORS.
    pub cors_origins: Vec<String>,
    /// Who may send commands and reads.
    #[serde(skip_deserializing)]
    pub auth: AuthSettings,
    /// The certificate of all listeners without one of their own; none for HTTP without TLS.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub tls: Option<CertificateFiles>,
}

impl HttpSettings {
    /// The settings that the store needs.
    #[must_use]
    pub fn idempotency(&self) -> IdempotencySettings {
        IdempotencySettings {
            hours: self.idempotency_hours,
            keys: self.idempotency_keys,
        }
    }
}

pub(super) fn read_http(reader: &mut SettingsReader) -> HttpSettings {
    let idempotency = IdempotencySettings::default();
    let default = HttpSettings {
        body_bytes: 1 << 20,
        check_bodies: true,
        connections: 1_024,
        memory_bytes: memory::share(),
        stall_seconds: 60,
        answer_seconds: 10,
        page_items: 200,
        idempotency_hours: idempotency.hours,
        idempotency_keys: idempotency.keys,
        wait_seconds: 30,
        watchers: 0,
        heartbeat_seconds: 15,
        hosts: Vec::new(),
        cors_origins: Vec::new(),
        auth: AuthSettings::default(),
        tls: None,
    };
    let [memory_given, watchers_given] =
        ["memory_bytes", "watchers"].map(|key| reader.is_given(&["http", key]));
    let mut http = section_with(reader, &["http"], default, |name, value| {
        let texts = value.as_array().into_iter().flatten();
        let texts: Vec<&str> = texts.filter_map(Value::as_str).collect();
        match name {
            "hosts" => are_hosts(&texts),
            "cors_origins" => are_origins(&texts),
            _ => Ok(()),
        }
    });
    if !memory_given {
        http.memory_bytes = http.memory_bytes.max(http.body_bytes);
    }
    if !watchers_given {
        http.watchers = (http.connections / 2).max(1);
    }
    if http.memory_bytes < http.body_bytes {
        reader.problem(format!(
            "http.memory_bytes: {} is less than http.body_bytes ({}), so that no body as large could be taken",
            http.memory_bytes, http.body_bytes
        ));
    }
    HttpSettings {
        auth: auth::read_auth(reader),
        tls: read_tls(reader, &["http", "tls"]),
        ..http
    }
}

fn are_hosts(hosts: &[&str]) -> Result<(), String> {
    for host in hosts {
        origin::check_host(host).map_err(|reason| format!("is refused: {host} {reason}"))?;
    }
    Ok(())
}

fn are_origins(origins: &[&str]) -> Result<(), String> {
    for origin in origins {
        cors::check_origin(origin).map_err(|reason| format!("is refused: {origin} {reason}"))?;
    }
    if origins.len() > 1 && origins.contains(&"*") {
        return Err("lists `*`, which stands for all, beside others".into());
    }
    Ok(())
}

/// The configured certificate. None if there is none, or if its files can't be used.
pub(super) fn read_tls(reader: &mut SettingsReader, path: &[&str]) -> Option<CertificateFiles> {
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
