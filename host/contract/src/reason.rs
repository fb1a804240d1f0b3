//! The bound of reasons for people, whose text comes in part from outside.

/// Bytes of a reason that contains text of the rules. It goes into answers, logs, dead letters and
/// their headers, and rules could make it arbitrarily long (invariant 9).
const REASON_BYTES: usize = 1_000;

/// Shortens a reason that is too long.
#[must_use]
pub fn shorten(mut reason: String) -> String {
    if reason.len() > REASON_BYTES {
        let end = (0..=REASON_BYTES)
            .rev()
            .find(|end| reason.is_char_boundary(*end))
            .unwrap_or(0);
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(shorten("short".into()), "short");
        let long = shorten("ü".repeat(100_000));
        assert!(
            long.len() <= REASON_BYTES + '…'.len_utf8() && long.ends_with("ü…"),
            "{}",
            long.len()
        );
    }
}
