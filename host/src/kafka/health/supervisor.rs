//! Finds out whether brokers answer and topics exist; topics that are missing are created.
//!
//! One thread asks for all, so that an unreachable broker is reported once and not by every consumer. What it is answered is the
//! measure of all clients: one that stalls while the supervisor is answered is rebuilt (`liveness`).

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use super::advice::{allow, brief, brokers_advice};
use super::condition::{Condition, Subject, is_for_operator};
use super::conditions::Conditions;
use super::probe::Probe;
use crate::kafka::native::NoAnswer;
use crate::kafka::settings::{KafkaSettings, describe};
use crate::kafka::topics::config::topic_config;
use crate::kafka::topics::create::Creator;
use crate::kafka::topics::id::topic_id;
use crate::kafka::topics::{State, Topics};

/// Longest time that one question may take.
const QUESTION: Duration = Duration::from_millis(700);

/// Longest time that the brokers have to tell a topic's id.
const ID: Duration = Duration::from_millis(300);

/// Time between questions while all is well.
const CALM: Duration = Duration::from_secs(5);

/// Time between questions while something is missing.
const SOON: Duration = Duration::from_millis(250);

/// Questions in a row without an answer, after which brokers count as unreachable: one may be lost
/// on a busy machine.
const UNANSWERED: u32 = 2;

/// Keeps the supervisor's thread going for as long as somebody has it, and knows what that found out of topics.
pub(crate) struct Supervisor {
    topics: Arc<Topics>,
    stop: CancellationToken,
}

impl Supervisor {
    /// Starts the thread, for a host that recognises events that come again for so many hours.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(
        settings: &KafkaSettings,
        retention_hours: u64,
        conditions: Arc<Conditions>,
    ) -> anyhow::Result<Arc<Self>> {
        let topics = Arc::new(Topics::default());
        let asking = Asking {
            probe: Probe::new(settings.clone()),
            creator: Creator::default(),
            settings: settings.clone(),
            retention_hours,
            topics: topics.clone(),
            conditions,
            unanswered: 0,
            reported: None,
        };
        let stop = CancellationToken::new();
        let supervisor = Arc::new(Self {
            topics,
            stop: stop.clone(),
        });
        std::thread::Builder::new()
            .name("kafka-supervisor".into())
            .spawn(move || asking.run(&stop))?;
        Ok(supervisor)
    }
}

impl std::ops::Deref for Supervisor {
    type Target = Topics;

    fn deref(&self) -> &Topics {
        &self.topics
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // The thread has nothing to finish, so nobody waits for it.
        self.stop.cancel();
        self.topics.ask_now();
    }
}

/// The thread that asks.
struct Asking {
    probe: Probe,
    creator: Creator,
    settings: KafkaSettings,
    /// Hours for which events that come again are recognised.
    retention_hours: u64,
    topics: Arc<Topics>,
    conditions: Arc<Conditions>,
    unanswered: u32,
    /// The code that was reported of brokers that don't answer.
    reported: Option<RDKafkaErrorCode>,
}

