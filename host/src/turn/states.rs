//! Stored states on request: reading one, which migrates it, and the notes of who asked for that.

use saga_core::admit::{self, Asked};
use saga_core::identity;
use saga_core::worker::CommandTurn;
use tokio::sync::oneshot;

use super::participant::{Participant, Shared};
use super::this_host::{Answer, Turn, WaitingClient};
use crate::base::clock::{now_ms, random_tail};
use crate::store::StoreResult;
use crate::store::history::ReleaseOutcome;

impl Participant {
    /// Lets the rules read the state of an aggregate, and stores it in their shape if it is older.
    /// Lifts the quarantine of an aggregate whose state can be read; `None` if there is no answer in
    /// time.
    pub async fn read_state(&self, key: String) -> Option<Answer> {
        let now = now_ms();
        let asked = Asked {
            key,
            body: "null".into(),
            ..Asked::default()
        };
        let id = identity::uuid_v8(now, random_tail());
        let (answer, answered) = oneshot::channel();
        let turn = Turn::Migrate(Box::new(CommandTurn {
            envelope: admit::command(&self.shared.name, asked, now, id, || None),
            under: self.active(),
            generated_key: None,
            repeatable: None,
            client: WaitingClient {
                answer,
                claim: None,
                reserved: None,
            },
            since: self.shared.turns.now(),
        }));
        self.answer_to(turn, answered).await
    }

    /// Notes an operator's request to release a quarantined aggregate; returns its row, or `None` if
    /// the aggregate is not quarantined.
    ///
    /// # Errors
    /// The store's error.
    pub fn note_release(&self, key: &str, by: &str) -> StoreResult<Option<i64>> {
        let Shared { store, row, .. } = &*self.shared;
        if !store.reader()?.is_quarantined(*row, key)? {
            return Ok(None);
        }
        store.note_release(*row, key, by, now_ms()).map(Some)
    }

    /// Adds its outcome to a noted request.
    ///
    /// # Errors
    /// The store's error.
    pub fn note_release_outcome(&self, row: i64, outcome: ReleaseOutcome) -> StoreResult<()> {
        self.shared.store.note_release_outcome(row, outcome)
    }
}
