//! Finds out whether the brokers can be reached and the topics exist; topics that are missing are created.
//!
//! One thread with one client asks, so that an unreachable broker is said once and not by every consumer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use super::advice::{Remedy, allow, brief, remedy};
use super::conditions::Troubles;
use crate::kafka::client::{self, LastError};
use crate::kafka::native::NoAnswer;
use crate::kafka::settings::{KafkaSettings, describe};
use crate::kafka::topics::config::topic_settings;
use crate::kafka::topics::id::topic_id;
use crate::kafka::topics::{Known, Topics, part};

/// Longest time that one question may take.
const QUESTION: Duration = Duration::from_millis(700);

/// Longest time that the brokers have to say which topic it is.
const IDENTITY: Duration = Duration::from_millis(300);

/// Longest time that the creation of a topic may take before it is tried again.
const CREATION: Duration = Duration::from_secs(3);

/// Time between questions while all is well.
const CALM: Duration = Duration::from_secs(5);

/// Time between questions while something is missing.
const SOON: Duration = Duration::from_millis(250);

/// Questions in a row without an answer, after which brokers count as unreachable: one may be lost
/// on a busy machine.
const UNANSWERED: u32 = 2;

/// Questions in a row without an answer, after which the client is made anew, each time.
const GIVEN_UP: u32 = 6;

/// The part of the transport that is in trouble while no broker answers.
const BROKERS: &str = "brokers";

/// Keeps the watch going for as long as somebody has it.
pub(crate) struct Watched {
    topics: Arc<Topics>,
    stop: CancellationToken,
}

impl Watched {
    /// Starts the thread that asks, for a host that recognises events that come again for so many hours.
    ///
    /// # Errors
    /// When the client can't be made with these settings, or the thread.
    pub(crate) fn start(
        settings: &KafkaSettings,
        retention_hours: u64,
        troubles: Arc<Troubles>,
    ) -> anyhow::Result<Arc<Self>> {
        let topics = Arc::new(Topics::default());
        let watch = Watch::new(settings, retention_hours, topics.clone(), troubles)
            .map_err(|error| anyhow::anyhow!("kafka: {}", describe(&error)))?;
        let watched = Arc::new(Self {
            topics,
            stop: CancellationToken::new(),
        });
        let stop = watched.stop.clone();
        std::thread::Builder::new()
            .name("kafka-watch".into())
            .spawn(move || watch.run(&stop))?;
        Ok(watched)
    }
}

impl std::ops::Deref for Watched {
    type Target = Topics;

    fn deref(&self) -> &Topics {
        &self.topics
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The thread has nothing to finish, so nobody waits for it.
        self.stop.cancel();
        self.topics.asked.ring();
    }
}

/// The thread that asks.
struct Watch {
    client: BaseConsumer<LastError>,
    admin: Option<AdminClient<DefaultClientContext>>,
    settings: KafkaSettings,
    /// Hours for which events that come again are recognised.
    retention_hours: u64,
    topics: Arc<Topics>,
    troubles: Arc<Troubles>,
    unanswered: u32,
    /// What was said to do about brokers that don't answer.
    said: Option<Remedy>,
}

impl Watch {
    fn new(
        settings: &KafkaSettings,
        retention_hours: u64,
        topics: Arc<Topics>,
        troubles: Arc<Troubles>,
    ) -> KafkaResult<Self> {
        let client = watch_client(settings)?;
        Ok(Self {
            client,
            admin: None,
            settings: settings.clone(),
            retention_hours,
            topics,
            troubles,
            unanswered: 0,
            said: None,
        })
    }

