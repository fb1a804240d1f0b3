//! The condition of the store: the one place to which the writer and all readers report.
//!
//! The same problem is logged once, not for each request that meets it. Damage and the loss of the
//! files don't pass while the process runs: nothing is committed any more, since the restore that
//! must follow would lose it.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::fault::{StoreFault, StoreFaultKind};
use super::standstill::Work;

/// Time for which the same problem is not logged again, if it may pass.
const QUIET: Duration = Duration::from_secs(60);

/// Longest time that one commit may take before callers that must answer within a second stop
/// waiting for the store.
const STUCK: Duration = Duration::from_millis(500);

/// The remedy for a damaged store.
const REPAIR: &str = "stop the host and restore a backup (docs/operations.md, Backups)";

/// The condition of a store.
#[derive(Debug, Default)]
pub struct Condition {
    /// The reason why the last commit failed, if it did.
    failing: Mutex<Option<StoreFault>>,
    damaged: OnceLock<StoreFault>,
    /// Why this process may not use the store any more, and the remedy.
    gone: OnceLock<(StoreFault, &'static str)>,
    /// True if nothing is committed any more.
    refuses: AtomicBool,
    lost: CancellationToken,
    /// Time at which each passing problem was last logged. The keys are literals in the code, so
    /// they are few.
    logged: Mutex<HashMap<&'static str, Instant>>,
    /// The writer's present work.
    work: Work,
    /// Time of one commit, in milliseconds, after which the writer counts as standing still.
    bound: AtomicU64,
    /// What the writer waits for, if it stands still and that is known.
    waits_for: Mutex<Option<String>>,
}

impl Condition {
    /// The condition of a store whose writer counts as standing still after this time.
    #[must_use]
    pub(super) fn new(bound: Duration) -> Self {
        let condition = Self::default();
        let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        condition.bound.store(bound, Ordering::Relaxed);
        condition
    }

    /// The writer's present work.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The time for which the writer has stood still, if it does.
    #[must_use]
    pub fn standstill(&self) -> Option<Duration> {
        let lasts = self.work.lasts();
        let bound = Duration::from_millis(self.bound.load(Ordering::Relaxed));
        (lasts > Duration::ZERO && lasts >= bound).then_some(lasts)
    }

    /// True if the writer's present commit takes so long that an answer within a second does not
    /// wait for the store.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.work.lasts() >= STUCK
    }

    /// The reason why nothing new is accepted while the writer stands still. Costs a read of a flag
    /// otherwise.
    #[must_use]
    pub fn holds_up(&self) -> Option<StoreFault> {
        if !self.work.stands() {
            return None;
        }
        self.standing().map(|text| StoreFault(text.as_str().into()))
    }

    /// Notes and logs whether the writer stands still; to be called periodically. `waits_for`
    /// returns what the writer waits for, if that is known.
    pub(super) fn look(&self, waits_for: impl FnOnce() -> Option<String>) {
        let lasts = self.standstill();
        if !self.work.note(lasts.is_some()) {
            return;
        }
        match lasts {
            Some(_) => {
                *self.waits_for.lock() = waits_for();
                if let Some(text) = self.standing() {
                    tracing::error!(
                        "{text}; nothing is lost, and no further command is taken until it goes on"
                    );
                }
            }
            None => tracing::info!("the store makes progress again"),
        }
    }

    fn standing(&self) -> Option<String> {
        let lasts = self.standstill()?;
        let holder = self.waits_for.lock().clone();
        let why = holder.unwrap_or_else(|| {
            "the disk, another program's lock or a new index of a swap".to_owned()
        });
        Some(format!(
            "the store stands still: a commit has been waiting for {} s, for {why}",
            lasts.as_secs()
        ))
    }

    /// Reports that something failed for this fault; logs it unless it is known.
    pub fn report(&self, what: &'static str, fault: &StoreFault) {
        match fault.kind() {
            StoreFaultKind::Damaged => self.is_damaged(what, fault),
            // Logged when it was detected.
            StoreFaultKind::Gone | StoreFaultKind::Superseded => {}
            StoreFaultKind::Passing if self.refusal().is_some() => {}
            StoreFaultKind::Passing if self.is_quiet(what) => {}
            StoreFaultKind::Passing => tracing::error!(%fault, "{what}; it is tried again"),
        }
    }

    /// Reports that a commit failed.
    pub(super) fn commit_failed(&self, fault: &StoreFault) {
        match fault.kind() {
            StoreFaultKind::Damaged => self.is_damaged("a commit failed and was undone", fault),
            StoreFaultKind::Gone | StoreFaultKind::Superseded => {}
            StoreFaultKind::Passing => {
                if self.failing.lock().replace(fault.clone()).is_none() {
                    tracing::error!(error = %fault, "a commit failed and was undone; nothing is lost, work is offered again until it goes through");
                }
            }
        }
    }

