//! How to talk to Kafka: our settings, and the librdkafka properties that follow from them.
//!
//! Properties that the invariants rest on are set here and refused from outside: who could switch the
//! idempotent producer or the offsets off could break invariants 1 and 4 from a configuration file.
//! Everything else of librdkafka can be set by its own name. Values that may be secrets are never
//! printed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::BaseProducer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::assignment::reached::TELLS;
use super::remedy;
use super::security::{self, SaslSettings, TlsSettings};
use super::{client, group, server};

/// What stands in the place of a secret.
const REDACTED: &str = "(redacted)";

/// Static membership: a name for each consumer, made from the store's identity or from the one that is set.
const INSTANCE: &str = "group.instance.id";

/// What brokers, their logs and their quotas call a client.
const CLIENT: &str = "client.id";

const SESSION_TIMEOUT: &str = "session.timeout.ms";

/// Time that a broker takes to notice that a session is over.
const GOODBYE: Duration = Duration::from_secs(2);

/// So long, a client takes a topic that a broker does not know for one that it does not know yet. Clients come when the watch
/// has seen the topic, so this is for clusters whose brokers learn of it one after the other.
const PROPAGATION: &str = "topic.metadata.propagation.max.ms";
const PROPAGATES: &str = "5000";

/// Properties that can't be set from outside, and why.
const RESERVED: [(&str, &str); 23] = [
    ("bootstrap.servers", "use `bootstrap`"),
    ("metadata.broker.list", "use `bootstrap`"),
    (
        "group.id",
        "the group comes from the participant's subscription",
    ),
    (
        "enable.auto.commit",
        "where to read on is kept in the store",
    ),
    (
        "enable.auto.offset.store",
        "where to read on is kept in the store",
    ),
    (
        "enable.idempotence",
        "the relay publishes each event once and in order",
    ),
    (
        "enable.gapless.guarantee",
        "the relay publishes each event once and in order",
    ),
    (
        "acks",
        "an event is published when all replicas in sync have it",
    ),
    (
        "request.required.acks",
        "an event is published when all replicas in sync have it",
    ),
    ("message.timeout.ms", "the relay never gives an event up"),
    ("delivery.timeout.ms", "the relay never gives an event up"),
    ("transactional.id", "the relay uses no transactions"),
    ("log.queue", "log lines go through the host's log"),
    (
        "auto.offset.reset",
        "a group that is new reads from the beginning, and nothing is ever passed over",
    ),
    (
        "allow.auto.create.topics",
        "topics are created with `partitions` and `replication`",
    ),
    (
        "group.protocol",
        "who reads in a group is looked up by the classic protocol",
    ),
    (
        "isolation.level",
        "what a transaction has taken back is not read",
    ),
    (
        "delivery.report.only.error",
        "the relay goes on by what is reported as delivered",
    ),
    ("retries", "the relay never gives an event up"),
    (
        "message.send.max.retries",
        "the relay never gives an event up",
    ),
    (
        "test.mock.num.brokers",
        "events would go to brokers in memory",
    ),
    (IN_FLIGHT, ONE_REQUEST),
    ("max.in.flight", ONE_REQUEST),
];

/// Values of properties that can't be set, and why.
const REFUSED: [(&str, &str, &str); 1] = [(
    "partitioner",
    "random",
    "events of one key would be in several partitions, and their order lost",
)];

const IN_FLIGHT: &str = "max.in.flight.requests.per.connection";
const ONE_REQUEST: &str = "with more than one request under way the order of events could be lost";

/// Other names of properties that have a default here. Under both names at once it would be chance which counts.
const ALIASES: [(&str, &str); 1] = [("queue.buffering.max.ms", "linger.ms")];

/// How to talk to Kafka.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KafkaSettings {
    /// Brokers to ask first: `HOST:PORT`, several with commas between.
    pub bootstrap: String,
    /// Partitions of topics that have to be created.
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: i32,
    /// Replication factor of topics that have to be created; -1 for the broker's default.
    #[schemars(range(min = -1, max = 100))]
    pub replication: i32,
    /// Milliseconds that the relay lets events gather into one request. Commits come in batches already, and
    /// more gathers while a request is under way, so that 1 is enough to keep requests few under load.
    #[schemars(range(min = 0, max = 900_000))]
    pub relay_linger_ms: u64,
    /// Whether other processes, with stores of their own, may read in the same groups. Each then knows only of the
    /// aggregates whose partitions it happened to have.
    pub allow_split_state: bool,
    /// Further librdkafka properties, by their own names (timeouts, sizes, security beyond `tls` and `sasl`).
    #[serde(serialize_with = "serialize_redacted", skip_deserializing)]
    pub properties: BTreeMap<String, String>,
    /// TLS to the brokers.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub tls: Option<TlsSettings>,
    /// Who the host is to the brokers.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub sasl: Option<SaslSettings>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            bootstrap: "localhost:9092".into(),
            partitions: 1,
            replication: 1,
            relay_linger_ms: 1,
            allow_split_state: false,
            properties: BTreeMap::new(),
            tls: None,
            sasl: None,
        }
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap", &self.bootstrap)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("relay_linger_ms", &self.relay_linger_ms)
            .field("allow_split_state", &self.allow_split_state)
            .field("properties", &redact(&self.properties))
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .finish()
    }
}

