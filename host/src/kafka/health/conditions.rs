//! The current conditions: each is logged when it begins and when it is over, and can be read
//! meanwhile.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::condition::{ConditionEnd, KafkaCondition};
use crate::transport::Source;

/// The subject of a condition. A subject has one condition at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Brokers,
    Topic(Arc<str>),
    DeletedTopic(Arc<str>),
    Outbox(Arc<str>),
    Producer,
    /// Topic and group of a consumer, its partition if the condition has one, and the aspect.
    Consumer(Arc<str>, Arc<str>, Option<i32>, Aspect),
}

/// An aspect of a consumer or of one of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    Client,
    Rights,
    Recreated,
    Reading,
    Deleted,
    Compacted,
    Log,
}

impl Subject {
    /// An aspect of the consumer of a source.
    pub(crate) fn of(source: &Source, partition: Option<i32>, aspect: Aspect) -> Self {
        let (topic, group) = (source.topic.clone(), source.group.clone());
        Self::Consumer(topic, group, partition, aspect)
    }
}

impl Display for Subject {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Brokers => f.write_str("brokers"),
            Self::Producer => f.write_str("the relay's producer"),
            Self::Topic(topic) => write!(f, "topic {topic}"),
            Self::DeletedTopic(topic) => write!(f, "topic {topic}, deleted"),
            Self::Outbox(topic) => write!(f, "outbox of {topic}"),
            Self::Consumer(topic, group, None, aspect) => {
                write!(f, "consumer of {topic} in {group}, {aspect:?}")
            }
            Self::Consumer(topic, group, Some(partition), aspect) => {
                write!(f, "consumer of {topic}/{partition} in {group}, {aspect:?}")
            }
        }
    }
}

/// The condition of each subject that has one, with the time of its last report.
#[derive(Default)]
pub(crate) struct Conditions(Mutex<BTreeMap<Subject, (KafkaCondition, Instant)>>);

impl Conditions {
    /// Sets the condition of its subject, and logs it unless it is unchanged.
    pub(crate) fn report(&self, condition: KafkaCondition) {
        let mut lasting = self.0.lock();
        let before = lasting.get(&condition.subject);
        if before.is_none_or(|(before, _)| *before != condition) {
            let (part, text) = (condition.subject.to_string(), &condition.text);
            match condition.end {
                ConditionEnd::Passes => tracing::warn!(part, "{text}"),
                ConditionEnd::Operator | ConditionEnd::Halt => tracing::error!(part, "{text}"),
            }
        }
        lasting.insert(condition.subject.clone(), (condition, Instant::now()));
    }

    /// Sets the condition of its subject unless that has one.
    pub(crate) fn report_first(&self, condition: KafkaCondition) {
        if !self.0.lock().contains_key(&condition.subject) {
            self.report(condition);
        }
    }

    pub(crate) fn clear(&self, subject: &Subject) {
        if self.0.lock().remove(subject).is_some() {
            tracing::info!(part = subject.to_string(), "works again");
        }
    }

    /// Ends a subject's condition if it was not reported for this time.
    pub(crate) fn clear_after(&self, subject: &Subject, silence: Duration) {
        let reported = self.0.lock().get(subject).map(|(_, reported)| *reported);
        if reported.is_some_and(|reported| reported.elapsed() > silence) {
            self.clear(subject);
        }
    }

    /// Removes the condition of a subject that is gone.
    pub(crate) fn forget(&self, subject: &Subject) {
        self.0.lock().remove(subject);
    }

    /// Removes all conditions of a source's consumer, which is gone.
    pub(crate) fn forget_consumer(&self, source: &Source) {
        self.0.lock().retain(|subject, _| {
            !matches!(subject, Subject::Consumer(topic, group, ..)
                if *topic == source.topic && *group == source.group)
        });
    }

    /// All conditions in one text.
    pub(crate) fn text(&self) -> Option<String> {
        self.join(|_| true)
    }

    /// The conditions of partitions that stand still until an operator acts, in one text.
    pub(crate) fn halted(&self) -> Option<String> {
        self.join(|condition| condition.end == ConditionEnd::Halt)
    }

    fn join(&self, is_meant: impl Fn(&KafkaCondition) -> bool) -> Option<String> {
        let lasting = self.0.lock();
        let all = lasting.values().map(|(condition, _)| condition);
        let texts = all
            .filter(|condition| is_meant(condition))
            .map(|condition| &*condition.text);
        let texts: Vec<_> = texts.collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition::{LogChange, log_replaced, record_refused, topic_recreated};
    use super::*;
    use crate::kafka::tests::source;

    #[test]
    fn conditions_last_until_they_are_cleared() {
        let conditions = Conditions::default();
        let [a, b] = ["a", "b"].map(Arc::<str>::from);
        assert_eq!(conditions.text(), None);
        let code = rdkafka::types::RDKafkaErrorCode::Fail;
        let refused = |topic, offset| record_refused(&Default::default(), topic, offset, code);
        conditions.report(refused(&a, 1));
        conditions.report(refused(&a, 2));
        conditions.report(refused(&b, 3));
        conditions.report_first(refused(&b, 4));
        let (first, second) = (refused(&a, 2).text, refused(&b, 3).text);
        assert_eq!(conditions.text(), Some(format!("{first}; {second}")));
        let [a, b] = [a, b].map(Subject::Outbox);
        conditions.clear(&a);
        conditions.clear_after(&b, Duration::from_secs(3_600));
        assert_eq!(conditions.text(), Some(second));
        conditions.clear_after(&b, Duration::ZERO);
        assert_eq!(conditions.text(), None);
    }

    #[test]
    fn what_halts_is_told_apart_and_a_consumer_that_is_gone_takes_its_conditions_with_it() {
        let conditions = Conditions::default();
        let [one, other] = ["g", "gg"].map(|group| source("t", group));
        let short = LogChange::Short { expected: 7 };
        let halt = |source| log_replaced(source, 3, short, None, true);
        conditions.report(topic_recreated(&one));
        conditions.report(halt(&one));
        assert_eq!(conditions.halted(), Some(halt(&one).text));
        conditions.forget(&halt(&one).subject);
        assert_eq!(conditions.halted(), None);
        conditions.report(halt(&one));
        conditions.report(halt(&other));
        conditions.forget_consumer(&one);
        assert_eq!(conditions.text(), Some(halt(&other).text));
    }
}
