//! Supervisor of brokers and topics: checks that brokers answer and topics exist, and creates
//! missing topics.
//!
//! One thread asks for all consumers, so that an unreachable broker is reported once. Its answers
//! are the measure for all clients: one that gets none while the supervisor is answered is rebuilt.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio_util::sync::CancellationToken;

use super::advice::*;
use super::condition::*;
use super::conditions::{Conditions, Subject};
use super::probe::{Probe, code_of};
use crate::base::stop::NotifiedAtStop;
use crate::kafka::native::is_unanswered;
use crate::kafka::settings::KafkaSettings;
use crate::kafka::topics::admin::TopicAdmin;
use crate::kafka::topics::config::TopicConfig;
use crate::kafka::topics::{TopicState, Topics};

/// Longest wait for an answer.
const QUESTION: Duration = Duration::from_millis(700);

/// Intervals between questions while all is well, and while something is missing.
const CALM: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(250);

/// Consecutive questions without an answer after which brokers count as unreachable: one may be
/// lost on a busy machine.
const UNANSWERED: u32 = 2;

/// Starts the supervisor's thread, for a host that deduplicates events for `retention_hours`. It
/// runs until `stop`; it has nothing to finish, so nobody waits for it.
pub(crate) fn start(
    settings: &KafkaSettings,
    retention_hours: u64,
    topics: Arc<Topics>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let supervisor = Supervisor {
        probe: Probe::new(settings.clone()),
        admin: TopicAdmin::new(settings.clone()),
        settings: settings.clone(),
        retention_hours,
        conditions: topics.conditions.clone(),
        topics,
        unanswered: 0,
        reported: None,
    };
    let thread = std::thread::Builder::new().name("kafka-supervisor".into());
    thread.spawn(move || supervisor.run(&stop)).map(drop)
}

/// A broker's answer about a topic.
enum Found {
    Exists,
    Missing { brokers: usize },
    Refused(Code),
}

struct Supervisor {
    probe: Probe,
    admin: TopicAdmin,
    settings: KafkaSettings,
    /// Hours for which events are deduplicated.
    retention_hours: u64,
    topics: Arc<Topics>,
    conditions: Arc<Conditions>,
    unanswered: u32,
    /// The code that was reported when brokers did not answer.
    reported: Option<Code>,
}

impl Supervisor {
    /// Asks until `stop`: for the missing topics, or for each topic once all exist, which also
    /// shows if brokers still answer.
    fn run(mut self, stop: &CancellationToken) {
        let _notified = NotifiedAtStop::new(stop, &self.topics.asked);
        while !stop.is_cancelled() {
            let seen = self.topics.asked.count();
            let mut topics = self.topics.missing();
            if topics.is_empty() {
                self.admin.close();
                topics = self.topics.names();
            }
            let answered = |topic| !stop.is_cancelled() && self.look_at(topic);
            let is_well = topics.iter().all(answered) && self.topics.missing().is_empty();
            self.topics
                .asked
                .wait(seen, if is_well { CALM } else { SOON });
        }
        self.admin.close();
    }

    /// Looks at a topic; false if no broker answers.
    fn look_at(&mut self, topic: &Arc<str>) -> bool {
        let existed = self.topics.exists(topic);
        let found = match self.question(topic) {
            Some(found) => found,
            None => return false,
        };
        let state = match found {
            Found::Exists => {
                if !existed {
                    tracing::info!(%topic, "topic is there");
                }
                // Done before the topic's first record is delivered.
                self.check_config(topic);
                Ok(TopicState::Exists)
            }
            // A broker that lags behind does not know a topic that another one knows.
            Found::Missing { .. } if existed => Ok(TopicState::Unknown),
            Found::Missing { brokers } => self.create(topic, brokers),
            // Consumers and the relay report what they may not do.
            Found::Refused(_) if existed => Ok(TopicState::Exists),
            Found::Refused(code) => {
                let rights = self.topics.with(topic, |topic| topic.rights());
                let rights = rights.unwrap_or_default();
                Err(topic_refused(&self.settings, topic, code, &rights))
            }
        };
        self.topics.note(topic, state);
        true
    }

