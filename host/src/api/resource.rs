//! Something to be read: a document, a page, a file.

use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// How long a client may take it for current without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// It asks each time, and is told that nothing changed where nothing did.
    Checked,
    /// It changes with the program only.
    AnHour,
}

/// Something to be read.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Media type.
    pub media_type: &'static str,
    /// All of it.
    pub body: Bytes,
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// What a browser may load for it.
    pub policy: Option<&'static str>,
    /// How long it may be taken for current.
    pub lasting: Lasting,
}

impl Resource {
    /// A resource of this media type.
    pub(super) fn new(media_type: &'static str, body: impl Into<Bytes>, lasting: Lasting) -> Self {
        let body = body.into();
        let etag = etag(&body);
        Self {
            media_type,
            body,
            etag,
            policy: None,
            lasting,
        }
    }

    /// With a content security policy.
    pub(super) fn with_policy(self, policy: &'static str) -> Self {
        Self {
            policy: Some(policy),
            ..self
        }
    }
}

/// The first half of a digest: enough to tell contents apart.
fn etag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let mut etag = String::from('"');
    for byte in digest.iter().take(16) {
        // Writing to a text can't fail.
        let _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    etag
}
