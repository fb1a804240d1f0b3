//! Where the partitions that are read begin and end, as the consumers last heard with what they fetched: nobody is asked
//! for it. Noted by the consumers' threads now and then, read by whoever wants to know how far behind they are.
//!
//! librdkafka knows it; its Rust binding would ask the brokers instead, so this file calls librdkafka itself.

#![allow(unsafe_code, reason = "the binding has no safe call for it")]

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::types::RDKafkaRespErr;

use crate::transport::{Extent, Source};

/// What is known, by consumer and row of the topic.
#[derive(Default)]
pub(crate) struct Extents(Mutex<Known>);

type Known = HashMap<(Arc<str>, i64), Vec<Extent>>;

impl Extents {
    /// Notes what is known of the partitions that a source reads, in the place of what was known before.
    pub(crate) fn note(&self, source: &Source, extents: Vec<Extent>) {
        let key = (source.consumer.clone(), source.topic_row);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if extents.is_empty() {
            known.remove(&key);
        } else {
            known.insert(key, extents);
        }
    }

    /// What is known of the partitions that a source reads.
    pub(crate) fn of(&self, source: &Source) -> Vec<Extent> {
        let key = (source.consumer.clone(), source.topic_row);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).cloned().unwrap_or_default()
    }
}

/// What a client has heard of these partitions of a topic, each with the first record that came of it, if one did.
/// Those of which it has heard nothing yet are left out.
pub(crate) fn heard<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partitions: &[(i32, Option<i64>)],
) -> Vec<Extent> {
    let Ok(name) = CString::new(topic) else {
        return Vec::new();
    };
    let heard = partitions.iter().map(|(partition, first)| {
        let (mut begin, mut end) = (-1, -1);
        // SAFETY: the client lives until the call returns, which copies two numbers and asks nobody; `name` ends with a zero.
        let code = unsafe {
            native::rd_kafka_get_watermark_offsets(
                client.native_ptr(),
                name.as_ptr(),
                *partition,
                &raw mut begin,
                &raw mut end,
            )
        };
        // Before a broker has said so they are negative; where a partition begins, none may ever say.
        let is_known = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0;
        let begins = first.or((begin >= 0).then_some(begin));
        let begin = begins.or((end == 0).then_some(0))?;
        is_known.then(|| Extent::new(*partition, begin, end))
    });
    heard.flatten().collect()
}
