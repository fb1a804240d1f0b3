//! Who else reads in a consumer group.
//!
//! Kafka would share the partitions out among all members. Each would then decide with what it alone has stored, and
//! as partitions go to and fro, so would the history of an aggregate: half of it here, half of it there. So a host reads
//! only where nobody does who has another store, unless it is told to.
//!
//! Members are told apart by their client ids, which end with the identity of their store.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use crate::transport::Source;

/// Longest time that the brokers have for an answer.
const QUESTION: Duration = Duration::from_secs(2);

/// Wait before it is asked again.
pub(super) const AGAIN: Duration = Duration::from_millis(250);

/// Who reads in a group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Nobody who has another store.
    OwnOnly,
    /// The brokers have no such question, and won't have.
    NotTold,
    /// Others too: who, and where.
    Others(Vec<Other>),
    /// The brokers did not say.
    Unknown(String),
}

/// A member of a group that has another store, or is no host at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    client: String,
    host: String,
}

/// The client id of a consumer of the store with this identity.
pub(super) fn client_id(configured: &str, identity: &str) -> String {
    format!("{configured}{SEPARATOR}{identity}")
}

const SEPARATOR: char = '/';

/// Asks the brokers who reads in a group.
pub(super) fn readers<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    source: &Source,
    identity: &str,
) -> Readers {
    match members(client, source) {
        Ok(members) => sort_out(members, identity),
        Err(KafkaError::GroupListFetch(RDKafkaErrorCode::UnsupportedFeature)) => Readers::NotTold,
        Err(error) => Readers::Unknown(error.to_string()),
    }
}

/// What is said of a group that others read in, and what to do.
pub(super) fn refusal(group: &str, others: &[Other]) -> String {
    format!(
        "another process reads in consumer group {group}: {}. With a store of its own it would know only of what it has \
         read itself, and the state of the participant would be split between the two. Stop the other one; or, to move \
         the participant, start it on the other one's data directory; or give this one another group \
         (`[participants.NAME.groups]`) if it is to hear of everything too. `allow_split_state = true` in `[kafka]` shares \
         the group all the same",
        names(others)
    )
}

fn names(others: &[Other]) -> String {
    let names: Vec<_> = (others.iter())
        .map(|other| format!("client `{}` at {}", other.client, other.host))
        .collect();
    names.join(", ")
}

/// Whether this host goes on where others read too. Of two hosts one does, and both agree which: that with the older store, for it
/// knows more. Who is no host would never give way.
pub(super) fn stays(identity: &str, others: &[Other]) -> bool {
    others
        .iter()
        .all(|other| store_of(&other.client).is_some_and(|other| identity < other))
}

/// Waits until a group has no members of other stores; at most `patience`. Says whether that is known: that brokers don't answer is
/// no error.
///
/// # Errors
/// What is said of the group.
pub(super) fn wait_until_own<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    source: &Source,
    identity: &str,
    patience: Duration,
) -> Result<bool, String> {
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
            return Err(refusal(group, &others));
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

fn members<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    source: &Source,
) -> KafkaResult<Vec<Other>> {
    let group = &*source.group;
    // A client that knows no brokers yet would learn of them only at the next tick of its clock.
    client.fetch_metadata(Some(&source.topic), QUESTION)?;
    let list = client.fetch_group_list(Some(group), QUESTION)?;
    let of_group = list.groups().iter().filter(|found| found.name() == group);
    let members = of_group.flat_map(|found| found.members());
    Ok(members
        .map(|member| Other {
            client: member.client_id().to_owned(),
            host: member.client_host().trim_start_matches('/').to_owned(),
        })
        .collect())
}

fn sort_out(mut members: Vec<Other>, identity: &str) -> Readers {
    members.retain(|member| store_of(&member.client) != Some(identity));
    if members.is_empty() {
        Readers::OwnOnly
    } else {
        Readers::Others(members)
    }
}

fn store_of(client: &str) -> Option<&str> {
    let (_, identity) = client.rsplit_once(SEPARATOR)?;
    Some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(client: &str) -> Other {
        Other {
            client: client.into(),
            host: "10.0.0.7".into(),
        }
    }

    #[test]
    fn members_of_the_own_store_are_not_others() {
        let own = || member(&client_id("saga", "b"));
        assert_eq!(sort_out(vec![own(), own()], "b"), Readers::OwnOnly);
        assert_eq!(sort_out(Vec::new(), "b"), Readers::OwnOnly);
        for foreign in ["consumer-order-1", "saga", "saga/c", "b"] {
            assert_eq!(
                sort_out(vec![own(), member(foreign)], "b"),
                Readers::Others(vec![member(foreign)]),
                "{foreign}"
            );
        }
    }

    #[test]
    fn of_two_that_came_at_once_one_stays() {
        let host = |identity: &str| member(&client_id("saga", identity));
        assert!(stays("a", &[host("b"), host("c")]));
        assert!(!stays("b", &[host("a")]));
        assert!(!stays("a", &[member("consumer-order-1")]));
    }

    #[test]
    fn the_refusal_names_who_and_what_to_do() {
        let said = refusal("order", &[member("consumer-order-1")]);
        for expected in [
            "consumer group order",
            "`consumer-order-1` at 10.0.0.7",
            "allow_split_state",
        ] {
            assert!(said.contains(expected), "{said}");
        }
    }
}
