//! Recorded decisions as the admin interface answers them, for a replay elsewhere.
//!
//! A decision is its bytes in the journal, uncompressed: so it is the same for a program of this
//! version, and another one finds out that it is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saga_core::journal::{self, NotWhole};
use serde::{Deserialize, Serialize};

use crate::base::generation::RuleSettings;
use crate::store::decisions::{DecisionPage, JournalRow, JournalSpan, StoredDecision};
use crate::store::sample::Recorded;

/// The recorded decisions that were asked for: a part of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedSpan {
    /// Number of the last decision before it.
    pub after: i64,
    /// Number of its last decision.
    pub up_to: i64,
    /// Time from which on they are wanted, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The settings that are active, as the operator gave them.
    #[serde(default)]
    pub settings: RuleSettings,
}

/// Some of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPage {
    /// Number of the last decision that was looked at.
    pub read: i64,
    /// The decisions.
    pub decisions: Vec<RecordedDecision>,
}

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedDecision {
    /// Its number.
    pub seq: i64,
    /// Digest of the generation that decided.
    pub digest: String,
    /// Version of its states.
    pub state_version: u32,
    /// Key of the aggregate.
    pub key: String,
    /// Revision of the aggregate, as the rules saw it.
    pub revision: u64,
    /// Fuel that the decision took.
    pub fuel: u64,
    /// Time of the decision, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The message and the outcome, in base64; or why they can't be read.
    pub decision: Result<String, String>,
}

impl RecordedSpan {
    /// The part of the journal.
    #[must_use]
    pub fn span(&self) -> JournalSpan {
        JournalSpan {
            after: self.after,
            up_to: self.up_to,
        }
    }
}

impl From<DecisionPage> for RecordedPage {
    fn from(page: DecisionPage) -> Self {
        Self {
            read: page.read,
            decisions: page.rows.into_iter().map(RecordedDecision::of).collect(),
        }
    }
}

impl From<RecordedPage> for DecisionPage {
    fn from(page: RecordedPage) -> Self {
        Self {
            read: page.read,
            rows: page
                .decisions
                .into_iter()
                .map(RecordedDecision::row)
                .collect(),
        }
    }
}

impl RecordedDecision {
    fn of(row: JournalRow) -> Self {
        let (state_version, state, decision) = match row.recorded {
            Ok(recorded) => {
                let Recorded {
                    state_version,
                    state,
                    message,
                    outcome,
                    ..
                } = recorded;
                let bytes = journal::encode(&message, state.as_deref(), &outcome);
                (
                    state_version,
                    state,
                    bytes.map_err(|error| error.to_string()),
                )
            }
            Err(NotWhole::NoPayload(outline)) => {
                let bytes = outline.encode();
                (0, None, bytes.map_err(|error| error.to_string()))
            }
            Err(NotWhole::Unreadable(why)) => (0, None, Err(why)),
        };
        Self {
            seq: row.seq,
            digest: row.digest,
            state_version,
            key: row.key,
            revision: row.revision,
            fuel: row.fuel,
            time: row.time,
            state,
            decision: decision.map(|bytes| STANDARD.encode(bytes)),
        }
    }

    fn row(self) -> JournalRow {
        let decode = |text: String| STANDARD.decode(text).map_err(|error| error.to_string());
        let stored = StoredDecision {
            seq: self.seq,
            key: self.key,
            revision: self.revision,
            fuel: self.fuel,
            time: self.time,
            state: self.state,
            decision: self.decision.and_then(decode),
        };
        stored.by(&(self.digest, self.state_version))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use saga_core::journal::encode_outline;
    use saga_core::message::{Message, Origin};
    use saga_core::outcome::{Outcome, StateChange};

    use super::*;

    #[test]
    fn decisions_come_over_as_they_are_recorded() {
        let message = Message {
            id: "m".into(),
            source: "/s".into(),
            origin: Origin::Command,
            name: "place".into(),
            key: "17".into(),
            time: 7,
            correlation: "c".into(),
            causation: None,
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: Vec::new(),
            body: "1".into(),
        };
        let outcome = Outcome {
            state: StateChange::Put("[1,2]".into()),
            events: Vec::new(),
            timers: Vec::new(),
            reply: None,
        };
        let outline = encode_outline(&message, Some("[1]"), &outcome).unwrap();
        let outline = journal::decode(&outline, ("17", 7), Some("")).unwrap_err();
        let whole = Recorded {
            digest: "d".into(),
            state_version: 3,
            state: Some("[1]".into()),
            message,
            outcome,
        };
        let all = [
            Ok(whole),
            Err(outline),
            Err(NotWhole::Unreadable("damaged".into())),
        ];
        let rows = all.into_iter().zip(1..).map(|(recorded, seq)| JournalRow {
            seq,
            digest: "d".into(),
            key: "17".into(),
            revision: 4,
            fuel: 5,
            time: 7,
            recorded,
        });
        let page = DecisionPage {
            rows: rows.collect(),
            read: 9,
        };
        let sent = serde_json::to_string(&RecordedPage::from(page.clone())).unwrap();
        let came: RecordedPage = serde_json::from_str(&sent).unwrap();
        assert_eq!(DecisionPage::from(came), page);
    }
}
