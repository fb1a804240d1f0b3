//! Other readers of a consumer group.
//!
//! Kafka would distribute the partitions among all members. Each member would then decide with the
//! state in its own store only, and as partitions move between members, the history of an aggregate
//! would be split between stores. So a host reads only while no other store reads in the group,
//! unless `allow_split_state` is set.
//!
//! Members are told apart by their client ids, which end with the identity of their store.

use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::health::probe::{Probe, code_of};
use super::native::{Group, GroupMember, group};
use crate::transport::Source;

/// Longest wait for an answer of the brokers.
const QUESTION: Duration = Duration::from_secs(2);

/// Wait before the next question.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

/// The readers of a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GroupReaders {
    /// No readers with another store.
    OwnOnly,
    /// The brokers don't support the question.
    NotTold,
    /// The readers with other stores.
    Others(Vec<GroupMember>),
    /// The brokers did not answer.
    Unknown(Code),
}

const SEPARATOR: char = '/';

/// The client id of a consumer of the store with this identity.
pub(crate) fn client_id(configured: &str, identity: &str) -> String {
    format!("{configured}{SEPARATOR}{identity}")
}

fn store_of(client: &str) -> Option<&str> {
    let (_, identity) = client.rsplit_once(SEPARATOR)?;
    Some(identity)
}

pub(crate) fn readers<C: ClientContext>(
    client: &Client<C>,
    source: &Source,
    identity: &str,
) -> GroupReaders {
    // A client that knows no brokers yet would learn of them only at its next timer tick.
    let answer = match client.fetch_metadata(Some(&source.topic), QUESTION) {
        Ok(_) => group(client, &source.group, QUESTION),
        Err(error) => Err(code_of(&error)),
    };
    sort_out(answer, identity)
}

fn sort_out(answer: Result<Group, Code>, identity: &str) -> GroupReaders {
    let mut group = match answer {
        Ok(group) => group,
        Err(Code::UnsupportedFeature) => return GroupReaders::NotTold,
        // Brokers report an unknown group in one of two ways, depending on their version.
        Err(Code::GroupIdNotFound) => return GroupReaders::OwnOnly,
        Err(code) => return GroupReaders::Unknown(code),
    };
    let has_any = !group.members.is_empty();
    (group.members).retain(|member| store_of(&member.client) != Some(identity));
    match group.members.is_empty() {
        false => GroupReaders::Others(group.members),
        true if has_any || group.is_whole => GroupReaders::OwnOnly,
        true => GroupReaders::Unknown(Code::Unknown),
    }
}

/// The members of a group, formatted for people.
pub(crate) fn names(members: &[GroupMember]) -> String {
    let name = |member: &GroupMember| format!("client `{}` at {}", member.client, member.host);
    members.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// True if this host continues although others read too. Of two hosts one does, and both agree on
/// which: the one with the older store, because it knows more. Programs other than hosts never give
/// way.
pub(crate) fn stays(identity: &str, others: &[GroupMember]) -> bool {
    let is_newer =
        |other: &GroupMember| store_of(&other.client).is_some_and(|other| identity < other);
    others.iter().all(is_newer)
}

/// Waits until a group has no members of other stores, at most `patience`. True if that is known:
/// brokers that don't answer are no error.
pub(crate) fn wait_until_own(
    probe: &mut Probe,
    source: &Source,
    identity: &str,
    patience: Duration,
) -> Result<bool, Vec<GroupMember>> {
    let group = &*source.group;
    let begun = Instant::now();
    let mut is_said = false;
    loop {
        let found = probe.ask(|client| Ok(readers(client, source, identity)));
        let others = match found.unwrap_or_else(GroupReaders::Unknown) {
            GroupReaders::OwnOnly | GroupReaders::NotTold => return Ok(true),
            GroupReaders::Unknown(code) => {
                tracing::debug!(group, %code, "the brokers did not say who reads");
                return Ok(false);
            }
            GroupReaders::Others(others) => others,
        };
        if begun.elapsed() >= patience {
            return Err(others);
        }
        if !std::mem::replace(&mut is_said, true) {
            tracing::warn!(
                group,
                others = names(&others),
                "another process reads in this group, or did until a moment ago; waiting for it to go"
            );
        }
        std::thread::sleep(AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(client: &str) -> GroupMember {
        GroupMember {
            client: client.into(),
            host: "10.0.0.7".into(),
        }
    }

    fn of(members: Vec<GroupMember>, is_whole: bool) -> Result<Group, Code> {
        Ok(Group { members, is_whole })
    }

    #[test]
    fn members_of_the_own_store_are_not_others() {
        let own = || member(&client_id("saga", "b"));
        assert_eq!(
            sort_out(of(vec![own(), own()], true), "b"),
            GroupReaders::OwnOnly
        );
        assert_eq!(sort_out(of(Vec::new(), true), "b"), GroupReaders::OwnOnly);
        for foreign in ["consumer-order-1", "saga", "saga/c", "b"] {
            assert_eq!(
                sort_out(of(vec![own(), member(foreign)], true), "b"),
                GroupReaders::Others(vec![member(foreign)]),
                "{foreign}"
            );
        }
    }

    #[test]
    fn what_is_not_known_of_a_group_is_not_taken_for_nobody() {
        let is_unknown = |answer| matches!(sort_out(answer, "b"), GroupReaders::Unknown(_));
        assert!(is_unknown(of(Vec::new(), false)));
        assert!(is_unknown(Err(Code::OperationTimedOut)));
        let said = |code: Code| Err(code);
        assert!(is_unknown(said(Code::NotCoordinator)));
        assert!(is_unknown(said(Code::GroupAuthorizationFailed)));
        // Members of a group in such a state are members all the same.
        assert_eq!(
            sort_out(of(vec![member("consumer-order-1")], false), "b"),
            GroupReaders::Others(vec![member("consumer-order-1")])
        );
        for (code, readers) in [
            (Code::GroupIdNotFound, GroupReaders::OwnOnly),
            (Code::UnsupportedFeature, GroupReaders::NotTold),
        ] {
            assert_eq!(sort_out(said(code), "b"), readers, "{code}");
        }
    }

    #[test]
    fn of_two_that_came_at_once_one_stays() {
        let host = |identity: &str| member(&client_id("saga", identity));
        assert!(stays("a", &[host("b"), host("c")]));
        assert!(!stays("b", &[host("a")]));
        assert!(!stays("a", &[member("consumer-order-1")]));
    }
}
