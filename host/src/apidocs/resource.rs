//! A resource: a document, a page or a file, ready to serve.

use bytes::Bytes;
use saga_core::hex;
use sha2::{Digest as _, Sha256};

/// Bytes of the digest in an entity tag: enough that two bodies never have the same by chance.
const TAG_BYTES: usize = 16;

/// The time for which a client may cache a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// The client must revalidate each time; the answer may be 304.
    Checked,
    /// An hour: it changes only with the program.
    AnHour,
}

/// A document, a page or a file.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Media type.
    pub media_type: &'static str,
    /// The content.
    pub body: Bytes,
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// The content security policy.
    pub policy: Option<&'static str>,
    /// The caching time.
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

    /// Adds a content security policy.
    pub(super) fn with_policy(self, policy: &'static str) -> Self {
        Self {
            policy: Some(policy),
            ..self
        }
    }
}

/// The entity tag of a content: the first half of its digest in hexadecimal, without quotes.
#[must_use]
pub fn tag(body: &[u8]) -> String {
    hex(Sha256::digest(body).iter().take(TAG_BYTES))
}
