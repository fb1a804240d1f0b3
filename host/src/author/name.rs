//! The name of a new project, from which the names of its crate and its types follow.

/// Most characters of a name.
const LENGTH: usize = 40;

/// Words that can't be the name of a crate: Rust's own, and those of crates that a project uses.
const TAKEN: [&str; 62] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "saga-contract",
    "saga-sdk",
    "schemars",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "vendor",
    "virtual",
    "where",
    "while",
    "yield",
];

/// A name for a participant and its crate: `loan`, `seat-reservations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectName(String);

impl ProjectName {
    /// Checks a name.
    ///
    /// # Errors
    /// The reason why it is none, and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        let is_name = begins && text.chars().all(fits);
        if !is_name || text.ends_with('-') || text.contains("--") || text.len() > LENGTH {
            return Err(format!(
                "`{text}` is no name of a participant: take up to {LENGTH} lower-case letters and digits that begin with a letter, in words joined by `-`, such as `loan` or `seat-reservation`"
            ));
        }
        if TAKEN.contains(&text) {
            return Err(format!(
                "`{text}` is a name of Rust's or of a crate that the project uses; take another, such as `{text}-rules`"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of the participant and of the package: `seat-reservation`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the crate: `seat_reservation`.
    #[must_use]
    pub fn crate_name(&self) -> String {
        self.0.replace('-', "_")
    }

    /// The beginning of the names of types: `SeatReservation`.
    #[must_use]
    pub fn type_name(&self) -> String {
        let words = self.0.split('-').map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        });
        words.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_and_types_are_named_after_a_project() {
        for (text, crate_name, type_name) in [
            ("loan", "loan", "Loan"),
            ("seat-reservation", "seat_reservation", "SeatReservation"),
            ("a1-3d", "a1_3d", "A13d"),
        ] {
            let name = ProjectName::parse(text).unwrap();
            assert_eq!(name.as_str(), text);
            assert_eq!(name.crate_name(), crate_name);
            assert_eq!(name.type_name(), type_name);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_advice() {
        let long = "a".repeat(LENGTH + 1);
        for text in [
            "", "Loan", "3d", "-a", "a-", "a--b", "a_b", "a b", "a.b", "größe", "../a", &long,
        ] {
            let reason = ProjectName::parse(text).unwrap_err();
            assert!(reason.contains("such as `loan`"), "{reason}");
        }
        for text in ["fn", "gen", "test", "std", "serde", "saga-sdk", "self"] {
            let reason = ProjectName::parse(text).unwrap_err();
            assert!(
                reason.contains(&format!("such as `{text}-rules`")),
                "{reason}"
            );
        }
    }
}
