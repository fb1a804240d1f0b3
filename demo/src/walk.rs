//! `saga-demo walk`: the saga step by step, for a reader.
//!
//! Owns: the steps, what each must answer, and the sentence that explains it. The last one swaps the
//! customer's rules (`walk_swap`), where the host has an admin interface. Starts a host with
//! its state in a file, so that a second walk finds the ids of the first one taken and goes on from there.
//! Everything that must be so is checked; what is not is printed as expected and found.
//!
//! Must not know: host internals; it sees the HTTP contract and the process.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;

use crate::cents::Cents;
use crate::contract::{self, OrderState};
use crate::host::{Host, Launch};
use crate::http::{Answer, Client, Endpoint};
use crate::interrupt::Interrupt;
use crate::page::Page;
use crate::walk_swap;

/// An order is decided in milliseconds; later than this is wrong.
const DECIDED_WITHIN: Duration = Duration::from_secs(10);
/// The wait between two looks at an order. Nothing announces a decision over HTTP.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// An id that no run gets to.
const NOBODY: i64 = 999_999_999;

/// What a walk is to do.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The host.
    pub(crate) launch: Launch,
    /// The build of the customer's rules that is swapped to at the end.
    pub(crate) cautious: PathBuf,
    /// End after the walk.
    pub(crate) once: bool,
}

