//! The components that a store keeps for all its hosts, over a session of their own.

use std::sync::Arc;

use super::address::ServerAddress;
use super::error::SqlResult;
use super::session::{SharedSql, Sql};
use super::tables;
use crate::store::location::Components;

/// The components of the store at this address.
pub(in crate::store) fn components(address: &ServerAddress) -> Arc<dyn Components> {
    Arc::new(ServerComponents(SharedSql::new(address.clone())))
}

struct ServerComponents(SharedSql);

impl ServerComponents {
    fn with<T>(&self, work: impl FnOnce(&Sql) -> SqlResult<T>) -> Result<T, String> {
        let address = self.0.address();
        (self.0.with(work))
            .map_err(|error| format!("{address}: {}", tables::remedy(address, &error)))
    }
}

impl Components for ServerComponents {
    fn read(&self, digest: &str) -> Result<Option<Vec<u8>>, String> {
        self.with(|sql| {
            let row = sql.row("SELECT bytes FROM components WHERE digest = $1", &[&digest])?;
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        })
    }

    fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), String> {
        self.with(|sql| {
            // Most are there already; the bytes of a large one are not sent for nothing.
            let whole =
                "SELECT 1 FROM components WHERE digest = $1 AND encode(sha256(bytes), 'hex') = $1";
            if sql.row(whole, &[&digest])?.is_some() {
                return Ok(());
            }
            sql.execute(
                "INSERT INTO components (digest, bytes) VALUES ($1, $2)
                 ON CONFLICT (digest) DO UPDATE SET bytes = excluded.bytes",
                &[&digest, &bytes],
            )
            .map(drop)
        })
    }

    fn digests(&self) -> Result<Vec<String>, String> {
        self.with(|sql| {
            let rows = sql.query("SELECT digest FROM components ORDER BY digest", &[])?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
    }

    fn retain(&self, digests: &[String]) -> Result<Vec<String>, String> {
        self.with(|sql| {
            let rows = sql.query(
                "DELETE FROM components WHERE digest <> ALL ($1) RETURNING digest",
                &[&digests],
            )?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
    }
}
