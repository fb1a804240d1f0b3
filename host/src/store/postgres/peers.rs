//! The thread that follows the other hosts on a store: what they have committed and activated, and
//! which duties are whose.
//!
//! It polls one small table. While others are there it does so often, since their records, timers
//! and changes are noticed only here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::address::ServerAddress;
use super::error::SqlResult;
use super::membership::{Membership, SILENCE};
use super::session::Sql;
use crate::store::duties::{self, Duties};
use crate::store::writing::outcomes::Outcomes;

/// Interval of looks at the other hosts while there are some.
const LOOK: Duration = Duration::from_millis(20);

/// The interval while there are none.
const LOOK_FOR_THE_FIRST: Duration = Duration::from_millis(250);

/// Interval at which duties are looked at, besides when hosts or offers have changed.
const DUTIES: Duration = Duration::from_millis(500);

/// Longest time for which a transaction that has changed rows may wait for its host: others may wait
/// for these rows.
const STALL: Duration = Duration::from_secs(2);

/// Changed aggregates that are told one by one. Beyond it, all watches are.
const CHANGES: i64 = 1_000;

/// The thread's parts.
pub(super) struct Peers {
    pub(super) address: ServerAddress,
    pub(super) me: Membership,
    pub(super) duties: Duties,
    pub(super) outcomes: Outcomes,
    /// True while other hosts are there.
    pub(super) has_others: Arc<AtomicBool>,
}

/// Another host, as it was last seen: row, incarnation, commits.
type Seen = (i64, i64, i64);

/// What is known from the last look.
#[derive(Default)]
struct Known {
    others: BTreeSet<Seen>,
    /// The number of activations.
    epoch: Option<i64>,
    /// The last decision whose aggregate watches were told of.
    journal: Option<i64>,
    offered: Vec<Arc<str>>,
    balanced: Option<Instant>,
}

