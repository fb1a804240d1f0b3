//! Recorded decisions of a running host, read over its admin interface page by page: only the
//! decisions come here, and nothing is computed there.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::de::DeserializeOwned;

use super::client::AdminClient;
use super::operate::{HostAddress, find, token};
use super::reply::{CommandFailure, understand};
use crate::admin::decision_report::{RecordedPage, RecordedSpan};
use crate::apidocs::problems::percent_encode;
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
