//! How to talk to Kafka: our settings, and the librdkafka properties that follow from them.
//!
//! Properties that the invariants rest on are set here and refused from outside: who could switch the
//! idempotent producer or the offsets off could break invariants 1 and 4 from a configuration file.
//! Everything else of librdkafka can be set by its own name. Values that may be secrets are never
//! printed.

mod reserved;
pub mod security;
mod server;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::BaseProducer;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use self::security::{SaslSettings, TlsSettings};
use crate::kafka::{client, group};

/// What stands in the place of a secret.
const REDACTED: &str = "(redacted)";

/// Static membership: a name for each consumer, made from the store's identity or from the one that is set.
const INSTANCE: &str = "group.instance.id";

/// What brokers, their logs and their quotas call a client.
const CLIENT: &str = "client.id";

const SESSION_TIMEOUT: &str = "session.timeout.ms";

/// Time that a broker takes to notice that a session is over.
const GOODBYE: Duration = Duration::from_secs(2);

/// So long, a client takes a topic that a broker does not know for one that it does not know yet. Clients come when the supervisor
/// has seen the topic, so this is for clusters whose brokers learn of it one after the other.
const PROPAGATION: &str = "topic.metadata.propagation.max.ms";
const PROPAGATES: &str = "5000";

/// Other names of properties that have a default here. Under both names at once it would be chance which counts.
const ALIASES: [(&str, &str); 1] = [("queue.buffering.max.ms", "linger.ms")];

/// How to talk to Kafka.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KafkaSettings {
    /// Brokers to ask first: `HOST:PORT`, several with commas between.
    pub bootstrap: String,
    /// Partitions of topics that have to be created.
    pub partitions: i32,
    /// Replication factor of topics that have to be created; -1 for the broker's default.
    pub replication: i32,
    /// Milliseconds that the relay lets events gather into one request. Commits come in batches already, and
    /// more gathers while a request is in flight, so that 1 is enough to keep requests few under load.
    pub relay_linger_ms: u64,
    /// Whether other processes, with stores of their own, may read in the same groups. Each then knows only of the
    /// aggregates whose partitions it happened to have.
    pub allow_split_state: bool,
    /// Further librdkafka properties, by their own names (timeouts, sizes, security beyond `tls` and `sasl`).
    #[serde(serialize_with = "serialize_redacted")]
    pub properties: BTreeMap<String, String>,
    /// TLS to the brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// Who the host is to the brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
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
            if let Some(reason) = reserved::problem(name, value) {
                problems.push(format!("properties: {reason}"));
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
    pub(crate) fn try_out(&self) -> KafkaResult<()> {
        let producer: BaseProducer = self.producer_config().create()?;
        client::close(producer);
        let consumer: BaseConsumer = self.consumer_config("saga", "check", "check").create()?;
        client::close(consumer);
        Ok(())
    }

    /// What to check where no client can be made with these settings, by what they name.
    pub(crate) fn files_to_check(&self) -> &'static str {
        match &self.tls {
            Some(tls) if tls.enabled => {
                "; check that `ca_file`, `certificate_file` and `key_file` in `[kafka.tls]` hold what they should (PEM), that \
                 the key is that of the certificate, and its password"
            }
            _ => "",
        }
    }

    fn secured(&self) -> Vec<(&'static str, String)> {
        security::properties(self.tls.as_ref(), self.sasl.as_ref())
    }

    /// For clients that ask whether brokers and topics are there, and create topics.
    pub(crate) fn probe_config(&self) -> ClientConfig {
        self.config(&[], &[])
    }

    /// For the consumer of a group. `member` tells the consumers of one process apart, `identity` its store from others.
    pub(crate) fn consumer_config(
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
                // How far the client is in its partitions (`consume/client_position.rs`).
                ("statistics.interval.ms", "1000"),
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
    pub(crate) fn events_at_once(&self) -> usize {
        if self.wants_debug_lines() { 512 } else { 8 }
    }

    fn wants_debug_lines(&self) -> bool {
        self.properties.contains_key("debug")
    }

    /// Whether who listens to the connection learns what he needs to log in himself.
    pub(crate) fn shows_its_secret(&self) -> bool {
        let is_encrypted = self.tls.as_ref().is_some_and(|tls| tls.enabled);
        !is_encrypted && self.sasl.as_ref().is_some_and(SaslSettings::is_open)
    }

    /// Time after which who was in a group, and is not heard of any more, is not in it.
    pub(crate) fn group_patience(&self) -> Duration {
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
    pub(crate) fn producer_config(&self) -> ClientConfig {
        let linger = self.relay_linger_ms.to_string();
        self.config(
            &[
                ("linger.ms", &linger),
                // The same key goes to the same partition as from a Java producer.
                ("partitioner", "murmur2_random"),
                // What is in flight is bounded (invariant 9): 64 MiB.
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
                ("max.in.flight.requests.per.connection", "1"),
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
        // A producer too would otherwise create a topic again, with the broker's defaults, by asking where it is.
        config.set("allow.auto.create.topics", "false");
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }
}

/// The text of an error, without a value that may be a secret.
pub(crate) fn describe(error: &KafkaError) -> String {
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
        other => other.to_string(),
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
mod tests;