impl Peers {
    /// Starts the thread, which ends when the other end of `stop` is dropped.
    pub(super) fn start(self, stop: Receiver<()>) -> std::io::Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("store-hosts".into());
        thread.spawn(move || self.run(&stop))
    }

    fn run(self, stop: &Receiver<()>) {
        let mut known = Known::default();
        let mut sql = None;
        loop {
            let pause = match known.others.is_empty() {
                true => LOOK_FOR_THE_FIRST,
                false => LOOK,
            };
            match stop.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
            let session = match sql.take() {
                Some(open) => Ok(open),
                None => Sql::renewed(self.address.clone(), ""),
            };
            // The writer reports a server that can't be reached; the next look tries again.
            if let Ok(session) = session {
                let _ = self.look(&session, &mut known);
                sql = Some(session);
            }
        }
        self.duties.set(|_| false);
        if let Some(sql) = sql {
            // If this fails, others take them when this host counts as gone.
            let _ = self.release(&sql, &[]);
        }
    }

    fn look(&self, sql: &Sql, known: &mut Known) -> SqlResult<()> {
        let rows = sql.query(
            "SELECT id, incarnation, batch, epoch FROM hosts
             WHERE id > 0 AND (id = $1 OR seen >= clock_timestamp() - $2 * interval '1 second')",
            &[&self.me.host, &SILENCE.as_secs_f64()],
        )?;
        let mut others = BTreeSet::new();
        for row in &rows {
            let (id, incarnation): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            if id != self.me.host {
                others.insert((id, incarnation, row.try_get(2)?));
            } else if known.epoch.replace(row.try_get(3)?) != Some(row.try_get(3)?) {
                self.outcomes.activated.notify();
            }
        }
        self.has_others.store(!others.is_empty(), Ordering::Release);
        let names = |others: &BTreeSet<Seen>| -> Vec<(i64, i64)> {
            others
                .iter()
                .map(|(id, incarnation, _)| (*id, *incarnation))
                .collect()
        };
        let are_the_same = names(&others) == names(&known.others);
        if others != known.others {
            self.outcomes.published.notify();
            self.outcomes.timers.notify();
            known.others = others;
        }
        if known.others.is_empty() {
            known.journal = None;
        } else {
            self.tell_changes(sql, known)?;
        }
        let offered = self.duties.offered();
        let is_due = known.balanced.is_none_or(|at| at.elapsed() >= DUTIES);
        if is_due && !known.others.is_empty() {
            self.end_stalled(sql)?;
        }
        if !are_the_same || offered != known.offered || is_due {
            self.balance(sql, &offered, offered != known.offered)?;
            known.offered = offered;
            known.balanced = Some(Instant::now());
        }
        Ok(())
    }

    /// Tells watches of the aggregates that others have decided on.
    fn tell_changes(&self, sql: &Sql, known: &mut Known) -> SqlResult<()> {
        let changes = &self.outcomes.changes;
        if !changes.are_watched() {
            known.journal = None;
            return Ok(());
        }
        let Some(after) = known.journal else {
            // What changed before the first look at the journal is not known.
            let row = sql.one("SELECT seq FROM journal_end", &[])?;
            known.journal = Some(row.try_get(0)?);
            changes.tell_all();
            return Ok(());
        };
        let rows = sql.query(
            "SELECT j.seq, g.participant, j.key FROM journal j JOIN generations g ON g.id = j.generation
             WHERE j.seq > $1 ORDER BY j.seq LIMIT $2",
            &[&after, &CHANGES],
        )?;
        for row in &rows {
            known.journal = Some(row.try_get(0)?);
            changes.tell(row.try_get(1)?, row.try_get(2)?);
        }
        if rows.len() as i64 == CHANGES {
            // There may be many more: the next look begins at the end.
            known.journal = None;
        }
        Ok(())
    }

    /// Ends transactions on the store that wait for a host which is paused or cut off. The server
    /// bounds only those that are idle, and not those in the middle of a message.
    fn end_stalled(&self, sql: &Sql) -> SqlResult<()> {
        let ended = sql.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = $1 AND datname = current_database() AND usename = current_user
                 AND backend_xid IS NOT NULL AND wait_event_type = 'Client'
                 AND state_change < clock_timestamp() - $2 * interval '1 second'",
            &[&self.address.application(), &STALL.as_secs_f64()],
        )?;
        if !ended.is_empty() {
            tracing::warn!(
                "a commit of another host stood still and was ended; that host repeats it when it goes on"
            );
        }
        Ok(())
    }

    /// Takes and leaves duties, so that they are spread over the hosts that would do them.
    fn balance(&self, sql: &Sql, offered: &[Arc<str>], has_changed: bool) -> SqlResult<()> {
        let Membership { host, incarnation } = self.me;
        let offered: Vec<&str> = offered.iter().map(|name| &**name).collect();
        if has_changed {
            sql.execute(
                "DELETE FROM candidates WHERE host = $1 AND duty <> ALL ($2)",
                &[&host, &offered],
            )?;
            sql.execute(
                "INSERT INTO candidates SELECT $1, duty FROM unnest($2::text[]) AS o(duty) ON CONFLICT DO NOTHING",
                &[&host, &offered],
            )?;
        }
        let rows = sql.query(
            "SELECT c.host, c.duty FROM candidates c JOIN hosts h ON h.id = c.host
             WHERE c.host = $1 OR h.seen >= clock_timestamp() - $2 * interval '1 second'",
            &[&host, &SILENCE.as_secs_f64()],
        )?;
        let mut candidates = Vec::with_capacity(rows.len());
        for row in &rows {
            candidates.push((row.try_get(0)?, row.try_get(1)?));
        }
        let spread = duties::spread(&candidates);
        let own: Vec<&str> = (offered.into_iter())
            .filter(|duty| spread.get(duty) == Some(&host))
            .collect();
        let mut held = self.held(sql)?;
        if held.iter().any(|name| !own.contains(&name.as_str())) {
            held.retain(|name| own.contains(&name.as_str()));
            // Left before it is anybody else's.
            self.duties.set(|name| held.iter().any(|held| held == name));
            self.release(sql, &own)?;
        }
        if held.len() < own.len() {
            sql.execute(
                "INSERT INTO duties AS old (name, host, incarnation) SELECT name, $1, $2 FROM unnest($3::text[]) AS o(name)
                 ON CONFLICT (name) DO UPDATE SET host = excluded.host, incarnation = excluded.incarnation
                 WHERE NOT EXISTS (SELECT FROM hosts h WHERE h.id = old.host AND h.incarnation = old.incarnation
                     AND h.seen >= clock_timestamp() - $4 * interval '1 second')",
                &[&host, &incarnation, &own, &SILENCE.as_secs_f64()],
            )?;
            held = self.held(sql)?;
        }
        if self.duties.set(|name| held.iter().any(|held| held == name)) {
            // Those that wait for records and timers look whether they are to go on.
            self.outcomes.published.notify();
            self.outcomes.timers.notify();
        }
        Ok(())
    }

    /// The duties that are this host's.
    fn held(&self, sql: &Sql) -> SqlResult<Vec<String>> {
        let rows = sql.query(
            "SELECT name FROM duties WHERE host = $1 AND incarnation = $2",
            &[&self.me.host, &self.me.incarnation],
        )?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Leaves all duties but these.
    fn release(&self, sql: &Sql, but: &[&str]) -> SqlResult<()> {
        sql.execute(
            "DELETE FROM duties WHERE host = $1 AND incarnation = $2 AND name <> ALL ($3)",
            &[&self.me.host, &self.me.incarnation, &but],
        )
        .map(drop)
    }
}
