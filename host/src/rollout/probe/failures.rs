//! Failures of a candidate in the probe: reasons to refuse it, or notes if the operator overrides
//! them.

use std::collections::BTreeMap;

/// Most reasons in a refusal.
pub(super) const REASONS: usize = 3;

/// Failures that are tolerated although the active generation does not share them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tolerance {
    /// None.
    #[default]
    Nothing,
    /// All except those on stored states: for when there is no active generation to compare with.
    AllButStates,
    /// All.
    Everything,
}

/// The consequence of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Harm {
    /// A stored state can't be read.
    Unread,
    /// A stored state does not match the described schema.
    OtherShape,
    /// A stored state can't be shown.
    NotShown,
    /// A list finds nothing by one of its filters.
    NotFound,
    /// A set timer can't be decided.
    Timer,
    /// A waiting event can't be decided.
    Waiting,
    /// A recorded command can't be decided.
    RecordedCommand,
    /// A recorded event can't be decided.
    RecordedEvent,
    /// A recorded timer can't be decided.
    RecordedTimer,
    /// A recorded state can't be read.
    RecordedState,
    /// The rules are no function of their input.
    Impure,
}

/// The failures of a candidate.
#[derive(Debug, Default)]
pub(super) struct Failures {
    allowed: Tolerance,
    reasons: Vec<String>,
    /// Tolerated failures: their number, and the first one as text.
    taken: BTreeMap<Harm, (usize, String)>,
    as_before: (usize, String),
}

impl Tolerance {
    fn takes(self, harm: Harm) -> bool {
        match self {
            Self::Nothing => false,
            Self::AllButStates => !matches!(harm, Harm::Unread | Harm::OtherShape | Harm::NotShown),
            Self::Everything => true,
        }
    }
}

impl Harm {
    /// The consequence for a number of inputs.
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
            Self::Impure => "inputs have results that differ from call to call",
        }
    }
}

impl Failures {
    pub(super) fn new(allowed: Tolerance) -> Self {
        Self {
            allowed,
            ..Self::default()
        }
    }

    /// Adds a failure that the active generation does not share.
    pub(super) fn add(&mut self, harm: Harm, failure: String) {
        if self.allowed.takes(harm) {
            self.taken.entry(harm).or_insert((0, failure)).0 += 1;
        } else {
            self.reasons.push(failure);
        }
    }

    /// Adds a failure that the active generation shares.
    pub(super) fn add_as_before(&mut self, failure: String) {
        self.as_before.0 += 1;
        if self.as_before.0 == 1 {
            self.as_before.1 = failure;
        }
    }

    /// True if there are as many reasons as a refusal reports.
    pub(super) fn are_enough(&self) -> bool {
        self.reasons.len() >= REASONS
    }

    /// Notes for the operator.
    ///
    /// # Errors
    /// The reasons to refuse the candidate.
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
