//! Recorded decisions over the admin interface, for a replay elsewhere.
//!
//! ```text
//! GET /participants/{name}/decisions   which part of the journal has them
//!                                      ?since=MILLISECONDS (of the last ones), last=NUMBER, key=TEXT
//! GET /participants/{name}/decisions   some of them, with after= and up-to= of that answer, or of the page before
//!                                      ?after=, up-to=, from=TIME, key=TEXT, limit=1 to 500
//! GET /participants/{name}/rules       the rules that made decisions: digests, settings, what their fuel depends on
//! GET /participants/{name}/rules/{digest}   the component of some of them, by its digest
//! ```

use crate::apidocs::problems::Kind;
use crate::http::paging;
use crate::http::problem::Problem;
use crate::rollout::archive::Archive;
use crate::rollout::replay::DecidingRules;
use crate::rollout::selection::Selection;
use crate::store::{DecisionRange, JournalSpan, ReadStore, StoreResult};

use super::decision_report::{RecordedPage, RecordedSpan};

/// Most decisions of a page; its bytes are bounded by the store.
const LONGEST_PAGE: usize = 500;

/// A query for recorded decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DecisionQuery {
    selection: Selection,
    after: Option<i64>,
    up_to: Option<i64>,
    from: Option<u64>,
    limit: Option<usize>,
}

/// The parameters of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DecisionsAsked {
    /// The part of the journal.
    Span(Selection),
    /// Some decisions of it.
    Page(DecisionRange, JournalSpan, usize),
}

impl DecisionQuery {
    /// Reads a query.
    pub(super) fn of(query: Option<&str>) -> Result<DecisionsAsked, Problem> {
        let mut wanted = Self::default();
        for (name, value) in paging::pairs(query.unwrap_or_default())? {
            let unknown = || {
                let detail = format!(
                    "the query `{name}={value}` is not known; there are since=MILLISECONDS, last=NUMBER and key=TEXT, and for a page \
                     after=NUMBER, up-to=NUMBER, from=TIME, key=TEXT and limit=1 to {LONGEST_PAGE}"
                );
                Problem::new(Kind::BadQuery, detail)
            };
            let number = || value.parse::<u64>().map_err(|_| unknown());
            let place = || value.parse::<i64>().map_err(|_| unknown());
            match &*name {
                "since" => wanted.selection.since_ms = Some(number()?),
                "last" => wanted.selection.last = Some(number()?),
                "after" => wanted.after = Some(place()?),
                "up-to" => wanted.up_to = Some(place()?),
                "from" => wanted.from = Some(number()?),
                "limit" => match usize::try_from(number()?) {
                    Ok(limit @ 1..=LONGEST_PAGE) => wanted.limit = Some(limit),
                    _ => return Err(unknown()),
                },
                "key" => wanted.selection.key = Some(value),
                _ => return Err(unknown()),
            }
        }
        wanted.asked()
    }

    fn asked(self) -> Result<DecisionsAsked, Problem> {
        let is_span = self.selection.since_ms.is_some() || self.selection.last.is_some();
        let is_page = self.from.is_some() || self.limit.is_some();
        match (self.after, self.up_to) {
            (None, None) if !is_page => Ok(DecisionsAsked::Span(self.selection)),
            (Some(after), Some(up_to)) if !is_span => {
                let range = DecisionRange {
                    since: self.from,
                    key: self.selection.key,
                    ..DecisionRange::default()
                };
                let span = JournalSpan { after, up_to };
                let limit = self.limit.unwrap_or(LONGEST_PAGE);
                Ok(DecisionsAsked::Page(range, span, limit))
            }
            _ => {
                let detail = "a page needs `after` and `up-to`, from the answer without them, and takes `from`, `key` and `limit` besides; \
                              without them there are `since`, `last` and `key`";
                Err(Problem::new(Kind::BadQuery, detail))
            }
        }
    }
}

/// The part of the journal with the selected decisions of the participant in this row; empty if there
/// are none.
pub(super) fn span(
    reading: &dyn ReadStore,
    row: i64,
    selection: &Selection,
) -> StoreResult<RecordedSpan> {
    let wanted = selection.range(reading, row)?;
    let span = reading.decisions_span(&wanted)?.unwrap_or_default();
    let active = reading.active(row)?;
    Ok(RecordedSpan {
        after: span.after,
        up_to: span.up_to,
        since: wanted.since,
        settings: active.map(|active| active.given()).unwrap_or_default(),
    })
}

/// Some decisions of the participant in this row.
pub(super) fn page(
    reading: &dyn ReadStore,
    row: i64,
    (range, span, most): (DecisionRange, JournalSpan, usize),
) -> StoreResult<RecordedPage> {
    let wanted = DecisionRange {
        participant: row,
        ..range
    };
    reading.decisions(&wanted, span, most).map(Into::into)
}

/// The rules of the participant in this row that made decisions.
pub(super) fn rules(reading: &dyn ReadStore, row: i64) -> StoreResult<Vec<DecidingRules>> {
    let generations = reading.generations(row)?.into_iter();
    Ok(generations.map(|past| past.generation.into()).collect())
}

/// The component of this digest, if it is one of these rules.
pub(super) fn component(
    rules: &[DecidingRules],
    archive: &Archive,
    digest: &str,
) -> Result<Vec<u8>, Problem> {
    if !rules.iter().any(|one| one.component == digest) {
        let detail = format!("no rules of this participant have the component {digest}");
        return Err(Problem::new(Kind::UnknownGeneration, detail));
    }
    archive.read(digest).map_err(|reason| {
        let detail = format!("the host has no copy of the component: {reason}");
        Problem::new(Kind::UnknownGeneration, detail)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_for_the_part_of_the_journal_or_for_a_page_of_it() {
        let asked = DecisionQuery::of(Some("since=60000&last=5&key=a%2Fb")).unwrap();
        let selection = Selection {
            since_ms: Some(60_000),
            last: Some(5),
            key: Some("a/b".into()),
        };
        assert_eq!(asked, DecisionsAsked::Span(selection));
        assert_eq!(
            DecisionQuery::of(None).unwrap(),
            DecisionsAsked::Span(Selection::default())
        );
        let asked = DecisionQuery::of(Some("after=7&up-to=90&from=12&key=k&limit=3")).unwrap();
        let range = DecisionRange {
            since: Some(12),
            key: Some("k".into()),
            ..DecisionRange::default()
        };
        let span = JournalSpan {
            after: 7,
            up_to: 90,
        };
        assert_eq!(asked, DecisionsAsked::Page(range, span, 3));
        for wrong in [
            "after=7",
            "up-to=7",
            "after=7&up-to=9&last=3",
            "limit=3",
            "after=7&up-to=9&limit=501",
            "after=7&up-to=9&limit=0",
            "since=-1",
            "until=3",
        ] {
            let problem = DecisionQuery::of(Some(wrong)).unwrap_err();
            assert_eq!(problem.status, 400, "{wrong}");
        }
    }
}
