//! Properties of librdkafka that can't be set from outside, because the invariants rest on them.

/// Names, and why they can't be set.
const RESERVED: [(&[&str], &str); 15] = [
    (
        &["bootstrap.servers", "metadata.broker.list"],
        "use `bootstrap`",
    ),
    (
        &["group.id"],
        "the group comes from the participant's subscription",
    ),
    (
        &["enable.auto.commit", "enable.auto.offset.store"],
        "where to read on is kept in the store",
    ),
    (
        &["enable.idempotence", "enable.gapless.guarantee"],
        "the relay publishes each event once and in order",
    ),
    (
        &["acks", "request.required.acks"],
        "an event is published when all replicas in sync have it",
    ),
    (
        &[
            "message.timeout.ms",
            "delivery.timeout.ms",
            "retries",
            "message.send.max.retries",
        ],
        "the relay never gives an event up",
    ),
    (&["transactional.id"], "the relay uses no transactions"),
    (&["log.queue"], "log lines go through the host's log"),
    (
        &["auto.offset.reset"],
        "a group that is new reads from the beginning, and nothing is ever passed over",
    ),
    (
        &["isolation.level"],
        "what a transaction has taken back is not read",
    ),
    (
        &["allow.auto.create.topics"],
        "topics are created with `partitions` and `replication`",
    ),
    (
        &["group.protocol"],
        "who reads in a group is looked up by the classic protocol",
    ),
    (
        &["test.mock.num.brokers"],
        "events would go to brokers in memory",
    ),
    (
        &["delivery.report.only.error"],
        "the relay goes on by what is reported as delivered",
    ),
    (
        &["max.in.flight.requests.per.connection", "max.in.flight"],
        "with more than one request in flight the order of events could be lost",
    ),
];

/// Why a property can't have this value from outside, if it can't.
pub(super) fn problem(name: &str, value: &str) -> Option<String> {
    if let Some((_, reason)) = RESERVED.iter().find(|(names, _)| names.contains(&name)) {
        return Some(format!("`{name}` can't be set: {reason}"));
    }
    (name == "partitioner" && value == "random").then(|| {
        "`partitioner` can't be `random`: events of one key would be in several partitions, and their order lost".into()
    })
}
