//! Whether the arithmetic of a component's rules traps where it overflows.
//!
//! A release build of Rust has no overflow checks unless its profile asks for them, and then a sum that overflows wraps, and
//! the wrong number is stored. No component can say of itself which it is: where there are checks, to try it is to trap. But
//! `export!` of the SDK leaves a sum of two unknown numbers in the author's crate, and beside it a text by which this is known for a
//! component of the SDK; the message of a failed check is in the component only if there are checks.

use memchr::memmem;

/// `saga_sdk::native::OVERFLOW_PROBE`.
const PROBE: &[u8] = b"saga-sdk overflow probe";

/// What Rust says when a checked sum overflows.
const MESSAGE: &[u8] = b"attempt to add with overflow";

/// What an operator should know of a component without overflow checks; none where it has them, or is not made with the SDK.
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
