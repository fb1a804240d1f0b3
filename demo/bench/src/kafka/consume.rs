//! The consumption of waiting records by a host, compared with a bare consumer and a bare loop.
//!
//! Owns: the customers, the rounds, and the measurements of a round: the customer host, from its
//! first to its last answer; a bare consumer of the same topic; and a bare loop that consumes,
//! decides, produces and commits. The host must have answered each order once, and approved it.
//!
//! Must not know: how a host consumes records.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::message::{BorrowedMessage, Message};
use serde::Deserialize;

use super::Run;
use super::bare;
use super::flow::{self, Spent, Throughput};
use super::names::TopicNames;
use super::produce::BacklogTopics;
use super::stage::Prepared;
use crate::load::customers;
use crate::run::candidate::CUSTOMERS;
use saga_demo_client::cents::Cents;
use saga_testkit::host::Host;
use saga_testkit::kafka::topics::{self, Ends};
use saga_testkit::kafka::{off_thread, records};
use saga_testkit::usage::Process;

/// The limit of each customer, far more than the orders can spend.
const LIMIT: Cents = Cents::whole(1_000_000_000);
/// Longest time for the waiting records, which take seconds.
const WITHIN: Duration = Duration::from_secs(300);

/// The median rounds.
#[derive(Debug)]
pub(super) struct Consumed {
    /// The customer host, from the order to the answer.
    pub(super) host: Throughput,
    /// A bare loop that consumes, decides, produces and commits.
    pub(super) looped: Throughput,
    /// A bare consumer that only reads.
    pub(super) read: Throughput,
}

/// Registers the customers and measures all rounds.
pub(super) async fn measure(run: &Run<'_>, backlog: BacklogTopics) -> Result<Consumed> {
    eprintln!("consume: registering {CUSTOMERS} customers while there is no Kafka");
    let nowhere = TopicNames {
        orders: "waitingOrders",
        answers: "waitingAnswers",
    };
    let prepared = Prepared::make(run, "customer", &nowhere, register).await?;
    let (mut host, mut looped, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for (number, orders) in (1..).zip(&backlog.topics) {
        eprintln!(
            "consume: round {number}, the customer host, then a bare loop and a bare consumer"
        );
        let answers = format!("answersOfHost{number}");
        host.push(taken_in(run, &prepared, orders, &answers).await?);
        let answers = format!("answersOfLoop{number}");
        looped.push(loop_over(run, orders, &answers).await?);
        read.push(read_only(run, orders).await?);
    }
    Ok(Consumed {
        host: flow::median(host).context("no round was run")?,
        looped: flow::median(looped).context("no round was run")?,
        read: flow::median(read).context("no round was run")?,
    })
}

async fn register(host: &Host) -> Result<()> {
    let customer = host.service("customer");
    let customer = customer.context("the host serves no customers")?;
    let limits = [LIMIT; CUSTOMERS];
    // One after the other, so that their ids are 1, 2, 3 and so on, as the orders name them.
    let ids = customers::register_all(customer, &limits, 1, false).await?;
    let expected = (1..).take(ids.len());
    ensure!(
        ids.iter().copied().eq(expected),
        "the customers' ids don't count from 1"
    );
    Ok(())
}

async fn taken_in(
    run: &Run<'_>,
    prepared: &Prepared,
    orders: &str,
    answers: &str,
) -> Result<Throughput> {
    flow::create_topics(run, &[answers]).await?;
    let count = run.bench.records;
    let before = Spent::now(run, Process::own())?;
    let on_stage = prepared.start(run, &TopicNames { orders, answers }).await?;
    let process = on_stage.host.in_system();
    let answered = topics::reaches(run.bootstrap, answers, i64::from(count), WITHIN);
    on_stage.during(answered).await?;
    let spent = Spent::now(run, process)?;
    on_stage.end().await?;
    let rate = flow::rate(run, answers, 0, count).await?;
    judge(run, answers).await?;
    // The process has just begun, so it has used nothing.
    Ok(spent.flow(&before.without_client(), rate, count))
}

async fn loop_over(run: &Run<'_>, orders: &str, answers: &str) -> Result<Throughput> {
    flow::create_topics(run, &[answers]).await?;
    let count = run.bench.records;
    let before = Spent::now(run, Process::own())?;
    let (bootstrap, from, to) = (
        run.bootstrap.to_owned(),
        orders.to_owned(),
        answers.to_owned(),
    );
    off_thread(move || bare::answer(&bootstrap, &from, &to, count)).await?;
    let spent = Spent::now(run, Process::own())?;
    let rate = flow::rate(run, answers, 0, count).await?;
    judge(run, answers).await?;
    Ok(spent.flow(&before, rate, count))
}

async fn read_only(run: &Run<'_>, orders: &str) -> Result<Throughput> {
    let count = run.bench.records;
    let before = Spent::now(run, Process::own())?;
    let (bootstrap, from) = (run.bootstrap.to_owned(), orders.to_owned());
    let rate = off_thread(move || bare::consume(&bootstrap, &from, count)).await?;
    Ok(Spent::now(run, Process::own())?.flow(&before, rate, count))
}

/// Checks that each order was answered once, and approved.
async fn judge(run: &Run<'_>, answers: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Response {
        id: i64,
        state: String,
    }
    let read = |message: &BorrowedMessage<'_>| {
        serde_json::from_slice::<Response>(message.payload().unwrap_or_default())
    };
    let until = topics::ends(run.bootstrap, &[answers]).await?;
    let found = records::read(run.bootstrap, Ends::new(), until, read).await?;
    let mut ids = BTreeSet::new();
    for answer in found {
        let Response { id, state } =
            answer.with_context(|| format!("a record on {answers} is no answer"))?;
        ensure!(
            state == "APPROVED",
            "order {id} must be APPROVED on {answers}, is {state}"
        );
        ensure!(ids.insert(id), "order {id} was answered twice on {answers}");
    }
    Ok(())
}
