//! A store copied to another place, with another engine: all rows of every kind, counted and
//! compared.
//!
//! Both stores belong to this process meanwhile. The source is read within one transaction, the
//! target is written within one, and what was written is read back and compared before that commits:
//! a copy that ends early leaves the target empty.
//!
//! The copy has an identity of its own. Two hosts, on the source and on the copy, are two stores
//! which a Kafka group tells apart, so that the second one is refused.
//!
//! # Layout
//!
//! - this file: [`open`] and [`Copying`]
//! - [`kinds`]: what is copied; [`value`]: its values and their sums
//! - [`rows`]: what an engine does for it

pub(crate) mod kinds;
pub(crate) mod rows;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use std::collections::HashMap;

use serde::Serialize;

use self::kinds::{KINDS, Kind};
use self::rows::{Rows, RowsResult, TargetRows};
use self::value::{Row, Sum};
use super::location::StoreLocation;
use super::open_error::OpenError;

/// Most texts with U+0000 that are named.
const NAMED: usize = 20;

/// Rows between two calls for the progress.
const STEP: u64 = 10_000;

/// The reason why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no store to copy.
    #[error("there is no store in {0}; --from names it")]
    NoStore(String),
    /// Source and target are the same.
    #[error("--from and --to name the same store, {0}")]
    Same(String),
    /// One of the stores can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The target has rows.
    #[error("store {store}: it is not empty, it has {what}; nothing was changed. {remedy}")]
    NotEmpty {
        /// The target.
        store: String,
        /// What was found there.
        what: &'static str,
        /// How to get an empty one.
        remedy: String,
    },
    /// The target does not take texts with U+0000.
    #[error(
        "store {store}: PostgreSQL takes no U+0000 in a text, and these have one; nothing was written:\n  {}", .places.join("\n  ")
    )]
    Nul {
        /// The target.
        store: String,
        /// The texts: kind, key and column, one a line.
        places: Vec<String>,
    },
    /// A store can't be read or written.
    #[error("store {store}: {reason}; the copy was not made, the target is as empty as before")]
    Failed {
        /// The store.
        store: String,
        /// The engine's message.
        reason: String,
    },
    /// The copy was written, but can't be known to be durable.
    #[error(
        "store {store}: {reason}; it is not known if the copy was made: `saga store check` the target, or copy again to an empty one"
    )]
    Unknown {
        /// The target.
        store: String,
        /// The engine's message.
        reason: String,
    },
    /// What was read back is not what was written.
    #[error(
        "store {store}: its {kind} differ from those of the source ({found} rows, of {expected}); the copy was not made, the target is as empty as before"
    )]
    Differs {
        /// The target.
        store: String,
        /// The kind of rows.
        kind: &'static str,
        /// Rows found in the target.
        found: u64,
        /// Rows of the source.
        expected: u64,
    },
}

impl CopyError {
    pub(crate) fn failed(store: &str, reason: String) -> Self {
        Self::Failed {
            store: store.to_owned(),
            reason,
        }
    }
}

/// The rows of a kind that were copied, the same number in both stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CopiedKind {
    /// What people call them.
    #[serde(rename = "kind")]
    pub name: &'static str,
    /// Their number.
    pub rows: u64,
}

/// What a copy is doing: the work, the rows that are done, and all rows (0 if that is not known).
pub type Progress<'p> = dyn FnMut(&'static str, u64, u64) + 'p;

/// A copy whose source and target are open, and whose source was read once.
pub struct Copying {
    from: String,
    to: String,
    source: Box<dyn Rows>,
    target: Box<dyn TargetRows>,
    sums: Vec<Sum>,
}

/// Opens both stores and reads the source. Nothing is written to the target but its tables.
///
/// # Errors
/// The reason why no copy can be made.
pub fn open(
    from: &StoreLocation,
    to: &StoreLocation,
    progress: &mut Progress<'_>,
) -> Result<Copying, CopyError> {
    let (source_name, target_name) = (from.to_string(), to.to_string());
    if from.is_same(to) {
        return Err(CopyError::Same(source_name));
    }
    let source = from.rows()?;
    let source = source.ok_or_else(|| CopyError::NoStore(source_name.clone()))?;
    let target = to.target_rows()?;
    let filled = target.filled();
    if let Some(kind) = filled.map_err(|reason| CopyError::failed(&target_name, reason))? {
        return Err(CopyError::NotEmpty {
            store: target_name,
            what: kind.name,
            remedy: target.remedy(),
        });
    }
    let mut named = Named::default();
    let takes_nul = target.takes_nul();
    let sums = survey(&*source, "reading", 0, progress, |kind, row| {
        if !takes_nul {
            named.look(kind, row);
        }
    });
    let sums = sums.map_err(|reason| CopyError::failed(&source_name, reason))?;
    if !named.places.is_empty() {
        return Err(CopyError::Nul {
            store: target_name,
            places: named.places,
        });
    }
    Ok(Copying {
        from: source_name,
        to: target_name,
        source,
        target,
        sums,
    })
}

