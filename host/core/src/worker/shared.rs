//! What other hosts on the same store have done: messages that they have parked, aggregates that
//! they have quarantined.

use super::action::{Action, Loaded};
use super::host::HostTypes;
use super::turn::Turn;
use super::{TurnSubject, Worker};

impl<H: HostTypes> Worker<H> {
    /// Takes in that another host has parked messages of a loaded aggregate; false if that was known.
    pub(super) fn adopts(&mut self, loaded: &Loaded) -> bool {
        let Some(parked) = &loaded.held else {
            return false;
        };
        if self.held.holds(&parked.key) || self.held.passes_over(&parked.key) {
            return false;
        }
        self.held.adopt(parked.clone());
        true
    }

    /// Offers a turn once more, since another host has parked messages of its aggregate, or may have
    /// changed it.
    pub(super) fn offer_again(&mut self, subject: TurnSubject<H>, actions: &mut Vec<Action<H>>) {
        let turn = match subject {
            TurnSubject::Command(turn) => Turn::Command(turn),
            TurnSubject::Read(turn) => Turn::Read(turn),
            TurnSubject::Migrate(turn) => Turn::Migrate(turn),
            TurnSubject::Event(mut turn, _) => {
                turn.trial.attempts -= 1;
                Turn::Event(turn)
            }
            TurnSubject::Timer(mut turn) => {
                turn.trial.attempts -= 1;
                Turn::Timer(turn)
            }
            // Its aggregate is held here.
            TurnSubject::Unreadable(_) | TurnSubject::Key(..) | TurnSubject::Parked(_) => return,
        };
        self.offer(turn, actions);
    }
}
