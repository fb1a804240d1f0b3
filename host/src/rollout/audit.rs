//! The audit: some of the decisions that were made are made again on fresh instances, each by the
//! rules that made it. Another outcome shows that these are no function of their input (invariant 7),
//! which the check of a candidate may have missed.
//!
//! It reads the journal, after the commit, on a thread of low priority with a reader of its own: no
//! turn and no commit does anything for it. Which decisions are chosen follows from their numbers.
//!
//! Must not know: how an alarm is shown.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use saga_core::journal::Kept;
use saga_core::limits::TurnLimits;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::Reloader;
use super::hosted::HostedParticipant;
use super::probe::trial::TrialRun;
use super::replay::decide::{ReplayVerdict, decide};
use super::report::DifferingPart;
use crate::base::generation::short;
use crate::base::panics;
use crate::plugin::priority;
use crate::store::{DecisionRange, JournalRow, JournalSpan, Reader, Store, StoreResult};
use crate::turn::Active;

/// Time between two looks at the journal.
const PERIOD: Duration = Duration::from_secs(1);

/// Most decisions of one look; of more, the rest is passed over (invariant 9).
const AT_ONCE: usize = 500;

/// What an audit found of a participant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditOverview {
    /// Decisions that were made again since the start of the host.
    pub audited: u64,
    /// Those of them that are others on a fresh instance.
    pub alarms: u64,
    /// The last of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<AuditAlarm>,
}

/// A decision that is another one on a fresh instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAlarm {
    /// Time of the decision, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Key of the aggregate.
    pub key: String,
    /// Revision of the aggregate before it.
    pub revision: u64,
    /// Digest of the rules.
    pub digest: String,
    /// What differs.
    pub difference: String,
}

/// The findings of a participant's audit. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Findings(Arc<Mutex<AuditOverview>>);

impl Findings {
    /// As they are now.
    #[must_use]
    pub fn told(&self) -> AuditOverview {
        self.0.lock().clone()
    }

    fn is_same(&self) {
        self.0.lock().audited += 1;
    }

    fn differs(&self, alarm: AuditAlarm) {
        let mut found = self.0.lock();
        found.audited += 1;
        found.alarms += 1;
        found.last = Some(alarm);
    }
}

/// A running audit.
pub struct Audit {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Audit {
    /// Starts to audit one of `one_in` decisions of these participants, from now on.
    ///
    /// # Errors
    /// The thread can't be started, or the store can't be read.
    pub fn start(
        reloader: Reloader,
        store: Arc<Store>,
        limits: TurnLimits,
        one_in: u64,
    ) -> anyhow::Result<Self> {
        for hosted in reloader.hosted() {
            if hosted.own.journal == Kept::NoPayloads {
                let participant = hosted.participant.name();
                tracing::warn!(
                    participant,
                    "its decisions are not audited, since their payloads are not kept"
                );
            }
        }
        let reader = store.reader()?;
        let place = reader.journal_end()?.seq;
        let (stop, stopped) = bounded(0);
        let auditor = Auditor {
            reloader,
            store,
            limits,
            one_in: one_in.max(1),
            reader,
            place,
        };
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .stack_size(panics::STACK_BYTES)
            .spawn(move || auditor.run(&stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends it. To be called before the store is closed.
    pub fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the audit panicked");
        }
    }
}

struct Auditor {
    reloader: Reloader,
    store: Arc<Store>,
    limits: TurnLimits,
    one_in: u64,
    reader: Reader,
    /// Number of the last decision that was looked at.
    place: i64,
}

impl Auditor {
    fn run(mut self, stopped: &Receiver<()>) {
        priority::lower();
        while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
            if let Err(fault) = self.look(stopped) {
                let condition = self.store.condition();
                condition.report("the store can't be read for the audit", &fault);
            }
        }
    }

    /// Audits what was decided since the last look.
    fn look(&mut self, stopped: &Receiver<()>) -> StoreResult<()> {
        let end = self.reader.journal_end()?.seq;
        let chosen = (self.place.saturating_add(1)..=end).filter(|seq| self.is_chosen(*seq));
        let chosen: Vec<_> = chosen.take(AT_ONCE).collect();
        // Where the journal is behind, it was emptied.
        self.place = end;
        if chosen.is_empty() {
            return Ok(());
        }
        for hosted in self.reloader.hosted() {
            self.audit(hosted, &chosen, stopped)?;
        }
        Ok(())
    }

