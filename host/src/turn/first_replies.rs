//! Reads of the replies under idempotency keys: those that wait are read together, by one thread of
//! those that may block.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::store::{FirstReply, Store, StoreFault, StoreResult};

/// Most keys of one question.
const TOGETHER: usize = 64;

/// Reads of a participant's first replies.
#[derive(Clone, Default)]
pub(super) struct FirstReplies(Arc<Mutex<Lookups>>);

#[derive(Default)]
struct Lookups {
    waiting: Vec<Lookup>,
    /// True while a thread reads (invariant 9: one for each participant).
    is_read: bool,
}

struct Lookup {
    key: String,
    answer: oneshot::Sender<StoreResult<Option<FirstReply>>>,
}

impl FirstReplies {
    /// The reply under this key; none if there is none.
    pub(super) async fn look(
        &self,
        store: &Arc<Store>,
        participant: i64,
        key: String,
    ) -> StoreResult<Option<FirstReply>> {
        let (answer, found) = oneshot::channel();
        let is_read = {
            let mut lookups = self.0.lock();
            lookups.waiting.push(Lookup { key, answer });
            std::mem::replace(&mut lookups.is_read, true)
        };
        if !is_read {
            let (these, store) = (self.clone(), store.clone());
            tokio::task::spawn_blocking(move || these.read_all(&*store, participant));
        }
        let found = found.await.unwrap_or_else(|_| {
            let text = "the thread that reads first replies has ended";
            Err(StoreFault(text.into()))
        });
        found.inspect_err(|fault| {
            (store.condition()).report("a first reply can't be read from the store", fault);
        })
    }

    fn read_all(&self, store: &Store, participant: i64) {
        loop {
            let lookups = self.next();
            if lookups.is_empty() {
                return;
            }
            let keys: Vec<_> = lookups.iter().map(|lookup| &*lookup.key).collect();
            let read = store
                .reader()
                .and_then(|reader| reader.first_replies(participant, &keys));
            let replies = match read {
                Ok(replies) => replies.into_iter().map(Ok).collect(),
                Err(fault) => vec![Err(fault); lookups.len()],
            };
            for (lookup, reply) in lookups.into_iter().zip(replies) {
                // A client may have gone.
                let _ = lookup.answer.send(reply);
            }
        }
    }

    /// The next lookups; if there are none, the thread must end.
    fn next(&self) -> Vec<Lookup> {
        let mut lookups = self.0.lock();
        // The caller of some may have stopped waiting.
        lookups.waiting.retain(|lookup| !lookup.answer.is_closed());
        let most = lookups.waiting.len().min(TOGETHER);
        lookups.is_read = most > 0;
        lookups.waiting.drain(..most).collect()
    }
}
