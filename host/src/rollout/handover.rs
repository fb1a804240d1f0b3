//! The swap: a candidate becomes the active generation in the store, then in the workers; routes
//! and sources follow. Indexes of its listings are created before, and unneeded ones dropped after.

use std::sync::Arc;

use crossbeam_channel::bounded;
use saga_contract::compatibility::{self, Lack};
use saga_contract::shapes::ShapeFinding;

use super::agreement::Agreed;
use super::candidate::{ReadyCandidate, ReadyGeneration, store_failed};
use super::check::{self, Present};
use super::flags::Flags;
use super::hosted::{HostedParticipant, ServeRoutes};
use super::reloader::{Apply, ReloaderState};
use super::report::{NotApplied, Way};
use crate::base::clock::now_ms;
use crate::store::{Activation, Index, ReadStore};
use crate::transport::Source;
use crate::turn::{Active, Retired, SwapError};

impl ReloaderState {
    /// Makes the candidate the active generation: in the store, then in the workers; routes and
    /// sources follow.
    pub(super) fn hand_over(
        &self,
        hosted: &HostedParticipant,
        active: Arc<Active>,
        candidate: ReadyCandidate,
        apply: &Apply,
        agreed: Option<Agreed<'_>>,
    ) -> Result<Option<String>, NotApplied> {
        let ReadyGeneration {
            successor,
            serving,
            sources,
            published,
        } = candidate.ready;
        let next = successor.active().clone();
        let _one = self.switching.lock();
        self.create_indexes(hosted, &next)?;
        self.around.transport.publish_too(published);
        let activation = Activation {
            change: candidate.change.to_text(),
            ..activation(hosted, &active, &next, apply.way)
        };
        let retired = if candidate.compared.lacks {
            // Use must not begin between the check and the swap.
            let held = hosted.participant.swap_held(successor, || {
                let given = (apply.flags, candidate.shapes);
                self.activate_checked(hosted, &active, activation, &next, given)?;
                cancel_admitted_otherwise(hosted, &active, &next);
                Ok(())
            });
            held.map_err(|error| match error {
                SwapError::Declined(not_applied) => not_applied,
                SwapError::Busy | SwapError::Stopping => NotApplied::Busy(error.to_string()),
            })?
        } else {
            // It drops nothing, so it can read every state that was written since its check.
            let activated = self.around.store.activate(&[activation], &[]);
            activated.map_err(|fault| store_failed(&fault))?;
            // The swap is recorded already: if the host is stopping, the next start comes up with
            // it.
            hosted.participant.swap(successor).unwrap_or_default()
        };
        drop(agreed);
        self.follow_on(hosted, (active, next), (serving, &sources), retired)
    }

    /// Lets routes and sources follow the workers. Returns what could not be done, as a note.
    pub(super) fn follow_on(
        &self,
        hosted: &HostedParticipant,
        (active, next): (Arc<Active>, Arc<Active>),
        (serving, sources): (ServeRoutes, &[Arc<Source>]),
        retired: Retired,
    ) -> Result<Option<String>, NotApplied> {
        let transport = self.around.transport.as_ref();
        let routes = serving();
        let before = hosted.sources();
        let read = hosted.read(sources, transport, &self.around.stop_consuming);
        if hosted.sources() != before
            && let Err(fault) = hosted.note_consumers(&*self.around.store)
        {
            tracing::warn!(%fault, "the list of consumers can't be stored; old events are kept for longer");
        }
        self.drop_indexes(hosted, &[&active, &next]);
        self.low_priority()?.drop_later((retired, routes, active));
        Ok(read.err().map(|problems| {
            format!("some of its subscriptions can't be read ({problems}); restart the host")
        }))
    }

    /// Creates the indexes of the next generation's listings. They come before all other changes,
    /// since an unused index does no harm.
    fn create_indexes(&self, hosted: &HostedParticipant, next: &Active) -> Result<(), NotApplied> {
        let row = hosted.row;
        let indexes = Index::all_of(row, next.description());
        // The writer is needed only for missing indexes.
        if let Ok((true, _)) = self.read(|reading| reading.compare_indexes(row, &indexes)) {
            return Ok(());
        }
        self.around
            .store
            .create_indexes(&indexes)
            .map_err(|fault| store_failed(&fault))
    }

    /// Drops indexes that none of these generations needs. The former generation is among them,
    /// since a rollback may need it.
    fn drop_indexes(&self, hosted: &HostedParticipant, generations: &[&Active]) {
        let row = hosted.row;
        let keep: Vec<_> = (generations.iter())
            .flat_map(|generation| Index::all_of(row, generation.description()))
            .collect();
        if let Ok((_, false)) = self.read(|reading| reading.compare_indexes(row, &keep)) {
            return;
        }
        let dropped = self.around.store.drop_indexes(row, &keep);
        if let Err(fault) = dropped {
            tracing::warn!(%fault, "indexes that no listing needs could not be dropped; the next swap tries again");
        }
    }

    /// Activates a generation that drops something, unless that has come into use since its check.
    fn activate_checked(
        &self,
        hosted: &HostedParticipant,
        active: &Active,
        activation: Activation,
        next: &Active,
        (flags, shapes): (Flags, Arc<ShapeFinding>),
    ) -> Result<(), NotApplied> {
        let (before, generation) = (active.generation.build.clone(), next.generation.clone());
        let Present {
            participant,
            sources,
            retention_ms,
            now,
            shapes,
            ..
        } = self.present(hosted, active, shapes);
        let (say, said) = bounded(1);
        let check = move |reading: &dyn ReadStore| {
            let present = Present {
                active: before.description(),
                participant,
                sources,
                retention_ms,
                now,
                shapes,
            };
            let compared = check::compare(reading, &present, &*generation.build, flags)?;
            let is_allowed = compared.is_ok();
            // Whoever asked waits for it.
            let _ = say.send(compared);
            Ok(is_allowed)
        };
        let activated = (self.around.store).activate_if(activation, Box::new(check));
        activated.map_err(|fault| store_failed(&fault))?;
        match said.try_recv() {
            Ok(Err(refused)) => Err(NotApplied::Refused(refused)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}

/// The activation of the next generation; keeps a renamed route in use under its new name.
fn activation(hosted: &HostedParticipant, active: &Active, next: &Active, way: Way) -> Activation {
    let renamed = compatibility::renamed_routes(active.description(), next.description());
    Activation {
        participant: hosted.row,
        generation: next.generation.id,
        replaces: Some(active.generation.id),
        way: way.word(),
        now: now_ms(),
        change: None,
        renamed: (renamed.into_iter())
            .map(|(old, new)| (old.to_owned(), new.to_owned()))
            .collect(),
    }
}

/// Cancels the reading of records that the next generation admits differently; they are delivered
/// again, with all that follow.
pub(super) fn cancel_admitted_otherwise(
    hosted: &HostedParticipant,
    active: &Active,
    next: &Active,
) {
    let lacks = compatibility::lacks(active.description(), next.description());
    for source in hosted.sources() {
        let is_other = |lack: &Lack| matches!(lack, Lack::Subscription { topic, .. } if **topic == *source.declared_topic);
        if lacks.iter().any(is_other) {
            source.readings.cancel();
        }
    }
}
