//! Questions that librdkafka can ask brokers and its Rust binding has no call for yet: which topic it is (`topic_id`), who is in a group
//! (`group_members`).
//!
//! Both are asked alike: with options, on a queue of their own, to which the one answer comes as an event. What librdkafka
//! allocates is given back in the `Drop` of [`Owned`].

#![allow(unsafe_code, reason = "the binding has no safe call for it")]

use std::ffi::{CStr, c_char, c_int};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

/// Longest error text of librdkafka that is read.
const TEXT: usize = 256;

/// How much longer than brokers have for an answer is waited for it: librdkafka itself says then that none came.
const MARGIN: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// Nobody answered in time.
    #[error("no broker has answered")]
    Unanswered,
    /// What a broker said: that there is no such topic, for example.
    #[error("{0}")]
    Said(RDKafkaErrorCode),
    /// The brokers are too old to know.
    #[error("the brokers have no answer to it")]
    NoneGiven,
    /// The client could not ask, or what came was no answer.
    #[error("{0}")]
    NotAsked(&'static str),
}

/// Asks, and waits for the answer, a little longer than `timeout`.
///
/// # Errors
/// Why there is none.
///
/// # Safety
/// `rk` must be a client that lives until this returns. `request` must hand the options and the queue to one of librdkafka's
/// admin requests of the kind `operation`, and keep neither.
pub(crate) unsafe fn ask(
    rk: *mut native::rd_kafka_t,
    operation: native::rd_kafka_admin_op_t,
    timeout: Duration,
    request: impl FnOnce(*mut native::rd_kafka_AdminOptions_t, *mut native::rd_kafka_queue_t),
) -> Result<Owned<native::rd_kafka_event_t>, NoAnswer> {
    // SAFETY: the client lives, by the caller's word. Each other pointer is one that librdkafka has just given, which `Owned` has
    // checked and keeps until the end of this function, or one into `text`, which lives until then too.
    unsafe {
        let options = Owned::new(
            native::rd_kafka_AdminOptions_new(rk, operation),
            native::rd_kafka_AdminOptions_destroy,
        )?;
        let mut text = [0; TEXT];
        // Out of its range, the default stays, and the wait below is what bounds this.
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer,
            millis(timeout),
            text.as_mut_ptr(),
            text.len(),
        );
        let queue = Owned::new(
            native::rd_kafka_queue_new(rk),
            native::rd_kafka_queue_destroy,
        )?;
        request(options.pointer, queue.pointer);
        let event = Owned::new(
            native::rd_kafka_queue_poll(queue.pointer, millis(timeout + MARGIN)),
            native::rd_kafka_event_destroy,
        )
        .map_err(|_| NoAnswer::Unanswered)?;
        check(native::rd_kafka_event_error(event.pointer))?;
        Ok(event)
    }
}

fn millis(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}

/// # Errors
/// What the code says, unless it is that all is well.
pub(crate) fn check(code: RDKafkaRespErr) -> Result<(), NoAnswer> {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_NO_ERROR,
    };
    match code {
        RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        // librdkafka says these of brokers that say nothing.
        RD_KAFKA_RESP_ERR__TIMED_OUT | RD_KAFKA_RESP_ERR__TRANSPORT => Err(NoAnswer::Unanswered),
        code => Err(NoAnswer::Said(code.into())),
    }
}

/// The first element of a list in an answer.
///
/// # Errors
/// When there is none.
///
/// # Safety
/// `result` must be null or point to an answer that lives until this returns, and `elements` be librdkafka's list of it.
pub(crate) unsafe fn first<R, T>(
    result: *const R,
    elements: unsafe extern "C" fn(*const R, *mut usize) -> *mut *const T,
) -> Result<*const T, NoAnswer> {
    if result.is_null() {
        return Err(NoAnswer::NotAsked(
            "librdkafka has answered another question",
        ));
    }
    let mut count = 0;
    // SAFETY: by the caller's word; the list has as many elements as librdkafka says.
    unsafe {
        let found = elements(result, &raw mut count);
        if count == 0 || found.is_null() {
            return Err(NoAnswer::NotAsked("the brokers said nothing of it"));
        }
        Ok(*found)
    }
}

/// A text of librdkafka's, empty where there is none. What is not UTF-8 in it, which others chose, is replaced.
///
/// # Safety
/// `text` must be null or point to a text that lives until this returns.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's word.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// Something that librdkafka has made and that is to be given back.
pub(crate) struct Owned<T> {
    pub(crate) pointer: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Errors
    /// When there is nothing.
    ///
    /// # Safety
    /// `pointer` must be null, or come from librdkafka with `destroy` as what gives it back, and nobody else may do so.
    pub(crate) unsafe fn new(
        pointer: *mut T,
        destroy: unsafe extern "C" fn(*mut T),
    ) -> Result<Self, NoAnswer> {
        if pointer.is_null() {
            return Err(NoAnswer::NotAsked("librdkafka gave nothing"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_is_no_answer_and_everything_else_is_what_brokers_said() {
        assert_eq!(check(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR), Ok(()));
        for code in [
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        ] {
            assert_eq!(check(code), Err(NoAnswer::Unanswered), "{code:?}");
        }
        assert_eq!(
            check(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART),
            Err(NoAnswer::Said(RDKafkaErrorCode::UnknownTopicOrPartition))
        );
    }

    #[test]
    fn a_text_that_is_not_utf_8_is_a_text_all_the_same() {
        // SAFETY: the text lives as long as the program.
        let read = unsafe { [text(c"caf\xe9".as_ptr()), text(std::ptr::null())] };
        assert_eq!(read, ["caf\u{fffd}".to_owned(), String::new()]);
    }
}
