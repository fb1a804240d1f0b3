//! The numbers of generated keys, from 1.
//!
//! Where other hosts generate keys too, each takes a block of numbers at a time: they rise within a
//! block. A number whose turn does not create an aggregate is not used again.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::{Store, StoreResult};

/// The numbers that this host may still use.
#[derive(Debug)]
pub(super) struct GeneratedKeys {
    left: Mutex<Left>,
    /// One block is taken at a time.
    taking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    next: Option<i64>,
    last: i64,
}

impl GeneratedKeys {
    /// The numbers after `last`, or those of blocks if the store has other hosts.
    pub(super) fn new(store: &Store, last: i64) -> Self {
        let left = match store.is_shared() {
            true => Left {
                next: None,
                last: 0,
            },
            false => Left {
                next: last.checked_add(1),
                last: i64::MAX,
            },
        };
        Self {
            left: Mutex::new(left),
            taking: tokio::sync::Mutex::default(),
        }
    }

    /// The next number; None if all 64-bit numbers have been given out.
    pub(super) async fn next(
        &self,
        store: &Arc<Store>,
        participant: i64,
    ) -> StoreResult<Option<i64>> {
        loop {
            if let Some(number) = self.left.lock().take() {
                return Ok(Some(number));
            }
            if !store.is_shared() {
                return Ok(None);
            }
            let _one = self.taking.lock().await;
            if self.left.lock().next.is_some() {
                continue;
            }
            let store = store.clone();
            let take = move || store.reserve_keys(participant);
            let taken = tokio::task::spawn_blocking(take).await;
            let taken = taken
                .unwrap_or_else(|error| Err(crate::store::StoreFault(error.to_string().into())))?;
            match taken {
                Some((next, last)) => {
                    *self.left.lock() = Left {
                        next: Some(next),
                        last,
                    };
                }
                None => return Ok(None),
            }
        }
    }

    /// Gives unused numbers of a block back, when no turn takes another one.
    pub(super) fn give_back(&self, store: &Store, participant: i64) {
        if !store.is_shared() {
            return;
        }
        let mut left = self.left.lock();
        if let Some(next) = left.next.take()
            && let Err(fault) = store.return_keys(participant, (next, left.last))
        {
            tracing::debug!(%fault, "some numbers of generated keys are not used");
        }
    }
}

impl Left {
    fn take(&mut self) -> Option<i64> {
        let number = self.next?;
        self.next = number.checked_add(1).filter(|next| *next <= self.last);
        Some(number)
    }
}
