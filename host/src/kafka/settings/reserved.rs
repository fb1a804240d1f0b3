//! Properties of librdkafka that can't be set by operators, because invariants depend on them.

/// The reason for which an operator can't set a property to this value, if any.
pub(super) fn problem(name: &str, value: &str) -> Option<String> {
    let reason = match name {
        "bootstrap.servers" | "metadata.broker.list" => "use `bootstrap`",
        "group.id" => "the group comes from the participant's subscription",
        "enable.auto.commit" | "enable.auto.offset.store" => {
            "where to read on is kept in the store"
        }
        "enable.idempotence" | "enable.gapless.guarantee" => {
            "the relay publishes each event once and in order"
        }
        "acks" | "request.required.acks" => {
            "an event is published when all replicas in sync have it"
        }
        "message.timeout.ms" | "delivery.timeout.ms" | "retries" | "message.send.max.retries" => {
            "the relay never gives an event up"
        }
        "transactional.id" => "the relay uses no transactions",
        "log.queue" => "log lines go through the host's log",
        "auto.offset.reset" => {
            "a new group reads from the beginning, and nothing is ever passed over"
        }
        "statistics.interval.ms" => "the host takes its position in partitions from the statistics",
        "isolation.level" => "what a transaction has taken back is not read",
        "allow.auto.create.topics" => "topics are created with `partitions` and `replication`",
        "group.protocol" => "who reads in a group is looked up by the classic protocol",
        "test.mock.num.brokers" => "events would go to brokers in memory",
        "delivery.report.only.error" => "the relay goes on by what is reported as delivered",
        "max.in.flight.requests.per.connection" | "max.in.flight" => {
            "with more than one request in flight the order of events could be lost"
        }
        "partitioner" if value == "random" => {
            "with the value `random` the order of events of one key would be lost"
        }
        _ => return None,
    };
    Some(format!("`{name}` can't be set: {reason}"))
}
