//! Flags of a swap, and the objections against a candidate, weighed by these flags.

use super::probe::Tolerance;
use super::report::{Check, Refused};

/// Flags of a swap, named as on the command line and in the admin interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// The candidate may drop subscriptions, routes, timers and events that are in use.
    pub drop_used: bool,
    /// The candidate may change messages and states so that one side can't read them, and may fail
    /// on recorded, stored and waiting inputs.
    pub allow_breaking: bool,
    /// Only check the candidate and change nothing.
    pub dry_run: bool,
}

/// The flag that allows a candidate to drop something in use.
pub const DROP_USED: &str = "drop-used";

/// The flag that allows a candidate to break messages or states, or to fail on them.
pub const ALLOW_BREAKING: &str = "allow-breaking";

/// The flag of a swap that only checks.
pub const DRY_RUN: &str = "dry-run";

impl Flags {
    /// The tolerance for failures in the probe.
    #[must_use]
    pub fn allowed(self) -> Tolerance {
        if self.allow_breaking {
            Tolerance::Everything
        } else {
            Tolerance::Nothing
        }
    }

    /// The names of the set flags.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let flags = [
            (self.drop_used, DROP_USED),
            (self.allow_breaking, ALLOW_BREAKING),
            (self.dry_run, DRY_RUN),
        ];
        flags
            .into_iter()
            .filter_map(|(is_set, name)| is_set.then_some(name))
    }
}

/// Advice for a candidate that a start refuses, if a flag of `saga apply` would allow it: a start
/// has no flags.
#[must_use]
pub fn beside_a_start(allowed_by: &[String]) -> String {
    let flags: Vec<_> = allowed_by.iter().map(|flag| format!("--{flag}")).collect();
    match flags.join(" ").as_str() {
        "" => String::new(),
        flags => format!(
            "; start without --apply, and take it with `saga apply {flags}` if it has to be"
        ),
    }
}

/// Objections against a candidate, by the flag that overrides them.
#[derive(Debug, Default)]
pub(super) struct Objections {
    /// None does.
    pub(super) hard: Vec<String>,
    /// `drop-used` does.
    pub(super) used: Vec<String>,
    /// `allow-breaking` does.
    pub(super) breaking: Vec<String>,
}

impl Objections {
    /// The overridden objections as notes; or the refusal.
    pub(super) fn weigh(self, flags: Flags, digest: &str) -> Result<Vec<String>, Refused> {
        let Self {
            hard,
            used,
            breaking,
        } = self;
        let (mut reasons, mut notes) = (hard, Vec::new());
        let is_hard = !reasons.is_empty();
        let mut allowed_by = Vec::new();
        for (found, is_allowed, flag) in [
            (used, flags.drop_used, DROP_USED),
            (breaking, flags.allow_breaking, ALLOW_BREAKING),
        ] {
            if is_allowed {
                notes.extend(found);
            } else if !found.is_empty() {
                reasons.extend(found);
                allowed_by.push(flag.to_owned());
            }
        }
        if reasons.is_empty() {
            return Ok(notes);
        }
        let digest = Some(digest.to_owned());
        Err(Refused {
            allowed_by: if is_hard { Vec::new() } else { allowed_by },
            ..Refused::new(Check::Compatibility, reasons, digest)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn objections(hard: &[&str]) -> Objections {
        Objections {
            hard: hard.iter().map(|&text| text.to_owned()).collect(),
            used: vec!["a route".into()],
            breaking: vec!["an event".into()],
        }
    }

    #[test]
    fn each_flag_allows_its_own_and_what_is_missing_is_named() {
        let flags = |drop_used, allow_breaking| Flags {
            drop_used,
            allow_breaking,
            dry_run: false,
        };
        let cases: [(Flags, &[&str], &[&str]); 3] = [
            (
                flags(false, false),
                &["a route", "an event"],
                &[DROP_USED, ALLOW_BREAKING],
            ),
            (flags(true, false), &["an event"], &[ALLOW_BREAKING]),
            (flags(false, true), &["a route"], &[DROP_USED]),
        ];
        for (flags, reasons, allowed_by) in cases {
            let refused = objections(&[]).weigh(flags, "d").unwrap_err();
            assert_eq!(
                (refused.reasons.as_slice(), refused.allowed_by.as_slice()),
                (
                    reasons
                        .iter()
                        .map(|&text| text.to_owned())
                        .collect::<Vec<_>>()
                        .as_slice(),
                    allowed_by
                        .iter()
                        .map(|&text| text.to_owned())
                        .collect::<Vec<_>>()
                        .as_slice(),
                )
            );
        }
        let notes = objections(&[]).weigh(flags(true, true), "d").unwrap();
        assert_eq!(notes, ["a route", "an event"]);
        // A hard reason names no flag that would allow it.
        let refused = objections(&["another"]).weigh(flags(true, false), "d");
        assert_eq!(refused.unwrap_err().allowed_by, [""; 0]);
    }
}
