//! Who chooses the keys of pages: connections that are kept from one page to the next.
//!
//! Blocks: to be called on threads that may. How many call at once, and so how many connections there are, is up
//! to the caller.

use std::sync::{Arc, Mutex, PoisonError};

use super::fault::StoreFault;
use super::index::{Page, Wanted};
use super::read::Reader;
use super::tally::Tally;
use super::writer::Store;

/// Chooses the keys of pages.
pub struct Pages {
    store: Arc<Store>,
    idle: Mutex<Vec<Reader>>,
}

impl Pages {
    /// Of this store.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            idle: Mutex::default(),
        }
    }

    /// The keys of a page, as they are committed; counts that it was asked for. Blocks.
    ///
    /// # Errors
    /// What the store said.
    pub fn page(&self, wanted: &Wanted, tally: Tally) -> Result<Page, StoreFault> {
        if let Some(gone) = self.store.condition().loss() {
            return Err(gone);
        }
        let idle = self.lock().pop();
        let page = idle
            .map_or_else(|| self.store.reader(), Ok)
            .and_then(|reader| Ok((reader.page(wanted)?, reader)));
        // A connection on which something went wrong is not kept.
        let (page, reader) = page.map_err(|error| {
            let fault = StoreFault::from(error);
            let condition = self.store.condition();
            condition.report("a list can't be read from the store", &fault);
            fault
        })?;
        self.lock().push(reader);
        self.store.count(tally);
        Ok(page)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
