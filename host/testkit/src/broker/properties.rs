//! The broker's configuration file: one node that is broker and controller, for tests.
//!
//! Listeners are named after what they require: PLAIN nothing, TLS encryption, MUTUAL a client
//! certificate, SASL a user, SASLTLS a user over TLS. In lower case, the names are the prefixes of
//! Kafka's properties for a listener.
//!
//! Must not know: the JVM.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::broker::settings::{Security, Settings, User};

/// The loopback ports of a broker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) controller: u16,
    pub(crate) plain: u16,
    /// The ports of TLS, MUTUAL, SASL and SASLTLS.
    pub(crate) secured: [u16; 4],
}

/// Files of a broker with TLS.
#[derive(Debug)]
pub(crate) struct Stores<'a> {
    /// Key and certificate of the broker.
    pub(crate) key: &'a Path,
    /// The authority of client certificates.
    pub(crate) trust: &'a Path,
}

/// The listeners of a secured broker: name, protocol, and Kafka's setting for client certificates.
const SECURED: [(&str, &str, &str); 4] = [
    ("TLS", "SSL", "none"),
    ("MUTUAL", "SSL", "required"),
    ("SASL", "SASL_PLAINTEXT", "none"),
    ("SASLTLS", "SASL_SSL", "none"),
];

/// Package of Kafka's login classes.
const PACKAGE: &str = "org.apache.kafka.common.security";

/// Threads of each listener; Kafka's default.
pub(crate) const NETWORK_THREADS: usize = 3;

/// Settings for a single node in tests: no waits, no replicas, few files.
const ALONE: [(&str, &str); 17] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "PLAIN"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    // Kafka's default, so that clients can't rely on another value.
    ("auto.create.topics.enable", "true"),
    ("log.retention.check.interval.ms", "500"),
    ("log.initial.task.delay.ms", "500"),
    ("file.delete.delay.ms", "500"),
];

/// The text of `server.properties`.
pub(crate) fn text(
    settings: &Settings,
    ports: Ports,
    data: &Path,
    stores: Option<&Stores<'_>>,
) -> String {
    let mut properties: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        properties.insert(name.to_owned(), value);
    };
    for (name, value) in ALONE {
        set(name, value.to_owned());
    }
    set("num.network.threads", NETWORK_THREADS.to_string());
    let controller = format!("127.0.0.1:{}", ports.controller);
    set("controller.quorum.voters", format!("1@{controller}"));
    set("log.dirs", data.display().to_string());
    set("num.partitions", settings.partitions.to_string());
    let mut listeners = format!("PLAIN://127.0.0.1:{}", ports.plain);
    let mut protocols = "CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT".to_owned();
    if let (Some(security), Some(stores)) = (&settings.security, stores) {
        for ((name, protocol, _), port) in SECURED.iter().zip(ports.secured) {
            let _ = write!(listeners, ",{name}://127.0.0.1:{port}");
            let _ = write!(protocols, ",{name}:{protocol}");
        }
        for (name, value) in secured(security, stores) {
            set(&name, value);
        }
    }
    set("advertised.listeners", listeners.clone());
    set(
        "listeners",
        format!("{listeners},CONTROLLER://{controller}"),
    );
    set("listener.security.protocol.map", protocols);
    properties.extend(settings.properties.clone());
    let mut text = String::new();
    for (name, value) in properties {
        // A backslash would begin an escape.
        let _ = writeln!(text, "{name}={}", value.replace('\\', "\\\\"));
    }
    text
}

