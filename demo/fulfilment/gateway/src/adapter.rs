//! The rounds of the adapter: read the list, call the gateway, report.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fulfilment_payments::PaymentView;
use saga_testkit::http::{BaseUrl, Client};
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

/// One round: the first page of what is to be done. The others follow in the next rounds.
///
/// # Errors
/// The list can't be read, or a report is refused.
pub async fn round(client: &mut Client, gateway: &Mutex<impl Gateway>) -> Result<()> {
    for state in TO_DO {
        let path = client.url().path(format_args!("/payments?state={state}"));
        let answer = client.get(&path).await?;
        ensure!(
            answer.is_success(),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        let page: Page = serde_json::from_slice(&answer.body).context("the list of payments")?;
        for payment in page.items {
            let report = {
                let mut gateway = gateway.lock().unwrap_or_else(PoisonError::into_inner);
                perform(&payment, &mut *gateway)
            };
            let Some(report) = report else {
                continue;
            };
            let path = client
                .url()
                .path(format_args!("/payments/{}/report", payment.order));
            let answer = client
                .post(&path, serde_json::to_vec(&report)?.into())
                .await?;
            ensure!(
                answer.is_success(),
                "{path}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    Ok(())
}
