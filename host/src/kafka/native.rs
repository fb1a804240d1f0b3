//! Requests that librdkafka can send and its Rust binding does not offer: a topic's id, and the
//! members of a consumer group of either protocol (the binding asks for classic groups only).
//!
//! All `unsafe` code of the room is here. A request gets a queue of its own for its one answer,
//! which is an event. Whatever librdkafka allocates is freed by [`Owned`] when it is dropped.

#![allow(unsafe_code, reason = "the binding has no safe call for it")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::bindings::rd_kafka_consumer_group_state_t as GroupState;
use rdkafka::client::Client;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

/// Additional wait beyond the brokers' time for an answer: librdkafka itself reports the time-out
/// then.
const MARGIN: Duration = Duration::from_millis(100);

/// A consumer group, as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) members: Vec<GroupMember>,
    /// True if these are all members: a group in an unknown state may have others.
    pub(crate) is_whole: bool,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupMember {
    /// The client id that it gave itself.
    pub(crate) client: String,
    /// Its host, as the broker sees it.
    pub(crate) host: String,
}

/// True if no broker answered.
pub(crate) fn is_unanswered(code: Code) -> bool {
    matches!(code, Code::OperationTimedOut | Code::BrokerTransportFailure)
}

/// Asks the brokers for the id of a topic. Takes little longer than `timeout`.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<String, Code> {
    let name = CString::new(topic).map_err(|_| Code::InvalidArgument)?;
    let mut names = [name.as_ptr()];
    // SAFETY: the collection points into `names`, which lives until the end of this function. Data
    // read from the answer belongs to `event`, and is copied before that is destroyed.
    unsafe {
        let topics = Owned::new(
            native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            native::rd_kafka_TopicCollection_destroy,
        )?;
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let event = ask(client, operation, timeout, |rk, options, queue| {
            native::rd_kafka_DescribeTopics(rk, topics.pointer, options, queue);
        })?;
        let result = native::rd_kafka_event_DescribeTopics_result(event.pointer);
        let described = first(result, native::rd_kafka_DescribeTopics_result_topics)?;
        let error = native::rd_kafka_TopicDescription_error(described);
        check(native::rd_kafka_error_code(error))?;
        let id = native::rd_kafka_TopicDescription_topic_id(described);
        let high = native::rd_kafka_Uuid_most_significant_bits(id);
        if (high, native::rd_kafka_Uuid_least_significant_bits(id)) == (0, 0) {
            return Err(Code::UnsupportedFeature);
        }
        Ok(text(native::rd_kafka_Uuid_base64str(id)))
    }
}

/// Asks the coordinator of a group for its members. Takes little longer than `timeout`.
pub(crate) fn group<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> Result<Group, Code> {
    let name = CString::new(name).map_err(|_| Code::InvalidArgument)?;
    let mut names = [name.as_ptr()];
    // SAFETY: `names` is copied by the request. Data read from the answer belongs to `event`, and
    // is copied before that is destroyed; indices of members are below librdkafka's own count.
    unsafe {
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let event = ask(client, operation, timeout, |rk, options, queue| {
            let (names, count) = (names.as_mut_ptr(), names.len());
            native::rd_kafka_DescribeConsumerGroups(rk, names, count, options, queue);
        })?;
        let result = native::rd_kafka_event_DescribeConsumerGroups_result(event.pointer);
        let groups = native::rd_kafka_DescribeConsumerGroups_result_groups;
        let described = first(result, groups)?;
        let error = native::rd_kafka_ConsumerGroupDescription_error(described);
        check(native::rd_kafka_error_code(error))?;
        let count = native::rd_kafka_ConsumerGroupDescription_member_count(described);
        let members = (0..count).map(|number| {
            let member = native::rd_kafka_ConsumerGroupDescription_member(described, number);
            let host = text(native::rd_kafka_MemberDescription_host(member));
            GroupMember {
                client: text(native::rd_kafka_MemberDescription_client_id(member)),
                host: host.trim_start_matches('/').to_owned(),
            }
        });
        let state = native::rd_kafka_ConsumerGroupDescription_state(described);
        Ok(Group {
            members: members.collect(),
            is_whole: state != GroupState::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN,
        })
    }
}

/// Sends a request and waits for its answer, a little longer than `timeout`.
///
/// # Safety
/// `request` must pass the client, the options and the queue to one of librdkafka's admin requests
/// of the kind `operation`, and keep none of them.
unsafe fn ask<C: ClientContext>(
    client: &Client<C>,
    operation: native::rd_kafka_admin_op_t,
    timeout: Duration,
    request: impl FnOnce(
        *mut native::rd_kafka_t,
        *mut native::rd_kafka_AdminOptions_t,
        *mut native::rd_kafka_queue_t,
    ),
) -> Result<Owned<native::rd_kafka_event_t>, Code> {
    let rk = client.native_ptr();
    let millis = |time: Duration| c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
    let mut reason = [0; 256];
    // SAFETY: `rk` lives as long as `client`. The other pointers come from librdkafka and are kept
    // by `Owned`, or point into `reason`, which lives as long.
    unsafe {
        let options = Owned::new(
            native::rd_kafka_AdminOptions_new(rk, operation),
            native::rd_kafka_AdminOptions_destroy,
        )?;
        // If the time is out of range, the default stays, and the wait below is the bound.
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer,
            millis(timeout),
            reason.as_mut_ptr(),
            reason.len(),
        );
        let queue = Owned::new(
            native::rd_kafka_queue_new(rk),
            native::rd_kafka_queue_destroy,
        )?;
        request(rk, options.pointer, queue.pointer);
        let event = native::rd_kafka_queue_poll(queue.pointer, millis(timeout + MARGIN));
        let event = Owned::new(event, native::rd_kafka_event_destroy)
            .map_err(|_| Code::OperationTimedOut)?;
        check(native::rd_kafka_event_error(event.pointer))?;
        Ok(event)
    }
}

fn check(code: RDKafkaRespErr) -> Result<(), Code> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// The first element of a list in an answer.
///
/// # Safety
/// `result` must be null or point to an answer that lives until this returns, and `elements` must
/// be librdkafka's accessor of the list.
unsafe fn first<R, T>(
    result: *const R,
    elements: unsafe extern "C" fn(*const R, *mut usize) -> *mut *const T,
) -> Result<*const T, Code> {
    if result.is_null() {
        return Err(Code::Fail);
    }
    let mut count = 0;
    // SAFETY: guaranteed by the caller; the list has as many elements as librdkafka reports.
    unsafe {
        match elements(result, &raw mut count) {
            found if count > 0 && !found.is_null() => Ok(*found),
            _ => Err(Code::Fail),
        }
    }
}

/// A text from librdkafka, empty if null. Bytes that are not UTF-8 are replaced: others chose them.
///
/// # Safety
/// `text` must be null or point to a text that lives until this returns.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: guaranteed by the caller.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// An object that librdkafka has made and that must be freed.
struct Owned<T> {
    pointer: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    /// `pointer` must be null, or come from librdkafka with `destroy` as its destructor, and nobody
    /// else may free it.
    unsafe fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, Code> {
        if pointer.is_null() {
            return Err(Code::Fail);
        }
        Ok(Self { pointer, destroy })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from librdkafka, and is destroyed by its counterpart, only here.
        unsafe { (self.destroy)(self.pointer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_not_utf_8_is_a_text_all_the_same() {
        // SAFETY: the text lives as long as the program.
        let read = unsafe { [text(c"caf\xe9".as_ptr()), text(std::ptr::null())] };
        assert_eq!(read, ["caf\u{fffd}".to_owned(), String::new()]);
    }
}
