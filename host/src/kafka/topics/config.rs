//! How a broker keeps a topic (`cleanup.policy`, `retention.ms`), asked when the topic is found, and compared with what the host
//! relies on.

#![allow(unsafe_code, reason = "the binding has no safe call for it")]

use std::ffi::CString;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;

use crate::kafka::native::{NoAnswer, Owned, ask, check, first, text};

const HOUR_MS: u64 = 3_600_000;

/// What is of interest of a topic's settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    /// Whether later records of a key replace earlier ones.
    pub(crate) is_compacted: bool,
    /// How long records are kept, in milliseconds; none for ever, or where it is not known.
    retention_ms: Option<u64>,
    /// Whether they are kept until somebody deletes them.
    is_kept_for_ever: bool,
}

impl TopicConfig {
    fn take(&mut self, name: &str, value: &str) {
        match name {
            "cleanup.policy" => {
                let mut policies = value.split(',').map(str::trim);
                self.is_compacted = policies.any(|policy| policy == "compact");
            }
            "retention.ms" => {
                self.retention_ms = value.parse().ok();
                self.is_kept_for_ever = value.starts_with('-');
            }
            _ => {}
        }
    }

    /// What is wrong with them for a topic that is read, or only written, by a host that recognises events that come again for so
    /// many hours.
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
                "topic {topic} is compacted (cleanup.policy): the broker deletes a record when a later one has the same key, and an \
                 event that was not read by then is lost to its readers. Events do not replace each other: {}",
                set("cleanup.policy=delete")
            ));
        }
        let kept_ms = retention_hours.saturating_mul(HOUR_MS);
        // A compacted topic keeps the last record of a key for ever.
        let is_longer = self.is_kept_for_ever
            || self.is_compacted
            || self.retention_ms.is_some_and(|ms| ms > kept_ms);
        if is_read && is_longer {
            let kept = match self.retention_ms.filter(|_| !self.is_compacted) {
                Some(ms) => format!("for {} hours (retention.ms = {ms})", ms / HOUR_MS),
                None => "without a limit of time".into(),
            };
            problems.push(format!(
                "topic {topic} keeps records {kept}, and this host recognises an event that comes again for {retention_hours} hours \
                 (store.retention_hours): one that is sent, or read from an older offset, later than that is applied twice. Raise \
                 store.retention_hours, or {}",
                set(&format!("retention.ms={kept_ms}"))
            ));
        }
        problems
    }
}

/// Asks the brokers for the settings of a topic. Takes little longer than `timeout`.
///
/// # Errors
/// Why they are not known; brokers tell them who has the right `DescribeConfigs` on the topic.
pub(crate) fn topic_config<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<TopicConfig, NoAnswer> {
    let name = CString::new(topic).map_err(|_| NoAnswer::NotAsked("a name with a zero in it"))?;
    let rk = client.native_ptr();
    let mut settings = TopicConfig::default();
    // SAFETY: `rk` lives as long as `client`. The resource is kept by `Owned` until the end of this block. What is read of the
    // answer belongs to `event`, and is copied before that is destroyed; the arrays have as many elements as librdkafka says.
    unsafe {
        let resource = Owned::new(
            native::rd_kafka_ConfigResource_new(
                native::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                name.as_ptr(),
            ),
            native::rd_kafka_ConfigResource_destroy,
        )?;
        let mut resources = [resource.pointer];
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let event = ask(rk, operation, timeout, |options, queue| {
            native::rd_kafka_DescribeConfigs(
                rk,
                resources.as_mut_ptr(),
                resources.len(),
                options,
                queue,
            );
        })?;
        let result = native::rd_kafka_event_DescribeConfigs_result(event.pointer);
        let found = first(result, native::rd_kafka_DescribeConfigs_result_resources)?;
        check(native::rd_kafka_ConfigResource_error(found))?;
        let mut count = 0;
        let entries = native::rd_kafka_ConfigResource_configs(found, &raw mut count);
        if !entries.is_null() {
            for number in 0..count {
                let entry = *entries.add(number);
                let name = text(native::rd_kafka_ConfigEntry_name(entry));
                settings.take(&name, &text(native::rd_kafka_ConfigEntry_value(entry)));
            }
        }
    }
    Ok(settings)
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
