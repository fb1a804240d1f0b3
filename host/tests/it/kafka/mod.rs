//! Hosts over Kafka, on librdkafka's mock cluster; `tests/kafka` has a real one.

mod metrics;
mod stuck;
mod swaps;
mod two_hosts;
