//! The proposals of a store, over a session of their own.

use super::address::ServerAddress;
use super::error::{SqlError, SqlResult};
use super::membership::{Membership, SILENCE};
use super::session::{SharedSql, Sql};
use crate::store::proposals::{HostAnswer, Proposal, Proposals, Proposed};
use crate::store::read::StoreResult;

/// The proposals of the store at this address, for this host.
pub(super) struct ServerProposals {
    session: SharedSql,
    me: Membership,
}

impl ServerProposals {
    pub(super) fn new(address: ServerAddress, me: Membership) -> Self {
        let session = SharedSql::new(address);
        Self { session, me }
    }

    fn with<T>(&self, work: impl FnOnce(&Sql, Membership) -> SqlResult<T>) -> StoreResult<T> {
        Ok(self.session.with(|sql| work(sql, self.me))?)
    }
}

impl Proposals for ServerProposals {
    fn propose(&self, participant: i64, generation: i64, replaces: i64) -> StoreResult<Proposed> {
        self.with(|sql, me| {
            let row = sql.row(
                "INSERT INTO proposal AS old (number, participant, generation, host, incarnation)
                 SELECT 1, $1, $2, $3, $4 WHERE $5 = (
                     SELECT generation FROM activations WHERE participant = $1 ORDER BY id DESC LIMIT 1)
                 ON CONFLICT (only_one) DO UPDATE SET number = old.number + 1, participant = excluded.participant,
                     generation = excluded.generation, host = excluded.host, incarnation = excluded.incarnation
                 WHERE old.participant IS NULL OR old.host = excluded.host OR NOT EXISTS (
                     SELECT FROM hosts h WHERE h.id = old.host AND h.incarnation = old.incarnation
                         AND h.seen >= clock_timestamp() - $6 * interval '1 second')
                 RETURNING number",
                &[&participant, &generation, &me.host, &me.incarnation, &replaces, &SILENCE.as_secs_f64()],
            )?;
            if let Some(row) = row {
                let number: i64 = row.try_get(0)?;
                sql.execute("DELETE FROM answers WHERE number < $1", &[&number])?;
                return Ok(Proposed::Stands(number));
            }
            let busy = sql.row(
                "SELECT h.name FROM proposal p JOIN hosts h ON h.id = p.host WHERE p.participant IS NOT NULL AND p.host <> $1",
                &[&me.host],
            )?;
            match busy {
                Some(row) => Ok(Proposed::Busy(row.try_get(0)?)),
                None => Ok(Proposed::Outdated),
            }
        })
    }

    fn answers(&self, number: i64) -> StoreResult<Vec<HostAnswer>> {
        self.with(|sql, me| {
            let rows = sql.query(
                "SELECT h.name, a.number IS NOT NULL, a.refused FROM hosts h
                     LEFT JOIN answers a ON a.number = $1 AND a.host = h.id AND a.incarnation = h.incarnation
                 WHERE h.id > 0 AND h.id <> $2 AND h.seen >= clock_timestamp() - $3 * interval '1 second'",
                &[&number, &me.host, &SILENCE.as_secs_f64()],
            )?;
            let answer = |row: &tokio_postgres::Row| {
                let refused: Option<String> = row.try_get(2)?;
                Ok::<_, SqlError>(HostAnswer {
                    host: row.try_get(0)?,
                    answer: row.try_get::<_, bool>(1)?.then(|| refused.map_or(Ok(()), Err)),
                })
            };
            rows.iter().map(answer).collect()
        })
    }

    fn withdraw(&self, number: i64) -> StoreResult<()> {
        self.with(|sql, _| {
            sql.execute(
                "UPDATE proposal SET participant = NULL, generation = NULL WHERE number = $1",
                &[&number],
            )
            .map(drop)
        })
    }

    fn open(&self) -> StoreResult<Option<Proposal>> {
        self.with(|sql, me| {
            let row = sql.row(
                "SELECT p.number, p.participant, g.digest FROM proposal p JOIN generations g ON g.id = p.generation
                 WHERE p.participant IS NOT NULL AND p.host <> $1 AND NOT EXISTS (SELECT FROM answers a
                         WHERE a.number = p.number AND a.host = $1 AND a.incarnation = $2)",
                &[&me.host, &me.incarnation],
            )?;
            let proposal = row.map(|row| {
                Ok::<_, SqlError>(Proposal {
                    number: row.try_get(0)?,
                    participant: row.try_get(1)?,
                    digest: row.try_get(2)?,
                })
            });
            proposal.transpose()
        })
    }

    fn answer(&self, number: i64, answer: Result<(), String>) -> StoreResult<()> {
        self.with(|sql, me| {
            sql.execute(
                "INSERT INTO answers (number, host, incarnation, refused) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (number, host) DO UPDATE SET incarnation = excluded.incarnation, refused = excluded.refused",
                &[&number, &me.host, &me.incarnation, &answer.err()],
            )
            .map(drop)
        })
    }

    fn changes(&self) -> StoreResult<i64> {
        self.with(|sql, me| {
            let row = sql.one("SELECT epoch FROM hosts WHERE id = $1", &[&me.host])?;
            Ok(row.try_get(0)?)
        })
    }

    fn note_followed(&self, followed: Result<i64, String>) -> StoreResult<()> {
        self.with(|sql, me| {
            sql.execute(
                "UPDATE hosts SET followed = coalesce($3, followed), behind = $4 WHERE id = $1 AND incarnation = $2",
                &[&me.host, &me.incarnation, &followed.as_ref().ok(), &followed.as_ref().err()],
            )
            .map(drop)
        })
    }
}
