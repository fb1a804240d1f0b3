//! The threads of a replay: one reads the journal, the others call the rules.
//!
//! The queues between them are bounded. In a counterfactual run all decisions of one aggregate go to
//! one thread, in the order of their commits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use saga_core::limits::TurnLimits;

use super::builds::{Builds, Rules};
use super::decide::{MadeAgain, ReplayVerdict, decide};
use super::diverged::{self, Diverged};
use super::report::ReplayMode;
use super::tally::ReplayTally;
use super::{NotReplayed, ReplayProgress};
use crate::base::panics;
use crate::rollout::probe::trial::TrialRun;
use crate::rollout::verify;
use crate::store::decisions::ReadDecisionPages;
use crate::store::{DecisionRange, JournalRow, JournalSpan, StoreResult, decisions};

/// Pages that wait for each thread.
const WAITING: usize = 2;

/// Most decisions that one instance makes of its own rules again. The first ones make fewer: what rules
/// keep from one call to the next must not come about again as it was.
const OWN_CALLS: u32 = 8;

/// Most instances that a thread keeps.
const INSTANCES: usize = 4;

/// What a run needs.
#[derive(Clone, Copy)]
pub(super) struct ReplayTerms<'t> {
    pub(super) limits: &'t TurnLimits,
    pub(super) mode: ReplayMode,
    pub(super) builds: &'t Builds<'t>,
    /// Where the decisions are, for errors.
    pub(super) origin: &'t (dyn fmt::Display + Sync),
    /// Threads that call rules.
    pub(super) threads: usize,
    /// True once nobody needs the result.
    pub(super) is_over: &'t (dyn Fn() -> bool + Sync),
}

/// As many threads as the machine has cores.
pub(super) fn all_cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

type Batch = Vec<JournalRow>;

