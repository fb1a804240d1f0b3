//! Something to be read: a document, a page, a file.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Bytes of the digest in a tag: enough that two bodies never share one by chance.
const TAG_BYTES: usize = 16;

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
        let etag = format!("\"{}\"", tag(&body));
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

/// What tells this content from all others: the first half of its digest, hexadecimal, without the quotes that a tag has in a header.
#[must_use]
pub fn tag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let bytes = digest.iter().take(TAG_BYTES);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}
