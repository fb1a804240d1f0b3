//! The tables of a store: found or created, and their version.

use tokio_postgres::error::SqlState;

use super::address::{ServerAddress, quoted};
use super::error::{SqlError, SqlResult};
use super::session::Sql;
use crate::store::open_error::OpenError;

/// Version of the tables that this build reads and writes.
const VERSION: i32 = 5;

/// The oldest server that is supported: its `server_version_num`.
const OLDEST_SERVER: i32 = 150_000;

const TABLES: &str = include_str!("schema.sql");
const COMMIT: &str = include_str!("write/commit.sql");

/// A session with the store at this address, whose tables this build can use. They are created if
/// there are none and `may_create`; None if there are none otherwise.
///
/// # Errors
/// The reason why it can't be used, with the remedy.
pub(super) fn open(address: &ServerAddress, may_create: bool) -> Result<Option<Sql>, OpenError> {
    let sql = address.connect();
    let sql = sql.map_err(|error| failed(address, &error))?;
    Ok(are_there(&sql, address, may_create)?.then_some(sql))
}

/// True if this build can use the tables that a session finds. They are created if there are none
/// and `may_create`; false if there are none otherwise.
///
/// # Errors
/// As [`open`].
pub(super) fn are_there(
    sql: &Sql,
    address: &ServerAddress,
    may_create: bool,
) -> Result<bool, OpenError> {
    let refused = |reason: String| OpenError::Server {
        store: address.to_string(),
        reason,
    };
    let failed = |error: SqlError| failed(address, &error);
    check_server(sql).map_err(failed)?.map_err(refused)?;
    // Another host may create them at the same time, which one of both sees as an error.
    let mut tries = 0;
    loop {
        if let Some(version) = version(sql, address).map_err(failed)? {
            check_version(version).map_err(refused)?;
            return Ok(true);
        }
        if !may_create {
            return Ok(false);
        }
        match create(sql, address) {
            Ok(()) => {}
            Err(error) if tries < 3 && is_race(&error) => tries += 1,
            Err(error) => return Err(failed(error)),
        }
    }
}

/// A store that can't be opened because of the server's error.
pub(super) fn failed(address: &ServerAddress, error: &SqlError) -> OpenError {
    OpenError::Server {
        store: address.to_string(),
        reason: remedy(address, error),
    }
}

/// A name that tells this store from all others.
pub(super) fn identity(sql: &Sql) -> SqlResult<String> {
    Ok(sql.one("SELECT identity FROM store", &[])?.try_get(0)?)
}

/// The version of the tables; None if there are none.
fn version(sql: &Sql, address: &ServerAddress) -> SqlResult<Option<i32>> {
    let table = format!("{}.store", quoted(address.schema()));
    let row = sql.one("SELECT to_regclass($1) IS NOT NULL", &[&table])?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    Ok(Some(sql.one("SELECT version FROM store", &[])?.try_get(0)?))
}

fn create(sql: &Sql, address: &ServerAddress) -> SqlResult<()> {
    let schema = quoted(address.schema());
    let created = sql.run(&format!(
        "BEGIN; CREATE SCHEMA IF NOT EXISTS {schema}; {TABLES} {COMMIT} COMMIT"
    ));
    if created.is_err() {
        // The error of the statement is the one to report.
        let _ = sql.run("ROLLBACK");
    }
    created
}

fn is_race(error: &SqlError) -> bool {
    let races = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_SCHEMA,
        SqlState::DUPLICATE_FUNCTION,
    ];
    error.code().is_some_and(|code| races.contains(code))
}

fn check_version(found: i32) -> Result<(), String> {
    match found {
        VERSION => Ok(()),
        _ if found > VERSION => Err(format!(
            "its tables have version {found}, this saga knows up to {VERSION}; use a newer saga"
        )),
        _ => Err(format!(
            "its tables have version {found}, this saga needs {VERSION}; use another schema (store.schema)"
        )),
    }
}

/// The server's settings that a store needs.
fn check_server(sql: &Sql) -> SqlResult<Result<(), String>> {
    let row = sql.one(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
             current_setting('synchronous_commit'), current_setting('fsync'), pg_is_in_recovery(),
             current_setting('server_encoding')",
        &[],
    )?;
    let (number, version): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let (commits, fsync): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let (is_standby, encoding): (bool, String) = (row.try_get(4)?, row.try_get(5)?);
    if number < OLDEST_SERVER {
        return Ok(Err(format!(
            "the server is PostgreSQL {version}; 15 or later is needed"
        )));
    }
    if is_standby {
        return Ok(Err(
            "the server is a standby, which can't be written; give the address of the primary"
                .into(),
        ));
    }
    if encoding != "UTF8" {
        return Ok(Err(format!(
            "the database has the encoding {encoding}; create one with ENCODING 'UTF8'"
        )));
    }
    if commits == "off" || commits == "local" {
        return Ok(Err(format!(
            "synchronous_commit is {commits}, so that the server may lose commits that it has acknowledged; set it to on for this user \
             or database (ALTER ROLE ... SET synchronous_commit = on)"
        )));
    }
    if fsync == "off" {
        tracing::warn!("fsync is off on the PostgreSQL server: a power loss may damage the store");
    }
    Ok(is_one_session(sql)?.then_some(()).ok_or_else(|| {
        "a pooler gives each statement another session (transaction pooling); connect to the server itself, or use session pooling"
            .into()
    }))
}

/// False if statements of one connection run in different sessions of the server.
fn is_one_session(sql: &Sql) -> SqlResult<bool> {
    sql.run("SET saga.session = 'this'")?;
    for _ in 0..3 {
        let row = sql.one(
            "SELECT coalesce(current_setting('saga.session', true), '') = 'this'",
            &[],
        )?;
        if !row.try_get::<_, bool>(0)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What went wrong, and what to do.
pub(super) fn remedy(address: &ServerAddress, error: &SqlError) -> String {
    let (user, database) = (address.user(), address.database());
    let what = match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD => {
            format!("check the password of {user} (in store.url or store.password_file)")
        }
        Some(code) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            format!("check the user {user}, and what pg_hba.conf of the server allows")
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            format!("create the database: CREATE DATABASE {}", quoted(database))
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => format!(
            "let {user} create the store's schema (GRANT CREATE ON DATABASE {} TO {}), or make {user} the owner of the schema {}",
            quoted(database),
            quoted(user),
            quoted(address.schema())
        ),
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => {
            format!("a host needs about 20 connections: raise max_connections, or the limit of {user}, or end other clients")
        }
        Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => "the server is starting or stopping; try again".into(),
        Some(code) if *code == SqlState::INVALID_SQL_STATEMENT_NAME => {
            "a pooler mixes up sessions (transaction pooling); connect to the server itself, or use session pooling".into()
        }
        Some(_) => return error.to_string(),
        None => "check host, port and sslmode of store.url, and that the server runs".into(),
    };
    format!("{error}; {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_another_version_are_refused_with_the_remedy() {
        assert!(check_version(VERSION).is_ok());
        assert!(check_version(VERSION + 1).is_err_and(|why| why.contains("use a newer saga")));
        assert!(check_version(0).is_err_and(|why| why.contains("store.schema")));
    }
}
