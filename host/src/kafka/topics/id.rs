//! Which topic it is that has a name: Kafka gives each topic an id, so one that was deleted and created again is another one,
//! whose offsets mean nothing to who has read the first.

#![allow(unsafe_code, reason = "the binding has no safe call for it")]

use std::ffi::CString;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;

use crate::kafka::native::{NoAnswer, Owned, ask, check, first, text};

/// Asks the brokers for the id of a topic. Takes little longer than `timeout`.
///
/// # Errors
/// Why it is not known. Brokers older than topic ids (2.8) give none.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<String, NoAnswer> {
    let name = CString::new(topic).map_err(|_| NoAnswer::NotAsked("a name with a zero in it"))?;
    let rk = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: `rk` lives as long as `client`. The collection of names is kept by `Owned`, and points into `names`, which lives until
    // the end of this function. What is read of the answer belongs to `event`, and is copied before that is destroyed.
    unsafe {
        let topics = Owned::new(
            native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            native::rd_kafka_TopicCollection_destroy,
        )?;
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let event = ask(rk, operation, timeout, |options, queue| {
            native::rd_kafka_DescribeTopics(rk, topics.pointer, options, queue);
        })?;
        let result = native::rd_kafka_event_DescribeTopics_result(event.pointer);
        let description = first(result, native::rd_kafka_DescribeTopics_result_topics)?;
        check(native::rd_kafka_error_code(
            native::rd_kafka_TopicDescription_error(description),
        ))?;
        let id = native::rd_kafka_TopicDescription_topic_id(description);
        let (high, low) = (
            native::rd_kafka_Uuid_most_significant_bits(id),
            native::rd_kafka_Uuid_least_significant_bits(id),
        );
        if (high, low) == (0, 0) {
            return Err(NoAnswer::NoneGiven);
        }
        Ok(text(native::rd_kafka_Uuid_base64str(id)))
    }
}