/// The properties with the values left out that may be secrets: those whose names speak of a
/// password, a secret or a key.
#[must_use]
pub fn redact(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    properties
        .iter()
        .map(|(name, value)| {
            (
                name.clone(),
                if is_secret(name) {
                    REDACTED.into()
                } else {
                    value.clone()
                },
            )
        })
        .collect()
}

impl KafkaSettings {
    /// The same, fit to be shown: see [`redact`].
    #[must_use]
    pub fn redacted(self) -> Self {
        Self {
            properties: redact(&self.properties),
            ..self
        }
    }

    /// Everything that is wrong with them, each with its name and what to do; empty where nothing is.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for server in self.bootstrap.split(',').map(str::trim) {
            if let Err(reason) = server::check(server) {
                problems.push(format!(
                    "bootstrap `{}`: `{server}` {reason}; give HOST:PORT, several with commas between",
                    self.bootstrap
                ));
            }
        }
        if self.partitions < 1 {
            problems.push(format!(
                "partitions {}: must be at least 1",
                self.partitions
            ));
        }
        if self.replication < 1 && self.replication != -1 {
            problems.push(format!(
                "replication {}: must be at least 1, or -1 for the broker's default",
                self.replication
            ));
        }
        let secured = self.secured();
        for (name, value) in &self.properties {
            if secured.iter().any(|(known, _)| known == name) {
                problems.push(format!(
                    "properties: `{name}` follows from `[kafka.tls]` and `[kafka.sasl]`; say it there, or leave those out"
                ));
                continue;
            }
            if value == REDACTED {
                problems.push(format!(
                    "properties.{name}: is what `saga config` prints for a secret; put the secret itself there"
                ));
            }
            if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                problems.push(format!("properties: `{name}` can't be set: {reason}"));
                continue;
            }
            let refused = REFUSED
                .iter()
                .find(|(refused, of, _)| refused == name && of == value);
            if let Some((_, _, reason)) = refused {
                problems.push(format!("properties: `{name}` can't be `{value}`: {reason}"));
                continue;
            }
            let alone = ClientConfig::new().set(name, value).create_native_config();
            if let Err(error) = alone {
                problems.push(format!("properties: {}", describe(&error)));
            }
        }
        problems
    }

    /// Makes one client of each kind and lets it go: what does not fit together is known by then only.
    ///
    /// # Errors
    /// What librdkafka says of the settings.
    pub(super) fn try_out(&self) -> KafkaResult<()> {
        let producer: BaseProducer = self.producer_config().create()?;
        client::close(producer);
        let consumer: BaseConsumer = self.consumer_config("saga", "check", "check").create()?;
        client::close(consumer);
        Ok(())
    }

    fn secured(&self) -> Vec<(&'static str, String)> {
        security::properties(self.tls.as_ref(), self.sasl.as_ref())
    }

    /// For the client that asks whether brokers and topics are there, and creates topics.
    pub(super) fn watch_config(&self) -> ClientConfig {
        self.config(&[], &[])
    }

    /// For the consumer of a group. `member` tells the consumers of one process apart, `identity` its store from others.
    pub(super) fn consumer_config(
        &self,
        group: &str,
        member: &str,
        identity: &str,
    ) -> ClientConfig {
        let mut config = self.config(
            &[
                ("partition.assignment.strategy", "cooperative-sticky"),
                // A waiting fetch is answered as soon as there is anything.
                ("fetch.min.bytes", "1"),
                ("fetch.wait.max.ms", "100"),
                ("fetch.error.backoff.ms", "100"),
                // What was fetched ahead of the rules is bounded (invariant 9): 16 MiB for each consumer.
                ("queued.min.messages", "10000"),
                ("queued.max.messages.kbytes", "16384"),
                ("fetch.queue.backoff.ms", "20"),
                // Who takes over with another store waits so long after a crash.
                (SESSION_TIMEOUT, "10000"),
                ("topic.metadata.refresh.interval.ms", "30000"),
                ("statistics.interval.ms", TELLS),
                (PROPAGATION, PROPAGATES),
            ],
            &[
                ("group.id", group),
                ("auto.offset.reset", "earliest"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
            ],
        );
        // Static membership: after a crash, the restarted process has its partitions at once.
        let instance = self.properties.get(INSTANCE);
        let instance = instance.map_or(identity, String::as_str);
        config.set(INSTANCE, format!("{instance}-{member}"));
        let client = config.get(CLIENT).unwrap_or_default().to_owned();
        config.set(CLIENT, group::client_id(&client, identity));
        config
    }

    /// Events of a client that are served at once. Each line of its log is one.
    pub(super) fn events_at_once(&self) -> usize {
        if self.wants_debug_lines() { 512 } else { 8 }
    }

    fn wants_debug_lines(&self) -> bool {
        self.properties.contains_key("debug")
    }

    /// Whether who listens to the connection learns what he needs to log in himself.
    pub(super) fn shows_its_secret(&self) -> bool {
        let is_encrypted = self.tls.as_ref().is_some_and(|tls| tls.enabled);
        !is_encrypted && self.sasl.as_ref().is_some_and(SaslSettings::is_open)
    }

    /// Time after which who was in a group, and is not heard of any more, is not in it.
    pub(super) fn group_patience(&self) -> Duration {
        self.session_timeout() + GOODBYE
    }

    fn session_timeout(&self) -> Duration {
        let config = self.consumer_config("", "", "");
        let millis = config
            .get(SESSION_TIMEOUT)
            .and_then(|text| text.parse().ok());
        Duration::from_millis(millis.unwrap_or(45_000))
    }

    /// For the relay's producer.
    pub(super) fn producer_config(&self) -> ClientConfig {
        let linger = self.relay_linger_ms.to_string();
        self.config(
            &[
                ("linger.ms", &linger),
                // The same key goes to the same partition as from a Java producer.
                ("partitioner", "murmur2_random"),
                // What is under way is bounded (invariant 9): 64 MiB.
                ("queue.buffering.max.kbytes", "65536"),
                ("topic.metadata.refresh.interval.ms", "30000"),
                (PROPAGATION, PROPAGATES),
            ],
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // Order in = order out (invariant 4): no event is given up and passed by a later one. The broker's
                // final no stops the producer, and the relay starts again from what is acknowledged.
                ("message.timeout.ms", "0"),
                ("enable.gapless.guarantee", "true"),
                // One request at a time for each broker: a broker that does not know a producer yet takes its second
                // request even though it refused the first, and order would be lost (invariant 4). Whatever gathers
                // meanwhile goes into the next request, so that this costs latency under load, not throughput.
                (IN_FLIGHT, "1"),
            ],
        )
    }

    /// Our defaults, then what was set from outside, then what must be so.
    fn config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(if self.wants_debug_lines() {
            RDKafkaLogLevel::Debug
        } else {
            RDKafkaLogLevel::Info
        });
        config.set(CLIENT, "saga");
        // A broker that is back is noticed within so long.
        config.set("reconnect.backoff.max.ms", "2000");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            let alias = ALIASES.iter().find(|(alias, _)| alias == name);
            config.set(alias.map_or(name.as_str(), |(_, name)| name), value);
        }
        let by_hand = (self.properties.iter()).map(|(name, value)| (name.as_str(), value.as_str()));
        if let Some((name, value)) = security::defaults(by_hand) {
            config.set(name, value);
        }
        for (name, value) in self.secured() {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        // A producer too would otherwise create a topic anew, with the broker's defaults, by asking where it is.
        config.set("allow.auto.create.topics", "false");
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }
}

/// The text of an error, without a value that may be a secret.
pub(super) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) => {
            let value = if is_secret(name) { REDACTED } else { value };
            // librdkafka's own text may quote the value.
            let reason = if is_secret(name) {
                "is not a value for it"
            } else {
                reason
            };
            format!("`{name}` = `{value}`: {reason}")
        }
        other => {
            let text = other.to_string();
            match remedy::of_files(&text) {
                Some(remedy) => format!("{text}; {remedy}"),
                None => text,
            }
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A JAAS line holds a password.
    ["password", "secret", "key", "jaas", "token"]
        .iter()
        .any(|word| name.contains(word))
}

fn serialize_redacted<S: Serializer>(
    properties: &BTreeMap<String, String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    redact(properties).serialize(to)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
