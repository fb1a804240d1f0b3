//! What a candidate fails: whether it speaks against the candidate, and what would come of it where it is taken all the
//! same.

use std::collections::BTreeMap;

/// Reasons that are told at most.
pub(super) const REASONS: usize = 3;

/// What a candidate may fail, though the active build does not, and be taken all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Allowed {
    /// Nothing.
    #[default]
    Nothing,
    /// All but stored states: where there is no active build to tell what is new of it.
    AllButStates,
    /// Everything.
    Everything,
}

/// What would come of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Harm {
    /// A stored state can't be read.
    Unread,
    /// A stored state is of another shape than is described.
    OtherShape,
    /// A stored state can't be shown.
    NotShown,
    /// A list finds nothing by one of its filters.
    NotFound,
    /// A timer that is set can't be decided.
    Timer,
    /// An event that waits can't be decided.
    Waiting,
    /// A command that was decided before can't be.
    RecordedCommand,
    /// An event that was decided before can't be.
    RecordedEvent,
    /// A timer that was decided before can't be.
    RecordedTimer,
    /// A state that was left by a decision can't be read.
    RecordedState,
}

/// What a candidate fails.
#[derive(Debug, Default)]
pub(super) struct Failures {
    allowed: Allowed,
    reasons: Vec<String>,
    /// What it fails and is taken all the same: how often, and the first in words.
    taken: BTreeMap<Harm, (usize, String)>,
    as_before: (usize, String),
}

impl Allowed {
    fn takes(self, harm: Harm) -> bool {
        match self {
            Self::Nothing => false,
            Self::AllButStates => !matches!(harm, Harm::Unread | Harm::OtherShape | Harm::NotShown),
            Self::Everything => true,
        }
    }
}

impl Harm {
    /// What becomes of so many.
    fn told(self) -> &'static str {
        match self {
            Self::Unread => "aggregates would be quarantined",
            Self::OtherShape => "stored states are of another shape than it describes",
            Self::NotShown => "aggregates could not be shown",
            Self::NotFound => "filters of listings would find nothing",
            Self::Timer => "timers that are set would be put aside",
            Self::Waiting => "events that wait would become dead letters, or be parked",
            Self::RecordedCommand => "recorded commands would be answered with an error",
            Self::RecordedEvent => "recorded events would become dead letters",
            Self::RecordedTimer => "recorded timers would be put aside",
            Self::RecordedState => "recorded states could not be read",
        }
    }
}

impl Failures {
    pub(super) fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            ..Self::default()
        }
    }

    /// Notes one that the active build does not share.
    pub(super) fn add(&mut self, harm: Harm, failure: String) {
        if self.allowed.takes(harm) {
            self.taken.entry(harm).or_insert((0, failure)).0 += 1;
        } else {
            self.reasons.push(failure);
        }
    }

    /// Notes one that the active build shares.
    pub(super) fn add_as_before(&mut self, failure: String) {
        self.as_before.0 += 1;
        if self.as_before.0 == 1 {
            self.as_before.1 = failure;
        }
    }

    /// Whether there are as many reasons to refuse it as are told.
    pub(super) fn are_enough(&self) -> bool {
        self.reasons.len() >= REASONS
    }

    /// What an operator should know of them.
    ///
    /// # Errors
    /// The reasons to refuse it.
    pub(super) fn weighed(self) -> Result<Vec<String>, Vec<String>> {
        if !self.reasons.is_empty() {
            return Err(self.reasons);
        }
        let taken = self.taken.into_iter().map(|(harm, (count, first))| {
            let harm = harm.told();
            format!("of what it was tried on, {count} {harm}: {first}")
        });
        let (count, first) = self.as_before;
        let as_before = (count > 0).then(|| {
            format!(
                "of what it was tried on, it fails {count} that the active build fails too: {first}"
            )
        });
        Ok(taken.chain(as_before).collect())
    }
}
