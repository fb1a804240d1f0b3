//! A session with the server: blocking calls of prepared statements.
//!
//! tokio drives the connection on a thread of its own; callers are other threads, which wait.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::address::ServerAddress;
use super::driver::Driver;
use super::error::{SqlError, SqlResult};
use crate::store::writing::items::Transaction;

/// The parameters of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A session with the server, for one thread at a time.
pub(super) struct Sql {
    client: RefCell<Client>,
    /// Drives the connection.
    _driver: Arc<Driver>,
    /// The prepared statements, by their texts, which are a few dozen.
    statements: RefCell<HashMap<String, Statement>>,
    is_sound: Cell<bool>,
    /// Of a session without transactions of several statements: the address and the settings with
    /// which it connects again.
    renewal: Option<(ServerAddress, &'static str)>,
}

impl Sql {
    pub(super) fn new(client: Client, driver: Arc<Driver>) -> Self {
        Self {
            client: RefCell::new(client),
            _driver: driver,
            statements: RefCell::default(),
            is_sound: Cell::new(true),
            renewal: None,
        }
    }

    /// A session that connects again, with these settings, if its connection was lost before a
    /// statement. It has no transactions: each statement is one.
    pub(super) fn renewed(address: ServerAddress, settings: &'static str) -> SqlResult<Self> {
        Ok(Self {
            renewal: Some((address.clone(), settings)),
            ..Self::new(address.client(settings)?, address.driver())
        })
    }

    /// True if it can be used again: no statement has failed on it.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound.get() && !self.is_closed()
    }

    /// True if the connection is lost.
    pub(super) fn is_closed(&self) -> bool {
        self.client.borrow().is_closed()
    }

    /// All rows of a query.
    pub(super) fn query(&self, text: &str, values: Values<'_>) -> SqlResult<Vec<Row>> {
        let result = self.prepared(text).and_then(|statement| {
            let rows = pollster::block_on(self.client.borrow().query(&statement, values));
            rows.map_err(SqlError::from)
        });
        self.noted(result)
    }

    /// All rows of two queries, in one round trip.
    pub(super) fn query_both(
        &self,
        one: (&str, Values<'_>),
        other: (&str, Values<'_>),
    ) -> SqlResult<(Vec<Row>, Vec<Row>)> {
        let prepared =
            (self.prepared(one.0)).and_then(|first| Ok((first, self.prepared(other.0)?)));
        let result = prepared.and_then(|(first, second)| {
            let client = self.client.borrow();
            let both = async {
                tokio::try_join!(client.query(&first, one.1), client.query(&second, other.1))
            };
            pollster::block_on(both).map_err(SqlError::from)
        });
        self.noted(result)
    }

    /// The first row of a query; None if it has none.
    pub(super) fn row(&self, text: &str, values: Values<'_>) -> SqlResult<Option<Row>> {
        Ok(self.query(text, values)?.into_iter().next())
    }

    /// The first row of a query that always has one.
    pub(super) fn one(&self, text: &str, values: Values<'_>) -> SqlResult<Row> {
        let row = self.row(text, values)?;
        row.ok_or_else(|| SqlError::Data("a query without a row".into()))
    }

    /// Runs a statement; returns the number of rows that it changed.
    pub(super) fn execute(&self, text: &str, values: Values<'_>) -> SqlResult<u64> {
        let result = self.prepared(text).and_then(|statement| {
            let rows = pollster::block_on(self.client.borrow().execute(&statement, values));
            rows.map_err(SqlError::from)
        });
        self.noted(result)
    }

    /// Runs statements without parameters, which are not prepared.
    pub(super) fn run(&self, text: &str) -> SqlResult<()> {
        let result = pollster::block_on(self.client.borrow().batch_execute(text));
        self.noted(result.map_err(SqlError::from))
    }

    fn prepared(&self, text: &str) -> SqlResult<Statement> {
        if let Some((address, settings)) = &self.renewal
            && self.is_closed()
        {
            let client = address.client(settings)?;
            self.client.replace(client);
            self.statements.borrow_mut().clear();
            self.is_sound.set(true);
        }
        if let Some(statement) = self.statements.borrow().get(text) {
            return Ok(statement.clone());
        }
        let statement = pollster::block_on(self.client.borrow().prepare(text))?;
        let mut statements = self.statements.borrow_mut();
        statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    fn noted<T>(&self, result: SqlResult<T>) -> SqlResult<T> {
        if result.is_err() {
            self.is_sound.set(false);
        }
        result
    }
}

/// A session for rare calls of several threads, made by the first one.
pub(super) struct SharedSql {
    address: ServerAddress,
    session: Mutex<Option<Sql>>,
}

impl SharedSql {
    pub(super) fn new(address: ServerAddress) -> Self {
        Self {
            address,
            session: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Runs statements, each a transaction of its own, while no other thread does.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Sql) -> SqlResult<T>) -> SqlResult<T> {
        let mut session = self.session.lock();
        let sql = match session.take() {
            Some(open) => open,
            None => Sql::renewed(self.address.clone(), "")?,
        };
        work(session.insert(sql))
    }
}

impl Transaction for Sql {
    type Error = SqlError;

    fn in_savepoint<T>(&self, work: impl FnOnce(&Self) -> SqlResult<T>) -> SqlResult<T> {
        self.run("SAVEPOINT step")?;
        match work(self) {
            Ok(value) => {
                self.run("RELEASE step")?;
                Ok(value)
            }
            Err(error) => {
                // If the connection is lost, the transaction is undone anyway.
                if self.run("ROLLBACK TO step; RELEASE step").is_ok() {
                    self.is_sound.set(true);
                }
                Err(error)
            }
        }
    }
}