    /// True if the last commit failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.lock().is_some()
    }

    /// Reports that a commit succeeded.
    pub(super) fn has_committed(&self) {
        if self.failing.lock().take().is_some() {
            tracing::info!("the store takes commits again");
        }
    }

    /// Reports that the store is lost to this process: its files are no longer at their path, or
    /// another host has taken it over.
    pub(super) fn is_gone(&self, reason: String, remedy: &'static str) -> StoreFault {
        let (fault, _) = self.gone.get_or_init(|| {
            tracing::error!("{reason}; nothing more is acknowledged, and the host ends");
            (StoreFault::new(StoreFaultKind::Gone, reason), remedy)
        });
        self.refuses.store(true, Ordering::Release);
        self.lost.cancel();
        fault.clone()
    }

    /// The reason why nothing is committed any more, if so.
    #[must_use]
    pub fn refusal(&self) -> Option<StoreFault> {
        if !self.refuses.load(Ordering::Acquire) {
            return None;
        }
        let gone = self.gone.get().map(|(fault, _)| fault);
        gone.or_else(|| self.damaged.get()).cloned()
    }

    /// The reason why nothing may be answered from the store any more, if its files are gone.
    #[must_use]
    pub fn loss(&self) -> Option<StoreFault> {
        let refusal = self.refusal();
        refusal.filter(|fault| fault.kind() == StoreFaultKind::Gone)
    }

    /// Why the store is lost, and the remedy, as the last words of a host.
    #[must_use]
    pub fn last_words(&self) -> String {
        match self.gone.get() {
            Some((fault, remedy)) => format!("{fault}; {remedy}"),
            None => "it is lost".into(),
        }
    }

    /// Cancelled when the store is lost.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// The reason why no commits are taken, if so, and the remedy.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match self.refusal() {
            Some(fault) if fault.kind() == StoreFaultKind::Gone => {
                Some(format!("{fault}; nothing more is acknowledged"))
            }
            Some(fault) => Some(format!(
                "the store is damaged ({fault}); nothing more is committed: {REPAIR}"
            )),
            None => self.standing().or_else(|| {
                self.failing
                    .lock()
                    .as_ref()
                    .map(|fault| format!("the store takes no commits ({fault}); see the log"))
            }),
        }
    }

    fn is_damaged(&self, what: &str, fault: &StoreFault) {
        let mut is_new = false;
        self.damaged.get_or_init(|| {
            is_new = true;
            fault.clone()
        });
        self.refuses.store(true, Ordering::Release);
        if is_new {
            tracing::error!(%fault, "the store is damaged ({what}); nothing more is committed: {REPAIR}");
        }
    }

    fn is_quiet(&self, what: &'static str) -> bool {
        let mut logged = self.logged.lock();
        let is_quiet = (logged.get(what)).is_some_and(|last| last.elapsed() < QUIET);
        if !is_quiet {
            logged.insert(what, Instant::now());
        }
        is_quiet
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn fault(kind: StoreFaultKind, text: &str) -> StoreFault {
        StoreFault::new(kind, text)
    }

    #[test]
    fn a_failed_commit_is_trouble_until_one_goes_through() {
        let condition = Condition::default();
        condition.commit_failed(&fault(StoreFaultKind::Passing, "disk is full"));
        let trouble = condition.trouble().unwrap();
        assert!(
            trouble.contains("takes no commits (disk is full)"),
            "{trouble}"
        );
        assert_eq!(condition.refusal(), None);
        condition.has_committed();
        assert_eq!(condition.trouble(), None);
    }

    #[test]
    fn a_commit_that_waits_for_too_long_is_trouble_that_names_for_whom() {
        let condition = Condition::new(Duration::from_millis(30));
        assert_eq!((condition.trouble(), condition.holds_up()), (None, None));
        condition.work().begin(Instant::now());
        condition.look(|| None);
        assert_eq!(condition.trouble(), None, "it has only begun");
        std::thread::sleep(Duration::from_millis(40));
        let trouble = condition.trouble().unwrap();
        assert!(
            trouble.contains("a commit has been waiting for 0 s, for the disk"),
            "{trouble}"
        );
        assert_eq!(condition.holds_up(), None, "nobody has looked yet");
        condition.look(|| Some("process 7 (sqlite3), which has locked it".into()));
        let fault = condition.holds_up().unwrap();
        assert!(
            fault
                .to_string()
                .ends_with("for process 7 (sqlite3), which has locked it"),
            "{fault}"
        );
        condition.work().end();
        condition.look(|| None);
        assert_eq!((condition.trouble(), condition.holds_up()), (None, None));
    }

    #[test]
    fn damage_that_anybody_meets_stays_and_ends_all_commits() {
        let condition = Condition::default();
        condition.report(
            "an aggregate can't be read",
            &fault(StoreFaultKind::Damaged, "malformed"),
        );
        condition.report(
            "a list can't be read",
            &fault(StoreFaultKind::Damaged, "another"),
        );
        condition.has_committed();
        assert_eq!(
            condition.refusal(),
            Some(fault(StoreFaultKind::Damaged, "malformed"))
        );
        assert_eq!(condition.loss(), None, "what can be read is read");
        let trouble = condition.trouble().unwrap();
        assert!(
            trouble.contains("the store is damaged (malformed)"),
            "{trouble}"
        );
        assert!(trouble.contains("restore a backup"), "{trouble}");
    }

    #[test]
    fn files_that_are_gone_come_before_all_else() {
        let condition = Condition::default();
        condition.report(
            "a list can't be read",
            &fault(StoreFaultKind::Damaged, "malformed"),
        );
        assert!(!condition.lost().is_cancelled());
        let gone = condition.is_gone("saga.db is gone".into(), "put it back");
        assert_eq!(condition.is_gone("again".into(), "no"), gone);
        assert_eq!(condition.refusal(), Some(gone.clone()));
        assert_eq!(condition.loss(), Some(gone));
        assert_eq!(condition.last_words(), "saga.db is gone; put it back");
        assert!(condition.lost().is_cancelled());
        assert!(condition.trouble().unwrap().starts_with("saga.db is gone"));
    }

    #[test]
    fn transient_faults_are_not_logged_for_each_request() {
        let condition = Condition::default();
        assert!(!condition.is_quiet("an aggregate can't be read"));
        assert!(condition.is_quiet("an aggregate can't be read"));
        assert!(!condition.is_quiet("a list can't be read"));
        condition.report(
            "an aggregate can't be read",
            &fault(StoreFaultKind::Passing, "out of memory"),
        );
        assert_eq!((condition.trouble(), condition.refusal()), (None, None));
    }
}
