//! Settings for Kafka, and the librdkafka properties derived from them.
//!
//! Properties that invariants depend on are set here and can't be overridden: switching off the
//! idempotent producer or the host's own offsets would break invariants 1 and 4 from a
//! configuration file. All other properties of librdkafka can be set by name. Values that may be
//! secrets are never printed.

mod reserved;
pub mod security;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use self::security::{SaslSettings, TlsSettings};
use crate::kafka::{client, group};

/// Replaces a secret in output.
const REDACTED: &str = "(redacted)";

/// Properties that the host derives from what is set.
const INSTANCE: &str = "group.instance.id";
const CLIENT: &str = "client.id";
const SESSION_TIMEOUT: &str = "session.timeout.ms";

const CHECK_FILES: &str = "; check that `ca_file`, `certificate_file` and `key_file` in `[kafka.tls]` hold what they \
     should (PEM), that the key is that of the certificate, and its password";

/// Protocols that may precede a server.
const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

/// Time that a broker takes to notice that a session is over.
const GOODBYE: Duration = Duration::from_secs(2);

/// Defaults of all clients. Operators may set other values.
const DEFAULTS: [(&str, &str); 3] = [
    (CLIENT, "saga"),
    // Bounds the time until a returned broker is noticed.
    ("reconnect.backoff.max.ms", "2000"),
    // Certificates in the places where systems keep them: the built-in OpenSSL has no such place.
    ("ssl.ca.location", "probe"),
];

/// Defaults of consumers.
const OF_CONSUMERS: [(&str, &str); 10] = [
    ("partition.assignment.strategy", "cooperative-sticky"),
    // A waiting fetch is answered as soon as there are any records.
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "100"),
    ("fetch.error.backoff.ms", "100"),
    // Prefetched records are bounded (invariant 9): 16 MiB for each partition, because each has a
    // queue of its own.
    ("queued.min.messages", "10000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "20"),
    // A host with another store that takes over waits this long after a crash.
    (SESSION_TIMEOUT, "10000"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    // A client is made when the topic is known to exist, but brokers learn of it one by one.
    ("topic.metadata.propagation.max.ms", "5000"),
];

/// Defaults of the relay's producer.
const OF_PRODUCERS: [(&str, &str); 5] = [
    // Commits come in batches already, and more events gather while a request is in flight.
    ("linger.ms", "1"),
    // A key goes to the same partition as with a Java producer.
    ("partitioner", "murmur2_random"),
    // Records in flight are bounded (invariant 9): 64 MiB.
    ("queue.buffering.max.kbytes", "65536"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("topic.metadata.propagation.max.ms", "5000"),
];

/// Fixed properties of the relay's producer.
const FIXED_OF_PRODUCERS: [(&str, &str); 5] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Order in = order out (invariant 4): no event is given up and overtaken by a later one. A final
    // refusal by the broker stops the producer, and the relay starts again from the acknowledged
    // records.
    ("message.timeout.ms", "0"),
    ("enable.gapless.guarantee", "true"),
    // One request at a time for each broker: a broker that does not know a producer yet accepts its
    // second request even after refusing the first, and order would be lost (invariant 4). Events
    // that gather meanwhile go into the next request, so this costs latency under load, not
    // throughput.
    ("max.in.flight.requests.per.connection", "1"),
];

/// Settings for Kafka.
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
    /// Lets other processes, with stores of their own, read in the same groups. Each then knows
    /// only the aggregates of the partitions assigned to it.
    pub allow_split_state: bool,
    /// Further librdkafka properties, by their own names (timeouts, sizes, security beyond `tls`
    /// and `sasl`).
    #[serde(serialize_with = "serialize_redacted", skip_deserializing)]
    pub properties: BTreeMap<String, String>,
    /// TLS to the brokers.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub tls: Option<TlsSettings>,
    /// The host's login to the brokers.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub sasl: Option<SaslSettings>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            bootstrap: "localhost:9092".into(),
            partitions: 1,
            replication: 1,
            allow_split_state: false,
            properties: BTreeMap::new(),
            tls: None,
            sasl: None,
        }
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The serialized form has no secrets.
        let text = serde_json::to_string(self).unwrap_or_default();
        write!(f, "KafkaSettings {text}")
    }
}

