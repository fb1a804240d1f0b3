//! Counts by name, of a bounded number of names (invariant 9).
//!
//! Which names those are, and what the rest comes to, does not depend on the order of what is
//! counted, nor on how it was shared out among threads.

use std::collections::BTreeMap;

/// Most names.
pub(super) const NAMES: usize = 256;

/// What the rest is called.
pub(super) const OTHERS: &str = "others";

/// What can be added up.
pub(super) trait AddUp {
    fn plus(&mut self, other: Self);
}

impl AddUp for u64 {
    fn plus(&mut self, other: Self) {
        *self += other;
    }
}

/// Counts of the first names in their order, and of all others together.
pub(super) struct Named<T> {
    first: BTreeMap<String, T>,
    others: Option<T>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            first: BTreeMap::new(),
            others: None,
        }
    }
}

impl<T: AddUp> Named<T> {
    /// Adds to what is counted under a name.
    pub(super) fn add(&mut self, name: &str, counted: T) {
        // Names are seldom new.
        if let Some(known) = self.first.get_mut(name) {
            return known.plus(counted);
        }
        self.first.insert(name.to_owned(), counted);
        if self.first.len() > NAMES
            && let Some((_, last)) = self.first.pop_last()
        {
            self.add_other(last);
        }
    }

    fn add_other(&mut self, counted: T) {
        match &mut self.others {
            Some(others) => others.plus(counted),
            None => self.others = Some(counted),
        }
    }

    /// Adds all counts of another thread.
    pub(super) fn merge(&mut self, other: Self) {
        for (name, counted) in other.first {
            self.add(&name, counted);
        }
        if let Some(others) = other.others {
            self.add_other(others);
        }
    }

    /// The counts with their names, the others last.
    pub(super) fn told(self) -> impl Iterator<Item = (String, T)> {
        let others = self.others.map(|others| (OTHERS.to_owned(), others));
        self.first.into_iter().chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_same_however_they_were_shared_out() {
        let names: Vec<_> = (0..NAMES + 40).map(|name| format!("{name:04}")).collect();
        let counted = |names: &mut dyn Iterator<Item = &String>| {
            let mut counted = Named::default();
            names.for_each(|name| counted.add(name, 1));
            counted
        };
        let once = counted(&mut names.iter().chain(&names));
        let mut shared = counted(&mut names.iter().rev().step_by(3));
        for from in [1, 2] {
            shared.merge(counted(&mut names.iter().rev().skip(from).step_by(3)));
        }
        shared.merge(counted(&mut names.iter()));
        let once: Vec<_> = once.told().collect();
        assert_eq!(once.len(), NAMES + 1);
        assert_eq!(once.first(), Some(&("0000".to_owned(), 2)));
        assert_eq!(once.last(), Some(&(OTHERS.to_owned(), 80)));
        assert_eq!(shared.told().collect::<Vec<_>>(), once);
    }
}
