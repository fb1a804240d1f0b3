//! Commands that a client may repeat under a key of its own: which keys are known, and what was replied first.
//!
//! A key is *claimed* before its command is offered to the rules, and stays claimed until the turn is over, whatever
//! becomes of it. The reply is written in the turn's own transaction (invariants 2 and 10), so a key has a row if,
//! and only if, its command took effect; a command that left nothing releases the key.
//!
//! All keys with a row, and all that are claimed, stand in memory: a new key, as most are, costs no look into the store,
//! and the bound counts both (invariant 9). In memory a key is a hash of 128 bits, seeded anew at each start so that
//! nobody can make two keys meet.
//!
//! Must not know: what a request is, who asks.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::commit::KeptReply;

use super::sweep::{Numbered, Oldest, Sweep};

/// How long replies are kept, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencySettings {
    /// Hours after which a reply may be deleted.
    pub hours: u64,
    /// Keys at most: those with a reply, and those whose command is under way. A row takes what its key and its
    /// reply take, and about 50 bytes of memory.
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
    stages: Mutex<HashMap<[u64; 2], Stage>>,
    /// How far the writer swept the table for old replies.
    sweep: Mutex<Sweep>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Claimed,
    Replied,
}

/// What a key meets.
#[derive(Debug)]
pub enum Known {
    /// It was not known: it is claimed now.
    Claimed(Arc<Claim>),
    /// Another command has claimed it.
    InUse,
    /// It has a reply.
    Replied,
    /// No further key is taken; with the bound.
    Full(usize),
}

/// A key that one command has to itself. Dropped, it is free again, unless the reply was committed.
#[derive(Debug)]
pub struct Claim {
    known: Arc<KnownKeys>,
    hash: [u64; 2],
    key: Arc<str>,
    fingerprint: [u8; 32],
    is_kept: AtomicBool,
}

/// What was replied to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstReply {
    /// Fingerprint of the request.
    pub fingerprint: Vec<u8>,
    /// Key of the aggregate.
    pub aggregate: String,
    /// The reply, as JSON text.
    pub reply: String,
}

impl KnownKeys {
    /// The keys that have a reply in this store.
    pub(super) fn load(
        sql: &Connection,
        settings: IdempotencySettings,
    ) -> rusqlite::Result<Arc<Self>> {
        let known = Self {
            settings,
            seeds: [RandomState::new(), RandomState::new()],
            stages: Mutex::default(),
            sweep: Mutex::default(),
        };
        let mut rows = sql.prepare("SELECT participant, key FROM idempotency_keys")?;
        let mut rows = rows.query([])?;
        let mut stages = known.stages();
        while let Some(row) = rows.next()? {
            let hash = known.hash(row.get(0)?, row.get_ref(1)?.as_str()?);
            stages.insert(hash, Stage::Replied);
        }
        drop(stages);
        Ok(Arc::new(known))
    }