impl KafkaSettings {
    /// All problems of the settings, each with the name of its setting and the remedy.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for server in self.bootstrap.split(',').map(str::trim) {
            if !is_server(server) {
                problems.push(format!(
                    "bootstrap `{}`: `{server}` is no HOST:PORT with a port between 1 and 65535; give HOST:PORT, several \
                     with commas between",
                    self.bootstrap
                ));
            }
        }
        // The other bounds are declared with the fields.
        if self.replication == 0 {
            problems
                .push("replication 0: must be at least 1, or -1 for the broker's default".into());
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

    /// Makes one client of each kind and drops it: only this shows settings that don't fit
    /// together.
    pub(crate) fn try_out(&self) -> Result<(), String> {
        let failed = |error| match self.is_tls() {
            true => format!("{}{CHECK_FILES}", describe(&error)),
            false => describe(&error),
        };
        let producer: BaseProducer = self.producer_config().create().map_err(failed)?;
        client::close(producer);
        let config = self.consumer_config("saga", "check", ("check", false));
        let consumer: BaseConsumer = config.create().map_err(failed)?;
        client::close(consumer);
        Ok(())
    }

    /// What an eavesdropper on unencrypted connections would learn, and the remedy.
    pub(crate) fn open_secrets(&self) -> Vec<&'static str> {
        let mut open = Vec::new();
        let Some(sasl) = &self.sasl else { return open };
        // SCRAM never sends the password itself.
        if !self.is_tls() && !sasl.mechanism().starts_with("SCRAM") {
            open.push(
                "the connection to Kafka is not encrypted, and whoever listens to it learns the password or the token: use \
                 `[kafka.tls]`, or a SCRAM mechanism",
            );
        }
        if matches!(sasl, SaslSettings::Token(login) if login.token_endpoint.starts_with("http://"))
        {
            open.push(
                "tokens are asked for without encryption, and whoever listens to it learns the client secret: use an \
                 https:// `token_endpoint`",
            );
        }
        open
    }

    fn secured(&self) -> Vec<(&'static str, String)> {
        security::properties(self.tls.as_ref(), self.sasl.as_ref())
    }

    /// Configuration of clients that look for brokers and topics, and create topics.
    pub(crate) fn probe_config(&self) -> ClientConfig {
        self.config(&[], &[])
    }

    /// Configuration of a group's consumer. `member` distinguishes the consumers of one process,
    /// `identity` its store from others.
    pub(crate) fn consumer_config(
        &self,
        group: &str,
        member: &str,
        (identity, is_shared): (&str, bool),
    ) -> ClientConfig {
        let fixed = [
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // For the client's position in its partitions (`consume/position.rs`).
            ("statistics.interval.ms", "1000"),
        ];
        let mut config = self.config(&OF_CONSUMERS, &fixed);
        // Static membership: after a crash, the restarted process gets its partitions at once. Of several
        // hosts on one store each would need a name of its own.
        let own = (!is_shared).then_some(identity);
        if let Some(instance) = (self.properties.get(INSTANCE)).map(String::as_str).or(own) {
            config.set(INSTANCE, format!("{instance}-{member}"));
        }
        let client = config.get(CLIENT).unwrap_or_default().to_owned();
        config.set(CLIENT, group::client_id(&client, identity));
        config
    }

    pub(crate) fn producer_config(&self) -> ClientConfig {
        self.config(&OF_PRODUCERS, &FIXED_OF_PRODUCERS)
    }

    /// Combines the host's defaults, then the operator's properties, then fixed ones.
    fn config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // The property `debug` says which lines there are.
        config.set_log_level(RDKafkaLogLevel::Debug);
        for (name, value) in DEFAULTS.iter().chain(defaults) {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            // Both names of one property would leave it undefined which one counts.
            let is_linger = name == "queue.buffering.max.ms";
            config.set(if is_linger { "linger.ms" } else { name }, value);
        }
        for (name, value) in self.secured() {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        // Otherwise a producer too would create a topic again, with the broker's defaults, by
        // asking for its metadata.
        config.set("allow.auto.create.topics", "false");
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Events of a client that are served at once. Each line of its log is one.
    pub(crate) fn events_at_once(&self) -> usize {
        match self.properties.contains_key("debug") {
            true => 512,
            false => 8,
        }
    }

    /// True if the connections are encrypted by `[kafka.tls]`.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.enabled)
    }

    /// Time after which a silent member is no longer in the group.
    pub(crate) fn group_patience(&self) -> Duration {
        let config = self.consumer_config("", "", ("", false));
        let millis = config
            .get(SESSION_TIMEOUT)
            .and_then(|text| text.parse().ok());
        Duration::from_millis(millis.unwrap_or(45_000)) + GOODBYE
    }
}

/// True for `HOST:PORT`, as librdkafka takes it: the port, and a protocol with `://` before it, may
/// be missing. librdkafka accepts nearly anything: a port beyond 65535 becomes another one, and a
/// list with a wrong separator becomes one long unknown name.
fn is_server(server: &str) -> bool {
    let (protocol, address) = server.split_once("://").unwrap_or(("plaintext", server));
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or_default(),
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let is_of_a_name = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    PROTOCOLS.contains(&&*protocol.to_ascii_lowercase())
        && !host.is_empty()
        && host.chars().all(is_of_a_name)
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// The text of an error, without values that may be secrets.
pub(crate) fn describe(error: &KafkaError) -> String {
    match error {
        // librdkafka's own text may quote the value.
        KafkaError::ClientConfig(_, _, name, _) if is_secret(name) => {
            format!("`{name}` = `{REDACTED}`: is not a value for it")
        }
        KafkaError::ClientConfig(_, reason, name, value) => {
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
    to.collect_map(properties.iter().map(|(name, value)| {
        let value = if is_secret(name) { REDACTED } else { value };
        (name, value)
    }))
}

#[cfg(test)]
mod tests;
