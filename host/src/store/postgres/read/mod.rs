//! The queries of [`ReadStore`](crate::store::ReadStore), each by one or a few statements. Each
//! statement is a snapshot of its own.
//!
//! # Layout
//!
//! - [`reading`]: the traits of the reading side; `row`: columns of rows
//! - tables: `aggregates`, `timers`, `listed` (pages of lists), `outbox`, `offsets`, `parked`,
//!   `letters`, `history`, `journal` (decisions), `changes` (of lists, from the
//!   journal), `hosts`; `sample`: rows of samples
//!
//! Statements that order or limit rows name the index that gives this order. The server plans them
//! while tables are empty, when any plan is cheap; so sessions that only read have no plan that
//! reads more than a page ([`PLANS`]). `(SELECT true ... LIMIT 1) IS NOT NULL` in place of `EXISTS`
//! and `LATERAL (... LIMIT 1)` in place of a join are looked up row by row: they are never hashed.

mod aggregates;
mod changes;
mod history;
mod hosts;
mod journal;
mod letters;
mod listed;
mod offsets;
mod outbox;
mod parked;
mod reading;
mod row;
mod sample;
mod timers;

pub(super) use self::history::generation as generation_row;

use std::borrow::Borrow;
use std::sync::Arc;

use self::outbox::Authors;
use super::address::ServerAddress;
use super::error::SqlResult;
use super::session::Sql;
use crate::store::condition::Condition;

/// Plans that read all rows of an index before the first is returned.
const PLANS: &str = "SET enable_bitmapscan = off; SET enable_material = off";

/// A session that only reads, for one thread.
pub(super) struct PostgresReader<C = Sql> {
    sql: C,
    authors: Authors,
    condition: Arc<Condition>,
}

impl PostgresReader {
    /// A reader with a session of its own.
    pub(super) fn open(address: &ServerAddress, condition: Arc<Condition>) -> SqlResult<Self> {
        Ok(Self::new(address.connect_to_read(PLANS)?, condition))
    }
}

impl<C: Borrow<Sql>> PostgresReader<C> {
    /// A reader over this session.
    pub(super) fn new(session: C, condition: Arc<Condition>) -> Self {
        Self {
            sql: session,
            authors: Authors::default(),
            condition,
        }
    }

    /// Its session.
    pub(super) fn session(&self) -> &Sql {
        self.sql.borrow()
    }
}

#[cfg(test)]
mod tests;
