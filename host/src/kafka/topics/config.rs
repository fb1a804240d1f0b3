//! Topic settings (`cleanup.policy`, `retention.ms`), compared with the host's needs.

const HOUR_MS: u64 = 3_600_000;

/// The relevant settings of a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    /// True if later records of a key replace earlier ones.
    pub(crate) is_compacted: bool,
    /// Retention of records in milliseconds; negative for ever, `None` if unknown.
    retention_ms: Option<i64>,
}

impl TopicConfig {
    /// Takes one of the topic's settings, if it is relevant.
    pub(super) fn take(&mut self, name: &str, value: &str) {
        match name {
            "cleanup.policy" => self.is_compacted = value.contains("compact"),
            "retention.ms" => self.retention_ms = value.parse().ok(),
            _ => {}
        }
    }

    /// Problems of these settings, for a topic that is read, or only written, by a host that
    /// deduplicates events for this number of hours.
    pub(crate) fn problems(
        &self,
        topic: &str,
        is_read: bool,
        retention_hours: u64,
        bootstrap: &str,
    ) -> Vec<String> {
        let set = |setting: &str| {
            format!(
                "`kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics --entity-name {topic} \
                 --add-config {setting}`"
            )
        };
        let mut problems = Vec::new();
        if self.is_compacted {
            problems.push(format!(
                "topic {topic} is compacted (cleanup.policy): the broker deletes a record when a later one has the same \
                 key, and an event that was not read by then is lost to its readers. Events do not replace each other: {}",
                set("cleanup.policy=delete")
            ));
        }
        let hosts_ms = retention_hours.saturating_mul(HOUR_MS);
        // A compacted topic keeps the last record of a key for ever.
        let kept_ms = (self.retention_ms).map(|ms| u64::try_from(ms).unwrap_or(u64::MAX));
        let kept_ms = if self.is_compacted {
            Some(u64::MAX)
        } else {
            kept_ms
        };
        if let Some(ms) = kept_ms.filter(|ms| is_read && *ms > hosts_ms) {
            let kept = match ms {
                u64::MAX => "without a limit of time".into(),
                ms => format!("for {} hours (retention.ms = {ms})", ms / HOUR_MS),
            };
            problems.push(format!(
                "topic {topic} keeps records {kept}, and this host recognises an event that comes again for \
                 {retention_hours} hours (store.retention_hours): one that is sent, or read from an older offset, later \
                 than that is applied twice. Raise store.retention_hours, or {}",
                set(&format!("retention.ms={hosts_ms}"))
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(settings: &[(&str, &str)], is_read: bool) -> Vec<String> {
        let mut known = TopicConfig::default();
        for (name, value) in settings {
            known.take(name, value);
        }
        known.problems("t", is_read, 168, "b:1")
    }

    #[test]
    fn a_topic_that_keeps_events_as_long_as_they_are_recognised_is_fine() {
        let week = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];
        assert_eq!(problems(&week, true), Vec::<String>::new());
        assert_eq!(problems(&[], true), Vec::<String>::new(), "not known");
        let longer = [("retention.ms", "604800001")];
        assert_eq!(problems(&longer, false), Vec::<String>::new(), "not read");
    }

    #[test]
    fn one_that_is_compacted_or_keeps_them_for_longer_is_warned_of_with_the_remedy() {
        for policy in ["compact", "compact,delete", "delete, compact"] {
            let found = problems(&[("cleanup.policy", policy)], false);
            assert_eq!(found.len(), 1, "{policy}");
            let remedy = "--entity-name t --add-config cleanup.policy=delete";
            assert!(found.iter().all(|text| text.contains(remedy)), "{found:?}");
        }
        for (retention, kept) in [("1209600000", "for 336 hours"), ("-1", "without a limit")] {
            let found = problems(&[("retention.ms", retention)], true).join("");
            assert!(
                found.contains(kept) && found.contains("retention.ms=604800000"),
                "{found}"
            );
        }
    }
}
