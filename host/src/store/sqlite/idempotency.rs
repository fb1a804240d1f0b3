//! Replies to repeatable commands, as rows of `idempotency_keys`.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::commit::KeptReply;

use super::ids::Id;
use super::read;
use super::sweep::{Numbered, Oldest, Sweep};
use crate::store::idempotency::FirstReply;
pub(super) use crate::store::idempotency::{IdempotencySettings, Known, KnownKeys};

/// The keys that have a reply in this store.
pub(super) fn load(
    sql: &Connection,
    settings: IdempotencySettings,
) -> rusqlite::Result<Arc<KnownKeys>> {
    let known = KnownKeys::new(settings);
    let mut rows = sql.prepare("SELECT participant, key FROM idempotency_keys")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        known.has_reply(row.get(0)?, row.get_ref(1)?.as_str()?);
    }
    Ok(Arc::new(known))
}

/// Deletes replies past their retention, at most `most`; returns true if there may be more.
pub(super) fn prune(
    sql: &Connection,
    (known, sweep): (&KnownKeys, &mut Sweep),
    now: u64,
    most: i64,
) -> rusqlite::Result<bool> {
    let kept_ms = known.hours().saturating_mul(3_600_000);
    let before = now.saturating_sub(kept_ms) as i64;
    let rows = Numbered {
        table: "idempotency_keys",
        number: "seq",
        part: "true",
        of: &[],
    };
    // Checking costs a read; only rows to delete cost a commit.
    let first = match sweep.oldest(sql, &rows, before, now as i64)? {
        Oldest::From(first) => first,
        Oldest::Later => return Ok(true),
        Oldest::Nothing => return Ok(false),
    };
    let gone: Vec<(i64, String)> = sql
        .prepare_cached(
            "DELETE FROM idempotency_keys WHERE time < ?1
                 AND seq IN (SELECT seq FROM idempotency_keys WHERE seq >= ?2 ORDER BY seq LIMIT ?3)
             RETURNING participant, key",
        )?
        .query_map(params![before, first, most], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    known.forget(&gone);
    Ok(gone.len() as i64 == most)
}

/// Writes a reply. The key can't have one already; if it had, the table would refuse the whole
/// commit.
pub(super) fn write(
    sql: &Connection,
    participant: i64,
    kept: &KeptReply,
    aggregate: &str,
    time: u64,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO idempotency_keys (participant, key, fingerprint, aggregate, reply, correlation, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        participant,
        &*kept.key,
        kept.fingerprint.as_slice(),
        aggregate,
        kept.reply,
        Id::of(&kept.correlation),
        time as i64
    ])?;
    Ok(())
}

/// The reply to the command with this key. None if that was deleted.
pub(super) fn read(
    sql: &Connection,
    participant: i64,
    key: &str,
) -> rusqlite::Result<Option<FirstReply>> {
    sql.prepare_cached(
        "SELECT fingerprint, aggregate, reply, correlation FROM idempotency_keys WHERE participant = ?1 AND key = ?2",
    )?
    .query_row(params![participant, key], |row| {
        Ok(FirstReply {
            fingerprint: row.get(0)?,
            aggregate: row.get(1)?,
            reply: row.get(2)?,
            correlation: read::id(row, 3)?.unwrap_or_default(),
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
    use crate::store::idempotency::Claim;
    use crate::store::sqlite::schema;

    const HOUR: u64 = 3_600_000;

    fn store() -> Connection {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        sql
    }

    fn known(sql: &Connection, hours: u64, keys: usize) -> Arc<KnownKeys> {
        load(sql, IdempotencySettings { hours, keys }).unwrap()
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
            correlation: "saga".into(),
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
        let mut sweep = Sweep::default();
        let mut pruned = |now, most| prune(&sql, (&known, &mut sweep), now, most);
        for hour in 0..10 {
            keep(&sql, &known, &hour.to_string(), hour * HOUR);
        }
        assert!(matches!(known.claim(1, "new", [7; 32]), Known::Full(10)));
        assert!(!pruned(2 * HOUR, 3).unwrap(), "nothing is old");
        assert!(pruned(6 * HOUR, 3).unwrap(), "one more is old");
        assert!(!pruned(6 * HOUR, 3).unwrap());
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
        let mut sweep = Sweep::default();
        let mut pruned = |now, most| prune(&sql, (&known, &mut sweep), now, most);
        keep(&sql, &known, "ahead", 1_000 * HOUR);
        keep(&sql, &known, "old", 0);
        keep(&sql, &known, "young", 5 * HOUR);
        assert!(pruned(6 * HOUR, 3).unwrap(), "passes it over");
        pruned(6 * HOUR, 3).unwrap();
        assert!(matches!(known.claim(1, "old", [7; 32]), Known::Claimed(_)));
        for key in ["ahead", "young"] {
            assert!(matches!(known.claim(1, key, [7; 32]), Known::Replied));
        }
    }
}
