//! Who else reads in a consumer group.
//!
//! Kafka would share the partitions out among all members. Each would then decide with what it alone has stored, and
//! as partitions go to and fro, so would the history of an aggregate: half of it here, half of it there. So a host reads
//! only where nobody does who has another store, unless it is told to.
//!
//! Members are told apart by their client ids, which end with the identity of their store.

mod members;

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::types::RDKafkaErrorCode;

pub(crate) use self::members::Member;
use self::members::{Group, group};
use crate::kafka::native::NoAnswer;

use crate::transport::Source;

/// Longest time that the brokers have for an answer.
const QUESTION: Duration = Duration::from_secs(2);

/// Wait before it is asked again.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

/// Who reads in a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Nobody who has another store.
    OwnOnly,
    /// The brokers have no such question, and won't have.
    NotTold,
    /// Others too: who, and where.
    Others(Vec<Member>),
    /// The brokers did not say.
    Unknown(String),
}

/// The client id of a consumer of the store with this identity.
pub(crate) fn client_id(configured: &str, identity: &str) -> String {
    format!("{configured}{SEPARATOR}{identity}")
}

const SEPARATOR: char = '/';

/// Asks the brokers who reads in a group.
pub(crate) fn readers<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    source: &Source,
    identity: &str,
) -> Readers {
    // A client that knows no brokers yet would learn of them only at the next tick of its clock.
    if let Err(error) = client.fetch_metadata(Some(&source.topic), QUESTION) {
        return Readers::Unknown(error.to_string());
    }
    sort_out(group(client.client(), &source.group, QUESTION), identity)
}

/// The members of a group, as they are shown.
pub(crate) fn names(members: &[Member]) -> String {
    let name = |member: &Member| format!("client `{}` at {}", member.client, member.host);
    members.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Whether this host goes on where others read too. Of two hosts one does, and both agree which: that with the older store, for it
/// knows more. Who is no host would never give way.
pub(crate) fn stays(identity: &str, others: &[Member]) -> bool {
    others
        .iter()
        .all(|other| store_of(&other.client).is_some_and(|other| identity < other))
}

/// Waits until a group has no members of other stores; at most `patience`. Says whether that is known: that brokers don't answer is
/// no error.
///
/// # Errors
/// Those that still are in it.
pub(crate) fn wait_until_own<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    source: &Source,
    identity: &str,
    patience: Duration,
) -> Result<bool, Vec<Member>> {
    let group = &*source.group;
    let until = Instant::now() + patience;
    let mut is_said = false;
    loop {
        let others = match readers(client, source, identity) {
            Readers::OwnOnly | Readers::NotTold => return Ok(true),
            Readers::Unknown(reason) => {
                tracing::debug!(group, reason, "the brokers did not say who reads");
                return Ok(false);
            }
            Readers::Others(others) => others,
        };
        if Instant::now() >= until {
            return Err(others);
        }
        if !is_said {
            tracing::warn!(
                group,
                others = names(&others),
                "another process reads in this group, or did until a moment ago; waiting for it to go"
            );
            is_said = true;
        }
        std::thread::sleep(AGAIN);
    }
}

fn sort_out(answer: Result<Group, NoAnswer>, identity: &str) -> Readers {
    let mut group = match answer {
        Ok(group) => group,
        Err(NoAnswer::Said(RDKafkaErrorCode::UnsupportedFeature)) => return Readers::NotTold,
        // A broker that knows of no group of this name says so in one of two ways, by its age.
        Err(NoAnswer::Said(RDKafkaErrorCode::GroupIdNotFound)) => return Readers::OwnOnly,
        Err(reason) => return Readers::Unknown(reason.to_string()),
    };
    for member in &mut group.members {
        member.host = member.host.trim_start_matches('/').to_owned();
    }
    let has_any = !group.members.is_empty();
    group
        .members
        .retain(|member| store_of(&member.client) != Some(identity));
    if !group.members.is_empty() {
        Readers::Others(group.members)
    } else if has_any || group.is_whole {
        Readers::OwnOnly
    } else {
        Readers::Unknown("the group has no members, and is in a state that is not known".into())
    }
}

fn store_of(client: &str) -> Option<&str> {
    let (_, identity) = client.rsplit_once(SEPARATOR)?;
    Some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(client: &str) -> Member {
        Member {
            client: client.into(),
            host: "/10.0.0.7".into(),
        }
    }

    fn seen(client: &str) -> Member {
        Member {
            host: "10.0.0.7".into(),
            ..member(client)
        }
    }

    fn of(members: Vec<Member>, is_whole: bool) -> Result<Group, NoAnswer> {
        Ok(Group { members, is_whole })
    }

    #[test]
    fn members_of_the_own_store_are_not_others() {
        let own = || member(&client_id("saga", "b"));
        assert_eq!(
            sort_out(of(vec![own(), own()], true), "b"),
            Readers::OwnOnly
        );
        assert_eq!(sort_out(of(Vec::new(), true), "b"), Readers::OwnOnly);
        for foreign in ["consumer-order-1", "saga", "saga/c", "b"] {
            assert_eq!(
                sort_out(of(vec![own(), member(foreign)], true), "b"),
                Readers::Others(vec![seen(foreign)]),
                "{foreign}"
            );
        }
    }

    #[test]
    fn what_is_not_known_of_a_group_is_not_taken_for_nobody() {
        let is_unknown = |answer| matches!(sort_out(answer, "b"), Readers::Unknown(_));
        assert!(is_unknown(of(Vec::new(), false)));
        assert!(is_unknown(Err(NoAnswer::Unanswered)));
        let said = |code| Err(NoAnswer::Said(code));
        assert!(is_unknown(said(RDKafkaErrorCode::NotCoordinator)));
        assert!(is_unknown(said(RDKafkaErrorCode::GroupAuthorizationFailed)));
        // Members of a group in such a state are members all the same.
        assert_eq!(
            sort_out(of(vec![member("consumer-order-1")], false), "b"),
            Readers::Others(vec![seen("consumer-order-1")])
        );
        assert_eq!(
            sort_out(said(RDKafkaErrorCode::GroupIdNotFound), "b"),
            Readers::OwnOnly
        );
        assert_eq!(
            sort_out(said(RDKafkaErrorCode::UnsupportedFeature), "b"),
            Readers::NotTold
        );
    }

    #[test]
    fn of_two_that_came_at_once_one_stays() {
        let host = |identity: &str| member(&client_id("saga", identity));
        assert!(stays("a", &[host("b"), host("c")]));
        assert!(!stays("b", &[host("a")]));
        assert!(!stays("a", &[member("consumer-order-1")]));
    }
}
