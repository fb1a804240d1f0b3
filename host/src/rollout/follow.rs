//! The thread that follows swaps of other hosts on the store: prepares the generation that one is
//! about to activate, and switches to what is active.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Reloader;
use super::candidate::ReadyGeneration;
use super::given_settings::GivenSettings;
use super::handover::cancel_admitted_otherwise;
use super::hosted::HostedParticipant;
use super::reloader::ReloaderState;
use super::report::NotApplied;
use crate::base::generation::Generation;
use crate::base::stop::NotifiedAtStop;
use crate::store::history::GenerationRow;
use crate::store::proposals::Proposal;

/// Interval of looks at proposals while other hosts are there.
const LOOK: Duration = Duration::from_millis(50);

/// The interval while there are none.
const LOOK_ALONE: Duration = Duration::from_secs(1);

/// Delay before the next attempt at a generation that could not be taken over.
const RETRY: Duration = Duration::from_secs(1);

const BEHIND: &str = "the rules that are active in the store can't be taken over; nothing is decided here until they are";

/// Starts the thread. None if the store has no other hosts.
///
/// # Errors
/// If the thread can't be started.
pub fn start(
    reloader: Reloader,
    stop: CancellationToken,
) -> std::io::Result<Option<JoinHandle<()>>> {
    if reloader.state().around.store.proposals().is_none() {
        return Ok(None);
    }
    let thread = std::thread::Builder::new().name("follow".into());
    let body = move || {
        let store = reloader.state().around.store.clone();
        let notify = store.activated().clone();
        let _notified = NotifiedAtStop::new(&stop, &notify);
        let mut follower = Follower::default();
        while !stop.is_cancelled() {
            let seen = notify.count();
            follower.look(reloader.state(), seen);
            let pause = if store.has_others() { LOOK } else { LOOK_ALONE };
            notify.wait(seen, pause);
        }
    };
    Ok(Some(thread.spawn(body)?))
}

#[derive(Default)]
struct Follower {
    /// The generation that is ready, by participant and row.
    ready: Option<(i64, i64, ReadyGeneration)>,
    /// The activations that were looked at, as counted by their notifications, and when.
    looked: Option<(u64, Instant)>,
    /// When the next attempt may be made, after one that failed.
    not_before: Option<Instant>,
    /// What the store was told of this host.
    noted: Option<Result<i64, String>>,
}

impl Follower {
    /// Looks at what is active, if there were activations, and at proposals.
    fn look(&mut self, state: &ReloaderState, activations: u64) {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.not_before = None;
        let mut result = Ok(());
        let is_known =
            |(count, at): (u64, Instant)| count == activations && at.elapsed() < LOOK_ALONE;
        if !self.looked.is_some_and(is_known) {
            result = self.catch_up(state);
            self.looked = result.is_ok().then(|| (activations, Instant::now()));
        }
        let result = result.and_then(|()| self.answer(state));
        if let Err(error) = result {
            self.not_before = Some(Instant::now() + RETRY);
            tracing::debug!(%error, "swaps of other hosts can't be followed; it is tried again");
        }
    }

    /// Switches to what is active, and tells whether that went well: `/readyz` and the other hosts.
    fn catch_up(&mut self, state: &ReloaderState) -> Result<(), NotApplied> {
        let Some(proposals) = state.around.store.proposals() else {
            return Ok(());
        };
        let failed = |fault: crate::store::StoreFault| NotApplied::Failed(fault.to_string());
        // Before what is active is read: if that changes meanwhile, it is read again.
        let changes = proposals.changes().map_err(failed)?;
        let (mut result, mut behind) = (Ok(()), None);
        for hosted in state.hosted.values() {
            let caught_up = match newer(state, hosted) {
                Ok(None) => Ok(()),
                Ok(Some(active)) => self.take_over(state, hosted, &active).inspect_err(|error| {
                    behind.get_or_insert_with(|| format!("{}: {error}", hosted.participant.name()));
                }),
                Err(error) => Err(error),
            };
            result = result.and(caught_up);
        }
        if result.is_err() && behind.is_none() {
            // The store can't be read.
            return result;
        }
        state
            .behind
            .set(behind.as_ref().map(|why| format!("{BEHIND}: {why}")));
        let note = behind.map_or(Ok(changes), Err);
        if self.noted.as_ref() != Some(&note) {
            if let Err(why) = &note {
                tracing::error!("{BEHIND}: {why}");
            }
            proposals.note_followed(note.clone()).map_err(failed)?;
            self.noted = Some(note);
        }
        result
    }

