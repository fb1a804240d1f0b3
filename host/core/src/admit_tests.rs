//! Tables of admission: records that are offered, passed over, or dead letters, with the messages
//! and the reasons.

use std::sync::Arc;

use super::*;
use crate::record::{Attributes, Position};
use saga_contract::description::{Endpoint, OlderVersion, StateDescription};

const LIMITS: TurnLimits = TurnLimits {
    record_bytes: 60,
    key_bytes: 8,
    attribute_bytes: 64,
    state_bytes: 0,
    event_bytes: 0,
    reply_bytes: 0,
    events: 0,
    timers: 0,
    check_outputs: false,
};

/// A participant that takes `opened` from two topics and, from the first, untyped records as
/// `opened` too.
fn description() -> Description {
    let subscription = |event_type: &str, topic: &str, key: &str, untyped| Subscription {
        event_type: event_type.into(),
        topic: topic.into(),
        group: "g".into(),
        key: key.into(),
        untyped,
        schema: "{}".into(),
        version: 1,
        older: Vec::new(),
    };
    Description {
        name: "desk".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        state: StateDescription {
            version: 1,
            oldest_readable: 1,
            schema: "{}".into(),
        },
        endpoint: Endpoint {
            base_path: String::new(),
            port: 0,
        },
        commands: Vec::new(),
        subscriptions: vec![
            subscription("closed", "first", "/desk", false),
            subscription("opened", "first", "/ticket/id", true),
            subscription("opened", "second", "/other", false),
        ],
        publications: Vec::new(),
        timers: Vec::new(),
        listings: Vec::new(),
        settings: None,
        metadata: Vec::new(),
        claims: Vec::new(),
        has_open_refusals: false,
    }
}

fn typed(event_type: &str) -> Attributes {
    Attributes {
        event_type: Some(event_type.into()),
        ..Attributes::default()
    }
}

fn a_record(value: &[u8], attributes: Attributes) -> Record {
    Record {
        position: Position {
            topic: Arc::from("broker.first"),
            incarnation: None,
            partition: 3,
            offset: 41,
        },
        timestamp: 1_700,
        key: Some(b"not looked at".to_vec()),
        value: Some(value.to_vec()),
        attributes,
    }
}

fn admit(record: &Record, topic: &str) -> Admission {
    super::record(record, topic, &description(), &LIMITS, 9_000)
}

