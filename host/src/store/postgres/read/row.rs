//! Columns of rows as the types of the host. SQL has no unsigned numbers.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::store::postgres::error::{SqlError, SqlResult};

/// The value in this column.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> SqlResult<T> {
    row.try_get(at)
        .map_err(|error| SqlError::Data(error.to_string()))
}

/// The value of 64 bits in this column.
pub(super) fn unsigned(row: &Row, at: usize) -> SqlResult<u64> {
    get::<i64>(row, at).map(i64::cast_unsigned)
}

/// The value of 32 bits in this column, which has more.
pub(super) fn small(row: &Row, at: usize) -> SqlResult<u32> {
    let value: i64 = get(row, at)?;
    u32::try_from(value).map_err(|_| SqlError::Data(format!("{value} is no number of 32 bits")))
}

/// The number of rows in this column.
pub(super) fn count(row: &Row, at: usize) -> SqlResult<usize> {
    let value: i64 = get(row, at)?;
    Ok(usize::try_from(value).unwrap_or(0))
}

/// A number of rows as a value.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// A time, or another number of 64 bits, as a value.
pub(super) fn number(value: u64) -> i64 {
    value.cast_signed()
}

/// True if no row has one of these texts: PostgreSQL has none with U+0000.
pub(super) fn has_none(texts: &[&str]) -> bool {
    texts.iter().any(|text| text.contains('\0'))
}
