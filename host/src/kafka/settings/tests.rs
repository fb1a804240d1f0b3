use super::*;
use crate::kafka::tests::login;

fn with(name: &str, value: &str) -> KafkaSettings {
    KafkaSettings {
        properties: BTreeMap::from([(name.into(), value.into())]),
        ..KafkaSettings::default()
    }
}

#[test]
fn the_defaults_are_in_order() {
    assert_eq!(KafkaSettings::default().problems(), Vec::<String>::new());
}

#[test]
fn every_problem_is_listed_at_once() {
    let mut settings = with("enable.idempotence", "false");
    settings
        .properties
        .insert("no.such.property".into(), "1".into());
    settings
        .properties
        .insert("socket.timeout.ms".into(), "soon".into());
    settings.bootstrap = "a:1,".into();
    settings.replication = 0;
    let problems = settings.problems();
    assert_eq!(problems.len(), 5, "{problems:?}");
    for expected in [
        "bootstrap",
        "replication 0",
        "enable.idempotence",
        "no.such.property",
        "soon",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected}: {problems:?}"
        );
    }
}

#[test]
fn secrets_are_neither_printed_nor_serialized() {
    let mut settings = with("sasl.password", "hunter2");
    settings
        .properties
        .insert("sasl.username".into(), "ann".into());
    for text in [
        format!("{settings:?}"),
        serde_json::to_string(&settings).unwrap(),
    ] {
        assert!(
            !text.contains("hunter2") && text.contains("ann") && text.contains(REDACTED),
            "{text}"
        );
    }
}

#[test]
fn a_property_from_outside_replaces_a_default_but_not_what_must_be() {
    let mut settings = with("linger.ms", "20");
    settings.properties.insert("acks".into(), "0".into());
    let config = settings.producer_config();
    assert_eq!(config.get("linger.ms"), Some("20"));
    assert_eq!(
        config.get("max.in.flight.requests.per.connection"),
        Some("1")
    );
    let alias = with("queue.buffering.max.ms", "30").producer_config();
    assert_eq!(
        (alias.get("linger.ms"), alias.get("queue.buffering.max.ms")),
        (Some("30"), None)
    );
    assert_eq!(config.get("acks"), Some("all"));
    let config =
        with("statistics.interval.ms", "0").consumer_config("group", "member", ("id", false));
    assert_eq!(config.get("statistics.interval.ms"), Some("1000"));
}

#[test]
fn consumers_are_known_by_the_store_that_they_read_for() {
    let config = KafkaSettings::default().consumer_config("group", "member", ("id", false));
    assert_eq!(config.get("client.id"), Some("saga/id"));
    assert_eq!(config.get("group.instance.id"), Some("id-member"));
    let named = with("client.id", "shop").consumer_config("group", "member", ("id", false));
    assert_eq!(named.get("client.id"), Some("shop/id"));
    let named = with("group.instance.id", "one").consumer_config("group", "member", ("id", false));
    assert_eq!(named.get("group.instance.id"), Some("one-member"));
    // Of several hosts on a store, each has a name only if it was given one.
    let shared = KafkaSettings::default().consumer_config("group", "member", ("id", true));
    assert_eq!(shared.get("group.instance.id"), None);
}

#[test]
fn the_session_timeout_is_the_one_that_is_set() {
    let timeout = |settings: KafkaSettings| settings.group_patience() - GOODBYE;
    assert_eq!(timeout(KafkaSettings::default()), Duration::from_secs(10));
    assert_eq!(
        timeout(with("session.timeout.ms", "30000")),
        Duration::from_secs(30)
    );
}

#[test]
fn invariants_1_and_4_rest_on_properties_that_nobody_can_change() {
    let producer = KafkaSettings::default().producer_config();
    for (name, value) in [
        ("enable.idempotence", "true"),
        ("enable.gapless.guarantee", "true"),
        ("message.timeout.ms", "0"),
        ("acks", "all"),
        ("max.in.flight.requests.per.connection", "1"),
        ("allow.auto.create.topics", "false"),
    ] {
        assert_eq!(producer.get(name), Some(value), "{name}");
        assert_eq!(with(name, value).problems().len(), 1, "{name}");
    }
    let consumer = KafkaSettings::default().consumer_config("group", "member", ("id", false));
    for (name, value, other) in [
        ("enable.auto.commit", "false", "true"),
        ("enable.auto.offset.store", "false", "true"),
        ("auto.offset.reset", "earliest", "latest"),
        ("allow.auto.create.topics", "false", "true"),
        ("statistics.interval.ms", "1000", "0"),
    ] {
        assert_eq!(consumer.get(name), Some(value), "{name}");
        assert_eq!(with(name, other).problems().len(), 1, "{name}");
    }
    for (name, value) in [
        ("max.in.flight", "5"),
        ("group.protocol", "consumer"),
        ("isolation.level", "read_uncommitted"),
        ("delivery.report.only.error", "true"),
        ("partitioner", "random"),
        ("retries", "0"),
    ] {
        assert_eq!(with(name, value).problems().len(), 1, "{name}");
    }
}

#[test]
fn authorities_are_those_of_the_system_unless_others_are_named() {
    let trusted = |settings: KafkaSettings| {
        let config = settings.probe_config();
        config.get("ssl.ca.location").map(str::to_owned)
    };
    let tls = |ca_file: Option<&str>| KafkaSettings {
        tls: Some(TlsSettings {
            enabled: true,
            ca_file: ca_file.map(Into::into),
            ..TlsSettings::default()
        }),
        ..KafkaSettings::default()
    };
    assert_eq!(trusted(tls(None)).as_deref(), Some("probe"));
    assert_eq!(
        trusted(tls(Some("/etc/own.pem"))).as_deref(),
        Some("/etc/own.pem")
    );
    assert_eq!(
        trusted(with("security.protocol", "ssl")).as_deref(),
        Some("probe")
    );
    assert_eq!(
        trusted(with("ssl.ca.location", "/etc/own.pem")).as_deref(),
        Some("/etc/own.pem")
    );
}

#[test]
fn servers_are_checked_because_librdkafka_takes_nearly_anything() {
    for server in [
        "localhost:9092",
        "localhost",
        "127.0.0.1:29092",
        "[::1]:9092",
        "[fe80::1%eth0]:9092",
        "SASL_SSL://b-1.shop_kafka.example.com:9098",
    ] {
        assert!(is_server(server), "{server}");
    }
    for server in [
        "",
        ":9092",
        "localhost:99999",
        "localhost:0",
        "localhost:",
        "localhost:kafka",
        "a:1;b:2",
        "127.0.0.1 :9092",
        "http://localhost:9092",
        "[::1:9092",
        "[::1]9092",
        "a:1/b",
    ] {
        assert!(!is_server(server), "{server}");
    }
}

#[test]
fn only_scram_and_tls_keep_the_secret_from_who_listens() {
    let open = |mechanism, is_tls| {
        let tls = TlsSettings {
            enabled: is_tls,
            ..TlsSettings::default()
        };
        let settings = KafkaSettings {
            sasl: Some(login(mechanism)),
            tls: Some(tls),
            ..KafkaSettings::default()
        };
        !settings.open_secrets().is_empty()
    };
    assert!(open("PLAIN", false) && !open("PLAIN", true));
    assert!(!open("SCRAM-SHA-256", false) && !open("SCRAM-SHA-512", false));
}
