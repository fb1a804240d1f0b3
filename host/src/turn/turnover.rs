//! How a worker passes from one generation to the next: between two turns, never within one.
//!
//! Whoever swaps hands each worker a [`Turnover`] with an instance that is ready to be called. The
//! worker looks for one before each turn. Most of the time it may switch at once. Where the next
//! generation must not begin before the last one has ended everywhere (it can't read what the last
//! one writes), all workers are held between two turns first, and go on when it is decided which it
//! is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use saga_core::rules::Rules;

use super::active::Active;

/// Handed to a worker.
pub(super) struct Turnover {
    active: Arc<Active>,
    rules: Box<dyn Rules + Send>,
    is_between_turns: Sender<()>,
    /// Whether to switch. While nothing is there the worker is held.
    verdict: Receiver<bool>,
    /// Takes the rules that are not called any more, so that freeing them costs no turn.
    retired: Sender<Box<dyn Rules + Send>>,
}

/// Where a worker finds the turnover that waits for it: the latest, for one that is late need not
/// take part in those before.
#[derive(Default)]
pub(super) struct Slot {
    turnover: Mutex<Option<Turnover>>,
    /// Looked at before each turn, most of the time in vain.
    is_there: AtomicBool,
}

impl Slot {
    pub(super) fn put(&self, turnover: Turnover) {
        *self.lock() = Some(turnover);
        self.is_there.store(true, Ordering::Release);
    }

    pub(super) fn take(&self) -> Option<Turnover> {
        if !self.is_there.load(Ordering::Relaxed) || !self.is_there.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Turnover>> {
        self.turnover.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other end: with whoever swaps.
pub(super) struct Handover {
    is_between_turns: Receiver<()>,
    verdict: Sender<bool>,
    retired: Receiver<Box<dyn Rules + Send>>,
}

impl Turnover {
    /// A turnover, and what it is followed by.
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

    /// Called by the worker between two turns. Gives the next generation and takes the rules that
    /// the worker had, or does neither.
    pub(super) fn take(self, rules: &mut Box<dyn Rules + Send>) -> Option<Arc<Active>> {
        // Whoever swaps may have given up; then the verdict is missing too.
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
    /// Lets the worker go on: on the next generation, or on the one it has.
    pub(super) fn decide(&self, switch: bool) {
        let _ = self.verdict.send(switch);
    }

    /// Waits until the worker is between two turns; false where it is not by then.
    pub(super) fn is_held(&self, until: Instant) -> bool {
        self.is_between_turns.recv_deadline(until).is_ok()
    }

    /// Waits until the worker has gone on, and gives the rules that are not called any more; none
    /// where it has not gone on by then.
    pub(super) fn gone_on(&self, until: Instant) -> Option<Box<dyn Rules + Send>> {
        self.retired.recv_deadline(until).ok()
    }
}