fn offered(attributes: Attributes) -> Envelope {
    let admission = admit(&a_record(br#"{"ticket":{"id":7}}"#, attributes), "first");
    let Admission::Offer(envelope) = admission else {
        panic!("not offered: {admission:?}")
    };
    *envelope
}

#[test]
fn a_record_without_headers_is_offered_as_the_untyped_event_and_is_told_by_its_place() {
    let expected = Envelope {
        message: Message {
            id: "broker.first/3/41".into(),
            source: "/topics/broker.first".into(),
            origin: Origin::Event,
            name: "opened".into(),
            key: "7".into(),
            time: 9_000,
            correlation: "broker.first/3/41".into(),
            causation: None,
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: Vec::new(),
            body: r#"{"ticket":{"id":7}}"#.into(),
        },
        made_at: 1_700,
        traceparent: None,
    };
    assert_eq!(offered(Attributes::default()), expected);
}

#[test]
fn headers_become_attributes_of_the_message() {
    let envelope = offered(Attributes {
        id: Some("e-1".into()),
        source: Some("/saga/other".into()),
        event_type: Some("opened".into()),
        correlation: Some("saga-9".into()),
        causation: Some("cause-1".into()),
        digest: Some("nor this".into()),
        traceparent: Some("00-1-2-01".into()),
        extra: vec![("x".into(), "y".into())],
    });
    let message = &envelope.message;
    assert_eq!(
        (message.id.as_str(), message.source.as_str()),
        ("e-1", "/saga/other")
    );
    assert_eq!(message.correlation, "saga-9");
    assert_eq!(message.causation.as_deref(), Some("cause-1"));
    assert_eq!(envelope.traceparent.as_deref(), Some("00-1-2-01"));
}

/// Invariant 3: the identity of an event.
#[test]
fn invariant_3_identity_follows_from_the_headers_or_the_place() {
    let place = ("broker.first/3/41", "/topics/broker.first");
    let table = [
        (Some("e"), Some("/s"), ("e", "/s")),
        // The topic becomes the source, since other topics may use the same ids.
        (Some("e"), None, ("e", "/topics/broker.first")),
        (Some("e"), Some(""), ("e", "/topics/broker.first")),
        (None, Some("/s"), place),
        (None, None, place),
        // An empty id would make all records of the source one event, and all but one would be
        // lost.
        (Some(""), Some("/s"), place),
        (Some(""), None, place),
        (Some(" "), Some("/s"), (" ", "/s")),
    ];
    for (id, source, expected) in table {
        let attributes = Attributes {
            id: id.map(Into::into),
            source: source.map(Into::into),
            ..Attributes::default()
        };
        let message = offered(attributes).message;
        assert_eq!(
            (message.id.as_str(), message.source.as_str()),
            expected,
            "{id:?} {source:?}"
        );
        assert_eq!(
            message.correlation, expected.0,
            "the first message of a saga names it"
        );
    }
}

#[test]
fn an_empty_correlation_counts_as_none() {
    let attributes = Attributes {
        id: Some("e".into()),
        correlation: Some(String::new()),
        ..Attributes::default()
    };
    assert_eq!(offered(attributes).message.correlation, "e");
}

#[test]
fn the_event_type_and_the_topic_choose_the_subscription() {
    enum To {
        Offered(&'static str, &'static str),
        Skipped,
        Malformed(&'static str),
    }
    let body = br#"{"desk":"d","ticket":{"id":"t"},"other":"o"}"#;
    let table = [
        (Some("closed"), "first", To::Offered("closed", "d")),
        (Some("opened"), "first", To::Offered("opened", "t")),
        (Some("opened"), "second", To::Offered("opened", "o")),
        (None, "first", To::Offered("opened", "t")),
        (Some(""), "first", To::Offered("opened", "t")),
        (Some("closed"), "second", To::Skipped),
        (Some("Opened"), "first", To::Skipped),
        (Some("opened"), "third", To::Skipped),
        (
            None,
            "second",
            To::Malformed("desk takes no untyped records from second"),
        ),
        (
            Some(""),
            "second",
            To::Malformed("names no event type (header ce_type)"),
        ),
        (
            None,
            "third",
            To::Malformed("names no event type (header ce_type)"),
        ),
    ];
    for (event_type, topic, to) in table {
        let attributes = event_type.map(typed).unwrap_or_default();
        let admission = admit(&a_record(body, attributes), topic);
        let fits = match (&admission, to) {
            (Admission::Offer(envelope), To::Offered(name, key)) => {
                (
                    envelope.message.name.as_str(),
                    envelope.message.key.as_str(),
                ) == (name, key)
            }
            (Admission::Skip, To::Skipped) => true,
            (Admission::Malformed(reason), To::Malformed(words)) => reason.contains(words),
            _ => false,
        };
        assert!(fits, "{event_type:?} on {topic}: {admission:?}");
    }
}

#[test]
fn a_record_that_is_passed_over_may_be_anything() {
    for value in [None, Some(Vec::new()), Some(vec![0xff; 5_000])] {
        let record = Record {
            value,
            ..a_record(b"", typed("unheard-of"))
        };
        assert_eq!(admit(&record, "first"), Admission::Skip);
    }
}

#[test]
fn a_value_that_cannot_be_read_is_malformed() {
    let long = format!(r#"{{"ticket":{{"id":1}},"more":"{}"}}"#, "x".repeat(60));
    let deep = "[".repeat(60);
    let table: [(Option<&[u8]>, &str); 9] = [
        (None, "has no value (a tombstone)"),
        (Some(b""), "has an empty value"),
        (
            Some(long.as_bytes()),
            "value of 89 bytes is over the limit of 60",
        ),
        (
            Some(b"{\"ticket\":\"\xff\"}"),
            "value is not UTF-8: invalid utf-8 sequence of 1 bytes from index 11",
        ),
        (
            Some(b"ticket 7"),
            "value is not JSON: expected ident at line 1 column 2",
        ),
        (
            Some(b"{\"ticket\":"),
            "value is not JSON: EOF while parsing a value",
        ),
        (Some(b"{} {}"), "value is not JSON: trailing characters"),
        (Some(b"\xef\xbb\xbf{}"), "value is not JSON"),
        (Some(deep.as_bytes()), "value is not JSON"),
    ];
    for (value, words) in table {
        let record = Record {
            value: value.map(<[u8]>::to_vec),
            ..a_record(b"", Attributes::default())
        };
        malformed(&admit(&record, "first"), words);
    }
}

#[test]
fn invariant_9_a_value_up_to_the_limit_is_offered() {
    let value = format!(r#"{{"ticket":{{"id":1}},"more":"{}"}}"#, "x".repeat(31));
    assert_eq!(value.len(), LIMITS.record_bytes);
    assert!(matches!(
        admit(&a_record(value.as_bytes(), Attributes::default()), "first"),
        Admission::Offer(_)
    ));
    let value = value.replace("more", "moree");
    malformed(
        &admit(&a_record(value.as_bytes(), Attributes::default()), "first"),
        "value of 61 bytes is over",
    );
}

#[test]
fn invariant_9_attributes_up_to_the_limit_are_kept_and_longer_ones_are_malformed() {
    type Set = fn(&mut Attributes, String);
    let set: [(&str, Set); 4] = [
        ("ce_id", |attributes, text| attributes.id = Some(text)),
        ("ce_source", |attributes, text| {
            attributes.source = Some(text)
        }),
        ("ce_correlationid", |attributes, text| {
            attributes.correlation = Some(text)
        }),
        ("traceparent", |attributes, text| {
            attributes.traceparent = Some(text)
        }),
    ];
    for (header, set) in set {
        let with = |bytes| {
            let mut attributes = Attributes::default();
            set(&mut attributes, "x".repeat(bytes));
            attributes
        };
        offered(with(64));
        let admission = admit(&a_record(br#"{"ticket":{"id":7}}"#, with(65)), "first");
        malformed(
            &admission,
            &format!("header {header} of 65 bytes is over the limit of 64"),
        );
    }
}

#[test]
fn attributes_that_not_every_store_takes_are_malformed() {
    let value = br#"{"ticket":{"id":1}}"#;
    let text = || Some("a\0b".to_owned());
    for (name, attributes) in [
        (
            "ce_id",
            Attributes {
                id: text(),
                ..Attributes::default()
            },
        ),
        (
            "ce_source",
            Attributes {
                source: text(),
                ..Attributes::default()
            },
        ),
    ] {
        let words = format!("header {name} has the character U+0000");
        malformed(&admit(&a_record(value, attributes), "first"), &words);
    }
}

#[test]
fn the_body_is_kept_to_the_letter() {
    let value = "{ \"ticket\":{\"id\":1}, \"sum\":10.250000000000000000001}\n";
    let Admission::Offer(envelope) =
        admit(&a_record(value.as_bytes(), Attributes::default()), "first")
    else {
        panic!("not offered");
    };
    assert_eq!(envelope.message.body, value);
}

#[test]
fn a_key_is_a_string_or_a_whole_number() {
    let table = [
        (r#""a""#, Ok("a")),
        (r#""12""#, Ok("12")),
        (r#"" ""#, Ok(" ")),
        (r#""é/~""#, Ok("é/~")),
        ("0", Ok("0")),
        ("-12", Ok("-12")),
        ("-0", Ok("0")),
        ("12345678", Ok("12345678")),
        (
            "123456789",
            Err("key at /k is 9 bytes long, over the limit of 8"),
        ),
        (
            r#""éééé1""#,
            Err("key at /k is 9 bytes long, over the limit of 8"),
        ),
        (r#""""#, Err("key at /k is empty")),
        (r#""a\u0000""#, Err("key at /k has the character U+0000")),
        (
            "1.0",
            Err(
                "key at /k is a number with a fraction or an exponent, not a string or a whole number",
            ),
        ),
        ("1e2", Err("is a number with a fraction or an exponent")),
        ("null", Err("key at /k is null")),
        ("true", Err("key at /k is true or false")),
        ("[1]", Err("key at /k is an array")),
        ("{}", Err("key at /k is an object")),
    ];
    for (key, expected) in table {
        let body = serde_json::from_str(&format!(r#"{{"k":{key}}}"#)).unwrap();
        match (key_at(&body, "/k", &LIMITS), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(reason), Err(words)) => assert!(reason.contains(words), "{key}: {reason}"),
            (found, _) => panic!("{key}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn a_whole_number_keeps_every_digit() {
    let limits = TurnLimits {
        key_bytes: 64,
        ..LIMITS
    };
    for digits in [
        "9223372036854775808",
        "123456789012345678901234567890",
        "-18446744073709551617",
    ] {
        let body = serde_json::from_str(&format!(r#"{{"k":{digits}}}"#)).unwrap();
        assert_eq!(key_at(&body, "/k", &limits).as_deref(), Ok(digits));
    }
}

#[test]
fn a_key_is_found_by_its_pointer() {
    let body: Value =
        serde_json::from_str(r#"{"a":{"b":["x","y"]},"c/d":"z","":"empty"}"#).unwrap();
    for (pointer, expected) in [("/a/b/1", "y"), ("/c~1d", "z"), ("/", "empty")] {
        assert_eq!(key_at(&body, pointer, &LIMITS).as_deref(), Ok(expected));
    }
    for pointer in ["/a/b/2", "/a/b/-", "/A", "/a/b/x"] {
        assert_eq!(
            key_at(&body, pointer, &LIMITS),
            Err(format!("has no key at {pointer}"))
        );
    }
    let scalar = Value::from(5);
    assert_eq!(
        key_at(&scalar, "/k", &LIMITS),
        Err("has no key at /k".into())
    );
}

#[test]
fn a_record_whose_key_is_missing_or_wrong_is_malformed() {
    malformed(
        &admit(&a_record(b"{}", Attributes::default()), "first"),
        "has no key at /ticket/id",
    );
    let record = a_record(br#"{"ticket":{"id":null}}"#, Attributes::default());
    malformed(&admit(&record, "first"), "key at /ticket/id is null");
}

fn malformed(admission: &Admission, words: &str) {
    let Admission::Malformed(reason) = admission else {
        panic!("expected `{words}`, not {admission:?}")
    };
    assert!(reason.contains(words), "`{words}` is not in `{reason}`");
}

#[test]
fn the_version_of_an_event_says_where_its_key_is() {
    let mut description = description();
    let subscription = &mut description.subscriptions[1];
    subscription.version = 3;
    subscription.older = vec![OlderVersion {
        version: 1,
        key: "/id".into(),
        schema: "true".into(),
    }];
    let admitted = |version: Option<&str>, body: &str| {
        let version = version.map(|text| (header::DATA_VERSION.to_owned(), text.to_owned()));
        let attributes = Attributes {
            extra: version.into_iter().collect(),
            ..Attributes::default()
        };
        let record = a_record(body.as_bytes(), attributes);
        match super::record(&record, "first", &description, &LIMITS, 9_000) {
            Admission::Offer(envelope) => Ok((envelope.message.version, envelope.message.key)),
            Admission::Malformed(reason) => Err(reason),
            Admission::Skip => Err("skipped".into()),
        }
    };
    let present = r#"{"ticket":{"id":7}}"#;
    assert_eq!(admitted(Some("3"), present), Ok((3, "7".into())));
    assert_eq!(admitted(None, r#"{"id":8}"#), Ok((1, "8".into())));
    for (version, words) in [
        (
            "2",
            "is version 2 of the event opened, and the rules read 1, 3: apply rules that read it, then redrive",
        ),
        ("4", "is version 4 of the event opened"),
        (
            "0",
            "header ce_dataversion is \"0\", not the version of the event",
        ),
        ("new", "header ce_dataversion is \"new\""),
    ] {
        let reason = admitted(Some(version), present).unwrap_err();
        assert!(reason.contains(words), "{version}: {reason}");
    }
}

#[test]
fn the_headers_that_the_description_names_become_metadata() {
    let mut description = description();
    description.metadata = vec!["x-region".into(), "x-tenant".into()];
    let extra = [
        ("X-Tenant", "acme"),
        ("x-tenant", "globex"),
        ("x-other", "no"),
    ];
    let attributes = |extra: &[(&str, &str)]| Attributes {
        extra: (extra.iter())
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Attributes::default()
    };
    let record = |extra: &[(&str, &str)]| {
        let record = a_record(br#"{"ticket":{"id":7}}"#, attributes(extra));
        super::record(&record, "first", &description, &LIMITS, 9_000)
    };
    let Admission::Offer(envelope) = record(&extra) else {
        panic!("not offered")
    };
    assert_eq!(
        envelope.message.metadata,
        [("x-tenant".to_owned(), "globex".to_owned())]
    );
    let long = "x".repeat(LIMITS.attribute_bytes + 1);
    let Admission::Malformed(reason) = record(&[("x-region", &long)]) else {
        panic!("not refused")
    };
    assert!(reason.starts_with("header x-region of"), "{reason}");
}

#[test]
fn what_the_schema_calls_an_integer_is_offered_as_one() {
    let mut description = description();
    description.subscriptions[1].schema =
        r#"{"properties":{"ticket":{"properties":{"id":{"type":"integer"}}}}}"#.into();
    let record = a_record(br#"{"ticket":{"id":7.0}}"#, Attributes::default());
    let admission = super::record(&record, "first", &description, &LIMITS, 9_000);
    let Admission::Offer(envelope) = admission else {
        panic!("not offered: {admission:?}")
    };
    let message = envelope.message;
    assert_eq!(
        (&*message.key, &*message.body),
        ("7", r#"{"ticket":{"id":7}}"#)
    );
}