/// Starts a host, walks through the saga, and, unless [`Walk::once`], leaves the services up until Ctrl-C. Exit code 0
/// means that everything was as it must be.
///
/// # Errors
/// The host did not start, went away, or did not drain.
pub(crate) async fn run<W: Write>(task: &Walk, page: &mut Page<W>) -> Result<ExitCode> {
    let Walk {
        launch,
        cautious,
        once,
    } = task;
    let mut interrupt = Interrupt::new()?;
    page.say("starting the host")?;
    page.request(&launch.command_line())?;
    let mut host = tokio::select! {
        host = Host::start(launch) => host?,
        () = interrupt.recv() => return Ok(ExitCode::FAILURE),
    };
    let (customer, order) = (host.customer.clone(), host.order.clone());
    let admin = host.admin.clone();
    let administered = admin.as_ref().map_or(String::new(), |admin| {
        format!("\n  admin interface   {admin}")
    });
    page.say(&format!(
        "ready after {} ms\n\n  customer service  {customer}\n  order service     {order}{administered}\n  state             \
         {}\n  the host's log    {}",
        host.ready_after.as_millis(),
        launch.data.display(),
        host.log().display(),
    ))?;
    let walked = tokio::select! {
        walked = async {
            walk(&customer, &order, page).await?;
            match &admin {
                Some(admin) => walk_swap::walk(&customer, &order, admin, cautious, page).await,
                None => Ok(()),
            }
        } => walked,
        () = interrupt.recv() => Err(anyhow!("interrupted before the walk was over")),
    };
    match walked {
        Ok(()) => {}
        Err(error) => {
            let tail = host.log_tail();
            host.drain(interrupt.recv()).await?;
            return Err(anyhow!("{error:#}\n{tail}"));
        }
    }
    page.verdict()?;
    if !*once {
        invite(&customer, &order, page)?;
        tokio::select! {
            () = interrupt.recv() => {}
            status = host.exited() => return Err(anyhow!("the host ended ({status})\n{}", host.log_tail())),
        }
        page.say("\ndraining: what is under way is finished; Ctrl-C again ends at once")?;
    }
    host.drain(interrupt.recv()).await?;
    page.say("the host has ended; its state is kept")?;
    Ok(if page.right() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One order of the walk.
struct Step {
    title: &'static str,
    total: Cents,
    state: OrderState,
    left: Cents,
    because: &'static str,
}

const STEPS: [Step; 3] = [
    Step {
        title: "An order of 300, within the limit",
        total: Cents::whole(300),
        state: OrderState::Approved,
        left: Cents::whole(700),
        because: "The customer service took 300 from the credit and published APPROVED; the order service \
                  heard it and set the order.",
    },
    Step {
        title: "An order of 700, which uses the limit up exactly",
        total: Cents::whole(700),
        state: OrderState::Approved,
        left: Cents(0),
        because: "What is left is just enough, and that is enough.",
    },
    Step {
        title: "An order of 1, beyond the limit",
        total: Cents::whole(1),
        state: OrderState::Rejected,
        left: Cents(0),
        because: "The customer service refused and took nothing; the order service, hearing REJECTED, undid its \
                  part by setting the order to REJECTED. That is the compensation.",
    },
];

/// Walks through the saga against two running services and notes on the page what is not as it must be.
async fn walk<W: Write>(customer: &Endpoint, order: &Endpoint, page: &mut Page<W>) -> Result<()> {
    let mut customers = Client::new(customer.clone(), false);
    let mut orders = Client::new(order.clone(), false);

    page.heading("A customer registers with a credit limit of 1000")?;
    let limit = Cents::whole(1_000);
    let body = contract::registration("Ann", limit);
    let answer = post(
        &mut customers,
        &contract::customers_path(customer),
        body,
        page,
    )
    .await?;
    let registered = contract::read_registered(&answer.body, "Ann", limit);
    let Some(customer_id) = page.check("the customer is registered", &answer, registered)? else {
        return Ok(());
    };
    page.say("The customer service gave an id and keeps the limit; nobody else has to know.")?;

    for step in &STEPS {
        page.heading(step.title)?;
        place(&mut orders, customer_id, step.total, step.state, page).await?;
        page.say(step.because)?;
        let path = contract::customer_path(customer, customer_id);
        let answer = get(&mut customers, &path, page).await?;
        let left = contract::read_credit_left(&answer.body, customer_id);
        if let Some(left) = page.check("the customer is known", &answer, left)? {
            page.must_be("credit left", step.left, left)?;
            page.say(&format!("{left} of the limit of {limit} is left."))?;
        }
    }

    page.heading("An order for a customer who does not exist")?;
    place(
        &mut orders,
        NOBODY,
        Cents::whole(10),
        OrderState::Rejected,
        page,
    )
    .await?;
    page.say(
        "The order service can't know who exists, so it takes the order; the customer service refuses it, as \
         it refuses what the credit does not cover.",
    )?;
    Ok(())
}

pub(crate) async fn place<W: Write>(
    orders: &mut Client,
    customer_id: i64,
    total: Cents,
    state: OrderState,
    page: &mut Page<W>,
) -> Result<()> {
    let start = Instant::now();
    let path = contract::orders_path(orders.endpoint());
    let answer = post(orders, &path, contract::order(customer_id, total), page).await?;
    let placed = contract::read_placed(&answer.body, customer_id, total);
    let Some(order_id) = page.check("the order is placed", &answer, placed)? else {
        return Ok(());
    };
    page.say(
        "Stored as PENDING and answered; the event about it is on its way to the customer service.",
    )?;
    let path = contract::order_path(orders.endpoint(), order_id);
    let answer = loop {
        let answer = orders.get(&path).await?;
        let pending = contract::read_order_state(&answer.body, order_id) == Ok(OrderState::Pending);
        if !pending || start.elapsed() > DECIDED_WITHIN {
            break answer;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    page.request(&format!("curl -s {}", orders.endpoint().url(&path)))?;
    page.answer(&answer, Some(start.elapsed()))?;
    let found = contract::read_order_state(&answer.body, order_id);
    if let Some(found) = page.check("the order has a state", &answer, found)? {
        page.must_be("state of the order", state, found)?;
    }
    Ok(())
}

pub(crate) async fn post<W: Write>(
    client: &mut Client,
    path: &str,
    body: String,
    page: &mut Page<W>,
) -> Result<Answer> {
    page.request(&curl_post(&client.endpoint().url(path), &body))?;
    let answer = client
        .post(path, Bytes::from(body))
        .await
        .context("the walk can't go on")?;
    page.answer(&answer, None)?;
    Ok(answer)
}

pub(crate) async fn get<W: Write>(
    client: &mut Client,
    path: &str,
    page: &mut Page<W>,
) -> Result<Answer> {
    page.request(&format!("curl -s {}", client.endpoint().url(path)))?;
    let answer = client.get(path).await.context("the walk can't go on")?;
    page.answer(&answer, None)?;
    Ok(answer)
}

fn invite<W: Write>(customer: &Endpoint, order: &Endpoint, page: &mut Page<W>) -> Result<()> {
    let customers = customer.url(&contract::customers_path(customer));
    let orders = order.url(&contract::orders_path(order));
    page.say("\nBoth services stay up. Try:\n")?;
    page.request(&curl_post(
        &customers,
        &contract::registration("Bob", Cents::whole(50)),
    ))?;
    page.request(&curl_post(&orders, &contract::order(1, Cents(1_025))))?;
    page.request(&format!(
        "curl -s {}",
        order.url(&contract::order_path(order, 1))
    ))?;
    page.request(&format!(
        "curl -s {}",
        customer.url(&contract::customer_path(customer, 1))
    ))?;
    page.say("\nCtrl-C drains and ends.")?;
    Ok(())
}

fn curl_post(url: &str, body: &str) -> String {
    format!("curl -s {url} -H 'Content-Type: application/json' -d '{body}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::launch;
    use crate::mock::{Fault, Mock};

    async fn walked(fault: Fault) -> (bool, String) {
        let mock = Mock::start(fault).await;
        let mut page = Page::new(Vec::new(), false);
        walk(&mock.customer, &mock.order, &mut page).await.unwrap();
        page.verdict().unwrap();
        (page.right(), page.text())
    }

    #[tokio::test]
    async fn a_right_service_is_explained_and_found_right() {
        let (right, text) = walked(Fault::None).await;
        assert!(right, "{text}");
        for line in [
            r#"{"name":"Ann","creditLimit":{"amount":1000}}'"#,
            r#"201 {"customerId":1,"name":"Ann","amount":1000}"#,
            r#"201 {"orderId":2,"orderState":"PENDING","customerId":1,"orderTotal":700}"#,
            r#"200 {"orderId":3,"orderState":"REJECTED"}"#,
            r#"200 {"orderId":4,"orderState":"REJECTED"}"#,
            r#"200 {"id":1,"name":"Ann","creditLimit":0}"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_wrong_service_is_found_wrong_with_expected_and_found() {
        let (right, text) = walked(Fault::ApprovesBeyond).await;
        assert!(!right);
        assert!(
            text.contains("state of the order: expected REJECTED, found APPROVED"),
            "{text}"
        );
        assert!(text.contains("credit left: expected 0, found -1"), "{text}");
    }

    #[tokio::test]
    async fn the_whole_walk_starts_and_drains_a_host() {
        let mock = Mock::start(Fault::None).await;
        let data = tempfile::tempdir().unwrap();
        let says = format!(
            "listening customer {}\nlistening order {}\nadmin {}\n",
            mock.customer, mock.order, mock.admin
        );
        std::fs::write(data.path().join("stdout"), says).unwrap();
        let cautious = data.path().join("cautious");
        std::fs::write(&cautious, "0.2.0").unwrap();
        let task = Walk {
            launch: launch(data.path()),
            cautious,
            once: true,
        };
        let mut page = Page::new(Vec::new(), false);
        let code = run(&task, &mut page).await.unwrap();
        let text = page.text();
        assert_eq!(
            format!("{code:?}"),
            format!("{:?}", ExitCode::SUCCESS),
            "{text}"
        );
        assert!(text.contains("6. The customer's rules"), "{text}");
        let log = std::fs::read_to_string(data.path().join("host.log")).unwrap();
        assert!(log.contains("drained"), "{log}");
    }
}
