//! The rules and lists by which a host writes: the active generations, and the lists of their
//! aggregates. Any host may change them; commits of a host that does not know of that are refused.

use std::collections::HashMap;

use parking_lot::Mutex;
use saga_core::commit::Entry;

use super::error::SqlResult;
use super::session::Sql;
use super::write::members::Members;

/// What is in force, as far as this host knows.
#[derive(Default)]
pub(super) struct InForce {
    pub(super) members: Members,
    active: Mutex<Active>,
}

#[derive(Default)]
struct Active {
    /// The number of changes.
    epoch: i64,
    /// Active generations, by participant.
    generations: HashMap<i64, i64>,
}

impl InForce {
    /// Reads what is in force.
    pub(super) fn learn(&self, sql: &Sql) -> SqlResult<()> {
        // The epoch first: if there is a change in between, the next commit is refused, and it is
        // read again.
        let row = sql.one("SELECT coalesce(max(epoch), 0) FROM hosts", &[])?;
        let epoch = row.try_get(0)?;
        let rows = sql.query(
            "SELECT p.id, a.generation FROM participants p JOIN LATERAL (
                 SELECT generation FROM activations WHERE participant = p.id ORDER BY id DESC LIMIT 1) a ON true",
            &[],
        )?;
        let mut generations = HashMap::new();
        for row in &rows {
            generations.insert(row.try_get(0)?, row.try_get(1)?);
        }
        self.members.load(sql)?;
        *self.active.lock() = Active { epoch, generations };
        Ok(())
    }

    /// The number of changes.
    pub(super) fn epoch(&self) -> i64 {
        self.active.lock().epoch
    }

    /// True if an entry was decided by rules that are active.
    pub(super) fn allows(&self, entry: &Entry) -> bool {
        let active = self.active.lock();
        (active.generations.get(&entry.participant))
            .is_none_or(|generation| *generation == entry.generation)
    }
}

/// Begins a change of what is in force, in the transaction of the change: no commit of any host is
/// under way until it ends, and later ones are refused until their hosts know of it.
pub(super) fn begin_change(sql: &Sql) -> SqlResult<()> {
    // Two that begin at once would each wait for the row of the other.
    sql.query("SELECT FROM store FOR UPDATE", &[])?;
    sql.execute("UPDATE hosts SET epoch = epoch + 1", &[])
        .map(drop)
}
