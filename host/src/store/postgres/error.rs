//! Errors of the server and of the connection to it, by consequence.

use tokio_postgres::error::SqlState;

use crate::store::fault::{StoreFault, StoreFaultKind};

/// The result of a statement.
pub(super) type SqlResult<T> = Result<T, SqlError>;

/// A statement failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// The server refused it, or the connection is lost.
    #[error("{}", shown(.0))]
    Server(#[from] tokio_postgres::Error),
    /// The server's answer has another form.
    #[error("{0}")]
    Data(String),
    /// Another host was first.
    #[error("{0}")]
    Superseded(&'static str),
}

/// Why the writes of a commit were refused, if it was not the server's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The row of this host is another's by now.
    Taken,
    /// The server has lost commits of this host.
    Lost,
    /// Other rules are active by now.
    OtherRules,
    /// One of the rows: its event was applied before, or the server does not take one of its values.
    OneRow,
    /// An entry was decided on rows that another host has changed meanwhile, or its record is of a
    /// partition that another host reads by now.
    Stale,
    /// Another host has replied under the idempotency key of an entry.
    Replied,
    /// It waited for a commit that waited for it. Source: PostgreSQL, appendix A, class 40.
    Deadlock,
}

impl SqlError {
    /// Why the writes of a commit were refused; None if it was the server's condition, or the
    /// connection's.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if let Self::Superseded(_) = self {
            return Some(Refusal::Stale);
        }
        // Source: the function `saga_commit_v4`, and PostgreSQL's appendix A: class 22 has the
        // errors of values, 54 those of sizes.
        match self.code()?.code() {
            "SG001" => Some(Refusal::Taken),
            "SG002" => Some(Refusal::OneRow),
            "SG003" => Some(Refusal::Stale),
            "SG004" => Some(Refusal::Replied),
            "SG005" => Some(Refusal::OtherRules),
            "SG006" => Some(Refusal::Stale),
            "SG007" => Some(Refusal::Lost),
            "40P01" | "40001" => Some(Refusal::Deadlock),
            code if code.starts_with("22") || code.starts_with("54") => Some(Refusal::OneRow),
            _ => None,
        }
    }

    /// The code of the server's answer; None if there was no answer.
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server(error) => error.code(),
            Self::Data(_) | Self::Superseded(_) => None,
        }
    }

    /// True if the connection was lost, so that the outcome of a commit is unknown.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Server(error) if error.as_db_error().is_none())
    }
}

impl From<SqlError> for StoreFault {
    fn from(error: SqlError) -> Self {
        let kind = match error.code() {
            Some(code)
                if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED =>
            {
                StoreFaultKind::Damaged
            }
            _ => match error {
                SqlError::Data(_) => StoreFaultKind::Damaged,
                SqlError::Superseded(_) => StoreFaultKind::Superseded,
                SqlError::Server(_) => StoreFaultKind::Passing,
            },
        };
        StoreFault::new(kind, error.to_string())
    }
}

/// The error with its causes: the text of the driver names only its own part.
fn shown(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!(
            "PostgreSQL: {} ({})",
            answer.message(),
            answer.code().code()
        );
    }
    let mut text = format!("PostgreSQL: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
