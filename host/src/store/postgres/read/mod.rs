//! The queries of [`ReadStore`](crate::store::ReadStore), each by one or a few statements. Each
//! statement is a snapshot of its own.
//!
//! # Layout
//!
//! - [`reading`]: the traits of the reading side; `row`: columns of rows
//! - tables: `aggregates`, `timers`, `listed` (pages of lists), `outbox`, `offsets`, `parked`,
//!   `letters`, `history`, `journal` (decisions), `changes` (of lists, from the
//!   journal); `sample`: rows of samples
//!
//! Statements that order or limit rows name the index that gives this order.

mod aggregates;
mod changes;
mod history;
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

use std::borrow::Borrow;
use std::sync::Arc;

use self::outbox::Authors;
use super::session::Sql;
use crate::store::condition::Condition;

/// A session that only reads, for one thread.
pub(super) struct PostgresReader<C = Sql> {
    sql: C,
    authors: Authors,
    condition: Arc<Condition>,
}

impl<C: Borrow<Sql>> PostgresReader<C> {
    pub(super) fn new(session: C, condition: Arc<Condition>) -> Self {
        Self {
            sql: session,
            authors: Authors::default(),
            condition,
        }
    }

    fn session(&self) -> &Sql {
        self.sql.borrow()
    }
}
