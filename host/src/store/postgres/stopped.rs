//! A store that no host has open, and a look into one beside its host.

use std::sync::Arc;

use super::address::ServerAddress;
use super::error::SqlResult;
use super::membership;
use super::read::PostgresReader;
use super::session::Sql;
use super::tables;
use super::write::{history, offsets};
use crate::store::engine::{Activation, Stopped};
use crate::store::fault::{StoreFault, StoreFaultKind};
use crate::store::open_error::OpenError;
use crate::store::read::{ReadStore, StoreResult};
use crate::store::streams::ReadPartition;

/// Opens the store at this address for reading, beside the host that may own it. None if there is
/// none.
///
/// # Errors
/// An [`OpenError`] with the reason and the remedy.
pub(in crate::store) fn look(
    address: &ServerAddress,
) -> Result<Option<Box<dyn ReadStore>>, OpenError> {
    let reader = PostgresReader::open(address, Arc::default());
    let reader = reader.map_err(|error| tables::failed(address, &error))?;
    match tables::are_there(reader.session(), address, false)? {
        true => Ok(Some(Box::new(reader))),
        false => Ok(None),
    }
}

/// Opens the store at this address to read and change it while no host runs on it. None if there is
/// none.
///
/// # Errors
/// An [`OpenError`] with the reason and the remedy.
pub(in crate::store) fn own(
    address: &ServerAddress,
) -> Result<Option<Box<dyn Stopped>>, OpenError> {
    let Some(sql) = tables::open(address, false)? else {
        return Ok(None);
    };
    let me = membership::hold_alone(&sql, address)?;
    Ok(Some(Box::new(StoppedStore {
        reader: PostgresReader::new(sql, Arc::default()),
        me,
    })))
}

struct StoppedStore {
    reader: PostgresReader,
    me: membership::Membership,
}

impl StoppedStore {
    /// Changes the store in a transaction. A host that started meanwhile owns the store.
    fn change(&mut self, change: impl FnOnce(&Sql) -> SqlResult<()>) -> StoreResult<()> {
        let sql = self.reader.session();
        sql.run("BEGIN")?;
        let changed = self.check_owned().and_then(|()| Ok(change(sql)?));
        match changed {
            Ok(()) => Ok(sql.run("COMMIT")?),
            Err(fault) => {
                // If the connection is lost, the transaction is undone anyway.
                let _ = sql.run("ROLLBACK");
                Err(fault)
            }
        }
    }

    fn check_owned(&self) -> StoreResult<()> {
        match membership::last_commit(self.reader.session(), self.me)? {
            Some(_) => Ok(()),
            None => Err(StoreFault::new(
                StoreFaultKind::Passing,
                "a host has started on the store meanwhile; nothing was changed",
            )),
        }
    }
}

impl Drop for StoppedStore {
    fn drop(&mut self) {
        // If this fails, the next host waits for a few seconds.
        let _ = membership::leave(self.reader.session(), self.me);
    }
}

impl Stopped for StoppedStore {
    fn reading(&self) -> &dyn ReadStore {
        &self.reader
    }

    fn activate(&mut self, activation: &Activation) -> StoreResult<()> {
        self.change(|sql| history::activate(sql, activation))
    }

    fn seek(&mut self, read: &ReadPartition, next: i64, log: Option<&str>) -> StoreResult<()> {
        self.change(|sql| offsets::seek(sql, read, next, log))
    }
}
