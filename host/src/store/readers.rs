//! The pool of readers: connections are kept from one question to the next.
//!
//! Their number is bounded by that of the threads that read at once; a few are kept idle
//! (invariant 9).

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::read::{Answer, ReadStore};

/// Readers that are kept without being used.
const IDLE: usize = 8;

/// A connection of the engine.
type Opened = Box<dyn ReadStore + Send>;

/// The readers of a store.
#[derive(Clone)]
pub(super) struct Readers(Arc<Pool>);

struct Pool {
    open: Box<dyn Fn() -> Answer<Opened> + Send + Sync>,
    /// None once the store is closed.
    idle: Mutex<Option<Vec<Opened>>>,
}

/// A reader, for one thread at a time. It goes back to the pool when it is dropped, unless
/// something went wrong on it.
pub struct Reader {
    /// Taken when it is dropped.
    reading: Option<Opened>,
    pool: Arc<Pool>,
}

impl Readers {
    /// Those that this opens.
    pub(super) fn new(open: impl Fn() -> Answer<Opened> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Pool {
            open: Box::new(open),
            idle: Mutex::new(Some(Vec::new())),
        }))
    }

    /// One that is idle, or a new one.
    pub(super) fn take(&self) -> Answer<Reader> {
        let idle = self.0.idle().as_mut().and_then(Vec::pop);
        Ok(Reader {
            reading: Some(idle.map_or_else(&self.0.open, Ok)?),
            pool: self.0.clone(),
        })
    }

    /// Those that are idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.0.idle().as_ref().map_or(0, Vec::len)
    }

    /// Closes those that are idle; the others are closed when they are dropped.
    pub(super) fn close(&self) {
        self.0.idle().take();
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Option<Vec<Opened>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Some(idle) = &mut *self.pool.idle()
            && idle.len() < IDLE
        {
            idle.push(reading);
        }
    }
}
