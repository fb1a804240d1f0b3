//! Detects components whose arithmetic does not trap on overflow.
//!
//! A Rust release build has no overflow checks unless its profile enables them; without them a sum
//! that overflows wraps, and the wrong number is stored. No component can report this about itself,
//! since trying an overflow would trap where checks are on. But `export!` of the SDK leaves a sum
//! of two unknown numbers in the author's crate, and a text that marks an SDK component; the
//! message of a failed check is in the component only if checks are on.

use memchr::memmem;

/// `saga_sdk::native::OVERFLOW_PROBE`.
const PROBE: &[u8] = b"saga-sdk overflow probe";

/// Rust's message for a checked sum that overflows.
const MESSAGE: &[u8] = b"attempt to add with overflow";

/// A note for the operator on a component without overflow checks; `None` if it has them, or was
/// not made with the SDK.
#[must_use]
pub(super) fn note(bytes: &[u8]) -> Option<String> {
    let has = |text: &[u8]| memmem::find(bytes, text).is_some();
    (has(PROBE) && !has(MESSAGE)).then(|| {
        "it was built without overflow checks: a sum that overflows wraps and is stored; put `overflow-checks = true` below \
         `[profile.release]` in the Cargo.toml at the root of its workspace"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_components_of_the_sdk_without_checks_are_noted() {
        let of = |parts: &[&[u8]]| note(&parts.concat());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[b"other"]), None);
        assert_eq!(of(&[b"x", PROBE, b"x", MESSAGE, b"x"]), None);
        assert_eq!(of(&[MESSAGE]), None);
        let noted = of(&[b"x", PROBE, b"attempt to subtract with overflow"]);
        assert!(noted.is_some_and(|note| note.contains("overflow-checks = true")));
    }
}
