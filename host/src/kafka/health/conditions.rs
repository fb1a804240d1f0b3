//! The conditions that last: each is logged when it begins and when it is over, and can be read meanwhile.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::advice::Advice;
use super::condition::{Condition, Severity, Subject};
use crate::kafka::settings::KafkaSettings;
use crate::transport::Source;

/// The condition of each subject that has one, and when it was reported last.
pub(crate) struct Conditions {
    settings: KafkaSettings,
    lasting: Mutex<BTreeMap<Subject, (Condition, Instant)>>,
}

impl Conditions {
    /// None yet. Advice goes by these settings.
    pub(crate) fn new(settings: KafkaSettings) -> Self {
        Self {
            settings,
            lasting: Mutex::default(),
        }
    }

    /// A subject's condition is this, whatever it was. It is logged unless it was the same.
    pub(crate) fn report(&self, subject: Subject, condition: Condition) {
        let mut lasting = self.lock();
        if lasting
            .get(&subject)
            .is_none_or(|(before, _)| *before != condition)
        {
            let (part, text) = (subject.to_string(), self.text_of(&subject, &condition));
            match condition.severity() {
                Severity::Passes => tracing::warn!(part, "{text}"),
                Severity::Operator | Severity::Halt => tracing::error!(part, "{text}"),
            }
        }
        lasting.insert(subject, (condition, Instant::now()));
    }

    /// The same, unless the subject has a condition.
    pub(crate) fn report_first(&self, subject: Subject, condition: Condition) {
        if !self.lock().contains_key(&subject) {
            self.report(subject, condition);
        }
    }

    /// A subject's condition is over.
    pub(crate) fn clear(&self, subject: &Subject) {
        if self.lock().remove(subject).is_some() {
            tracing::info!(part = subject.to_string(), "works again");
        }
    }

    /// A subject's condition is over if it was not reported for so long.
    pub(crate) fn clear_after(&self, subject: &Subject, silence: Duration) {
        let is_old = |(_, seen): &(Condition, Instant)| seen.elapsed() > silence;
        if self.lock().get(subject).is_some_and(is_old) {
            self.clear(subject);
        }
    }

    /// A subject is gone, and its condition with it.
    pub(crate) fn forget(&self, subject: &Subject) {
        self.lock().remove(subject);
    }

    /// The consumer of a source is gone, and all conditions of it.
    pub(crate) fn forget_consumer(&self, source: &Source) {
        let is_of = |subject: &Subject| matches!(subject, Subject::Consumer(topic, group, _) if *topic == source.topic && *group == source.group);
        self.lock().retain(|subject, _| !is_of(subject));
    }

    /// What is wrong, where, and what to do.
    pub(crate) fn text_of(&self, subject: &Subject, condition: &Condition) -> String {
        Advice {
            subject,
            condition,
            settings: &self.settings,
        }
        .to_string()
    }

    /// All of them in one text.
    pub(crate) fn text(&self) -> Option<String> {
        self.join(|_| true)
    }

    /// Those that stand still until an operator acts, in one text.
    pub(crate) fn halted(&self) -> Option<String> {
        self.join(|condition| condition.severity() == Severity::Halt)
    }

    fn join(&self, is_meant: impl Fn(&Condition) -> bool) -> Option<String> {
        let lasting = self.lock();
        let meant = lasting
            .iter()
            .filter(|(_, (condition, _))| is_meant(condition));
        let texts = meant.map(|(subject, (condition, _))| self.text_of(subject, condition));
        let texts: Vec<_> = texts.collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, (Condition, Instant)>> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition::{Aspect, LogChange};
    use super::*;
    use crate::kafka::tests::source;

    fn conditions() -> Conditions {
        Conditions::new(KafkaSettings::default())
    }

    #[test]
    fn conditions_last_until_they_are_cleared() {
        let conditions = conditions();
        let [a, b] = ["a", "b"].map(|topic| Subject::Outbox(topic.into()));
        assert_eq!(conditions.text(), None);
        let fails = |reason: &str| Condition::OutboxFails(reason.into());
        conditions.report(a.clone(), fails("before"));
        conditions.report(a.clone(), fails("first"));
        conditions.report(b.clone(), fails("second"));
        conditions.report_first(b.clone(), fails("third"));
        let first = conditions.text_of(&a, &fails("first"));
        let second = conditions.text_of(&b, &fails("second"));
        assert_eq!(conditions.text(), Some(format!("{first}; {second}")));
        conditions.clear(&a);
        conditions.clear_after(&b, Duration::from_secs(3_600));
        assert_eq!(conditions.text(), Some(second));
        conditions.clear_after(&b, Duration::ZERO);
        assert_eq!(conditions.text(), None);
    }

    #[test]
    fn what_halts_is_told_apart_and_a_consumer_that_is_gone_takes_its_conditions_with_it() {
        let conditions = conditions();
        let [one, other] = ["g", "gg"].map(|group| source("t", group));
        let [log, of_other] = [&one, &other].map(|source| Subject::of(source, Aspect::Log(3)));
        let halt = Condition::LogReplaced {
            change: LogChange::Short { expected: 7 },
            extent: None,
            is_topic_known: true,
        };
        conditions.report(
            Subject::of(&one, Aspect::Recreated),
            Condition::TopicRecreated,
        );
        conditions.report(log.clone(), halt.clone());
        assert_eq!(conditions.halted(), Some(conditions.text_of(&log, &halt)));
        conditions.forget(&log);
        assert_eq!(conditions.halted(), None);
        conditions.report(log, halt.clone());
        conditions.report(of_other.clone(), halt.clone());
        conditions.forget_consumer(&one);
        assert_eq!(
            conditions.text(),
            Some(conditions.text_of(&of_other, &halt))
        );
    }
}
