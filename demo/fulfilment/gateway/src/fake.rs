//! [`FakeGateway`]: a payment gateway in memory, with the habits of real ones.

use std::collections::BTreeMap;

use crate::{Gateway, Lost};

/// The fake declines to charge more than this.
pub const MOST_CENTS: u64 = 100_000;

/// A fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The call is lost.
    CallLost,
    /// The call takes effect, but its answer is lost.
    AnswerLost,
}

/// The charges and refunds under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Charged(u64),
    Declined,
    /// Nothing was charged, or it was paid back; nothing will be charged.
    Settled,
}

/// A gateway whose calls go wrong in the order in which it is told.
#[derive(Debug, Default)]
pub struct FakeGateway {
    entries: BTreeMap<String, Entry>,
    /// That of the next call comes first.
    trouble: Vec<Trouble>,
    calls: usize,
}

impl FakeGateway {
    /// A gateway whose calls go wrong like this, over and over.
    #[must_use]
    pub fn with_trouble(trouble: Vec<Trouble>) -> Self {
        Self {
            trouble,
            ..Self::default()
        }
    }

    /// From its next call on, its calls go wrong like this, over and over.
    pub fn goes(&mut self, trouble: Vec<Trouble>) {
        self.trouble = trouble;
    }

    /// The money that it holds: what it charged and did not pay back, in cents.
    #[must_use]
    pub fn balance(&self) -> u64 {
        self.entries.values().map(|entry| entry.cents()).sum()
    }

    /// The money that it holds under a key, in cents.
    #[must_use]
    pub fn held(&self, key: &str) -> u64 {
        self.entries.get(key).map_or(0, |entry| entry.cents())
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls
    }

    fn called<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Result<T, Lost> {
        self.calls += 1;
        let trouble = self.trouble.first().copied();
        if trouble.is_some() {
            self.trouble.rotate_left(1);
        }
        match trouble {
            Some(Trouble::CallLost) => Err(Lost),
            Some(Trouble::AnswerLost) => {
                act(self);
                Err(Lost)
            }
            Some(Trouble::None) | None => Ok(act(self)),
        }
    }
}

impl Entry {
    fn cents(self) -> u64 {
        match self {
            Self::Charged(cents) => cents,
            Self::Declined | Self::Settled => 0,
        }
    }
}

impl Gateway for FakeGateway {
    fn charge(&mut self, key: &str, cents: u64) -> Result<bool, Lost> {
        self.called(|gateway| {
            let first = match cents <= MOST_CENTS {
                true => Entry::Charged(cents),
                false => Entry::Declined,
            };
            let entry = *gateway.entries.entry(key.to_owned()).or_insert(first);
            matches!(entry, Entry::Charged(_))
        })
    }

    fn refund(&mut self, key: &str) -> Result<(), Lost> {
        self.called(|gateway| {
            gateway.entries.insert(key.to_owned(), Entry::Settled);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_charged_once_and_not_after_its_refund() {
        let mut gateway = FakeGateway::default();
        assert_eq!(gateway.charge("a", 5), Ok(true));
        assert_eq!(gateway.charge("a", 5), Ok(true));
        assert_eq!((gateway.balance(), gateway.held("a")), (5, 5));
        assert_eq!(gateway.refund("a"), Ok(()));
        assert_eq!(gateway.charge("a", 5), Ok(false));
        assert_eq!(gateway.balance(), 0);
        assert_eq!(gateway.refund("b"), Ok(()));
        assert_eq!(
            gateway.charge("b", 5),
            Ok(false),
            "a charge that comes after its refund"
        );
        assert_eq!(gateway.charge("c", MOST_CENTS + 1), Ok(false));
    }

    #[test]
    fn a_lost_answer_has_taken_effect_and_a_lost_call_has_not() {
        let trouble = vec![Trouble::AnswerLost, Trouble::CallLost, Trouble::None];
        let mut gateway = FakeGateway::with_trouble(trouble);
        assert_eq!(gateway.charge("a", 5), Err(Lost));
        assert_eq!(gateway.charge("b", 5), Err(Lost));
        assert_eq!(gateway.balance(), 5);
        assert_eq!(gateway.charge("b", 5), Ok(true));
        assert_eq!(gateway.calls(), 3);
        assert_eq!(gateway.charge("c", 5), Err(Lost), "over and over");
        gateway.goes(vec![Trouble::None, Trouble::CallLost]);
        assert_eq!(gateway.charge("d", 5), Ok(true), "from the first on");
        assert_eq!(gateway.charge("e", 5), Err(Lost));
    }
}
