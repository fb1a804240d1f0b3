//! Why records don't flow at the moment: said once in the log when it begins, once when it is over, and
//! to be read for as long as it lasts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The troubles that last, by the part that has them.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<BTreeMap<String, Trouble>>);

#[derive(Debug)]
struct Trouble {
    text: String,
    /// Whether something stands still until an operator acts.
    is_halt: bool,
    last_seen: Instant,
}

impl Troubles {
    /// A part is in trouble that it gets out of by itself.
    pub(crate) fn warn(&self, part: &str, text: String) {
        if self.is_news(part, &text) {
            tracing::warn!(part, "{text}");
        }
        self.note(part, text);
    }

    /// A part is in trouble until an operator acts.
    pub(crate) fn error(&self, part: &str, text: String) {
        if self.is_news(part, &text) {
            tracing::error!(part, "{text}");
        }
        self.note(part, text);
    }

    /// The same, said once: what is known of the part already stays.
    pub(crate) fn error_once(&self, part: &str, text: String) {
        if !self.lock().contains_key(part) {
            self.error(part, text);
        }
    }

    /// A part stands still until an operator acts: the host is not ready.
    pub(crate) fn halt(&self, part: &str, text: String) {
        if self.is_news(part, &text) {
            tracing::error!(part, "{text}");
        }
        self.keep(part, text, true);
    }

    /// A part is out of its trouble.
    pub(crate) fn clear(&self, part: &str) {
        if self.lock().remove(part).is_some() {
            tracing::info!(part, "works again");
        }
    }

    /// A part is out of its trouble if nothing was seen of it for so long.
    pub(crate) fn clear_after(&self, part: &str, silence: Duration) {
        if self
            .lock()
            .get(part)
            .is_some_and(|trouble| trouble.last_seen.elapsed() > silence)
        {
            self.clear(part);
        }
    }

    /// A part is gone, and its trouble with it.
    pub(crate) fn forget(&self, part: &str) {
        self.lock().remove(part);
    }

    /// A part is gone, and so are the parts of it, whose names begin with its own and a comma.
    pub(crate) fn forget_all_of(&self, part: &str) {
        let is_of = |name: &str| {
            name.strip_prefix(part)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
        };
        self.lock().retain(|name, _| !is_of(name));
    }

    /// All of them in one text.
    pub(crate) fn text(&self) -> Option<String> {
        self.join(|_| true)
    }

    /// What stands still until an operator acts, in one text.
    pub(crate) fn halted(&self) -> Option<String> {
        self.join(|trouble| trouble.is_halt)
    }

    fn join(&self, is_meant: impl Fn(&Trouble) -> bool) -> Option<String> {
        let troubles = self.lock();
        let texts: Vec<_> = troubles
            .values()
            .filter(|trouble| is_meant(trouble))
            .map(|trouble| trouble.text.as_str())
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    fn is_news(&self, part: &str, text: &str) -> bool {
        self.lock()
            .get(part)
            .is_none_or(|trouble| trouble.text != text)
    }

    fn note(&self, part: &str, text: String) {
        self.keep(part, text, false);
    }

    fn keep(&self, part: &str, text: String, is_halt: bool) {
        self.lock().insert(
            part.to_owned(),
            Trouble {
                text,
                is_halt,
                last_seen: Instant::now(),
            },
        );
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_last_until_they_are_cleared() {
        let troubles = Troubles::default();
        assert_eq!(troubles.text(), None);
        troubles.warn("a", "first".into());
        troubles.error("b", "second".into());
        assert!(!troubles.is_news("a", "first") && troubles.is_news("a", "other"));
        assert_eq!(troubles.text().as_deref(), Some("first; second"));
        troubles.clear("a");
        troubles.clear_after("b", Duration::from_secs(3_600));
        assert_eq!(troubles.text().as_deref(), Some("second"));
        troubles.clear_after("b", Duration::ZERO);
        assert_eq!(troubles.text(), None);
        troubles.halt("d", "fourth".into());
        troubles.warn("c", "third".into());
        assert_eq!(troubles.text().as_deref(), Some("third; fourth"));
        assert_eq!(troubles.halted().as_deref(), Some("fourth"));
        troubles.forget("d");
        assert_eq!(troubles.halted(), None);
        troubles.forget("c");
        assert_eq!(troubles.text(), None);
    }

    #[test]
    fn a_part_that_is_gone_takes_its_own_parts_with_it() {
        let troubles = Troubles::default();
        for part in [
            "consumer of t in g",
            "consumer of t in g, partition 3",
            "consumer of t in g, another topic",
            "consumer of t in gg",
        ] {
            troubles.warn(part, part.into());
        }
        troubles.forget_all_of("consumer of t in g");
        assert_eq!(troubles.text().as_deref(), Some("consumer of t in gg"));
    }
}
