//! The switch of a participant to the next generation.
//!
//! There are two ways. If the next generation takes everything that the last one took, workers
//! switch one by one, each before its next turn, and none waits for another. If not, all workers
//! are held between two turns while the swap is decided or declined, based on what is stored then.
//! Either way the next generation is the active one in the store before its first turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use saga_core::rules::{Fault, Rules};

use super::active::Active;
use super::participant::Participant;
use super::turnover::{Handover, Turnover};
use super::worker::Offered;

/// Longest time that workers are held: a longer turn makes the swap fail, since the other workers
/// must go on.
const HOLD: Duration = Duration::from_secs(5);

/// Longest wait for workers to go on; a late one goes on all the same.
const GO_ON: Duration = Duration::from_secs(30);

/// The next generation, with an instance for each worker, ready to be called.
pub struct Successor {
    active: Arc<Active>,
    rules: Vec<Box<dyn Rules + Send>>,
}

/// A generation that no longer decides. Freeing it takes time; the holder chooses when.
#[derive(Default)]
pub struct Retired {
    _rules: Vec<Box<dyn Rules + Send>>,
    _active: Option<Arc<Active>>,
}

/// The reason why a participant did not switch to the next generation.
#[derive(Debug, thiserror::Error)]
pub enum SwapError<E> {
    /// Declined while all workers were held.
    #[error("{0}")]
    Declined(E),
    /// A worker did not finish its turn in time.
    #[error("a turn takes too long; nothing was changed, try again")]
    Busy,
    /// The participant is finished.
    #[error("the host is stopping")]
    Stopping,
}

impl Successor {
    /// The generation to switch to.
    #[must_use]
    pub fn active(&self) -> &Arc<Active> {
        &self.active
    }
}

impl Participant {
    /// Prepares a swap: makes an instance for each worker.
    ///
    /// # Errors
    /// If an instance can't be made, usually for lack of memory.
    pub fn successor(&self, active: Arc<Active>) -> Result<Successor, Fault> {
        let workers = self.workers.read();
        let build = &active.generation.build;
        let rules = (workers.iter().map(|_| build.instance())).collect::<Result<_, _>>()?;
        Ok(Successor { active, rules })
    }

    /// Switches to the next generation, which must be the active one in the store already: each
    /// worker before its next turn. Returns when all have switched. Blocks; must not be called
    /// concurrently.
    ///
    /// # Errors
    /// If the participant is finished.
    pub fn swap(
        &self,
        successor: Successor,
    ) -> Result<Retired, SwapError<std::convert::Infallible>> {
        let next = successor.active.clone();
        let handovers = self.hand_over(successor, true)?;
        let rules = gone_on(&handovers);
        let before = std::mem::replace(&mut *self.active.write(), next);
        self.offer_timers_again();
        Ok(Retired {
            _rules: rules,
            _active: Some(before),
        })
    }

    /// The same for a generation that must not begin before the last turn of its predecessor has
    /// ended everywhere. While `decide` makes it the active one in the store, or declines, all
    /// workers are held between two turns, no record is admitted, and all decisions are committed.
    /// `decide` must cancel the sessions whose records the next generation admits differently, so
    /// that these records are read again, in order.
    ///
    /// # Errors
    /// The reason why the present generation stays.
    pub fn swap_held<E>(
        &self,
        successor: Successor,
        decide: impl FnOnce() -> Result<(), E>,
    ) -> Result<Retired, SwapError<E>> {
        let next = successor.active.clone();
        // Before the workers are held: admission holds this lock until a worker has room for the
        // record.
        let mut active = self.active.write();
        let handovers = self.hand_over(successor, false)?;
        let until = Instant::now() + HOLD;
        let decided = if handovers.iter().all(|handover| handover.is_held(until)) {
            self.shared.store.settle_up();
            decide().map_err(SwapError::Declined)
        } else {
            Err(SwapError::Busy)
        };
        for handover in &handovers {
            handover.decide(decided.is_ok());
        }
        let rules = gone_on(&handovers);
        if decided.is_ok() {
            self.offer_timers_again();
        }
        decided.map(|()| Retired {
            _rules: rules,
            _active: Some(std::mem::replace(&mut *active, next)),
        })
    }

    fn offer_timers_again(&self) {
        if let Err(fault) = self.release_timers() {
            let participant = self.name();
            tracing::warn!(participant, %fault, "parked timers are offered again at the next start or swap only");
        }
    }

    fn hand_over<E>(
        &self,
        successor: Successor,
        at_once: bool,
    ) -> Result<Vec<Handover>, SwapError<E>> {
        let workers = self.workers.read().clone();
        if workers.is_empty() {
            return Err(SwapError::Stopping);
        }
        let mut handovers = Vec::new();
        for (worker, rules) in workers.iter().zip(successor.rules) {
            let (turnover, handover) = Turnover::new(successor.active.clone(), rules);
            if at_once {
                handover.decide(true);
            }
            worker.turnovers.put(turnover);
            handovers.push(handover);
        }
        for worker in &workers {
            // A worker with a full queue is awake.
            let _ = worker.turns.try_send(Offered::Turnover);
        }
        Ok(handovers)
    }
}

/// Waits until all workers have gone on; returns the rules that are no longer called.
fn gone_on(handovers: &[Handover]) -> Vec<Box<dyn Rules + Send>> {
    let until = Instant::now() + GO_ON;
    (handovers
        .iter()
        .filter_map(|handover| handover.gone_on(until)))
    .collect()
}
