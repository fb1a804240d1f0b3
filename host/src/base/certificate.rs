//! The files of a certificate, as named in the settings.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

/// The files of the certificate of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CertificateFiles {
    /// File with the certificate, followed by those that lead to its authority (PEM).
    pub certificate: PathBuf,
    /// File with its key (PEM), without a password.
    pub key: PathBuf,
}
