//! What can be the name of a topic, by Kafka's rules.

/// Characters of a name at most.
const LONGEST: usize = 249;

/// Why a topic can't have this name, in words that follow it; none where it can.
pub(crate) fn problem(name: &str) -> Option<String> {
    if name.is_empty() || name == "." || name == ".." {
        return Some("is no name that Kafka takes".into());
    }
    let is_legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(other) = name.chars().find(|c| !is_legal(c)) {
        return Some(format!(
            "has {other:?} in it: names of topics in Kafka have ASCII letters, digits, '.', '_' and '-' only"
        ));
    }
    let length = name.len();
    (length > LONGEST).then(|| {
        format!("has {length} characters: names of topics in Kafka have at most {LONGEST}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_kafkas_rules() {
        let longest = "x".repeat(LONGEST);
        for name in ["orderTopic", "shop.orders_1-dlq", "...", &longest] {
            assert_eq!(problem(name), None, "{name}");
        }
        let longer = "x".repeat(LONGEST + 1);
        for (name, expected) in [
            ("", "no name"),
            (".", "no name"),
            ("..", "no name"),
            ("a/b", "has '/' in it"),
            ("shop:orders", "has ':' in it"),
            ("of today", "has ' ' in it"),
            ("a\nb", "has '\\n' in it"),
            ("bestellungen-für", "has 'ü' in it"),
            (&longer, "has 250 characters"),
        ] {
            let found = problem(name).unwrap_or_default();
            assert!(found.contains(expected), "{name:?}: {found}");
        }
    }
}