    fn create(&mut self, topic: &Arc<str>, brokers: usize) -> Result<TopicState, KafkaCondition> {
        let missing = |code| topic_missing(&self.settings, topic, code, brokers);
        let is_created = self.admin.create(topic).map_err(missing)?;
        // Its settings are asked for again.
        let settings = self.topics.with(topic, |topic| topic.config.take());
        if is_created && settings.flatten().is_some() {
            // The topic is back, but its records are lost: reported until the next start.
            self.conditions.report(topic_deleted(topic));
        }
        Ok(TopicState::Unknown)
    }

    /// Asks once for a topic's settings, and warns if they differ from the host's needs.
    fn check_config(&mut self, topic: &str) {
        if self.topics.with(topic, |topic| topic.config.is_none()) != Some(true) {
            return;
        }
        let config = match self.admin.config(topic) {
            Ok(config) => config,
            // The question is repeated.
            Err(code) if is_unanswered(code) => return,
            Err(Code::TopicAuthorizationFailed) => {
                let advice = allow(&self.settings, &["DescribeConfigs"], "topic", topic);
                tracing::info!(
                    "whether topic {topic} is compacted, and how long it keeps records, is not known; {advice}"
                );
                TopicConfig::default()
            }
            Err(code) => {
                tracing::debug!(topic, %code, "the topic's settings are not known");
                TopicConfig::default()
            }
        };
        let is_read = self.topics.with(topic, |topic| {
            topic.config = Some(config);
            topic.readers > 0
        });
        let (hours, bootstrap) = (self.retention_hours, &self.settings.bootstrap);
        for problem in config.problems(topic, is_read == Some(true), hours, bootstrap) {
            tracing::warn!("{problem}");
        }
    }

    /// Asks for a topic; `None` if no broker answers.
    fn question(&mut self, topic: &str) -> Option<Found> {
        let answer = self.probe.ask(|client| {
            let metadata = client.fetch_metadata(Some(topic), QUESTION);
            // Without metadata, no broker has answered.
            metadata.map_err(|error| match code_of(&error) {
                code if is_unanswered(code) => code,
                _ => Code::BrokerTransportFailure,
            })
        });
        let metadata = match answer {
            Ok(metadata) => metadata,
            Err(code) => {
                self.no_answer(code);
                return None;
            }
        };
        (self.unanswered, self.reported) = (0, None);
        self.topics.note_answer(true);
        self.conditions.clear(&Subject::Brokers);
        let brokers = metadata.brokers().len();
        let found = metadata.topics().first();
        Some(
            match found.and_then(|found| found.error()).map(Code::from) {
                _ if found.is_some_and(|found| !found.partitions().is_empty()) => Found::Exists,
                None | Some(Code::LeaderNotAvailable) => Found::Missing { brokers },
                Some(code) if is_unknown_topic(code) => Found::Missing { brokers },
                Some(code) => Found::Refused(code),
            },
        )
    }

    fn no_answer(&mut self, code: Code) {
        self.unanswered = self.unanswered.saturating_add(1);
        let reason = self.probe.reason.take();
        let (code, reason) = reason.unwrap_or_else(|| (code, code.to_string()));
        if self.unanswered < UNANSWERED {
            return;
        }
        self.topics.note_answer(false);
        // Reasons with the same advice differ in wording only, and each would be a line in the log.
        // Problems that somebody must fix alternate with time-outs, which say less.
        let is_news = self.reported.is_none_or(|before| {
            let advice = |code| brokers_advice(code, &self.settings);
            is_for_operator(code) && advice(before) != advice(code)
        });
        if is_news {
            self.reported = Some(code);
            let unreachable = brokers_unreachable(&self.settings, code, &reason);
            self.conditions.report(unreachable);
        }
    }
}
