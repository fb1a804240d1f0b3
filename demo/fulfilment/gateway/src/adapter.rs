//! The rounds of the adapter: read the list, call the gateway, report.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fulfilment_payments::{PaymentView, Report};
use saga_testkit::http::{BaseUrl, Client, Response};
use serde::Deserialize;

use crate::{Gateway, perform};

/// The states in which the gateway has something to do.
const TO_DO: [&str; 2] = ["REQUESTED", "REFUNDING"];

/// A page of the list.
#[derive(Deserialize)]
struct Page {
    items: Vec<PaymentView>,
}

/// Does all that the payments at this URL ask for, round after round, until it is dropped. A round that
/// fails is repeated: what was to be done is still in the list.
pub async fn run(payments: &BaseUrl, gateway: &Mutex<impl Gateway>, between: Duration) {
    let mut client = Client::new(payments.clone(), true);
    loop {
        if let Err(error) = round(&mut client, gateway).await {
            eprintln!("gateway adapter: {error:#}; it is tried again");
        }
        tokio::time::sleep(between).await;
    }
}

/// One round: the first page of what is to be done. The others follow in the next rounds. A report
/// that is refused holds up no other.
///
/// # Errors
/// The list can't be read, or a report is refused: the first of these errors.
pub async fn round(client: &mut Client, gateway: &Mutex<impl Gateway>) -> Result<()> {
    let mut all = Ok(());
    for state in TO_DO {
        let path = client.url().path(format_args!("/payments?state={state}"));
        let answer = succeeded(&path, client.get(&path).await?)?;
        let page: Page = serde_json::from_slice(&answer.body).context("the list of payments")?;
        for payment in page.items {
            let report = {
                let mut gateway = gateway.lock().unwrap_or_else(PoisonError::into_inner);
                perform(&payment, &mut *gateway)
            };
            if let Some(report) = report {
                all = all.and(send(client, payment.order, &report).await);
            }
        }
    }
    all
}

async fn send(client: &mut Client, order: u64, report: &Report) -> Result<()> {
    let path = client.url().path(format_args!("/payments/{order}/report"));
    let body = serde_json::to_vec(report)?;
    succeeded(&path, client.post(&path, body.into()).await?)?;
    Ok(())
}

fn succeeded(path: &str, answer: Response) -> Result<Response> {
    ensure!(
        answer.is_success(),
        "{path}: {} {}",
        answer.status,
        answer.text()
    );
    Ok(answer)
}
