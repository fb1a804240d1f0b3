//! Loads for a worker from the store, where each question is a round trip for many turns at once.

use std::sync::Arc;

use saga_core::worker::{Ahead, Ask, Loaded};

use crate::store::{Reader, StoreResult};
use crate::turn::participant::Shared;

/// The reader of a worker, and the rows that were loaded for turns that follow.
pub(super) struct Loading {
    shared: Arc<Shared>,
    reader: Reader,
    ahead: Ahead,
}

impl Loading {
    pub(super) fn new(shared: Arc<Shared>, reader: Reader) -> Self {
        Self {
            shared,
            reader,
            ahead: Ahead::default(),
        }
    }

    /// Loads what is missing of these rows, for the turns that follow. If they can't be read, each turn
    /// asks for itself, and reports the fault.
    pub(super) fn load_ahead(&mut self, mut ahead: Ahead) {
        let is_loaded =
            ahead.is_loaded() || self.reader.load_ahead(self.shared.row, &mut ahead).is_ok();
        self.ahead = if is_loaded { ahead } else { Ahead::default() };
    }

    /// Forgets what was loaded for turns that are over.
    pub(super) fn forget(&mut self) {
        self.ahead = Ahead::default();
    }

    /// Loads from the store. Failed reads are reported.
    pub(super) fn load(&mut self, ask: Ask<'_>) -> StoreResult<Loaded> {
        let row = self.shared.row;
        let mut loaded = Loaded::default();
        for identity in [ask.identity, ask.place].into_iter().flatten() {
            let known = match self.ahead.was_applied(identity) {
                Some(known) => Ok(known),
                None => self.reader.was_applied(row, identity),
            };
            loaded.is_known |= self.read("the store can't be read for a record", known)?;
        }
        if let Some(fired) = ask.timer {
            let timer = self.reader.timer(row, fired);
            loaded.timer = self.read("a timer can't be read", timer)?;
        }
        if let Some((key, after)) = ask.parked {
            let next = self.reader.next_parked(row, key, after);
            loaded.parked = self.read("parked messages can't be read", next)?;
        }
        if let Some(key) = ask.quarantined {
            let is_quarantined = self.reader.is_quarantined(row, key);
            loaded.is_quarantined = self.read("the quarantine can't be read", is_quarantined)?;
        }
        if let Some(identity) = ask.letter.filter(|_| loaded.is_known) {
            let letter = self.reader.parked_letter(row, identity);
            let letter = self.read("dead letters can't be read", letter)?;
            loaded.letter = letter.map(Box::new);
        }
        if let Some(key) = ask.aggregate {
            let stored = match self.ahead.aggregate(key) {
                Some(stored) => Ok(stored),
                None => self.reader.shared_aggregate(row, key),
            };
            let stored = self.read("an aggregate can't be read from the store", stored)?;
            loaded.aggregate = Some(stored.aggregate);
            loaded.held = stored.parked;
            loaded.is_quarantined |= stored.is_quarantined;
        }
        Ok(loaded)
    }

    fn read<T>(&self, what: &'static str, read: StoreResult<T>) -> StoreResult<T> {
        if let Err(fault) = &read {
            self.shared.store.condition().report(what, fault);
        }
        read
    }
}
