//! A secured broker checks certificates, passwords, tokens and permissions: each listener accepts
//! and refuses the right clients. The client is librdkafka. Skipped if a broker can't run here.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};
use saga_testkit::broker::{
    Authority, Broker, Issuer, IssuerClient, Security, Settings, User, Validity,
};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time that a client has to log in before its refusal is checked.
const LOOK: Duration = Duration::from_millis(300);

/// Most events that come in that time.
const EVENTS: usize = 100;

type Properties<'a> = &'a [(&'a str, &'a str)];

/// Keeps the reason for a refusal.
#[derive(Default)]
struct Reason(Mutex<Option<String>>);

impl ClientContext for Reason {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let refusals = [
            RDKafkaErrorCode::Authentication,
            RDKafkaErrorCode::SSL,
            // The error of a client whose own certificate is refused.
            RDKafkaErrorCode::BrokerTransportFailure,
        ];
        if code.is_some_and(|code| refusals.contains(&code)) {
            *self.0.lock().unwrap() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Reason {}

fn client(bootstrap: &str, properties: Properties<'_>) -> BaseConsumer<Reason> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create_with_context(Reason::default()).unwrap()
}

#[track_caller]
fn is_taken(bootstrap: &str, properties: Properties<'_>) {
    let client = client(bootstrap, properties);
    client.fetch_metadata(None, PATIENCE).unwrap();
}

#[track_caller]
fn is_turned_away(bootstrap: &str, properties: Properties<'_>) {
    let client = client(bootstrap, properties);
    let start = Instant::now();
    loop {
        client.fetch_metadata(None, LOOK).unwrap_err();
        // Each call serves one event; log lines are events too.
        (0..EVENTS).for_each(|_| drop(client.poll(Duration::ZERO)));
        if client.context().0.lock().unwrap().is_some() {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "neither taken nor turned away");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn start(security: Security) -> Option<Broker> {
    if let Err(missing) = saga_testkit::broker::available() {
        assert!(
            std::env::var_os("CI").is_none(),
            "on CI it must run: {missing}"
        );
        eprintln!("real Kafka: left out ({missing})");
        return None;
    }
    let settings = Settings {
        security: Some(security),
        ..Settings::default()
    };
    Some(Broker::start(&settings).unwrap())
}

#[test]
fn tls_asks_for_trust_and_mutual_tls_for_a_certificate_that_is_good() {
    let Some(broker) = start(Security::default()) else {
        return;
    };
    let authority = broker.authority().unwrap();
    let ssl = ("security.protocol", "ssl");
    let trust = ("ssl.ca.location", text(authority.file()));
    is_taken(&broker.tls().unwrap(), &[ssl, trust]);

    let strangers = tempfile::tempdir().unwrap();
    let stranger = Authority::make(strangers.path(), "stranger").unwrap();
    is_turned_away(
        &broker.tls().unwrap(),
        &[ssl, ("ssl.ca.location", text(stranger.file()))],
    );

    let mutual = broker.mutual_tls().unwrap();
    is_turned_away(&mutual, &[ssl, trust]);
    for (signer, validity, is_good) in [
        (authority, Validity::Valid, true),
        (authority, Validity::Expired, false),
        (&stranger, Validity::Valid, false),
    ] {
        let ann = signer.client("ann", validity).unwrap();
        let properties = [
            ssl,
            trust,
            ("ssl.certificate.location", text(&ann.certificate)),
            ("ssl.key.location", text(&ann.key)),
        ];
        if is_good {
            is_taken(&mutual, &properties);
        } else {
            is_turned_away(&mutual, &properties);
        }
    }

    for validity in [
        Validity::OtherName,
        Validity::OtherAuthority,
        Validity::Expired,
    ] {
        broker.certify(validity).unwrap();
        is_turned_away(&broker.tls().unwrap(), &[ssl, trust]);
    }
    broker.kill();
    broker.start_again().unwrap();
    is_turned_away(&broker.tls().unwrap(), &[ssl, trust]);
    broker.certify(Validity::Valid).unwrap();
    is_taken(&broker.tls().unwrap(), &[ssl, trust]);
}

#[test]
fn sasl_asks_for_a_password_and_permissions_for_a_user() {
    let security = Security {
        users: vec![User::new("ann", "secret-1"), User::new("bob", "secret-2")],
        authorize: true,
        ..Security::default()
    };
    let Some(broker) = start(security) else {
        return;
    };
    let trust = text(broker.authority().unwrap().file());
    let (sasl, sasl_tls) = (broker.sasl().unwrap(), broker.sasl_tls().unwrap());
    let over = [(&sasl, "sasl_plaintext"), (&sasl_tls, "sasl_ssl")];
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for (bootstrap, protocol) in over {
            let login = |password| {
                [
                    ("security.protocol", protocol),
                    ("ssl.ca.location", trust),
                    ("sasl.mechanism", mechanism),
                    ("sasl.username", "ann"),
                    ("sasl.password", password),
                ]
            };
            is_taken(bootstrap, &login("secret-1"));
            is_turned_away(bootstrap, &login("secret-2"));
        }
    }
    broker
        .tool("kafka-topics", &["--create", "--topic", "t"], "")
        .unwrap();
    let may = [
        "--add",
        "--allow-principal",
        "User:ann",
        "--operation",
        "Describe",
        "--topic",
        "t",
    ];
    broker.tool("kafka-acls", &may, "").unwrap();
    for (user, password, sees) in [("ann", "secret-1", true), ("bob", "secret-2", false)] {
        let login = [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", user),
            ("sasl.password", password),
        ];
        let metadata = client(&sasl, &login)
            .fetch_metadata(None, PATIENCE)
            .unwrap();
        let topics: Vec<_> = metadata.topics().iter().map(|topic| topic.name()).collect();
        assert_eq!(topics.contains(&"t"), sees, "{user}: {topics:?}");
    }
}

#[test]
fn oauthbearer_asks_for_a_token_of_the_issuer() {
    let issuer = |secret: &str| {
        Issuer::start(IssuerClient {
            id: "ann".to_owned(),
            secret: secret.to_owned(),
            lifetime_s: 3_600,
        })
    };
    let (known, unknown) = (issuer("secret-1").unwrap(), issuer("secret-1").unwrap());
    let security = Security {
        tokens: Some(known.tokens()),
        ..Security::default()
    };
    let Some(broker) = start(security) else {
        return;
    };
    let sasl = broker.sasl().unwrap();
    let (known_url, unknown_url) = (known.token_endpoint(), unknown.token_endpoint());
    let login = |url, secret| {
        [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.client.id", "ann"),
            ("sasl.oauthbearer.client.secret", secret),
            ("sasl.oauthbearer.token.endpoint.url", url),
        ]
    };
    is_taken(&sasl, &login(&known_url, "secret-1"));
    assert_eq!(known.issued(), 1);
    is_turned_away(&sasl, &login(&known_url, "secret-2"));
    assert_eq!(known.issued(), 1);
    is_turned_away(&sasl, &login(&unknown_url, "secret-1"));
    assert!(unknown.issued() > 0);
}
