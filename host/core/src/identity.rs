//! Deterministic ids.
//!
//! The id of an event is a function of its cause: a turn that runs again after a crash or from a
//! restored store publishes the same ids, and a consumer that deduplicates by id sees each event
//! once (invariant 3). The ids are version 8 UUIDs (RFC 9562) that start with the time at which the
//! causing message was made, so that they lie close together in an index.

use sha2::{Digest, Sha256};

use crate::hex;

/// The identity of a message: source and id together, as in CloudEvents.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The producer.
    pub source: String,
    /// Id, unique within the source.
    pub id: String,
}

/// The source of the events of a participant of this host.
#[must_use]
pub fn source_of(participant: &str) -> String {
    format!("/saga/{participant}")
}

/// The id of event number `index` that `participant` publishes on the message `cause`, which was
/// made at `made_at` (milliseconds since the Unix epoch).
#[must_use]
pub fn event_id(participant: &str, cause: &Identity, made_at: u64, index: usize) -> String {
    let mut hash = Sha256::new();
    // The lengths keep ("a", "bc") and ("ab", "c") apart.
    for part in [
        participant.as_bytes(),
        cause.source.as_bytes(),
        cause.id.as_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update((index as u64).to_be_bytes());
    let digest = hash.finalize();
    let mut tail = [0u8; 10];
    for (to, from) in tail.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    uuid_v8(made_at, tail)
}

/// The identity of a record without an id: its position.
#[must_use]
pub fn of_position(position: &crate::record::Position) -> Identity {
    let place = position.to_string();
    Identity {
        source: format!("/topics/{}", position.topic),
        id: match &position.incarnation {
            None => place,
            Some(incarnation) => format!("{place}@{incarnation}"),
        },
    }
}

/// An id for a message without a cause, from the time and 10 random bytes.
#[must_use]
pub fn uuid_v8(unix_millis: u64, tail: [u8; 10]) -> String {
    uuid_text(v8_bytes(unix_millis, tail))
}

fn v8_bytes(unix_millis: u64, tail: [u8; 10]) -> [u8; 16] {
    let [_, _, t0, t1, t2, t3, t4, t5] = unix_millis.to_be_bytes();
    let [a0, a1, b0, b1, c0, c1, c2, c3, c4, c5] = tail;
    let (a0, b0) = ((a0 & 0x0f) | 0x80, (b0 & 0x3f) | 0x80);
    [
        t0, t1, t2, t3, t4, t5, a0, a1, b0, b1, c0, c1, c2, c3, c4, c5,
    ]
}

/// The text of a UUID: lower case, with hyphens.
#[must_use]
pub fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        hex::push(&mut text, [byte]);
    }
    text
}

/// The bytes of a UUID, if this is its text as [`uuid_text`] writes it.
#[must_use]
pub fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut rest = text.as_bytes();
    for (index, byte) in bytes.iter_mut().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            rest = rest.strip_prefix(b"-")?;
        }
        ([*byte], rest) = hex::take(rest)?;
    }
    rest.is_empty().then_some(bytes)
}

/// A W3C trace context for a message that came without one, from 10 random bytes and the time.
#[must_use]
pub fn traceparent(unix_millis: u64, tail: [u8; 10]) -> String {
    let trace = v8_bytes(unix_millis, tail);
    let [.., s0, s1, s2, s3, s4, s5, s6, s7] = trace;
    traceparent_text(trace, [s0, s1, s2, s3, s4, s5, s6, s7], 1)
}

/// The text of a W3C trace context of version 00.
#[must_use]
pub fn traceparent_text(trace: [u8; 16], span: [u8; 8], flags: u8) -> String {
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    hex::push(&mut text, &trace);
    text.push('-');
    hex::push(&mut text, &span);
    text.push('-');
    hex::push(&mut text, [&flags]);
    text
}

/// Trace, span and flags of a W3C trace context, if this is its text as [`traceparent_text`] writes
/// it.
#[must_use]
pub fn traceparent_bytes(text: &str) -> Option<([u8; 16], [u8; 8], u8)> {
    let (trace, rest) = hex::take(text.as_bytes().strip_prefix(b"00-")?)?;
    let (span, rest) = hex::take(rest.strip_prefix(b"-")?)?;
    let ([flags], rest) = hex::take(rest.strip_prefix(b"-")?)?;
    rest.is_empty().then_some((trace, span, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(id: &str) -> Identity {
        Identity {
            source: "/saga/order".into(),
            id: id.into(),
        }
    }

    #[test]
    fn the_same_turn_makes_the_same_id() {
        let first = event_id("customer", &cause("a"), 1_700_000_000_000, 0);
        assert_eq!(
            first,
            event_id("customer", &cause("a"), 1_700_000_000_000, 0)
        );
        assert_eq!(first.len(), 36);
        assert_eq!(first.as_bytes().get(14), Some(&b'8'), "version 8: {first}");
    }

    #[test]
    fn every_part_of_the_cause_makes_another_id() {
        let ids: std::collections::BTreeSet<_> = [
            event_id("customer", &cause("a"), 7, 0),
            event_id("customer", &cause("a"), 7, 1),
            event_id("customer", &cause("b"), 7, 0),
            event_id("order", &cause("a"), 7, 0),
            event_id(
                "customer",
                &Identity {
                    source: "/other".into(),
                    id: "a".into(),
                },
                7,
                0,
            ),
        ]
        .into();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn the_same_place_in_another_topic_of_the_name_is_another_record() {
        let first = crate::record::Position {
            topic: "t".into(),
            incarnation: None,
            partition: 1,
            offset: 7,
        };
        assert_eq!(of_position(&first).id, "t/1/7");
        let other = crate::record::Position {
            incarnation: Some("Zm9v".into()),
            ..first
        };
        assert_eq!(of_position(&other).id, "t/1/7@Zm9v");
    }

    #[test]
    fn ids_sort_by_the_time_of_the_cause() {
        assert!(
            event_id("p", &cause("z"), 1_700_000_000_000, 0)
                < event_id("p", &cause("a"), 1_700_000_000_001, 0)
        );
    }

    #[test]
    fn texts_and_bytes_are_the_same_ids() {
        let text = uuid_v8(1_700_000_000_000, [0xab; 10]);
        assert_eq!(text, "018bcfe5-6800-8bab-abab-abababababab");
        assert_eq!(uuid_bytes(&text).map(uuid_text), Some(text.clone()));
        let trace = traceparent(1_700_000_000_000, [0xab; 10]);
        assert_eq!(
            trace,
            "00-018bcfe568008bababababababababab-abababababababab-01"
        );
        let bytes = traceparent_bytes(&trace);
        let back = bytes.map(|(trace, span, flags)| traceparent_text(trace, span, flags));
        assert_eq!(back, Some(trace.clone()));
        for other in [
            "",
            &text.to_uppercase(),
            &format!("{text}0"),
            &text.replace('-', ""),
            &text.replace('-', "_"),
        ] {
            assert_eq!(uuid_bytes(other), None, "{other}");
        }
        for other in [
            "",
            &trace.to_uppercase(),
            &format!("{trace}0"),
            &trace.replacen("00", "01", 1),
        ] {
            assert_eq!(traceparent_bytes(other), None, "{other}");
        }
    }

    #[test]
    fn a_trace_context_has_the_form_of_the_standard() {
        let text = traceparent(1_700_000_000_000, [7; 10]);
        let lengths: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [2, 32, 16, 2]);
    }
}
