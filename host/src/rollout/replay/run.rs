//! The threads of a replay: one reads the journal, the others call the rules.
//!
//! What waits between them is bounded. In a counterfactual run all decisions of one aggregate go to
//! one thread, in the order of their commits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use saga_core::limits::TurnLimits;

use super::builds::Builds;
use super::decide::{MadeAgain, Verdict, decide};
use super::diverged::{self, Diverged};
use super::report::ReplayMode;
use super::tally::Tally;
use super::{NotReplayed, ReplayProgress};
use crate::rollout::probe::trial::TrialRun;
use crate::rollout::verify;
use crate::store::{DecisionRange, JournalRow, JournalSpan, ReadStore};

/// Most decisions of a page; its bytes are bounded by the store.
const PAGE: usize = 500;

/// Pages that wait for each thread.
const WAITING: usize = 2;

/// Most instances that a thread keeps.
const INSTANCES: usize = 4;

/// What a run needs.
#[derive(Clone, Copy)]
pub(super) struct Terms<'t> {
    pub(super) limits: &'t TurnLimits,
    pub(super) mode: ReplayMode,
    pub(super) builds: &'t Builds,
    /// The data directory, for errors.
    pub(super) data: &'t Path,
}

type Batch = Vec<JournalRow>;

/// Makes all wanted decisions again.
pub(super) fn run(
    reading: &dyn ReadStore,
    wanted: &DecisionRange,
    terms: Terms<'_>,
    progress: &mut dyn FnMut(ReplayProgress),
) -> Result<Tally, NotReplayed> {
    let unread = |error| NotReplayed::from(verify::unreadable(terms.data, &error));
    let Some(span) = reading.decisions_span(wanted).map_err(unread)? else {
        return Ok(Tally::default());
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let bytes = AtomicUsize::new(0);
    let is_by_key = terms.mode == ReplayMode::Counterfactual;
    thread::scope(|scope| {
        let (lanes, ends): (Vec<_>, Vec<_>) = match is_by_key {
            true => (0..threads).map(|_| bounded(WAITING)).unzip(),
            false => {
                let (lane, end) = bounded(WAITING * threads);
                (vec![lane], vec![end; threads])
            }
        };
        let callers: Vec<_> = (ends.into_iter())
            .map(|end| scope.spawn(|| Caller::new(terms, &bytes).run(end)))
            .collect();
        let read = read(reading, wanted, span, &lanes, progress).map_err(unread);
        drop(lanes);
        let mut tally = Tally::default();
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
            None => read.map(|()| tally),
        }
    })
}

/// Reads all decisions of a span into the lanes, until a caller gives up.
fn read(
    reading: &dyn ReadStore,
    wanted: &DecisionRange,
    mut span: JournalSpan,
    lanes: &[Sender<Batch>],
    progress: &mut dyn FnMut(ReplayProgress),
) -> crate::store::StoreResult<()> {
    let all = span.numbers();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    while span.numbers() > 0 {
        let page = reading.decisions(wanted, span, PAGE)?;
        span.after = page.read;
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
            if !batch.is_empty() && lane.send(batch).is_err() {
                // Its caller says why.
                return Ok(());
            }
        }
        let read = all.saturating_sub(span.numbers());
        progress(ReplayProgress { read, all });
    }
    Ok(())
}

/// A thread that calls rules.
struct Caller<'t> {
    terms: Terms<'t>,
    tally: Tally,
    instances: HashMap<String, TrialRun<'t>>,
    diverged: Diverged<'t>,
}

impl<'t> Caller<'t> {
    fn new(terms: Terms<'t>, bytes: &'t AtomicUsize) -> Self {
        Self {
            terms,
            tally: Tally::default(),
            instances: HashMap::new(),
            diverged: Diverged::new(bytes),
        }
    }

    fn run(mut self, batches: Receiver<Batch>) -> Result<Tally, NotReplayed> {
        for batch in batches {
            for row in &batch {
                self.decide(row)?;
            }
        }
        Ok(self.tally)
    }

    fn decide(&mut self, row: &JournalRow) -> Result<(), NotReplayed> {
        let recorded = match &row.recorded {
            Ok(recorded) => recorded,
            Err(why) => {
                let verdict = Verdict::NoBaseline(String::new(), why.clone());
                self.tally.add(row, None, verdict);
                return Ok(());
            }
        };
        let Terms {
            limits,
            builds,
            mode,
            ..
        } = self.terms;
        let build = match builds.of(&recorded.digest) {
            Ok(build) => build,
            Err(why) => {
                let verdict = Verdict::NoBaseline(why.to_owned(), why.to_owned());
                self.tally.add(row, None, verdict);
                return Ok(());
            }
        };
        let digest = builds.instance_of(&recorded.digest);
        if !self.instances.contains_key(digest) && self.instances.len() >= INSTANCES {
            self.instances.clear();
        }
        let trial = match self.instances.entry(digest.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let made = TrialRun::new(build, limits, row.time);
                let no_instance = |fault| {
                    NotReplayed::NoInstance(format!("an instance can't be created: {fault}"))
                };
                place.insert(made.map_err(no_instance)?)
            }
        };
        let follows = mode == ReplayMode::Counterfactual;
        let own = match follows {
            true => self.diverged.state(&row.key),
            false => None,
        };
        let MadeAgain { verdict, left } = decide(trial, recorded, own, follows);
        self.tally.add(row, own, verdict);
        if let Some((own, recorded)) = left
            && !(self.diverged).leave(&row.key, own.as_deref(), recorded.as_deref())
        {
            return Err(NotReplayed::TooMuch(format!(
                "the states that differ from the recorded ones take more than {} MiB; replay less, with --since, --last or \
                 --key",
                diverged::MOST >> 20
            )));
        }
        Ok(())
    }
}