    /// Claims a key of a participant for the request with this fingerprint.
    pub fn claim(self: &Arc<Self>, participant: i64, key: &str, fingerprint: [u8; 32]) -> Known {
        let hash = self.hash(participant, key);
        let mut stages = self.stages();
        let count = stages.len();
        match stages.entry(hash) {
            Slot::Occupied(slot) => match slot.get() {
                Stage::Claimed => Known::InUse,
                Stage::Replied => Known::Replied,
            },
            Slot::Vacant(_) if count >= self.settings.keys => Known::Full(self.settings.keys),
            Slot::Vacant(slot) => {
                slot.insert(Stage::Claimed);
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

    /// Deletes replies that are older than they are kept, `most` at most; says whether there may be more.
    pub(super) fn prune(&self, sql: &Connection, now: u64, most: i64) -> rusqlite::Result<bool> {
        let kept_ms = self.settings.hours.saturating_mul(3_600_000);
        let before = now.saturating_sub(kept_ms) as i64;
        let rows = Numbered {
            table: "idempotency_keys",
            number: "seq",
            part: "true",
            of: &[],
        };
        // A look costs a read; only what is there to delete costs a commit.
        let oldest = lock(&self.sweep).oldest(sql, &rows, before, now as i64)?;
        let first = match oldest {
            Oldest::From(first) => first,
            Oldest::Later => return Ok(true),
            Oldest::Nothing => return Ok(false),
        };
        let gone: Vec<[u64; 2]> = sql
            .prepare_cached(
                "DELETE FROM idempotency_keys WHERE time < ?1
                     AND seq IN (SELECT seq FROM idempotency_keys WHERE seq >= ?2 ORDER BY seq LIMIT ?3)
                 RETURNING participant, key",
            )?
            .query_map(params![before, first, most], |row| {
                Ok(self.hash(row.get(0)?, row.get_ref(1)?.as_str()?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut stages = self.stages();
        for hash in &gone {
            stages.remove(hash);
        }
        Ok(gone.len() as i64 == most)
    }

    fn hash(&self, participant: i64, key: &str) -> [u64; 2] {
        let [one, other] = &self.seeds;
        [
            one.hash_one((participant, key)),
            other.hash_one((participant, key)),
        ]
    }

    fn stages(&self) -> MutexGuard<'_, HashMap<[u64; 2], Stage>> {
        lock(&self.stages)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Claim {
    /// The key, and the fingerprint of the request.
    #[must_use]
    pub fn request(&self) -> (Arc<str>, [u8; 32]) {
        (self.key.clone(), self.fingerprint)
    }

    /// The reply is committed: the key has a row now.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
        self.known.stages().insert(self.hash, Stage::Replied);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !*self.is_kept.get_mut() {
            self.known.stages().remove(&self.hash);
        }
    }
}

/// Writes a reply. That a key has one already can't be; if it were, the table would refuse the whole commit.
pub(super) fn write(
    sql: &Connection,
    participant: i64,
    kept: &KeptReply,
    aggregate: &str,
    time: u64,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO idempotency_keys (participant, key, fingerprint, aggregate, reply, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        participant,
        &*kept.key,
        kept.fingerprint.as_slice(),
        aggregate,
        kept.reply,
        time as i64
    ])?;
    Ok(())
}

/// What was replied to the command with this key; none where that was deleted.
pub(super) fn read(
    sql: &Connection,
    participant: i64,
    key: &str,
) -> rusqlite::Result<Option<FirstReply>> {
    sql.prepare_cached(
        "SELECT fingerprint, aggregate, reply FROM idempotency_keys WHERE participant = ?1 AND key = ?2",
    )?
    .query_row(params![participant, key], |row| {
        Ok(FirstReply {
            fingerprint: row.get(0)?,
            aggregate: row.get(1)?,
            reply: row.get(2)?,
        })
    })
    .optional()
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;
    use crate::store::schema;

    const HOUR: u64 = 3_600_000;

    fn store() -> Connection {
        let sql = Connection::open_in_memory().unwrap();
        schema::upgrade(&sql, 0).unwrap();
        sql
    }

    fn known(sql: &Connection, hours: u64, keys: usize) -> Arc<KnownKeys> {
        KnownKeys::load(sql, IdempotencySettings { hours, keys }).unwrap()
    }

    fn claim(known: &Arc<KnownKeys>, key: &str) -> Arc<Claim> {
        match known.claim(1, key, [7; 32]) {
            Known::Claimed(claim) => claim,
            other => panic!("{key}: {other:?}"),
        }
    }

    fn keep(sql: &Connection, known: &Arc<KnownKeys>, key: &str, time: u64) {
        let claim = claim(known, key);
        write(sql, 1, &kept(&claim), "a", time).unwrap();
        claim.keep();
    }

    fn kept(claim: &Claim) -> KeptReply {
        let (key, fingerprint) = claim.request();
        KeptReply {
            key,
            fingerprint,
            reply: "{}".into(),
            time: 0,
        }
    }

    #[test]
    fn a_claim_is_released_when_its_last_holder_lets_go_unless_the_reply_was_kept() {
        let sql = store();
        let known = known(&sql, 1, 10);
        let first = claim(&known, "k");
        let held = first.clone();
        assert!(matches!(known.claim(1, "k", [7; 32]), Known::InUse));
        assert!(matches!(known.claim(2, "k", [7; 32]), Known::Claimed(_)));
        drop(first);
        assert!(matches!(known.claim(1, "k", [7; 32]), Known::InUse));
        drop(held);
        keep(&sql, &known, "k", 0);
        assert!(matches!(known.claim(1, "k", [7; 32]), Known::Replied));
        assert_eq!(read(&sql, 1, "k").unwrap().unwrap().aggregate, "a");
        assert_eq!(read(&sql, 2, "k").unwrap(), None);
    }

    #[test]
    fn invariant_9_keys_are_bounded_claimed_ones_included() {
        let sql = store();
        let known_keys = known(&sql, 1, 3);
        keep(&sql, &known_keys, "1", 0);
        keep(&sql, &known_keys, "2", 0);
        let third = claim(&known_keys, "3");
        assert!(matches!(known_keys.claim(1, "4", [7; 32]), Known::Full(3)));
        assert!(matches!(known_keys.claim(1, "2", [7; 32]), Known::Replied));
        assert!(matches!(known_keys.claim(1, "3", [7; 32]), Known::InUse));
        drop(third);
        drop(claim(&known_keys, "4"));
        // The bound may be lower at the next start.
        let again = known(&sql, 1, 1);
        assert!(matches!(again.claim(1, "4", [7; 32]), Known::Full(1)));
        assert!(matches!(again.claim(1, "1", [7; 32]), Known::Replied));
    }

    #[test]
    fn the_table_refuses_a_second_reply_for_a_key() {
        let sql = store();
        let (one, other) = (known(&sql, 1, 9), known(&sql, 1, 9));
        keep(&sql, &one, "k", 0);
        write(&sql, 1, &kept(&claim(&other, "k")), "b", 0).unwrap_err();
    }

    #[test]
    fn old_replies_go_step_by_step_and_make_room() {
        let sql = store();
        let known = known(&sql, 2, 10);
        for hour in 0..10 {
            keep(&sql, &known, &hour.to_string(), hour * HOUR);
        }
        assert!(matches!(known.claim(1, "new", [7; 32]), Known::Full(10)));
        assert!(!known.prune(&sql, 2 * HOUR, 3).unwrap(), "nothing is old");
        assert!(known.prune(&sql, 6 * HOUR, 3).unwrap(), "one more is old");
        assert!(!known.prune(&sql, 6 * HOUR, 3).unwrap());
        let left: i64 = sql
            .query_row("SELECT count(*) FROM idempotency_keys", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(left, 6, "the hours 0 to 3 are gone");
        assert!(matches!(known.claim(1, "3", [7; 32]), Known::Claimed(_)));
        assert!(matches!(known.claim(1, "4", [7; 32]), Known::Replied));
        drop(claim(&known, "new"));
    }

    #[test]
    fn a_reply_ahead_of_time_holds_none_back_and_stays_known() {
        let sql = store();
        let known = known(&sql, 2, 10);
        keep(&sql, &known, "ahead", 1_000 * HOUR);
        keep(&sql, &known, "old", 0);
        keep(&sql, &known, "young", 5 * HOUR);
        assert!(known.prune(&sql, 6 * HOUR, 3).unwrap(), "passes it over");
        known.prune(&sql, 6 * HOUR, 3).unwrap();
        assert!(matches!(known.claim(1, "old", [7; 32]), Known::Claimed(_)));
        for key in ["ahead", "young"] {
            assert!(matches!(known.claim(1, key, [7; 32]), Known::Replied));
        }
    }
}
