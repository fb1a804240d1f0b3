//! Record headers to attributes and back: CloudEvents 1.0 in Kafka's binary mode, and W3C trace context.
//!
//! Every header may be missing, and headers of others (a Java type header, say) mean nothing here. What
//! is not UTF-8 counts as missing: a header never makes a record unreadable.

use rdkafka::message::{BorrowedHeaders, Header, Headers, OwnedHeaders};
use saga_core::record::{Attributes, Record, header};

use crate::base::clock::{from_rfc3339, rfc3339};
use crate::base::panics;

/// Media type of the value of an event.
const JSON: &str = "application/json";

/// What the headers of a record say, and when it was made, in milliseconds since the Unix epoch, if they say that; of a repeated header
/// the last one counts, as it does for Kafka's own clients.
pub(super) fn read(headers: Option<&BorrowedHeaders>) -> (Attributes, Option<u64>) {
    let Some(headers) = headers else {
        return Default::default();
    };
    // The client library panics on a header name that is not UTF-8. Such a record still has to be
    // read, or it would come again for ever.
    let read = panics::caught(|| {
        let (mut attributes, mut made_at) = Default::default();
        for header in headers.iter() {
            if header.key == header::TIME {
                let text = header
                    .value
                    .and_then(|value| std::str::from_utf8(value).ok());
                made_at = text.and_then(from_rfc3339);
            } else if let Some(to) = attribute(&mut attributes, header.key) {
                *to = header
                    .value
                    .and_then(|value| std::str::from_utf8(value).ok())
                    .map(str::to_owned);
            }
        }
        (attributes, made_at)
    });
    read.unwrap_or_else(|| {
        tracing::warn!("a record has a header whose name is not UTF-8; its headers are ignored");
        Default::default()
    })
}

/// The headers of a record that is published.
pub(super) fn write(record: &Record) -> OwnedHeaders {
    let attributes = &record.attributes;
    let mut headers = OwnedHeaders::new_with_capacity(10 + attributes.extra.len());
    let with = |headers: OwnedHeaders, name: &str, value: &str| {
        headers.insert(Header {
            key: name,
            value: Some(value),
        })
    };
    // Without an id it is no CloudEvent, and must not claim to be one.
    if let Some(id) = &attributes.id {
        if record.value.is_some() {
            headers = with(headers, header::CONTENT_TYPE, JSON);
        }
        headers = with(headers, header::SPEC_VERSION, "1.0");
        headers = with(headers, header::ID, id);
        headers = with(headers, header::TIME, &rfc3339(record.timestamp));
    }
    for (name, value) in [
        (header::SOURCE, &attributes.source),
        (header::TYPE, &attributes.event_type),
        (header::CORRELATION, &attributes.correlation),
        (header::CAUSATION, &attributes.causation),
        (header::DIGEST, &attributes.digest),
        (header::TRACEPARENT, &attributes.traceparent),
    ] {
        if let Some(value) = value {
            headers = with(headers, name, value);
        }
    }
    for (name, value) in &attributes.extra {
        headers = with(headers, name, value);
    }
    headers
}

fn attribute<'a>(attributes: &'a mut Attributes, name: &str) -> Option<&'a mut Option<String>> {
    Some(match name {
        header::ID => &mut attributes.id,
        header::SOURCE => &mut attributes.source,
        header::TYPE => &mut attributes.event_type,
        header::CORRELATION => &mut attributes.correlation,
        header::CAUSATION => &mut attributes.causation,
        header::DIGEST => &mut attributes.digest,
        header::TRACEPARENT => &mut attributes.traceparent,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use saga_core::record::Position;

    use super::*;

    fn record(attributes: Attributes) -> Record {
        Record {
            position: Position {
                topic: Arc::from("t"),
                incarnation: None,
                partition: 0,
                offset: 0,
            },
            timestamp: 1_700_000_000_123,
            key: None,
            value: Some(b"{}".to_vec()),
            attributes,
        }
    }

    fn full() -> Attributes {
        Attributes {
            id: Some("id".into()),
            source: Some("/saga/order".into()),
            event_type: Some("order-created".into()),
            correlation: Some("correlation".into()),
            causation: Some("causation".into()),
            digest: Some("digest".into()),
            traceparent: Some("00-1-2-01".into()),
            extra: Vec::new(),
        }
    }

    fn names(headers: &OwnedHeaders) -> Vec<String> {
        headers.iter().map(|header| header.key.to_owned()).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let record = record(full());
        let (attributes, made_at) = read(Some(write(&record).as_borrowed()));
        assert_eq!((attributes, made_at), (full(), Some(record.timestamp)));
    }

    #[test]
    fn an_event_is_a_cloud_event_in_binary_mode() {
        let headers = write(&record(full()));
        let value = |name: &str| {
            let found = headers
                .iter()
                .find(|header| header.key == name)
                .and_then(|header| header.value);
            found.map(|value| String::from_utf8(value.to_vec()).unwrap())
        };
        assert_eq!(value("ce_specversion").as_deref(), Some("1.0"));
        assert_eq!(
            value("ce_time").as_deref(),
            Some("2023-11-14T22:13:20.123Z")
        );
        assert_eq!(value("content-type").as_deref(), Some("application/json"));
    }

    #[test]
    fn a_record_without_attributes_claims_nothing() {
        assert_eq!(write(&record(Attributes::default())).count(), 0);
        assert_eq!(read(None), Default::default());
    }

    #[test]
    fn further_headers_are_written_as_they_are_and_never_read() {
        let extra = vec![
            ("dlq_reason".to_owned(), "malformed".to_owned()),
            ("__TypeId__".to_owned(), "x.Y".to_owned()),
        ];
        let headers = write(&record(Attributes {
            extra,
            ..Attributes::default()
        }));
        assert_eq!(names(&headers), ["dlq_reason", "__TypeId__"]);
        assert_eq!(read(Some(headers.as_borrowed())), Default::default());
    }

    #[test]
    fn a_value_that_is_not_utf_8_counts_as_missing_and_the_last_of_two_counts() {
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: "ce_id",
                value: Some(&[0xff_u8, 0xfe][..]),
            })
            .insert(Header {
                key: "ce_type",
                value: Some("first"),
            })
            .insert(Header {
                key: "ce_type",
                value: Some("last"),
            })
            .insert(Header::<&str> {
                key: "traceparent",
                value: None,
            });
        let (attributes, _) = read(Some(headers.as_borrowed()));
        assert_eq!(
            attributes,
            Attributes {
                event_type: Some("last".into()),
                ..Attributes::default()
            }
        );
    }

    #[test]
    #[allow(
        unsafe_code,
        reason = "what another client may send can't be made safely here"
    )]
    fn a_name_that_is_not_utf_8_does_not_stop_the_consumer() {
        use rdkafka::bindings::{rd_kafka_header_add, rd_kafka_headers_t};
        let headers = write(&record(full()));
        let native = std::ptr::from_ref(headers.as_borrowed())
            .cast::<rd_kafka_headers_t>()
            .cast_mut();
        // SAFETY: borrowed headers are the native ones under another name, and nobody else has these.
        // The name and the value are copied; the lengths are theirs.
        let answer = unsafe {
            rd_kafka_header_add(native, b"a\xff".as_ptr().cast(), 2, b"x".as_ptr().cast(), 1)
        };
        assert_eq!(
            answer,
            rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        );
        assert_eq!(read(Some(headers.as_borrowed())), Default::default());
    }
}
