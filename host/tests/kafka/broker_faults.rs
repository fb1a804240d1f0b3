//! The broker fails while orders come in: it is killed, is away, stands still.
//!
//! Whatever it does, orders are taken. Where it lasts, both hosts say that they are degraded, where and why, in
//! `/readyz` and once in the log. When it is over everything is decided by itself, once, and the books hold.
//!
//! A session lasts 3 s here instead of 10, so that an outage of 8 s outlives it as one of a minute would. The broker's own session
//! with its controller lasts 1 s instead of 9: after a crash it waits for that.

use std::time::{Duration, Instant};

use saga_testkit::broker::{Broker, Settings};

use crate::cluster::Cluster;
use crate::harness::{Test, tests};
use crate::health::{Since, until_degraded, until_ready};
use crate::load::{self, Load, decided_once};
use crate::saga::Saga;
use crate::support::Host;

/// How long a member of a group may be silent.
const SESSION: Duration = Duration::from_secs(3);

/// An outage that outlives all sessions, and the patience of most clients.
const OUTAGE: Duration = Duration::from_secs(60);

/// How often the broker is killed.
const KILLS: usize = 3;

pub fn tests() -> Vec<Test> {
    tests![
        own: a_broker_that_is_killed_again_and_again_loses_and_doubles_nothing,
            a_broker_that_is_away_for_longer_than_a_session,
            a_broker_that_stands_still_for_longer_than_a_session,
    ]
}

/// A broker that is quick to start again.
pub fn broker() -> Broker {
    broker_with(&[])
}

/// The same with further properties.
pub fn broker_with(further: &[(&str, &str)]) -> Broker {
    let quick = [
        ("broker.session.timeout.ms", "1000"),
        ("broker.heartbeat.interval.ms", "200"),
    ];
    let properties = quick.iter().chain(further);
    let settings = Settings {
        properties: properties
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Settings::default()
    };
    Broker::start(&settings).unwrap()
}

/// Both services over a broker while orders come in and something happens to it; the books hold afterwards.
fn while_orders_come_in(happens: impl FnOnce(&Broker, &[&Host; 2], &Load<'_>)) {
    let broker = broker();
    let saga = Saga::new(&Cluster::at(broker.bootstrap()), 3).session(SESSION);
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let hosts = [&customers, &orders];
    until_ready(&hosts);
    load::during(&customers, &orders, |load| {
        load.until_decided();
        happens(&broker, &hosts, load);
        load.until_decided();
    });
    until_ready(&hosts);
    let (customer_data, order_data) = (saga.data("customer"), saga.data("order"));
    assert!(customers.stop().success() && orders.stop().success());
    decided_once(&customer_data, &order_data);
}

/// The broker is out of order for a while; the hosts say so, once, and that it is over.
fn an_outage(
    broker: &Broker,
    hosts: &[&Host; 2],
    load: &Load<'_>,
    begin: impl FnOnce(),
    end: impl FnOnce(),
) {
    let logs = hosts.map(Since::now);
    let begun = Instant::now();
    begin();
    for host in hosts {
        until_degraded(
            host,
            &[broker.bootstrap(), "can't be reached", "nothing is lost"],
        );
    }
    load.until_placed(100);
    std::thread::sleep(OUTAGE.saturating_sub(begun.elapsed()));
    end();
    load.until_decided();
    until_ready(hosts);
    for log in &logs {
        assert_eq!(log.count("can't be reached"), 1, "{}", log.text());
        assert_eq!(
            log.count("works again part=\"brokers\""),
            1,
            "{}",
            log.text()
        );
        log.nothing_is_said_again_and_again();
    }
}

fn a_broker_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    while_orders_come_in(|broker, _, load| {
        for _ in 0..KILLS {
            broker.kill();
            load.until_placed(50);
            broker.start_again().unwrap();
            load.until_decided();
        }
    });
}

fn a_broker_that_is_away_for_longer_than_a_session() {
    while_orders_come_in(|broker, hosts, load| {
        let away = || broker.stop().unwrap();
        let back = || broker.start_again().unwrap();
        an_outage(broker, hosts, load, away, back);
    });
}

fn a_broker_that_stands_still_for_longer_than_a_session() {
    while_orders_come_in(|broker, hosts, load| {
        an_outage(broker, hosts, load, || broker.pause(), || broker.resume());
        // A pause that nobody need notice.
        broker.pause();
        load.until_placed(100);
        broker.resume();
    });
}
