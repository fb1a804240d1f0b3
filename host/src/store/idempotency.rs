//! Idempotency keys: repeatable commands, the known keys, the first replies.
//!
//! A key is *claimed* before its command is offered to the rules, and stays claimed until the turn
//! is over, whatever its outcome. The reply is written in the turn's own transaction (invariants 2
//! and 10), so a key has a row if, and only if, its command took effect; a command that left
//! nothing releases the key.
//!
//! All keys with a row and all claimed keys are in memory: a new key, the common case, costs no
//! read of the store, and the bound counts both (invariant 9). Where other hosts reply too, only the
//! claimed ones are, and each new key is looked up. In memory a key is a 128-bit hash
//! with a new seed at each start, so that nobody can make two keys collide.
//!
//! Must not know: requests and clients.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Retention and number of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencySettings {
    /// Hours after which a reply may be deleted.
    pub hours: u64,
    /// Most keys: those with a reply, and those whose command is in flight. A row takes the size of
    /// its key and its reply, and about 50 bytes of memory.
    pub keys: usize,
}

impl Default for IdempotencySettings {
    fn default() -> Self {
        Self {
            hours: 24,
            keys: 1_000_000,
        }
    }
}

/// The keys of all participants that have a reply or are claimed.
#[derive(Debug)]
pub struct KnownKeys {
    settings: IdempotencySettings,
    seeds: [RandomState; 2],
    /// False if keys are not remembered once their command is over.
    remembers: bool,
    stages: Mutex<HashMap<[u64; 2], ClaimStage>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimStage {
    Claimed,
    Replied,
}

/// The outcome of a claim.
#[derive(Debug)]
pub enum Known {
    /// The key was unknown and is now claimed.
    Claimed(Arc<Claim>),
    /// Another command has claimed it.
    InUse,
    /// It has a reply.
    Replied,
    /// No further key is accepted; contains the bound.
    Full(usize),
}

/// A key that one command owns. Dropping it releases the key, unless the reply was committed.
#[derive(Debug)]
pub struct Claim {
    known: Arc<KnownKeys>,
    hash: [u64; 2],
    key: Arc<str>,
    fingerprint: [u8; 32],
    is_kept: AtomicBool,
}

/// The reply to the first command with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstReply {
    /// Fingerprint of the request.
    pub fingerprint: Vec<u8>,
    /// Key of the aggregate.
    pub aggregate: String,
    /// The reply, as JSON text.
    pub reply: String,
    /// Correlation of the command.
    pub correlation: String,
}

impl KnownKeys {
    /// No keys yet.
    pub(super) fn new(settings: IdempotencySettings) -> Self {
        Self::with(settings, true)
    }

    /// The same for a store in which other hosts reply too.
    pub(super) fn claimed_only(settings: IdempotencySettings) -> Self {
        Self::with(settings, false)
    }

    fn with(settings: IdempotencySettings, remembers: bool) -> Self {
        Self {
            settings,
            remembers,
            seeds: [RandomState::new(), RandomState::new()],
            stages: Mutex::default(),
        }
    }

    /// Hours after which a reply may be deleted.
    pub(super) fn hours(&self) -> u64 {
        self.settings.hours
    }

    /// Notes that this key has a reply in the store.
    pub(super) fn has_reply(&self, participant: i64, key: &str) {
        let hash = self.hash(participant, key);
        self.stages.lock().insert(hash, ClaimStage::Replied);
    }

    /// Forgets keys whose replies were deleted.
    pub(super) fn forget(&self, keys: &[(i64, String)]) {
        let mut stages = self.stages.lock();
        for (participant, key) in keys {
            stages.remove(&self.hash(*participant, key));
        }
    }

    /// Claims a key of a participant for the request with this fingerprint.
    pub fn claim(self: &Arc<Self>, participant: i64, key: &str, fingerprint: [u8; 32]) -> Known {
        let hash = self.hash(participant, key);
        let mut stages = self.stages.lock();
        let count = stages.len();
        match stages.entry(hash) {
            Slot::Occupied(slot) => match slot.get() {
                ClaimStage::Claimed => Known::InUse,
                ClaimStage::Replied => Known::Replied,
            },
            Slot::Vacant(_) if count >= self.settings.keys => Known::Full(self.settings.keys),
            Slot::Vacant(slot) => {
                slot.insert(ClaimStage::Claimed);
                Known::Claimed(Arc::new(Claim {
                    known: self.clone(),
                    hash,
                    key: key.into(),
                    fingerprint,
                    is_kept: AtomicBool::new(false),
                }))
            }
        }
    }

    fn hash(&self, participant: i64, key: &str) -> [u64; 2] {
        let [one, other] = &self.seeds;
        [
            one.hash_one((participant, key)),
            other.hash_one((participant, key)),
        ]
    }
}

impl Claim {
    /// The key, and the fingerprint of the request.
    #[must_use]
    pub fn request(&self) -> (Arc<str>, [u8; 32]) {
        (self.key.clone(), self.fingerprint)
    }

    /// True if the key has a reply by now.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// Notes that a reply is committed: the key has a row now.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
        if self.known.remembers {
            let mut stages = self.known.stages.lock();
            stages.insert(self.hash, ClaimStage::Replied);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !*self.is_kept.get_mut() || !self.known.remembers {
            self.known.stages.lock().remove(&self.hash);
        }
    }
}
