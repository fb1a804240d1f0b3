//! Conversion between record headers and attributes: CloudEvents 1.0 in Kafka's binary mode, and
//! W3C trace context.
//!
//! Every header is optional. Others than the attributes are kept as they are, because rules may ask
//! for them. A value that is not UTF-8 counts as missing: a header never makes a record unreadable.

use rdkafka::message::{BorrowedHeaders, Header, Headers, OwnedHeaders};
use saga_core::record::{Attributes, Record, header};

use crate::base::clock::{from_rfc3339, rfc3339};
use crate::base::panics;

/// Media type of an event's value.
const JSON: &str = "application/json";

/// Headers that are written anew for every record.
const OWN: [&str; 3] = [header::CONTENT_TYPE, header::SPEC_VERSION, header::TIME];

/// Most other headers that are kept, besides the version of the event: without that, its body would
/// be read as one of version 1.
const OTHERS: usize = 64;

/// Most bytes of another header's value that are kept.
const OTHER_BYTES: usize = 8 << 10;

/// The attributes in a record's headers, and the time of the event in milliseconds since the Unix
/// epoch, if they have one. Of a repeated header the last one counts, as in Kafka's own clients.
pub(crate) fn read(headers: Option<&BorrowedHeaders>) -> (Attributes, Option<u64>) {
    let Some(headers) = headers else {
        return Default::default();
    };
    // The client library panics on a header name that is not UTF-8. Such a record must still be
    // read, or it would come again for ever.
    let read = panics::caught(|| {
        let (mut attributes, mut made_at) = <(Attributes, Option<u64>)>::default();
        let mut version = None;
        for header in headers.iter() {
            let text = header
                .value
                .and_then(|value| std::str::from_utf8(value).ok());
            if header.key == header::TIME {
                made_at = text.and_then(from_rfc3339);
            }
            let named = |(name, _): &(&str, &mut Option<String>)| *name == header.key;
            if let Some((_, value)) = attributes.named_mut().into_iter().find(named) {
                *value = text.map(str::to_owned);
                continue;
            }
            let is_kept = |text: &&str| !OWN.contains(&header.key) && text.len() <= OTHER_BYTES;
            if header.key == header::DATA_VERSION {
                version = text.map(str::to_owned);
            } else if let Some(text) = text.filter(is_kept)
                && attributes.extra.len() < OTHERS
            {
                let other = (header.key.to_owned(), text.to_owned());
                attributes.extra.push(other);
            }
        }
        let version = version.map(|text| (header::DATA_VERSION.to_owned(), text));
        attributes.extra.extend(version);
        (attributes, made_at)
    });
    read.unwrap_or_else(|| {
        tracing::warn!("a record has a header whose name is not UTF-8; its headers are ignored");
        Default::default()
    })
}

pub(crate) fn write(record: &Record) -> OwnedHeaders {
    let attributes = &record.attributes;
    let time = rfc3339(record.timestamp);
    let mut list: Vec<(&str, &str)> = Vec::with_capacity(10 + attributes.extra.len());
    // Without an id the record is no CloudEvent, and must not claim to be one.
    if attributes.id.is_some() {
        if record.value.is_some() {
            list.push((header::CONTENT_TYPE, JSON));
        }
        list.extend([(header::SPEC_VERSION, "1.0"), (header::TIME, &time)]);
    }
    let named = attributes.named().into_iter();
    list.extend(named.filter_map(|(name, value)| Some((name, value.as_deref()?))));
    list.extend((attributes.extra.iter()).map(|(name, value)| (&**name, &**value)));
    let headers = OwnedHeaders::new_with_capacity(list.len());
    (list.into_iter()).fold(headers, |headers, (key, value)| {
        let value = Some(value);
        headers.insert(Header { key, value })
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
    fn other_headers_are_written_and_read_as_they_are() {
        let extra = vec![
            ("dlq_reason".to_owned(), "malformed".to_owned()),
            ("__TypeId__".to_owned(), "x.Y".to_owned()),
        ];
        let attributes = Attributes {
            extra,
            ..Attributes::default()
        };
        let headers = write(&record(attributes.clone()));
        assert_eq!(names(&headers), ["dlq_reason", "__TypeId__"]);
        assert_eq!(read(Some(headers.as_borrowed())), (attributes, None));
    }

    #[test]
    fn other_headers_are_kept_up_to_a_number_and_a_length() {
        let long = "x".repeat(OTHER_BYTES + 1);
        let mut headers = OwnedHeaders::new().insert(Header {
            key: "long",
            value: Some(&long),
        });
        for _ in 0..=OTHERS {
            headers = headers.insert(Header {
                key: "tenant",
                value: Some("acme"),
            });
        }
        headers = headers.insert(Header {
            key: header::DATA_VERSION,
            value: Some("2"),
        });
        let (attributes, _) = read(Some(headers.as_borrowed()));
        let mut kept = vec![("tenant".to_owned(), "acme".to_owned()); OTHERS];
        kept.push((header::DATA_VERSION.to_owned(), "2".to_owned()));
        assert_eq!(attributes.extra, kept, "the version is read in any case");
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
        // SAFETY: borrowed headers are the native ones under another name, and nobody else uses
        // these. The name and the value are copied; the lengths match them.
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
