use super::*;

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
    settings.partitions = 0;
    settings.replication = -2;
    let problems = settings.problems();
    assert_eq!(problems.len(), 6, "{problems:?}");
    for expected in [
        "bootstrap",
        "partitions 0",
        "replication -2",
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
}

#[test]
fn consumers_are_known_by_the_store_that_they_read_for() {
    let config = KafkaSettings::default().consumer_config("group", "member", "id");
    assert_eq!(config.get("client.id"), Some("saga/id"));
    assert_eq!(config.get("group.instance.id"), Some("id-member"));
    let named = with("client.id", "shop").consumer_config("group", "member", "id");
    assert_eq!(named.get("client.id"), Some("shop/id"));
    let named = with("group.instance.id", "one").consumer_config("group", "member", "id");
    assert_eq!(named.get("group.instance.id"), Some("one-member"));
}

#[test]
fn the_session_timeout_is_the_one_that_is_set() {
    let timeout = |settings: KafkaSettings| settings.session_timeout().as_secs();
    assert_eq!(timeout(KafkaSettings::default()), 10);
    assert_eq!(timeout(with("session.timeout.ms", "30000")), 30);
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
    let consumer = KafkaSettings::default().consumer_config("group", "member", "id");
    for (name, value, other) in [
        ("enable.auto.commit", "false", "true"),
        ("enable.auto.offset.store", "false", "true"),
        ("auto.offset.reset", "earliest", "latest"),
        ("allow.auto.create.topics", "false", "true"),
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
