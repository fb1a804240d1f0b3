//! The step of a worker to the next generation: between two turns, never within one.
//!
//! A swap hands each worker a [`Turnover`] with an instance that is ready to be called. The worker
//! checks for one before each turn and usually switches at once. If the next generation must not
//! begin before the last one has ended everywhere (it can't read the states that the last one
//! writes), all workers are held between two turns first, and go on once the swap is decided or
//! declined.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use saga_core::rules::Rules;

use super::active::Active;

/// A switch that is offered to a worker.
pub(super) struct Turnover {
    active: Arc<Active>,
    rules: Box<dyn Rules + Send>,
    is_between_turns: Sender<()>,
    /// True to switch. The worker is held until this arrives.
    verdict: Receiver<bool>,
    /// Receives the rules that are no longer called, so that no turn pays for freeing them.
    retired: Sender<Box<dyn Rules + Send>>,
}

/// Holds the pending turnover of a worker. Only the latest, since a late worker need not take part
/// in earlier ones.
#[derive(Default)]
pub(super) struct Slot {
    turnover: Mutex<Option<Turnover>>,
    /// Read before each turn, and nearly always false.
    is_there: AtomicBool,
}

impl Slot {
    pub(super) fn put(&self, turnover: Turnover) {
        *self.turnover.lock() = Some(turnover);
        self.is_there.store(true, Ordering::Release);
    }

    pub(super) fn take(&self) -> Option<Turnover> {
        if !self.is_there.load(Ordering::Relaxed) || !self.is_there.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.turnover.lock().take()
    }
}

/// The end of a turnover that the swap holds.
pub(super) struct Handover {
    is_between_turns: Receiver<()>,
    verdict: Sender<bool>,
    retired: Receiver<Box<dyn Rules + Send>>,
}

impl Turnover {
    /// A turnover, and the handle to follow it.
    pub(super) fn new(active: Arc<Active>, rules: Box<dyn Rules + Send>) -> (Self, Handover) {
        let (say_between, between) = bounded(1);
        let (say_verdict, verdict) = bounded(1);
        let (retire, retired) = bounded(1);
        let turnover = Self {
            active,
            rules,
            is_between_turns: say_between,
            verdict,
            retired: retire,
        };
        let handover = Handover {
            is_between_turns: between,
            verdict: say_verdict,
            retired,
        };
        (turnover, handover)
    }

    /// Called by the worker between two turns. Either returns the next generation and replaces the
    /// worker's rules, or does neither.
    pub(super) fn take(self, rules: &mut Box<dyn Rules + Send>) -> Option<Arc<Active>> {
        // The swap may have been abandoned; the verdict is missing then too.
        let _ = self.is_between_turns.send(());
        let switch = self.verdict.recv().unwrap_or(false);
        let mut unused = self.rules;
        if switch {
            std::mem::swap(rules, &mut unused);
        }
        let _ = self.retired.send(unused);
        switch.then_some(self.active)
    }
}

impl Handover {
    /// Lets the worker go on, with the next generation or with its present one.
    pub(super) fn decide(&self, switch: bool) {
        let _ = self.verdict.send(switch);
    }

    /// Waits until the worker is between two turns; false if it isn't by then.
    pub(super) fn is_held(&self, until: Instant) -> bool {
        self.is_between_turns.recv_deadline(until).is_ok()
    }

    /// Waits until the worker has gone on, and returns the rules that are no longer called; None if
    /// it has not gone on by then.
    pub(super) fn gone_on(&self, until: Instant) -> Option<Box<dyn Rules + Send>> {
        self.retired.recv_deadline(until).ok()
    }
}
