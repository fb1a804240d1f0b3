//! Requests to the four services, each on the page.
//!
//! Must not know: the steps.

use std::io::Write;

use anyhow::{Context as _, Result};
use saga_testkit::host::Host;
use saga_testkit::http::{Client, Response};
use serde_json::{Value, json};

use crate::walk::call;
use crate::walk::page::WalkPage;

/// Clients of the four services.
pub(super) struct Services {
    pub(super) orders: Client,
    pub(super) inventory: Client,
    pub(super) payments: Client,
    pub(super) shipping: Client,
}

impl Services {
    /// Clients of this host's services.
    ///
    /// # Errors
    /// The host does not serve one of them.
    pub(super) fn of(host: &Host) -> Result<Self> {
        let client = |name: &str| {
            let url = host
                .service(name)
                .with_context(|| format!("{name} is not served"))?;
            Ok::<_, anyhow::Error>(Client::new(url.clone(), false))
        };
        Ok(Self {
            orders: client("orders")?,
            inventory: client("inventory")?,
            payments: client("payments")?,
            shipping: client("shipping")?,
        })
    }
}

/// Sends a command, and returns the body of its answer, which must be a success.
pub(super) async fn post<W: Write>(
    client: &mut Client,
    path: &str,
    body: &Value,
    page: &mut WalkPage<W>,
) -> Result<Value> {
    let path = client.url().path(format_args!("{path}"));
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let answer = call::post(client, &path, body, page).await?;
    let read = json_of(&answer);
    Ok(page
        .check("the command is done", &answer, read)?
        .unwrap_or_default())
}

/// Reads a resource until a member of it has this value, and shows it.
pub(super) async fn becomes<W: Write>(
    client: &mut Client,
    path: &str,
    (member, value): (&str, Value),
    page: &mut WalkPage<W>,
) -> Result<Value> {
    let path = client.url().path(format_args!("{path}"));
    let found = |answer: &Response| json_of(answer).unwrap_or_default().pointer(member).cloned();
    let answer = call::get_until(client, &path, |answer| {
        found(answer).as_ref() == Some(&value)
    })
    .await?;
    page.request(&format!("curl -s {}", client.url().url(&path)))?;
    page.answer(&answer, None)?;
    let is = found(&answer).unwrap_or(json!("missing"));
    page.must_be(&format!("{member} at {path}"), value, is)?;
    Ok(json_of(&answer).unwrap_or_default())
}

/// Reads a resource without showing it.
pub(super) async fn get(client: &mut Client, path: &str) -> Result<Value> {
    let path = client.url().path(format_args!("{path}"));
    let answer = client.get(&path).await?;
    json_of(&answer).map_err(anyhow::Error::msg)
}

fn json_of(answer: &Response) -> Result<Value, String> {
    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
}