/// Makes the wanted decisions of a span again.
pub(super) fn run_span(
    reading: &dyn ReadDecisionPages,
    wanted: &DecisionRange,
    span: JournalSpan,
    terms: ReplayTerms<'_>,
    progress: &mut dyn FnMut(ReplayProgress),
) -> Result<ReplayTally, NotReplayed> {
    let unread = |error| NotReplayed::from(verify::unreadable(terms.origin, &error));
    let threads = terms.threads.max(1);
    // A panic reaches the thread that asks, which may catch it.
    let is_caught = panics::is_caught_here();
    let shared = Shared::default();
    let is_by_key = terms.mode == ReplayMode::Counterfactual;
    thread::scope(|scope| {
        let (lanes, ends): (Vec<_>, Vec<_>) = match is_by_key {
            true => (0..threads).map(|_| bounded(WAITING)).unzip(),
            false => {
                let (lane, end) = bounded(WAITING * threads);
                (vec![lane], vec![end; threads])
            }
        };
        let mut callers = Vec::new();
        for end in ends {
            let caller = thread::Builder::new()
                .name("replay".into())
                .stack_size(panics::STACK_BYTES);
            let shared = &shared;
            let call = move || {
                if is_caught {
                    panics::are_caught_here();
                }
                Caller::new(terms, shared).run(end)
            };
            let started = caller.spawn_scoped(scope, call);
            callers.push(started.map_err(|error| {
                NotReplayed::Failed(format!("no thread can be started: {error}"))
            })?);
        }
        let is_over = || shared.has_failed.load(Ordering::Relaxed) || (terms.is_over)();
        let read = read(reading, wanted, span, &lanes, &is_over, progress).map_err(unread);
        drop(lanes);
        let mut tally = ReplayTally::default();
        let mut failed = None;
        for caller in callers {
            match caller.join() {
                Ok(Ok(counted)) => tally.merge(counted),
                Ok(Err(error)) => failed = failed.or(Some(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        match failed {
            Some(error) => Err(error),
            None if (terms.is_over)() => Err(NotReplayed::Over),
            None => read.map(|()| tally),
        }
    })
}

/// Reads all decisions of a span into the lanes, until a caller gives up.
fn read(
    reading: &dyn ReadDecisionPages,
    wanted: &DecisionRange,
    span: JournalSpan,
    lanes: &[Sender<Batch>],
    is_over: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(ReplayProgress),
) -> StoreResult<()> {
    let all = span.numbers();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let ended = decisions::each_page(reading, wanted, span, |page| {
        let mut batches: Vec<Batch> = lanes.iter().map(|_| Vec::new()).collect();
        match batches.as_mut_slice() {
            [only] => *only = page.rows,
            many => {
                for row in page.rows {
                    let lane = hasher.hash_one(&row.key) % many.len() as u64;
                    if let Some(batch) = many.get_mut(lane as usize) {
                        batch.push(row);
                    }
                }
            }
        }
        for (lane, batch) in lanes.iter().zip(batches) {
            let is_sent = batch.is_empty() || lane.send(batch).is_ok();
            if !is_sent || is_over() {
                // The caller that failed says why.
                return ControlFlow::Break(());
            }
        }
        let rest = JournalSpan {
            after: page.read,
            ..span
        };
        let read = all.saturating_sub(rest.numbers());
        progress(ReplayProgress { read, all });
        ControlFlow::Continue(())
    });
    ended.map(|_| ())
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    /// Bytes of the states that differ from the recorded ones.
    bytes: AtomicUsize,
    /// True once a thread failed: the others and the reader end then.
    has_failed: AtomicBool,
}

/// An instance that a thread keeps.
struct Kept<'t> {
    trial: Result<TrialRun<'t>, String>,
    /// Decisions that it makes yet.
    left: u32,
}

/// A thread that calls rules.
struct Caller<'t> {
    terms: ReplayTerms<'t>,
    tally: ReplayTally,
    /// By digests of generations, and if each call has an instance of its own; the reason where none can
    /// be made.
    instances: HashMap<(String, bool), Kept<'t>>,
    /// Decisions that the next instance of own rules makes.
    own_calls: u32,
    diverged: Diverged<'t>,
    has_failed: &'t AtomicBool,
}

impl<'t> Caller<'t> {
    fn new(terms: ReplayTerms<'t>, shared: &'t Shared) -> Self {
        Self {
            terms,
            tally: ReplayTally::default(),
            instances: HashMap::new(),
            own_calls: 1,
            diverged: Diverged::new(&shared.bytes),
            has_failed: &shared.has_failed,
        }
    }

    fn run(mut self, batches: Receiver<Batch>) -> Result<ReplayTally, NotReplayed> {
        for batch in batches {
            for row in &batch {
                if self.has_failed.load(Ordering::Relaxed) || (self.terms.is_over)() {
                    return Ok(self.tally);
                }
                if let Err(error) = self.decide(row) {
                    self.has_failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(self.tally)
    }

    fn decide(&mut self, row: &JournalRow) -> Result<(), NotReplayed> {
        let recorded = match &row.recorded {
            Ok(recorded) => recorded,
            Err(why) => {
                let verdict = ReplayVerdict::not_whole(why);
                self.tally.add(row, None, verdict);
                return Ok(());
            }
        };
        let ReplayTerms {
            limits,
            builds,
            mode,
            ..
        } = self.terms;
        let Rules { build, fuel } = match builds.of(&row.digest, row.time) {
            Ok(rules) => rules,
            Err(why) => {
                let verdict = ReplayVerdict::NoBaseline(why.to_owned(), why.to_owned());
                self.tally.add(row, None, verdict);
                return Ok(());
            }
        };
        let is_fresh = fuel == Some(Ok(()));
        let instance = (builds.instance_of(&row.digest).to_owned(), is_fresh);
        if !self.instances.contains_key(&instance) && self.instances.len() >= INSTANCES {
            self.instances.clear();
        }
        let mut known = match self.instances.entry(instance) {
            Entry::Occupied(known) => known,
            Entry::Vacant(place) => {
                let made = match is_fresh {
                    true => TrialRun::fresh(build, limits, row.time),
                    false => TrialRun::new(build, limits, row.time),
                };
                let left = match mode {
                    ReplayMode::OwnRules if !is_fresh => self.own_calls,
                    _ => u32::MAX,
                };
                self.own_calls = (2 * self.own_calls).min(OWN_CALLS);
                place.insert_entry(Kept {
                    trial: made.map_err(|fault| format!("an instance can't be created: {fault}")),
                    left,
                })
            }
        };
        let kept = known.get_mut();
        kept.left = kept.left.saturating_sub(1);
        let is_last = kept.left == 0;
        let trial = match &mut kept.trial {
            Ok(trial) => trial,
            Err(why) if mode == ReplayMode::OwnRules => {
                let verdict = ReplayVerdict::NoBaseline(why.clone(), why.clone());
                self.tally.add(row, None, verdict);
                return Ok(());
            }
            Err(why) => return Err(NotReplayed::NoInstance(why.clone())),
        };
        let follows = mode == ReplayMode::Counterfactual;
        let own = match follows {
            true => self.diverged.state(&row.key),
            false => None,
        };
        let MadeAgain { verdict, left } = decide(trial, recorded, own, follows);
        if is_last {
            known.remove();
        }
        if let (Some(judged), ReplayVerdict::Unchanged(now)) = (fuel, &verdict) {
            self.tally.judge_fuel(row, judged, *now);
        }
        self.tally.add(row, own, verdict);
        if let Some((own, recorded)) = left
            && !(self.diverged).leave(&row.key, own.as_deref(), recorded.as_deref())
        {
            return Err(NotReplayed::TooMuch(diverged::MOST >> 20));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