    /// Switches to the active generation, which another host has activated.
    fn take_over(
        &mut self,
        state: &ReloaderState,
        hosted: &HostedParticipant,
        active: &GenerationRow,
    ) -> Result<(), NotApplied> {
        // A swap of this host may be between the store and the workers.
        let _one = state.switching.lock();
        let running = hosted.participant.active();
        let still = state.read(|reading| reading.active(hosted.row));
        if running.generation.id == active.id
            || still.map_err(NotApplied::Failed)?.as_ref() != Some(active)
        {
            return Ok(());
        }
        let ready = match self.ready.take() {
            Some((participant, generation, ready))
                if (participant, generation) == (hosted.row, active.id) =>
            {
                ready
            }
            _ => state.prepare_stored(hosted, active)?,
        };
        let began = Instant::now();
        let ReadyGeneration {
            successor,
            serving,
            sources,
            published,
        } = ready;
        state.around.transport.publish_too(published);
        let next = successor.active().clone();
        let retired = hosted.participant.swap_held(successor, || {
            cancel_admitted_otherwise(hosted, &running, &next);
            Ok::<_, NotApplied>(())
        });
        let retired = retired.map_err(|error| NotApplied::Busy(error.to_string()))?;
        let note = state.follow_on(hosted, (running, next), (serving, &sources), retired)?;
        hosted.note_file(None);
        tracing::info!(
            participant = %hosted.participant.name(), digest = %active.digest, version = %active.version,
            swapped_us = began.elapsed().as_micros() as u64, note = note.unwrap_or_default(),
            "rules swapped: another host has activated them"
        );
        Ok(())
    }

    /// Prepares what another host is about to activate, and says if this one is ready.
    fn answer(&mut self, state: &ReloaderState) -> Result<(), NotApplied> {
        let store = &state.around.store;
        let Some(proposals) = store.proposals().filter(|_| store.has_others()) else {
            return Ok(());
        };
        let failed = |fault: crate::store::StoreFault| NotApplied::Failed(fault.to_string());
        let Some(proposal) = proposals.open().map_err(failed)? else {
            return Ok(());
        };
        let hosted = (state.hosted.values()).find(|one| one.row == proposal.participant);
        let answer = match hosted {
            None => Ok(()),
            Some(hosted) => self.prepare(state, hosted, &proposal),
        };
        if let (Some(hosted), Err(error)) = (hosted, &answer) {
            let participant = hosted.participant.name();
            tracing::warn!(%participant, %error, "another host is about to swap rules that this one can't take");
        }
        let answer = answer.map_err(|error| error.to_string());
        proposals.answer(proposal.number, answer).map_err(failed)
    }

    fn prepare(
        &mut self,
        state: &ReloaderState,
        hosted: &HostedParticipant,
        proposal: &Proposal,
    ) -> Result<(), NotApplied> {
        let row = state.read(|reading| reading.generation(hosted.row, &proposal.digest));
        let row = (row.map_err(NotApplied::Failed)?)
            .ok_or_else(|| NotApplied::Failed("the store does not have it".into()))?;
        let ready = state.prepare_stored(hosted, &row)?;
        self.ready = Some((hosted.row, row.id, ready));
        Ok(())
    }
}

/// The active generation, if it is not the one that decides here.
fn newer(
    state: &ReloaderState,
    hosted: &HostedParticipant,
) -> Result<Option<GenerationRow>, NotApplied> {
    let active = state.read(|reading| reading.active(hosted.row));
    let active = active.map_err(NotApplied::Failed)?;
    Ok(active.filter(|active| hosted.participant.active().generation.id != active.id))
}

impl ReloaderState {
    /// Prepares a generation of the store, which another host has checked.
    fn prepare_stored(
        &self,
        hosted: &HostedParticipant,
        row: &GenerationRow,
    ) -> Result<ReadyGeneration, NotApplied> {
        let work = || {
            let bytes = self.kept(&row.component)?;
            let loader = self.loader()?;
            let origin = format!("{} (kept in the store)", row.digest);
            let given: GivenSettings = row.given().into();
            let build = loader.load(&bytes, &origin, given);
            let build = build.map_err(NotApplied::Refused)?;
            self.fits(hosted, &*build)?;
            let generation = Generation { id: row.id, build };
            self.ready(hosted, generation)
        };
        (self.low_priority()?.run(work))
            .unwrap_or_else(|| Err(NotApplied::Failed("it broke the compiler".into())))
    }
}
