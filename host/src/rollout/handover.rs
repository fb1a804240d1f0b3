//! The swap: a candidate becomes the active generation in the store, then in the workers; routes
//! and sources follow. Indexes of its listings are created before, and unneeded ones dropped after.

use std::sync::Arc;

use rusqlite::Connection;
use saga_core::compatibility::{self, Lack};
use saga_core::description::Description;
use saga_core::message::Origin;
use saga_core::shapes::Found;

use super::candidate::{ReadyCandidate, store_failed};
use super::check::{self, Present};
use super::hosted::HostedParticipant;
use super::reloader::{Apply, ReloaderState};
use super::report::{NotApplied, Way};
use crate::base::clock::now_ms;
use crate::base::generation::Generation;
use crate::store::{Index, history, index};
use crate::turn::{Active, SwapError};

impl ReloaderState {
    /// Makes the candidate the active generation: in the store, then in the workers; routes and
    /// sources follow.
    pub(super) fn hand_over(
        &self,
        hosted: &HostedParticipant,
        active: Arc<Active>,
        candidate: ReadyCandidate,
        apply: &Apply,
    ) -> Result<Option<String>, NotApplied> {
        self.create_indexes(hosted, candidate.successor.active())?;
        let transport = self.around.transport.as_ref();
        transport.publish_too(candidate.published);
        let next = candidate.successor.active().clone();
        let retired = if candidate.compared.lacks {
            // Use must not begin between the check and the swap.
            let held = hosted.participant.swap_held(candidate.successor, || {
                self.activate_checked(hosted, &active, &next, apply, candidate.shapes)?;
                cancel_admitted_otherwise(hosted, &active, &next);
                Ok(())
            });
            held.map_err(|error| match error {
                SwapError::Declined(not_applied) => not_applied,
                SwapError::Busy | SwapError::Stopping => NotApplied::Busy(error.to_string()),
            })?
        } else {
            self.activate(hosted, &active, &next, apply.way)?;
            // The swap is recorded already: if the host is stopping, the next start comes up with
            // it.
            hosted
                .participant
                .swap(candidate.successor)
                .unwrap_or_default()
        };
        let routes = hosted.serve(candidate.serving);
        let before = hosted.sources();
        let read = hosted.read(&candidate.sources, transport, &self.around.stop_consuming);
        if hosted.sources() != before
            && let Err(fault) = hosted.note_consumers(&self.around.store)
        {
            tracing::warn!(%fault, "which consumers there are can't be noted in the store; old events are kept for longer");
        }
        self.drop_indexes(hosted, &[&active, &next]);
        self.low_priority()?.drop_later((retired, routes, active));
        Ok(read.err().map(|problems| {
            format!(
                "not everything that it listens to can be read ({problems}); start the host again"
            )
        }))
    }

    /// Creates the indexes of the next generation's listings. They come before all other changes,
    /// since an unused index does no harm.
    fn create_indexes(&self, hosted: &HostedParticipant, next: &Active) -> Result<(), NotApplied> {
        let row = hosted.row;
        let indexes = Index::all_of(row, next.description());
        // The writer is needed only for missing indexes.
        if let Ok((true, _)) = self.read(|sql| index::compare(sql, row, &indexes)) {
            return Ok(());
        }
        self.around
            .store
            .run(move |sql| index::create(sql, &indexes))
            .map_err(|fault| store_failed(&fault))
    }

    /// Drops indexes that none of these generations needs. The former generation is among them,
    /// since a rollback may need it.
    fn drop_indexes(&self, hosted: &HostedParticipant, generations: &[&Active]) {
        let row = hosted.row;
        let keep: Vec<_> = (generations.iter())
            .flat_map(|generation| Index::all_of(row, generation.description()))
            .collect();
        if let Ok((_, false)) = self.read(|sql| index::compare(sql, row, &keep)) {
            return;
        }
        let dropped = self
            .around
            .store
            .run(move |sql| index::drop_others(sql, row, &keep));
        if let Err(fault) = dropped {
            tracing::warn!(%fault, "indexes that no listing needs could not be dropped; the next swap tries again");
        }
    }

    /// Activates a generation that drops nothing: it can read every state that was written since
    /// its check.
    fn activate(
        &self,
        hosted: &HostedParticipant,
        active: &Active,
        next: &Active,
        way: Way,
    ) -> Result<(), NotApplied> {
        let (row, generation) = (hosted.row, next.generation.clone());
        let before = active.generation.build.clone();
        let work = move |sql: &Connection| {
            history::activate(sql, row, generation.id, way.word(), now_ms())?;
            carry_use(sql, row, before.description(), &generation)
        };
        self.around
            .store
            .run(work)
            .map_err(|fault| store_failed(&fault))
    }

    /// Activates a generation that drops something, unless that has come into use since its check.
    fn activate_checked(
        &self,
        hosted: &HostedParticipant,
        active: &Active,
        next: &Active,
        apply: &Apply,
        shapes: Arc<Found>,
    ) -> Result<(), NotApplied> {
        let before = active.generation.build.clone();
        let generation = next.generation.clone();
        let (way, flags) = (apply.way, apply.flags);
        let Present {
            participant,
            sources,
            retention_ms,
            now,
            shapes,
            ..
        } = self.present(hosted, active, shapes);
        self.around
            .store
            .run(move |sql| {
                let present = Present {
                    active: before.description(),
                    participant,
                    sources,
                    retention_ms,
                    now,
                    shapes,
                };
                let compared = check::compare(sql, &present, &*generation.build, flags)?;
                if compared.is_ok() {
                    history::activate(sql, participant, generation.id, way.word(), now_ms())?;
                    carry_use(sql, participant, before.description(), &generation)?;
                }
                Ok(compared)
            })
            .map_err(|fault| store_failed(&fault))?
            .map(drop)
            .map_err(NotApplied::Refused)
    }
}

/// Keeps a renamed route in use under its new name.
fn carry_use(
    sql: &Connection,
    participant: i64,
    before: &Description,
    next: &Generation,
) -> rusqlite::Result<()> {
    for (old, new) in compatibility::renamed_routes(before, next.description()) {
        history::carry_use(sql, participant, next.id, Origin::Command, old, new)?;
    }
    Ok(())
}

/// Cancels the reading of records that the next generation admits differently; they are delivered
/// again, with all that follow.
fn cancel_admitted_otherwise(hosted: &HostedParticipant, active: &Active, next: &Active) {
    let lacks = compatibility::lacks(active.description(), next.description());
    for source in hosted.sources() {
        let is_other = |lack: &Lack| matches!(lack, Lack::Subscription { topic, .. } if **topic == *source.declared_topic);
        if lacks.iter().any(is_other) {
            source.readings.cancel();
        }
    }
}
