//! The host on a real Kafka: real processes, a real broker, Kafka's own tools.
//!
//! Where KAFKA_BOOTSTRAP names a cluster (`HOST:PORT`, plain), the tests run on it with topics and groups of their own, and
//! those that must control the broker are left out. Otherwise brokers are started on this
//! machine's Java: one that tests share, and one for each test that stops, secures or starves it. Where neither can
//! be, one line says what is missing; on CI that is a failure.
//!
//! `cargo test --release --workspace --test kafka -- FILTER` works as with any other test binary. The components must
//! have been built; `make test` does.
//!
//! # Layout
//!
//! - `harness`: what a test needs, and how its failure is shown
//! - `cluster`: where the broker is
//! - `saga`: the two services over it; `peer`: a program that is none of ours
//! - `secured_broker`: a broker that asks who comes
//! - `health`: what a host says of itself; `load`: orders while something happens, and the books
//! - the rest: tests, each file with what it proves

#![allow(clippy::restriction, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "all of it is for this binary")]

#[path = "../support/builds.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod builds;
#[path = "../support/chameleon.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod chameleon;
#[path = "../support/server_store.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod server_store;
#[path = "../support/store_file.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod store_file;
#[path = "../support/host.rs"]
#[allow(dead_code, unused_imports, reason = "others use more of it")]
mod support;

use saga_testkit::expect;

mod cluster;
mod harness;
mod peer;
mod saga;

mod health;
mod load;
mod readiness_and_log;
mod secured_broker;

mod authorization;
mod broker_faults;
mod compensation;
mod cut_logs;
mod group_members;
mod group_offsets;
mod hosts;
mod kills;
mod late_records;
mod partitions;
mod record_sizes;
mod recreated_topics;
mod swap;
mod tls_and_sasl;
mod topic_faults;
mod topic_settings;
mod transactions;
mod wire;

use std::process::ExitCode;

use libtest_mimic::Arguments;

/// Tests that run at once: each waits for others most of the time.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    if let Err(missing) = cluster::find() {
        eprintln!("real Kafka: left out ({missing}, or set KAFKA_BOOTSTRAP)");
        let must_run = std::env::var_os("CI").is_some();
        return if must_run {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    // The longest first, so that none is left alone at the end.
    let tests = [
        kills::tests(),
        broker_faults::tests(),
        hosts::tests(),
        swap::tests(),
        topic_faults::tests(),
        record_sizes::tests(),
        late_records::tests(),
        compensation::tests(),
        cut_logs::tests(),
        topic_settings::tests(),
        transactions::tests(),
        wire::tests(),
        group_offsets::tests(),
        partitions::tests(),
        recreated_topics::tests(),
        group_members::tests(),
        tls_and_sasl::tests(),
        authorization::tests(),
    ];
    let conclusion = harness::run(&arguments, tests.into_iter().flatten());
    secured_broker::end();
    cluster::end();
    conclusion.exit_code()
}
