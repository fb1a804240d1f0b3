//! Commands with an idempotency key: detects repeats and looks up the first reply.
//!
//! A new key is claimed in memory. Only a repeated one costs a read of the store ([`super::first_replies`]);
//! where other hosts reply too, every one does.

use std::sync::Arc;

use saga_core::worker::Replied;

use super::participant::Participant;
use super::this_host::Answer;
use crate::store::{Claim, Fingerprint, FirstReply, Known, StoreFault};

/// The state of an idempotency key when a command arrives.
#[derive(Debug)]
pub enum Met {
    /// New: the command is the first, and owns the key while the claim is held.
    First(Arc<Claim>),
    /// The same request was answered before.
    Replied(Replied),
    /// Another request was answered under this key.
    Reused,
    /// The first command with this key is in flight.
    InUse,
    /// This many keys are known, and no further one is accepted.
    Full(usize),
    /// The store can't be read.
    StoreFailed(StoreFault),
    /// The store was not read in time, and nothing was changed; the client may retry. With the
    /// reason.
    TryLater(String),
}

impl Participant {
    /// Claims the idempotency key for a request with this fingerprint, or returns what is known of
    /// the key. If the caller stops waiting, nothing is claimed.
    pub async fn meet(&self, key: String, fingerprint: Fingerprint) -> Met {
        let shared = &self.shared;
        if let Some(gone) = shared.store.condition().loss() {
            return Met::StoreFailed(gone);
        }
        match shared.store.claim(shared.row, &key, fingerprint.bytes()) {
            Known::Claimed(claim) if !shared.store.is_shared() => Met::First(claim),
            // Another host may have replied.
            Known::Claimed(claim) => match self.first_reply(key).await {
                Ok(None) => Met::First(claim),
                Ok(Some(first)) => compare(first, &fingerprint),
                Err(met) => met,
            },
            Known::InUse => Met::InUse,
            Known::Full(most) => Met::Full(most),
            Known::Replied => match self.first_reply(key).await {
                Ok(Some(first)) => compare(first, &fingerprint),
                // It has just been deleted, and can be claimed by the next request.
                Ok(None) => Met::InUse,
                Err(met) => met,
            },
        }
    }

    /// The reply under a key, if there is one; or the answer if it can't be read.
    async fn first_reply(&self, key: String) -> Result<Option<FirstReply>, Met> {
        let look = self
            .first_replies
            .look(&self.shared.store, self.shared.row, key);
        match tokio::time::timeout(self.answer_time(), look).await {
            Ok(found) => found.map_err(Met::StoreFailed),
            Err(_) => Err(Met::TryLater(format!(
                "the first reply under this Idempotency-Key was not read within {} s",
                self.answer_time().as_secs()
            ))),
        }
    }
}

impl Participant {
    /// The answer to a command under whose key another host has just replied to the same one.
    pub(super) async fn replied_elsewhere(&self, claim: &Claim) -> Answer {
        let (key, fingerprint) = claim.request();
        let shared = &self.shared;
        let look = (self.first_replies).look(&shared.store, shared.row, key.to_string());
        match look.await {
            Ok(Some(first)) => match compare(first, &fingerprint.into()) {
                Met::Replied(replied) => Answer::Replied(replied),
                Met::StoreFailed(fault) => Answer::StoreFailed(fault),
                _ => Answer::TryLater(
                    "another request under this Idempotency-Key has just been answered".into(),
                ),
            },
            Ok(None) => {
                Answer::TryLater("the reply under this Idempotency-Key was just deleted".into())
            }
            Err(fault) => Answer::StoreFailed(fault),
        }
    }
}

fn compare(first: FirstReply, fingerprint: &Fingerprint) -> Met {
    if !fingerprint.is_repeat_of(&first.fingerprint) {
        return Met::Reused;
    }
    match serde_json::from_str(&first.reply) {
        Ok(reply) => Met::Replied(Replied {
            reply,
            key: first.aggregate,
            correlation: first.correlation,
            seen: None,
        }),
        Err(error) => Met::StoreFailed(StoreFault(
            format!("the first reply can't be read: {error}").into(),
        )),
    }
}
