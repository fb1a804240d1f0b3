//! Ids as columns hold them: those in their usual form as bytes, any others as text.
//!
//! Three ids go with every record, so their size counts. A column compares equal whether a value was
//! written as one or the other, since each text has one form only.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use saga_core::identity::{traceparent_bytes, traceparent_text, uuid_bytes, uuid_text};

/// An id to write or to look up: a UUID in lower case takes 16 bytes.
pub(super) enum Id<'t> {
    Uuid([u8; 16]),
    Text(&'t str),
}

impl<'t> Id<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        uuid_bytes(text).map_or(Self::Text(text), Self::Uuid)
    }
}

impl ToSql for Id<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Uuid(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// An id that was read.
pub(super) struct IdText(pub(super) String);

impl FromSql for IdText {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(bytes) => Ok(Self(uuid_text(sized(bytes)?))),
            other => other.as_str().map(|text| Self(text.to_owned())),
        }
    }
}

/// A trace context to write: 16 bytes if its span is the end of its trace and it is sampled, as in
/// those that this host begins; 25 bytes in any other one of version 00.
pub(super) enum Trace<'t> {
    Own([u8; 16]),
    Other([u8; 25]),
    Text(&'t str),
}

impl<'t> Trace<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        match traceparent_bytes(text) {
            None => Self::Text(text),
            Some((trace, span, 1)) if trace.ends_with(&span) => Self::Own(trace),
            Some((trace, span, flags)) => {
                let mut bytes = [flags; 25];
                let parts = trace.into_iter().chain(span);
                for (to, from) in bytes.iter_mut().zip(parts) {
                    *to = from;
                }
                Self::Other(bytes)
            }
        }
    }
}

impl ToSql for Trace<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Own(bytes) => ValueRef::Blob(bytes),
            Self::Other(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// A trace context that was read.
pub(super) struct TraceText(pub(super) String);

impl FromSql for TraceText {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let ValueRef::Blob(bytes) = value else {
            return value.as_str().map(|text| Self(text.to_owned()));
        };
        let (trace, rest) = bytes
            .split_at_checked(16)
            .ok_or(FromSqlError::InvalidType)?;
        let (span, flags) = match rest {
            [] => (bytes.get(8..).unwrap_or_default(), 1),
            [span @ .., flags] => (span, *flags),
        };
        Ok(Self(traceparent_text(sized(trace)?, sized(span)?, flags)))
    }
}

fn sized<const N: usize>(bytes: &[u8]) -> FromSqlResult<[u8; N]> {
    bytes.try_into().map_err(|_| FromSqlError::InvalidBlobSize {
        expected_size: N,
        blob_size: bytes.len(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// The text as a column gives it back, and the bytes that it takes there.
    fn stored<T: FromSql>(value: &dyn ToSql) -> (T, usize) {
        let sql = Connection::open_in_memory().unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize));
        sql.query_row("SELECT ?1, octet_length(?1)", [value], row)
            .unwrap()
    }

    #[test]
    fn every_id_comes_back_as_it_was() {
        let uuid = "01a2343a-4fe9-8079-bed4-210ab1d1f45a";
        for (text, bytes) in [
            (uuid, 16),
            (&*uuid.to_uppercase(), 36),
            (&*uuid.replace('-', ""), 32),
            ("t/1/7", 5),
            ("0123456789abcdef", 16),
            ("", 0),
        ] {
            let (read, length) = stored::<IdText>(&Id::of(text));
            assert_eq!((&*read.0, length), (text, bytes));
        }
    }

    #[test]
    fn every_trace_context_comes_back_as_it_was() {
        let own = "00-01a2343a35c68bc682175532c02dd65e-82175532c02dd65e-01";
        for (text, bytes) in [
            (own, 16),
            (&*own.replace("-01", "-00"), 25),
            (
                "00-01a2343a35c68bc682175532c02dd65e-00175532c02dd65e-01",
                25,
            ),
            (&*own.replacen("00", "01", 1), 55),
            (&*own.to_uppercase(), 55),
            ("", 0),
        ] {
            let (read, length) = stored::<TraceText>(&Trace::of(text));
            assert_eq!((&*read.0, length), (text, bytes));
        }
    }
}
