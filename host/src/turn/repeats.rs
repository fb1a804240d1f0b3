//! Commands that carry an idempotency key: is this the first, and what was replied to it?
//!
//! A key that is new is claimed in memory. Only a repeated one costs a look into the store, on a
//! thread where that may take its time.

use std::sync::Arc;

use saga_core::outcome::Reply;
use tokio::sync::Semaphore;

use super::participant::Participant;
use crate::store::{Claim, FirstReply, Known, Store, StoreFault};

/// Looks into the store at a time, of each participant. Further ones wait (invariant 9).
const LOOKS: usize = 2;

/// What a command meets that carries an idempotency key.
#[derive(Debug)]
pub enum Met {
    /// It is the first, and has the key to itself as long as the claim is held.
    First(Arc<Claim>),
    /// The same request was answered before: the reply, and the key of the aggregate.
    Replied(Reply, String),
    /// Another request was answered under this key.
    Reused,
    /// The first command with this key is under way.
    InUse,
    /// So many keys are known, and no further one is taken.
    Full(usize),
    /// The store can't tell.
    StoreFailed(StoreFault),
    /// The store was not read in time, and nothing was changed; the client may try again. With the
    /// reason.
    TryLater(String),
}

/// Looks for replies.
pub(super) struct Lookups {
    places: Arc<Semaphore>,
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(LOOKS)),
        }
    }
}

impl Participant {
    /// Looks whether a command with this idempotency key, of a request with this fingerprint, is
    /// the first. Where the caller stops waiting, nothing is claimed.
    pub async fn meet(&self, key: String, fingerprint: [u8; 32]) -> Met {
        let shared = &self.shared;
        if let Some(gone) = shared.store.condition().loss() {
            return Met::StoreFailed(gone);
        }
        match shared.store.claim(shared.row, &key, fingerprint) {
            Known::Claimed(claim) => Met::First(claim),
            Known::InUse => Met::InUse,
            Known::Full(most) => Met::Full(most),
            Known::Replied => {
                let look = self.lookups.look(&shared.store, shared.row, key);
                match tokio::time::timeout(self.answer_time(), look).await {
                    Ok(Ok(Some(first))) => compare(first, &fingerprint),
                    // It was deleted a moment ago, and can be claimed in the next one.
                    Ok(Ok(None)) => Met::InUse,
                    Ok(Err(fault)) => Met::StoreFailed(fault),
                    Err(_) => Met::TryLater(format!(
                        "the first reply under this Idempotency-Key was not read within {} s",
                        self.answer_time().as_secs()
                    )),
                }
            }
        }
    }
}

impl Lookups {
    async fn look(
        &self,
        store: &Arc<Store>,
        participant: i64,
        key: String,
    ) -> Result<Option<FirstReply>, StoreFault> {
        let place = self.places.clone().acquire_owned().await;
        let condition = store.condition();
        let store = store.clone();
        let look = move || {
            // Held until here: a caller that stops waiting does not end the look.
            let _place = place;
            store.reader()?.first_reply(participant, &key)
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(found) => found.inspect_err(|fault| {
                condition.report("a first reply can't be read from the store", fault);
            }),
            Err(error) => Err(StoreFault(error.to_string().into())),
        }
    }
}

fn compare(first: FirstReply, fingerprint: &[u8; 32]) -> Met {
    if first.fingerprint != fingerprint {
        return Met::Reused;
    }
    match serde_json::from_str(&first.reply) {
        Ok(reply) => Met::Replied(reply, first.aggregate),
        Err(error) => Met::StoreFailed(StoreFault(
            format!("the first reply can't be read: {error}").into(),
        )),
    }
}