    /// Asks until `stop`.
    fn run(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let seen = self.topics.asked.rings();
            let missing = self.topics.missing();
            let pause = if missing.is_empty() {
                self.ask_for_any()
            } else {
                self.ask_for(&missing, stop)
            };
            self.topics.asked.wait(seen, pause);
        }
        if let Some(admin) = self.admin.take() {
            client::close(admin);
        }
        client::close(self.client);
    }

    /// All topics are there: only whether they still are, and whether brokers still answer.
    fn ask_for_any(&mut self) -> Duration {
        if let Some(admin) = self.admin.take() {
            client::close(admin);
        }
        let needed: Vec<_> = self.topics.lock().keys().cloned().collect();
        for topic in needed {
            match self.question(&topic) {
                Some(Found::Missing { .. }) => self.topics.doubt_topic(&topic),
                Some(Found::Exists { .. }) => {
                    self.tell_apart(&topic);
                    self.look_at_settings(&topic);
                }
                Some(_) => {}
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
            let known = match found {
                Found::Exists { partitions } => {
                    tracing::info!(%topic, partitions, "topic is there");
                    self.tell_apart(topic);
                    // Before its first record is delivered.
                    self.look_at_settings(topic);
                    Ok(Known::Exists)
                }
                Found::Missing { brokers } => {
                    self.create(topic, brokers, stop).map(|is_created| {
                        // A broker that is behind does not know a topic that another one knows.
                        if is_created {
                            self.say_if_deleted(topic);
                        }
                        Known::Nothing
                    })
                }
                Found::Refused(code) => Err(self.refusal(topic, code)),
            };
            self.note(topic, known);
        }
        if self.topics.missing().is_empty() {
            Duration::ZERO
        } else {
            SOON
        }
    }

    /// Asks which topic it is that the relay writes: a producer that knows an earlier one of this name may not find its way to it.
    /// Consumers ask for themselves.
    fn tell_apart(&self, topic: &str) {
        if !self.topics.is_written(topic) {
            return;
        }
        match topic_id(self.client.client(), topic, IDENTITY) {
            Ok(id) => self.topics.is_called(topic, id),
            Err(reason) => tracing::debug!(topic, %reason, "the topic's id is not known"),
        }
    }

    /// Why a topic can't be used for which brokers give this code, and what to do.
    fn refusal(&self, topic: &str, code: RDKafkaErrorCode) -> String {
        let what_to_do = match code {
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                allow(&self.settings, &self.topics.rights(topic), "topic", topic)
            }
            RDKafkaErrorCode::InvalidTopic => {
                "Kafka takes no topic of this name, so what the outbox holds for it stays there; give the topic, or the group whose \
                 dead letters go there, another name in the settings"
                    .into()
            }
            _ => "it is tried again".into(),
        };
        format!("topic {topic} can't be used: {code}; {what_to_do}")
    }

    /// Asks once how brokers keep a topic, and warns where that is not what the host relies on.
    fn look_at_settings(&self, topic: &str) {
        if !self.topics.is_to_be_looked_at(topic) {
            return;
        }
        let settings = match topic_settings(self.client.client(), topic, QUESTION) {
            Ok(settings) => settings,
            // They are asked again.
            Err(NoAnswer::Unanswered) => return,
            Err(reason) => {
                self.topics.is_kept(topic, None);
                if reason == NoAnswer::Said(RDKafkaErrorCode::TopicAuthorizationFailed) {
                    let remedy = allow(&self.settings, &["DescribeConfigs"], "topic", topic);
                    tracing::info!(
                        "whether topic {topic} is compacted, and how long it keeps records, is not known; {remedy}"
                    );
                } else {
                    tracing::debug!(topic, %reason, "the topic's settings are not known");
                }
                return;
            }
        };
        let is_read = self.topics.is_kept(topic, Some(settings));
        let (hours, bootstrap) = (self.retention_hours, &self.settings.bootstrap);
        for problem in settings.problems(topic, is_read, hours, bootstrap) {
            tracing::warn!("{problem}");
        }
    }

    /// Says that a topic is gone that was there. That is over once it is there again, but not made good, so it is said until
    /// the next start.
    fn say_if_deleted(&self, topic: &str) {
        let mut needed = self.topics.lock();
        let Some(need) = needed.get_mut(topic).filter(|need| need.was_there) else {
            return;
        };
        need.was_there = false;
        need.forget_settings();
        self.troubles.error(
            &format!("topic {topic}, deleted"),
            format!(
                "topic {topic} was deleted while this host used it; it is created anew. What was in it and had not been read \
                 by then is gone: find out who waits for it, and have it sent again"
            ),
        );
    }

    /// Keeps what was found out of a topic, if it is still needed.
    fn note(&self, topic: &str, known: Result<Known, String>) {
        // Held until it is said: what is said of a topic must not outlast the need for it.
        let mut needed = self.topics.lock();
        let Some(need) = needed.get_mut(topic) else {
            return;
        };
        match known {
            Ok(known) => {
                need.known = known;
                if known == Known::Exists {
                    need.was_there = true;
                    self.troubles.clear(&part(topic));
                    self.topics.found.ring();
                }
            }
            Err(reason) => {
                need.known = Known::Failing;
                self.troubles.error(&part(topic), reason);
            }
        }
    }

    /// Asks for a topic; none where no broker answers.
    fn question(&mut self, topic: &str) -> Option<Found> {
        let answer = self.client.fetch_metadata(Some(topic), QUESTION);
        // Serves log lines and errors; there is nothing else to come.
        for _ in 0..self.settings.events_at_once() {
            drop(self.client.poll(Duration::ZERO));
        }
        let metadata = match answer {
            Ok(metadata) => metadata,
            Err(error) => {
                self.no_answer(&error);
                return None;
            }
        };
        self.unanswered = 0;
        self.said = None;
        self.topics.answers.fetch_add(1, Ordering::Relaxed);
        // Whatever it was, it is over, and not why brokers are lost the next time.
        self.client.context().take();
        self.topics.unreachable.store(false, Ordering::Relaxed);
        self.troubles.clear(BROKERS);
        let brokers = metadata.brokers().len();
        let Some(found) = metadata.topics().first() else {
            return Some(Found::Missing { brokers });
        };
        match found.error().map(RDKafkaErrorCode::from) {
            _ if !found.partitions().is_empty() => Some(Found::Exists {
                partitions: found.partitions().len(),
            }),
            None
            | Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::LeaderNotAvailable,
            ) => Some(Found::Missing { brokers }),
            Some(code) => Some(Found::Refused(code)),
        }
    }

    fn no_answer(&mut self, error: &KafkaError) {
        self.unanswered = self.unanswered.saturating_add(1);
        let reason = self
            .client
            .context()
            .take()
            .unwrap_or_else(|| describe(error));
        // It may be the client itself that hears nobody any more (see `pulse`). Before anything is said, another one is asked.
        if (self.unanswered == 1 || self.unanswered.is_multiple_of(GIVEN_UP))
            && let Ok(client) = watch_client(&self.settings)
        {
            client::close(std::mem::replace(&mut self.client, client));
        }
        if self.unanswered < UNANSWERED {
            return;
        }
        self.topics.unreachable.store(true, Ordering::Relaxed);
        let remedy = remedy(&reason, &self.settings);
        // Reasons with the same remedy differ in wording only, and each would be a line in the log. What somebody has to put
        // right comes with time-outs in between, which say less.
        let is_news = self.said.as_ref().is_none_or(|said| {
            *said != remedy && (remedy.is_for_operator || !said.is_for_operator)
        });
        if !is_news {
            return;
        }
        let text = format!(
            "Kafka at {} can't be reached ({}); nothing is lost, it is tried again; {}",
            self.settings.bootstrap,
            brief(&reason),
            remedy.text
        );
        if remedy.is_for_operator {
            self.troubles.error(BROKERS, text);
        } else {
            self.troubles.warn(BROKERS, text);
        }
        self.said = Some(remedy);
    }

    /// Creates a topic; says whether it was not there.
    fn create(
        &mut self,
        topic: &str,
        brokers: usize,
        stop: &CancellationToken,
    ) -> Result<bool, String> {
        let (partitions, replication) = (self.settings.partitions, self.settings.replication);
        let failed = |reason: String| {
            format!(
                "topic {topic} does not exist and can't be created with {partitions} partition(s) and replication \
                 factor {replication}: {reason}; it is tried again"
            )
        };
        let admin = match self.admin.take() {
            Some(admin) => admin,
            None => self
                .settings
                .watch_config()
                .create()
                .map_err(|error| failed(describe(&error)))?,
        };
        let admin = self.admin.insert(admin);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let wanted = [NewTopic::new(
            topic,
            partitions,
            TopicReplication::Fixed(replication),
        )];
        let options = AdminOptions::new().request_timeout(Some(CREATION));
        let answer = runtime.block_on(async {
            tokio::select! {
                answer = admin.create_topics(&wanted, &options) => Some(answer),
                () = stop.cancelled() => None,
            }
        });
        let by_hand = format!(
            "create it by hand, or {}",
            allow(&self.settings, &["Create"], "topic", topic)
        );
        match answer {
            None => Ok(false),
            Some(Err(error)) => Err(failed(format!("{error}; {by_hand}"))),
            Some(Ok(results)) => match results.into_iter().next() {
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
                Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor))) => Err(failed(format!(
                    "the cluster has {brokers} broker(s); set `replication` to at most that, or start more brokers"
                ))),
                Some(Err((_, code))) => Err(failed(format!("{code}; {by_hand}"))),
                Some(Ok(_)) | None => {
                    tracing::info!(topic, partitions, replication, "topic created");
                    Ok(true)
                }
            },
        }
    }
}

fn watch_client(settings: &KafkaSettings) -> KafkaResult<BaseConsumer<LastError>> {
    settings
        .watch_config()
        .create_with_context(LastError::default())
}

/// What a broker says of a topic.
enum Found {
    Exists { partitions: usize },
    Missing { brokers: usize },
    Refused(RDKafkaErrorCode),
}
