//! The pool of readers: connections are kept from one query to the next.
//!
//! It has at most as many readers as threads that read at once; a few are kept idle (invariant 9).

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;

use super::read::{ReadStore, StoreResult};

/// Most idle readers.
const IDLE: usize = 8;

/// A connection of the engine.
type Opened = Box<dyn ReadStore + Send>;

/// The readers of a store.
#[derive(Clone)]
pub(super) struct Readers(Arc<Pool>);

struct Pool {
    open: Box<dyn Fn() -> StoreResult<Opened> + Send + Sync>,
    /// None once the store is closed.
    idle: Mutex<Option<Vec<Opened>>>,
}

/// A reader, for one thread at a time. Dropping it returns it to the pool, unless its connection
/// had an error.
pub struct Reader {
    /// None once it is dropped.
    reading: Option<Opened>,
    pool: Arc<Pool>,
}

impl Readers {
    /// A pool whose readers are opened by `open`.
    pub(super) fn new(open: impl Fn() -> StoreResult<Opened> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Pool {
            open: Box::new(open),
            idle: Mutex::new(Some(Vec::new())),
        }))
    }

    /// An idle reader, or a new one.
    pub(super) fn take(&self) -> StoreResult<Reader> {
        let mut idle = self.0.idle.lock().as_mut().and_then(Vec::pop);
        // Its connection may have been lost meanwhile.
        while idle.as_ref().is_some_and(|reading| !reading.is_sound()) {
            idle = self.0.idle.lock().as_mut().and_then(Vec::pop);
        }
        Ok(Reader {
            reading: Some(idle.map_or_else(&self.0.open, Ok)?),
            pool: self.0.clone(),
        })
    }

    /// The number of idle readers.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.0.idle.lock().as_ref().map_or(0, Vec::len)
    }

    /// Closes the idle readers; the others close when they are dropped.
    pub(super) fn close(&self) {
        self.0.idle.lock().take();
    }
}

impl Deref for Reader {
    type Target = dyn ReadStore + Send;

    fn deref(&self) -> &Self::Target {
        match &self.reading {
            Some(reading) => &**reading,
            None => unreachable!("it is taken only when it is dropped"),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(reading) = self.reading.take().filter(|reading| reading.is_sound()) else {
            return;
        };
        if let Some(idle) = &mut *self.pool.idle.lock()
            && idle.len() < IDLE
        {
            idle.push(reading);
        }
    }
}
