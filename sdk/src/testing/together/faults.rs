//! [`Faults`]: the kinds of trouble that a run may have, and the choice of them by a seed.

use super::random::Random;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InjectedFault {
    /// Events of different keys or topics overtake each other.
    Reordering,
    /// Time passes while events are on their way, so timers fire first.
    Delays,
    /// Timers fire later than they are due.
    LateTimers,
    /// Participants are down for a while.
    Outages,
    /// Records come twice with the same id.
    Duplicates,
    /// Events that the author named come again with another id.
    Repeats,
    /// Rules are swapped.
    Swaps,
}

impl InjectedFault {
    pub(super) const ALL: [Self; 7] = [
        Self::Swaps,
        Self::Repeats,
        Self::Duplicates,
        Self::Outages,
        Self::LateTimers,
        Self::Delays,
        Self::Reordering,
    ];

    /// Its name in a report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reordering => "reordering",
            Self::Delays => "delays",
            Self::LateTimers => "late timers",
            Self::Outages => "outages",
            Self::Duplicates => "duplicates",
            Self::Repeats => "repeats",
            Self::Swaps => "swaps",
        }
    }
}

/// The kinds of trouble of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults(Vec<InjectedFault>);

impl Faults {
    /// The faults of a seed: none for seed 0, and about half of them for any other. A run with few
    /// of them reaches states that a run with all of them does not.
    pub(super) fn of(seed: u64, random: &mut Random) -> Self {
        let mut all = InjectedFault::ALL.to_vec();
        all.retain(|_| seed != 0 && random.chance(1, 2));
        Self(all)
    }

    pub(super) fn has(&self, fault: InjectedFault) -> bool {
        self.0.contains(&fault)
    }

    pub(super) fn without(&self, fault: InjectedFault) -> Self {
        Self(self.0.iter().copied().filter(|one| *one != fault).collect())
    }

    /// True if everything comes in order and in time.
    pub(super) fn is_calm(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names, or "none".
    pub(super) fn names(&self) -> String {
        match self.0.as_slice() {
            [] => "none".to_owned(),
            some => {
                let names: Vec<_> = some.iter().map(|fault| fault.name()).collect();
                names.join(", ")
            }
        }
    }
}
