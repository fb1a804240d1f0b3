//! Recorded decisions of a running host, read over its admin interface page by page: only the
//! decisions and the rules that made them come here, and nothing is computed there.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{AdminClient, AdminClientError, AdminReply};
use super::operate::{HostAddress, find, token};
use super::reply::{CommandFailure, understand};
use crate::admin::decision_report::{RecordedPage, RecordedSpan};
use crate::apidocs::problems::percent_encode;
use crate::rollout::replay::{DecidingRules, ReadRules};
use crate::rollout::selection::Selection;
use crate::store::decisions::ReadDecisionPages;
use crate::store::{
    DecisionPage, DecisionRange, JournalSpan, StoreFault, StoreFaultKind, StoreResult,
};

/// Longest wait for an answer.
const TIME: Duration = Duration::from_secs(60);

/// The decisions of a participant of a host.
pub(super) struct RecordedThere {
    client: AdminClient,
    participant: String,
}

impl RecordedThere {
    /// Those of the host at this URL.
    pub(super) fn at(
        url: &str,
        token_file: Option<&Path>,
        participant: &str,
    ) -> Result<Self, CommandFailure> {
        let host = HostAddress::Url(url.to_owned());
        Ok(Self {
            client: find(&host, token(token_file)?)?,
            participant: participant.to_owned(),
        })
    }

    /// The part of the journal with the selected ones.
    pub(super) fn span(&self, selection: &Selection) -> Result<RecordedSpan, CommandFailure> {
        let Selection {
            since_ms,
            last,
            key,
        } = selection;
        self.ask(&[
            ("since", since_ms.map(|since| since.to_string())),
            ("last", last.map(|last| last.to_string())),
            ("key", key.clone()),
        ])
    }

    /// Asks for what is at this path below the rules that decided.
    fn of_rules(&self, below: &str) -> Result<AdminReply, AdminClientError> {
        let participant = percent_encode(&self.participant);
        let path = format!("/participants/{participant}/rules{below}");
        self.client.ask(Method::GET, &path, Bytes::new(), TIME)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        query: &[(&str, Option<String>)],
    ) -> Result<T, CommandFailure> {
        let given = query.iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(format!("{name}={}", percent_encode(value)))
        });
        let query: Vec<_> = given.collect();
        let participant = percent_encode(&self.participant);
        let path = format!("/participants/{participant}/decisions?{}", query.join("&"));
        let reply = self.client.ask(Method::GET, &path, Bytes::new(), TIME);
        understand(reply, false).map(|(answer, _)| answer)
    }
}

impl ReadRules for RecordedThere {
    fn deciding(&self) -> Result<Vec<DecidingRules>, String> {
        let answer = self.of_rules("");
        let answer = understand(answer, false).map(|(rules, _)| rules);
        answer.map_err(|failure| failure.said.join("; "))
    }

    fn component(&self, digest: &str) -> Result<Vec<u8>, String> {
        match self.of_rules(&format!("/{}", percent_encode(digest))) {
            Ok(reply) if reply.status == StatusCode::OK => Ok(reply.body.into()),
            reply => Err(match understand::<Value>(reply, false) {
                Err(failure) => failure.said.join("; "),
                Ok(_) => "the host does not send it".into(),
            }),
        }
    }
}

impl ReadDecisionPages for RecordedThere {
    fn decisions(
        &self,
        wanted: &DecisionRange,
        span: JournalSpan,
        most: usize,
    ) -> StoreResult<DecisionPage> {
        let page: Result<RecordedPage, _> = self.ask(&[
            ("after", Some(span.after.to_string())),
            ("up-to", Some(span.up_to.to_string())),
            ("from", wanted.since.map(|since| since.to_string())),
            ("key", wanted.key.clone()),
            ("limit", Some(most.to_string())),
        ]);
        let page = page.map_err(|failure| fault(failure.said.join("; ")))?;
        // A page goes on, or the reading would not end.
        match page.read > span.after {
            true => Ok(page.into()),
            false => Err(fault("the host does not go on in its journal".to_owned())),
        }
    }
}

fn fault(said: String) -> StoreFault {
    StoreFault::new(StoreFaultKind::Passing, said)
}
