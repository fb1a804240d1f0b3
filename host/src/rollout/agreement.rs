//! The agreement of all hosts on a store before a swap: each that runs the participant has the
//! generation ready, so that all of them switch at once when it is activated. A host that can't take
//! it stops the swap.

use std::time::{Duration, Instant};

use super::candidate::store_failed;
use super::hosted::HostedParticipant;
use super::reloader::ReloaderState;
use super::report::NotApplied;
use crate::store::Store;
use crate::store::proposals::{HostAnswer, Proposed};
use crate::turn::Active;

/// Longest wait for the other hosts: a component may have to be compiled there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Delay between two looks at the answers.
const LOOK: Duration = Duration::from_millis(20);

/// A proposal of this host, which ends when it is dropped.
pub(super) struct Agreed<'s> {
    store: &'s Store,
    number: i64,
}

impl Drop for Agreed<'_> {
    fn drop(&mut self) {
        if let Some(proposals) = self.store.proposals()
            && let Err(fault) = proposals.withdraw(self.number)
        {
            tracing::warn!(%fault, "the end of a swap can't be noted; other hosts swap nothing until this one does");
        }
    }
}

impl ReloaderState {
    /// Waits until all other hosts are ready for the generation, also those that are starting. None if
    /// the store never has others.
    pub(super) fn agree(
        &self,
        hosted: &HostedParticipant,
        active: &Active,
        next: &Active,
    ) -> Result<Option<Agreed<'_>>, NotApplied> {
        let store = &*self.around.store;
        // Whether there are others is asked now: one may have just joined.
        let Some(proposals) = store.proposals() else {
            return Ok(None);
        };
        let (next, active) = (next.generation.id, active.generation.id);
        let proposed = proposals.propose(hosted.row, next, active);
        let number = match proposed.map_err(|fault| store_failed(&fault))? {
            Proposed::Stands(number) => number,
            Proposed::Busy(host) => {
                return Err(NotApplied::Busy(format!(
                    "host {host} is about to swap rules; try again"
                )));
            }
            Proposed::Outdated => {
                return Err(NotApplied::Busy(
                    "another host has just swapped the rules; try again".into(),
                ));
            }
        };
        let agreed = Agreed { store, number };
        let began = Instant::now();
        loop {
            self.check_open()?;
            let answers = proposals.answers(number);
            let answers = answers.map_err(|fault| store_failed(&fault))?;
            let refused = answers.iter().find_map(|one| match &one.answer {
                Some(Err(reason)) => Some(format!("host {} can't take it: {reason}", one.host)),
                _ => None,
            });
            if let Some(refused) = refused {
                return Err(NotApplied::Failed(format!(
                    "{refused}; nothing was changed"
                )));
            }
            let silent: Vec<&HostAnswer> = (answers.iter())
                .filter(|one| one.answer.is_none())
                .collect();
            if silent.is_empty() {
                return Ok(Some(agreed));
            }
            if began.elapsed() >= PATIENCE {
                let names: Vec<&str> = silent.iter().map(|one| &*one.host).collect();
                return Err(NotApplied::Busy(format!(
                    "not ready after {} s: {}; nothing was changed, try again",
                    PATIENCE.as_secs(),
                    names.join(", ")
                )));
            }
            std::thread::sleep(LOOK);
        }
    }
}