fn secured(security: &Security, stores: &Stores<'_>) -> Vec<(String, String)> {
    let mut properties = vec![
        // A certificate for CN=ann is the principal User:ann.
        (
            "ssl.principal.mapping.rules".to_owned(),
            "RULE:^CN=([^,]+).*$/$1/,DEFAULT".to_owned(),
        ),
        ("super.users".to_owned(), "User:ANONYMOUS".to_owned()),
        // A running broker accepts a certificate for another host too.
        ("ssl.allow.dn.changes".to_owned(), "true".to_owned()),
        ("ssl.allow.san.changes".to_owned(), "true".to_owned()),
    ];
    if security.authorize {
        properties.push((
            "authorizer.class.name".to_owned(),
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        ));
    }
    for (name, protocol, client) in SECURED {
        let prefix = format!("listener.name.{}", name.to_ascii_lowercase());
        if protocol.ends_with("SSL") {
            for (property, value) in [
                ("client.auth", client.to_owned()),
                ("keystore.type", "PEM".to_owned()),
                ("keystore.location", stores.key.display().to_string()),
                ("truststore.type", "PEM".to_owned()),
                ("truststore.location", stores.trust.display().to_string()),
            ] {
                properties.push((format!("{prefix}.ssl.{property}"), value));
            }
        }
        if protocol.starts_with("SASL") {
            properties.extend(mechanisms(security, &prefix));
        }
    }
    if let Some(tokens) = &security.tokens {
        // Kafka 4.1's default accepts unsigned tokens.
        properties.push((
            "sasl.oauthbearer.jwt.validator.class".to_owned(),
            format!("{PACKAGE}.oauthbearer.BrokerJwtValidator"),
        ));
        for (property, value) in [
            ("jwks.endpoint.url", &tokens.keys),
            ("expected.issuer", &tokens.issuer),
            ("expected.audience", &tokens.audience),
        ] {
            properties.push((format!("sasl.oauthbearer.{property}"), value.clone()));
        }
    }
    properties
}

/// The mechanisms and users of a SASL listener.
fn mechanisms(security: &Security, prefix: &str) -> Vec<(String, String)> {
    let mut users = String::new();
    for User { name, password } in &security.users {
        let _ = write!(users, " user_{name}=\"{password}\"");
    }
    let mut modules = vec![
        (
            "PLAIN",
            format!("{PACKAGE}.plain.PlainLoginModule required{users};"),
        ),
        (
            "SCRAM-SHA-256",
            format!("{PACKAGE}.scram.ScramLoginModule required;"),
        ),
        (
            "SCRAM-SHA-512",
            format!("{PACKAGE}.scram.ScramLoginModule required;"),
        ),
    ];
    let mut properties = Vec::new();
    if security.tokens.is_some() {
        modules.push((
            "OAUTHBEARER",
            format!("{PACKAGE}.oauthbearer.OAuthBearerLoginModule required;"),
        ));
        properties.push((
            format!("{prefix}.oauthbearer.sasl.server.callback.handler.class"),
            format!("{PACKAGE}.oauthbearer.OAuthBearerValidatorCallbackHandler"),
        ));
    }
    let names: Vec<_> = modules.iter().map(|(name, _)| *name).collect();
    properties.push((format!("{prefix}.sasl.enabled.mechanisms"), names.join(",")));
    for (name, module) in &modules {
        let name = name.to_ascii_lowercase();
        properties.push((format!("{prefix}.{name}.sasl.jaas.config"), module.clone()));
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports = Ports {
        controller: 1,
        plain: 2,
        secured: [3, 4, 5, 6],
    };

    #[test]
    fn a_property_of_the_caller_replaces_ours() {
        let settings = Settings {
            properties: BTreeMap::from([("node.id".to_owned(), "7".to_owned())]),
            ..Settings::default()
        };
        let text = text(&settings, PORTS, Path::new("/data"), None);
        assert!(
            text.contains("\nnode.id=7\n") && !text.contains("node.id=1"),
            "{text}"
        );
        assert!(!text.contains("SASL") && !text.contains("ssl."), "{text}");
    }

    #[test]
    fn every_secured_listener_has_a_port_and_a_protocol() {
        let settings = Settings {
            security: Some(Security {
                users: vec![User::new("ann", "secret")],
                ..Security::default()
            }),
            ..Settings::default()
        };
        let stores = Stores {
            key: Path::new("/k"),
            trust: Path::new("/t"),
        };
        let text = text(&settings, PORTS, Path::new("/data"), Some(&stores));
        for expected in [
            "TLS://127.0.0.1:3,MUTUAL://127.0.0.1:4,SASL://127.0.0.1:5,SASLTLS://127.0.0.1:6",
            "SASLTLS:SASL_SSL",
            "listener.name.mutual.ssl.client.auth=required",
            "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
             required user_ann=\"secret\";",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
