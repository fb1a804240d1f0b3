//! How a participant passes from one generation to the next.
//!
//! Two ways. Where the next generation takes all that the last one took, workers switch one by one,
//! each from its next turn on, and nobody waits for anybody. Where it does not, all workers are
//! held between two turns while it is decided, on what is stored then, whether the next one may
//! begin. Either way the next generation is the active one in the store before its first turn.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use saga_core::rules::{Fault, Rules};

use super::active::Active;
use super::participant::Participant;
use super::turnover::{Handover, Turnover};

/// Longest that workers are held: a turn that takes longer stands in the way, and the others must
/// go on.
const HOLD: Duration = Duration::from_secs(5);

/// Longest wait for workers to go on; one that is late goes on all the same.
const GO_ON: Duration = Duration::from_secs(30);

/// A generation that is to follow, with an instance for each worker, ready to be called.
pub struct Successor {
    active: Arc<Active>,
    rules: Vec<Box<dyn Rules + Send>>,
}

/// What decides no more. Freeing it costs time; when is up to who holds it.
#[derive(Default)]
pub struct Retired {
    _rules: Vec<Box<dyn Rules + Send>>,
    _active: Option<Arc<Active>>,
}

/// Why a participant did not pass to the next generation.
#[derive(Debug, thiserror::Error)]
pub enum SwapError<E> {
    /// It was decided not to, while all workers were held.
    #[error("{0}")]
    Declined(E),
    /// A worker did not come to the end of its turn in time.
    #[error("a turn takes too long; nothing was changed, try again")]
    Busy,
    /// The participant is finished.
    #[error("the host is stopping")]
    Stopping,
}

impl Successor {
    /// What will decide.
    #[must_use]
    pub fn active(&self) -> &Arc<Active> {
        &self.active
    }
}

impl Participant {
    /// Makes what a swap needs: an instance for each worker.
    ///
    /// # Errors
    /// When one can't be made, for want of memory most of the time.
    pub fn successor(&self, active: Arc<Active>) -> Result<Successor, Fault> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let build = &active.generation.build;
        let rules = (workers.iter().map(|_| build.instance())).collect::<Result<_, _>>()?;
        Ok(Successor { active, rules })
    }

    /// Passes to the next generation, which must be the active one in the store already: each
    /// worker from its next turn on. Returns when all have. Blocks; must not be called twice at a
    /// time.
    ///
    /// # Errors
    /// When the participant is finished.
    pub fn swap(
        &self,
        successor: Successor,
    ) -> Result<Retired, SwapError<std::convert::Infallible>> {
        let next = successor.active.clone();
        let handovers = self.hand_over(successor, true)?;
        let rules = gone_on(&handovers);
        let before = std::mem::replace(
            &mut *self.active.write().unwrap_or_else(PoisonError::into_inner),
            next,
        );
        self.offer_timers_again();
        Ok(Retired {
            _rules: rules,
            _active: Some(before),
        })
    }

    /// The same for a generation that must not begin before the last turn of the one before has
    /// ended everywhere: all workers are held between two turns, no record is admitted, and
    /// everything that was decided is committed, while `decide` makes it the active one in the
    /// store, or declines. Readings of which it admits something otherwise have to be cancelled by
    /// `decide`, so that their records come again, in order.
    ///
    /// # Errors
    /// Why it stays with the generation that it has.
    pub fn swap_held<E>(
        &self,
        successor: Successor,
        decide: impl FnOnce() -> Result<(), E>,
    ) -> Result<Retired, SwapError<E>> {
        let next = successor.active.clone();
        // Before the workers are held: who admits a record holds this until a worker has room for
        // it.
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
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
        let workers = self
            .workers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
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
            let _ = worker.turns.try_send(None);
        }
        Ok(handovers)
    }
}

/// Waits until all workers have gone on; gives the rules that are not called any more.
fn gone_on(handovers: &[Handover]) -> Vec<Box<dyn Rules + Send>> {
    let until = Instant::now() + GO_ON;
    (handovers
        .iter()
        .filter_map(|handover| handover.gone_on(until)))
    .collect()
}
