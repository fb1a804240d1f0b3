//! Which topic it is that has a name: Kafka gives each topic an id, so one that was deleted and made anew is another one,
//! whose offsets mean nothing to who has read the first.
//!
//! librdkafka tells the id; its Rust binding does not yet, so this file calls librdkafka itself. What it allocates is
//! given back in the `Drop` of [`Owned`].

#![allow(unsafe_code, reason = "the binding has no safe call for it")]

use std::ffi::{CStr, CString, c_int};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

/// Longest error text of librdkafka that is read.
const TEXT: usize = 256;

/// Why the id of a topic is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoId {
    /// Nobody answered in time.
    #[error("no broker has answered")]
    Unanswered,
    /// What a broker said: that there is no such topic, for example.
    #[error("{0}")]
    Said(RDKafkaErrorCode),
    /// The brokers are older than topic ids (2.8).
    #[error("the brokers give topics no ids")]
    NoneGiven,
    /// The client could not ask, or what came was no answer.
    #[error("{0}")]
    NotAsked(&'static str),
}

/// Asks the brokers for the id of a topic. Takes up to `timeout`.
///
/// # Errors
/// Why it is not known.
pub(super) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<String, NoId> {
    let name = CString::new(topic).map_err(|_| NoId::NotAsked("a name with a zero in it"))?;
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let rk = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: `rk` lives as long as `client`. Each pointer that is handed over is one that librdkafka has just given, which
    // `Owned` has checked and keeps until the end of this function, or one into `names` and `text`, which live until
    // then too. What is read of the answer belongs to `event`, and is copied before that is destroyed.
    unsafe {
        let topics = Owned::new(
            native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            native::rd_kafka_TopicCollection_destroy,
        )?;
        let options = Owned::new(
            native::rd_kafka_AdminOptions_new(
                rk,
                native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            native::rd_kafka_AdminOptions_destroy,
        )?;
        let mut text = [0; TEXT];
        // Out of its range, the default stays, and the wait below is what bounds this.
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer,
            millis,
            text.as_mut_ptr(),
            text.len(),
        );
        let queue = Owned::new(
            native::rd_kafka_queue_new(rk),
            native::rd_kafka_queue_destroy,
        )?;
        native::rd_kafka_DescribeTopics(rk, topics.pointer, options.pointer, queue.pointer);
        let event = Owned::new(
            native::rd_kafka_queue_poll(queue.pointer, millis),
            native::rd_kafka_event_destroy,
        )
        .map_err(|_| NoId::Unanswered)?;
        check(native::rd_kafka_event_error(event.pointer))?;
        let result = native::rd_kafka_event_DescribeTopics_result(event.pointer);
        if result.is_null() {
            return Err(NoId::NotAsked("librdkafka has answered another question"));
        }
        let mut count = 0;
        let found = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count == 0 || found.is_null() {
            return Err(NoId::NotAsked("the brokers said nothing of it"));
        }
        let description = *found;
        check(native::rd_kafka_error_code(
            native::rd_kafka_TopicDescription_error(description),
        ))?;
        let id = native::rd_kafka_TopicDescription_topic_id(description);
        let (high, low) = (
            native::rd_kafka_Uuid_most_significant_bits(id),
            native::rd_kafka_Uuid_least_significant_bits(id),
        );
        if (high, low) == (0, 0) {
            return Err(NoId::NoneGiven);
        }
        let text = native::rd_kafka_Uuid_base64str(id);
        Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

fn check(code: RDKafkaRespErr) -> Result<(), NoId> {
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    Err(NoId::Said(code.into()))
}

/// Something that librdkafka has made and that is to be given back.
struct Owned<T> {
    pointer: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, NoId> {
        if pointer.is_null() {
            return Err(NoId::NotAsked("librdkafka gave nothing"));
        }
        Ok(Self { pointer, destroy })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from librdkafka, is destroyed by its counterpart, and only here.
        unsafe { (self.destroy)(self.pointer) }
    }
}