impl Copying {
    /// Writes the target, compares it with the source and commits it.
    ///
    /// # Errors
    /// The reason why no copy was made.
    pub fn run(self, progress: &mut Progress<'_>) -> Result<Vec<CopiedKind>, CopyError> {
        let Self {
            from,
            to,
            source,
            mut target,
            sums,
        } = self;
        let all: u64 = sums.iter().map(|sum| sum.rows).sum();
        let mut done = 0;
        target
            .begin()
            .map_err(|reason| CopyError::failed(&to, reason))?;
        for kind in KINDS {
            let mut unwritten = None;
            let read = source.read(kind, &mut |page| {
                let rows = page.len() as u64;
                let written = target.write(kind, page);
                written.inspect_err(|reason| unwritten = Some(reason.clone()))?;
                progress("copying", done, all);
                done += rows;
                Ok(())
            });
            match (read, unwritten) {
                (_, Some(reason)) => {
                    let reason = format!("its {} can't be written: {reason}", kind.name);
                    return Err(CopyError::failed(&to, reason));
                }
                (Err(reason), None) => {
                    let reason = format!("its {} can't be read: {reason}", kind.name);
                    return Err(CopyError::failed(&from, reason));
                }
                (Ok(()), None) => {}
            }
        }
        target
            .finish()
            .map_err(|reason| CopyError::failed(&to, reason))?;
        let found = survey(target.rows(), "comparing", all, progress, |_, _| {});
        let found = found.map_err(|reason| CopyError::failed(&to, reason))?;
        for ((kind, expected), found) in KINDS.iter().zip(&sums).zip(&found) {
            if found != expected {
                return Err(CopyError::Differs {
                    store: to,
                    kind: kind.name,
                    found: found.rows,
                    expected: expected.rows,
                });
            }
        }
        source
            .check_held()
            .map_err(|reason| CopyError::failed(&from, reason))?;
        target
            .rows()
            .check_held()
            .map_err(|reason| CopyError::failed(&to, reason))?;
        target
            .commit()
            .map_err(|reason| CopyError::Unknown { store: to, reason })?;
        let copied = KINDS.iter().zip(&sums).map(|(kind, sum)| CopiedKind {
            name: kind.name,
            rows: sum.rows,
        });
        Ok(copied.collect())
    }
}

/// Reads all rows; returns the sums of each kind.
fn survey(
    store: &dyn Rows,
    work: &'static str,
    all: u64,
    progress: &mut Progress<'_>,
    mut look: impl FnMut(&'static Kind, &Row),
) -> RowsResult<Vec<Sum>> {
    let mut done = 0;
    let mut sums = Vec::with_capacity(KINDS.len());
    for kind in KINDS {
        let mut sum = Sum::default();
        let read = store.read(kind, &mut |page| {
            for row in &page {
                sum.add(row);
                look(kind, row);
                done += 1;
                if done % STEP == 1 {
                    progress(work, done, all);
                }
            }
            Ok(())
        });
        read.map_err(|reason| format!("its {} can't be read: {reason}", kind.name))?;
        sums.push(sum);
    }
    Ok(sums)
}

/// Texts with U+0000.
#[derive(Default)]
struct Named {
    participants: HashMap<i64, String>,
    places: Vec<String>,
}

impl Named {
    fn look(&mut self, kind: &'static Kind, row: &Row) {
        if kind.table == "participants"
            && let [id, name, ..] = row.as_slice()
            && let (Some(id), Some(name)) = (id.integer(), name.text())
        {
            self.participants.insert(id, name.to_owned());
        }
        let columns = kind.columns.iter().zip(row);
        let with_nul = |text: &str| text.contains('\0');
        for (column, value) in columns {
            if value.text().is_some_and(with_nul) && self.places.len() < NAMED {
                let key = name_of(kind, row, &self.participants);
                self.places.push(format!("{key}, column {}", column.name));
            }
        }
    }
}

/// A row by its table and its key.
pub(crate) fn name_of(kind: &Kind, row: &Row, participants: &HashMap<i64, String>) -> String {
    let keys = kind.columns.iter().zip(row).take(kind.key);
    let keys: Vec<_> = keys
        .map(|(column, value)| {
            let participant = value.integer().filter(|_| column.name == "participant");
            match participant.and_then(|id| participants.get(&id)) {
                Some(name) => format!("participant {name}"),
                None => format!("{} {}", column.name, value.shown()),
            }
        })
        .collect();
    format!("{}: {}", kind.table, keys.join(", "))
}