impl Asking {
    /// Asks until `stop`.
    fn run(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let seen = self.topics.asked.count();
            let missing = self.topics.missing();
            let pause = if missing.is_empty() {
                self.ask_for_all()
            } else {
                self.ask_for(&missing, stop)
            };
            self.topics.asked.wait(seen, pause);
        }
        self.creator.close();
    }

    /// All topics were there: asks for each, which shows too whether brokers still answer.
    fn ask_for_all(&mut self) -> Duration {
        self.creator.close();
        for topic in self.topics.names() {
            match self.question(&topic) {
                Some(Found::Missing { .. }) => self.topics.doubt_topic(&topic),
                Some(Found::Exists { .. }) => {
                    self.look_up_id(&topic);
                    self.check_config(&topic);
                }
                Some(Found::Refused(_)) => {}
                None => return SOON,
            }
        }
        CALM
    }

    fn ask_for(&mut self, missing: &[Arc<str>], stop: &CancellationToken) -> Duration {
        for topic in missing {
            if stop.is_cancelled() {
                break;
            }
            let Some(found) = self.question(topic) else {
                break;
            };
            let state = match found {
                Found::Exists { partitions } => {
                    tracing::info!(%topic, partitions, "topic is there");
                    self.look_up_id(topic);
                    // Before its first record is delivered.
                    self.check_config(topic);
                    Ok(State::Exists)
                }
                Found::Missing { brokers } => self.create(topic, brokers, stop),
                Found::Refused(code) => {
                    let rights = self.topics.rights(topic);
                    Err(Condition::TopicRefused { code, rights })
                }
            };
            self.topics.note(topic, state, &self.conditions);
        }
        if self.topics.missing().is_empty() {
            Duration::ZERO
        } else {
            SOON
        }
    }

    fn create(
        &mut self,
        topic: &Arc<str>,
        brokers: usize,
        stop: &CancellationToken,
    ) -> Result<State, Condition> {
        let settings = &self.settings;
        let created = self.creator.create(settings, topic, brokers, stop);
        let is_created = created.map_err(Condition::TopicMissing)?;
        // A broker that is behind does not know a topic that another one knows.
        if is_created && self.topics.was_deleted(topic) {
            // It is there again, and what was in it is not: reported until the next start.
            self.conditions.report(
                Subject::DeletedTopic(topic.clone()),
                Condition::TopicDeleted,
            );
        }
        Ok(State::Unknown)
    }

    /// Looks up the id of a topic that the relay writes: a producer that knows an earlier one of this name may not find its leaders.
    /// Consumers look it up for themselves.
    fn look_up_id(&self, topic: &str) {
        if !self.topics.is_written(topic) {
            return;
        }
        match self.probe.ask(|client| topic_id(client, topic, ID)) {
            Ok(id) => self.topics.has_id(topic, id),
            Err(reason) => tracing::debug!(topic, %reason, "the topic's id is not known"),
        }
    }

    /// Asks once how brokers keep a topic, and warns where that is not what the host relies on.
    fn check_config(&self, topic: &str) {
        if self.topics.is_config_known(topic) {
            return;
        }
        let config = match self
            .probe
            .ask(|client| topic_config(client, topic, QUESTION))
        {
            Ok(config) => config,
            // They are asked again.
            Err(NoAnswer::Unanswered) => return,
            Err(reason) => {
                self.topics.has_config(topic, None);
                if reason == NoAnswer::Said(RDKafkaErrorCode::TopicAuthorizationFailed) {
                    let advice = allow(&self.settings, &["DescribeConfigs"], "topic", topic);
                    tracing::info!(
                        "whether topic {topic} is compacted, and how long it keeps records, is not known; {advice}"
                    );
                } else {
                    tracing::debug!(topic, %reason, "the topic's settings are not known");
                }
                return;
            }
        };
        let is_read = self.topics.has_config(topic, Some(config));
        let (hours, bootstrap) = (self.retention_hours, &self.settings.bootstrap);
        for problem in config.problems(topic, is_read, hours, bootstrap) {
            tracing::warn!("{problem}");
        }
    }

    /// Asks for a topic; none where no broker answers.
    fn question(&mut self, topic: &str) -> Option<Found> {
        let mut failure = None;
        let answer = self.probe.ask(|client| {
            client
                .fetch_metadata(Some(topic), QUESTION)
                .map_err(|error| {
                    failure = Some(error);
                    NoAnswer::Unanswered
                })
        });
        let metadata = match answer {
            Ok(metadata) => metadata,
            Err(reason) => {
                self.no_answer(failure.as_ref(), &reason);
                return None;
            }
        };
        self.unanswered = 0;
        self.reported = None;
        self.topics.answered();
        self.conditions.clear(&Subject::Brokers);
        let brokers = metadata.brokers().len();
        let Some(found) = metadata.topics().first() else {
            return Some(Found::Missing { brokers });
        };
        let partitions = found.partitions().len();
        use RDKafkaErrorCode::{LeaderNotAvailable, UnknownTopic, UnknownTopicOrPartition};
        Some(match found.error().map(RDKafkaErrorCode::from) {
            _ if partitions > 0 => Found::Exists { partitions },
            None | Some(UnknownTopicOrPartition | UnknownTopic | LeaderNotAvailable) => {
                Found::Missing { brokers }
            }
            Some(code) => Found::Refused(code),
        })
    }

    fn no_answer(&mut self, error: Option<&KafkaError>, answer: &NoAnswer) {
        self.unanswered = self.unanswered.saturating_add(1);
        let (code, reason) = self.probe.reason().unwrap_or_else(|| {
            let code = error.and_then(KafkaError::rdkafka_error_code);
            let reason = error.map_or_else(|| answer.to_string(), describe);
            (code.unwrap_or(RDKafkaErrorCode::OperationTimedOut), reason)
        });
        if self.unanswered < UNANSWERED {
            return;
        }
        self.topics.unanswered();
        // Reasons with the same advice differ in wording only, and each would be a line in the log. What somebody has to put
        // right comes with time-outs in between, which say less.
        let is_news = self.reported.is_none_or(|before| {
            let is_same =
                brokers_advice(before, &self.settings) == brokers_advice(code, &self.settings);
            !is_same && (is_for_operator(code) || !is_for_operator(before))
        });
        if is_news {
            let reason = brief(&reason).to_owned();
            self.conditions.report(
                Subject::Brokers,
                Condition::BrokersUnreachable { code, reason },
            );
            self.reported = Some(code);
        }
    }
}

/// What a broker says of a topic.
enum Found {
    Exists { partitions: usize },
    Missing { brokers: usize },
    Refused(RDKafkaErrorCode),
}
