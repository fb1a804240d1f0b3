//! The participants' listeners: what can be set of them.

use schemars::JsonSchema;
use serde::Serialize;

use super::reader::Reader;
use super::{in_range, not_empty};
use crate::http::tls::CertificateFiles;

/// The listeners: their bounds, and TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HttpSettings {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Connections of one listener.
    pub connections: usize,
    /// The certificate of all listeners but those that have their own; none for HTTP without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<CertificateFiles>,
}

pub(super) fn read_http(reader: &mut Reader) -> HttpSettings {
    HttpSettings {
        body_bytes: reader.get(&["http", "body_bytes"], 1 << 20, in_range(1, 1 << 30)),
        connections: reader.get(&["http", "connections"], 1_024, in_range(1, 1 << 20)),
        tls: read_tls(reader, &["http", "tls"]),
    }
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
