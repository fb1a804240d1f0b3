//! The target of a rollback.

use super::report::Way;
use crate::base::generation::short;
use crate::store::history::PastGeneration;

/// The generation that the active one replaced, given all activations (row and way, oldest first).
/// A second rollback goes two steps back, not back and forth.
#[must_use]
pub fn previous(activations: &[(i64, String)], rollback: &str) -> Option<i64> {
    let mut line: Vec<i64> = Vec::new();
    for (generation, way) in activations {
        if way == rollback
            && let Some(place) = line.iter().rposition(|earlier| earlier == generation)
        {
            line.truncate(place + 1);
        } else if line.last() != Some(generation) {
            line.push(*generation);
        }
    }
    line.iter().rev().nth(1).copied()
}

/// The target of a rollback: the generation of this digest (or its beginning), or else the one that
/// the active one replaced.
///
/// # Errors
/// If there is none.
pub fn target<'g>(
    generations: &'g [PastGeneration],
    activations: &[(i64, String)],
    participant: &str,
    digest: Option<&str>,
) -> Result<&'g PastGeneration, String> {
    match digest {
        Some(beginning) => by_digest(generations, participant, beginning),
        None => previous(activations, Way::Rollback.word())
            .and_then(|id| generations.iter().find(|past| past.generation.id == id))
            .ok_or_else(|| none_before(generations, activations, participant)),
    }
}

/// Says that the active generation replaced none, and how to go to another one.
fn none_before(
    generations: &[PastGeneration],
    activations: &[(i64, String)],
    participant: &str,
) -> String {
    let active = activations.last().map(|(id, _)| *id);
    let mut others = generations.iter();
    let other = others.find(|past| Some(past.generation.id) != active);
    let advice = other.map_or_else(String::new, |other| {
        let digest = &other.generation.digest;
        format!(
            "; name one by its digest: saga rollback {participant} {}",
            short(digest)
        )
    });
    format!("{participant} has no earlier generation to go back to{advice}")
}

/// The one generation whose digest begins with this.
///
/// # Errors
/// If there is none, or more than one.
pub fn by_digest<'g>(
    generations: &'g [PastGeneration],
    participant: &str,
    beginning: &str,
) -> Result<&'g PastGeneration, String> {
    let mut found = generations
        .iter()
        .filter(|past| past.generation.digest.starts_with(beginning));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(format!(
            "no generation of {participant} has a digest that begins with `{beginning}`; `saga generations {participant}` lists them"
        )),
        (Some(_), Some(_)) => Err(format!(
            "several generations of {participant} have digests that begin with `{beginning}`; give more of it"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::store::history::GenerationRow;

    fn back_from(ways: &[(i64, &str)]) -> Option<i64> {
        let activations: Vec<_> = ways
            .iter()
            .map(|(generation, way)| (*generation, (*way).to_owned()))
            .collect();
        previous(&activations, "rollback")
    }

    #[test]
    fn one_step_back_is_what_the_active_one_replaced() {
        assert_eq!(back_from(&[]), None);
        assert_eq!(back_from(&[(1, "start")]), None);
        assert_eq!(back_from(&[(1, "start"), (2, "apply")]), Some(1));
        let line = [(1, "start"), (2, "apply"), (3, "file")];
        assert_eq!(back_from(&line), Some(2));
    }

    #[test]
    fn two_rollbacks_are_two_steps_and_what_is_applied_then_is_on_top() {
        let mut line = vec![(1, "start"), (2, "apply"), (3, "file"), (2, "rollback")];
        assert_eq!(back_from(&line), Some(1));
        line.push((1, "rollback"));
        assert_eq!(back_from(&line), None);
        line.push((3, "apply"));
        assert_eq!(back_from(&line), Some(1));
        // To a generation by its digest, however far back or ahead.
        line.push((2, "rollback"));
        assert_eq!(back_from(&line), Some(3));
    }

    #[test]
    fn the_same_one_again_is_no_step() {
        assert_eq!(
            back_from(&[(1, "start"), (2, "apply"), (2, "apply")]),
            Some(1)
        );
    }

    fn past(id: i64, digest: &str) -> PastGeneration {
        PastGeneration {
            generation: GenerationRow {
                id,
                digest: digest.into(),
                component: digest.into(),
                settings: None,
                version: String::new(),
                state_version: 1,
                fuel_terms: Vec::new(),
            },
            since: 0,
            way: "start".into(),
            change: None,
            activations: 1,
            decisions: 0,
            refusals: 0,
            faults: 0,
        }
    }

    #[test]
    fn without_an_earlier_generation_another_one_is_named() {
        let generations = [past(1, "0123456789abcdef"), past(2, "fedcba9876543210")];
        let line = [(1, "start"), (2, "apply"), (1, "rollback")];
        let line: Vec<_> = line
            .iter()
            .map(|(id, way)| (*id, (*way).to_owned()))
            .collect();
        assert_eq!(
            target(&generations, &line, "p", None).unwrap_err(),
            "p has no earlier generation to go back to; name one by its digest: saga rollback p fedcba987654"
        );
        assert_eq!(
            target(&generations[..1], &line[..1], "p", None).unwrap_err(),
            "p has no earlier generation to go back to"
        );
    }

    #[test]
    fn a_digest_is_named_by_its_beginning() {
        let generations = [past(1, "abc"), past(1, "abd"), past(1, "x")];
        assert_eq!(
            by_digest(&generations, "p", "abd")
                .unwrap()
                .generation
                .digest,
            "abd"
        );
        assert_eq!(
            by_digest(&generations, "p", "x").unwrap().generation.digest,
            "x"
        );
        assert!(
            by_digest(&generations, "p", "ab")
                .unwrap_err()
                .contains("several")
        );
        assert!(
            by_digest(&generations, "p", "y")
                .unwrap_err()
                .contains("saga generations p")
        );
    }
}