    /// Chooses by number, with nothing in common with the order of the messages.
    fn is_chosen(&self, seq: i64) -> bool {
        mixed(seq.unsigned_abs()).is_multiple_of(self.one_in)
    }

    /// Audits those of the chosen decisions that are of this participant.
    fn audit(
        &self,
        hosted: &HostedParticipant,
        chosen: &[i64],
        stopped: &Receiver<()>,
    ) -> StoreResult<()> {
        let active = hosted.participant.active();
        let wanted = DecisionRange {
            participant: hosted.row,
            // What other rules decided just before is passed over.
            generation: Some(active.digest().to_owned()),
            ..DecisionRange::default()
        };
        let mut trial = None;
        let mut alarms = 0;
        for seq in chosen {
            if stopped.try_recv().is_err_and(|end| end.is_disconnected()) {
                break;
            }
            let span = JournalSpan {
                after: seq - 1,
                up_to: *seq,
            };
            let page = self.reader.decisions(&wanted, span, 1)?;
            for row in &page.rows {
                let Some(difference) = self.difference(&active, &mut trial, row) else {
                    continue;
                };
                let Some(difference) = difference else {
                    hosted.audit.is_same();
                    continue;
                };
                let alarm = AuditAlarm {
                    time: row.time,
                    key: row.key.clone(),
                    revision: row.revision,
                    digest: row.digest.clone(),
                    difference,
                };
                alarms += 1;
                if alarms == 1 {
                    tell(hosted, &alarm);
                }
                hosted.audit.differs(alarm);
            }
        }
        if alarms > 1 {
            let participant = hosted.participant.name();
            let more = alarms - 1;
            tracing::error!(
                participant,
                more,
                "more decisions are others on a fresh instance"
            );
        }
        Ok(())
    }

    /// What differs on a fresh instance; `Some(None)` if nothing does, `None` if that is not known.
    fn difference<'a>(
        &'a self,
        active: &'a Active,
        trial: &mut Option<TrialRun<'a>>,
        row: &JournalRow,
    ) -> Option<Option<String>> {
        let recorded = row.recorded.as_ref().ok()?;
        if trial.is_none() {
            let build = &*active.generation.build;
            *trial = TrialRun::fresh(build, &self.limits, row.time).ok();
        }
        let trial = trial.as_mut()?;
        match decide(trial, recorded, None, false).verdict {
            ReplayVerdict::Unchanged(_) => Some(None),
            ReplayVerdict::NoBaseline(..) => None,
            ReplayVerdict::Changed(changed) => {
                let first = changed.parts.into_iter().next();
                let first = first.map(|part| in_words(&part.into()));
                Some(Some(first.unwrap_or_else(|| "the answer".into())))
            }
            // Time and the machine are not the rules' fault.
            ReplayVerdict::Fault(fault, _) if fault.may_pass() => None,
            ReplayVerdict::Fault(_, why) => Some(Some(format!("it fails: {why}"))),
        }
    }
}

/// `state /count: 3 as recorded, 1 on a fresh instance`.
fn in_words(part: &DifferingPart) -> String {
    let value = |value: &Option<serde_json::Value>| match value {
        Some(value) => value.to_string(),
        None => "nothing".to_owned(),
    };
    let place = format!("{} {}", part.what, part.pointer);
    format!(
        "{}: {} as recorded, {} on a fresh instance",
        place.trim_end(),
        value(&part.decided),
        value(&part.would_decide)
    )
}

fn tell(hosted: &HostedParticipant, alarm: &AuditAlarm) {
    let participant = hosted.participant.name();
    tracing::error!(
        participant, key = %alarm.key, revision = alarm.revision, digest = short(&alarm.digest),
        difference = %alarm.difference,
        "a decision is another one on a fresh instance: the rules keep something from one message to the next; see all of \
         the aggregate with `saga replay {participant} --self --key {}`, and set fresh_instances until they are corrected",
        alarm.key
    );
}

/// A number in which every bit depends on every bit of this one.
fn mixed(number: u64) -> u64 {
    XxHash64::oneshot(0, &number.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_wanted_share_is_chosen_whatever_the_pattern_of_the_numbers() {
        for step in [1, 2, 64, 1_000] {
            let numbers = (0..100_000).map(|number| number * step);
            let chosen = numbers.filter(|number| mixed(*number).is_multiple_of(100));
            let chosen = chosen.count();
            assert!((800..1_200).contains(&chosen), "{step}: {chosen}");
        }
    }
}
