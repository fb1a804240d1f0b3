//! A note on the state of the host that one part sets and another one shows.

use std::sync::Arc;

use parking_lot::Mutex;

/// A note; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Note(Arc<Mutex<Option<String>>>);

impl Note {
    /// Sets or removes the text.
    pub fn set(&self, text: Option<String>) {
        *self.0.lock() = text;
    }

    /// The text, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.0.lock().clone()
    }
}
