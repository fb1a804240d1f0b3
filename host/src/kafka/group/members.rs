//! Who is in a consumer group, of either protocol: the classic one, and that of KIP-848 (`group.protocol=consumer`, Kafka 4).
//!
//! The binding's own call asks for classic groups only. Of a group of the other kind brokers then say that it has no members, and
//! where one of several brokers answers, that hides what the others said.

#![allow(unsafe_code, reason = "the binding has no safe call for it")]

use std::ffi::CString;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::bindings::rd_kafka_consumer_group_state_t as NativeState;
use rdkafka::client::Client;

use crate::kafka::native::{NoAnswer, ask, check, first, text};

/// A consumer group, by what its coordinator says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its members.
    pub(crate) members: Vec<Member>,
    /// Whether that is all of them: a group in a state that is not known may have others.
    pub(crate) is_whole: bool,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The client id that it gave itself.
    pub(crate) client: String,
    /// Its host, as the broker sees it.
    pub(crate) host: String,
}

/// Asks the coordinator of a group who is in it. Takes little longer than `timeout`.
///
/// # Errors
/// Why it is not known.
pub(crate) fn group<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> Result<Group, NoAnswer> {
    let name = CString::new(name).map_err(|_| NoAnswer::NotAsked("a name with a zero in it"))?;
    let rk = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: `rk` lives as long as `client`. `names` is copied by the request. What is read of the answer belongs to `event`, and is
    // copied before that is destroyed.
    unsafe {
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let event = ask(rk, operation, timeout, |options, queue| {
            native::rd_kafka_DescribeConsumerGroups(
                rk,
                names.as_mut_ptr(),
                names.len(),
                options,
                queue,
            );
        })?;
        let result = native::rd_kafka_event_DescribeConsumerGroups_result(event.pointer);
        let description = first(
            result,
            native::rd_kafka_DescribeConsumerGroups_result_groups,
        )?;
        check(native::rd_kafka_error_code(
            native::rd_kafka_ConsumerGroupDescription_error(description),
        ))?;
        let members = (0..native::rd_kafka_ConsumerGroupDescription_member_count(description))
            .map(|number| {
                let member = native::rd_kafka_ConsumerGroupDescription_member(description, number);
                Member {
                    client: text(native::rd_kafka_MemberDescription_client_id(member)),
                    host: text(native::rd_kafka_MemberDescription_host(member)),
                }
            })
            .collect();
        Ok(Group {
            members,
            is_whole: is_whole(native::rd_kafka_ConsumerGroupDescription_state(description)),
        })
    }
}

/// Whether a group in this state has told all its members. `Dead` is what is said of a group of neither kind: there is none. What
/// librdkafka has no name for (`Assigning`, `Reconciling`) is a group whose members are known.
fn is_whole(state: NativeState) -> bool {
    use NativeState as State;
    match state {
        State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE
        | State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY
        | State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD
        | State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE
        | State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => true,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN
        | State::RD_KAFKA_CONSUMER_GROUP_STATE__CNT => false,
    }
}
