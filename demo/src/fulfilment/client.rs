//! Requests to the four services.
//!
//! Must not know: the steps.

use anyhow::{Error, Result};
use saga_testkit::host::Hosts;
use saga_testkit::http::{Client, Response};
use serde_json::{Value, json};

use crate::call::{self, curl_get};
use crate::page::WalkPage;

/// Clients of the four services.
pub(super) struct Services {
    pub(super) orders: Client,
    pub(super) inventory: Client,
    pub(super) payments: Client,
    pub(super) shipping: Client,
}

impl Services {
    /// Clients of these hosts' services.
    ///
    /// # Errors
    /// No host serves one of them.
    pub(super) fn of(hosts: &Hosts) -> Result<Self> {
        let client =
            |name| Ok::<_, anyhow::Error>(Client::new(hosts.service(name)?.clone(), false));
        Ok(Self {
            orders: client("orders")?,
            inventory: client("inventory")?,
            payments: client("payments")?,
            shipping: client("shipping")?,
        })
    }

    /// Names of items that no walk on the same directory has used.
    pub(super) async fn new_items(&mut self, number: usize) -> Result<Vec<String>> {
        let path = path(&self.inventory, "/items?limit=200");
        let listed = json_of(&self.inventory.get(&path).await?).map_err(Error::msg)?;
        let before = listed.pointer("/items").and_then(Value::as_array);
        let before = before.map_or(0, Vec::len);
        Ok((1..=number)
            .map(|number| format!("lamp-{}", before + number))
            .collect())
    }
}

/// The path of a request to this service.
pub(super) fn path(client: &Client, path: &str) -> String {
    client.url().path(format_args!("{path}"))
}

/// Sends a command, whose answer must be a success, and shows it. Returns the body of the answer.
pub(super) async fn post(
    client: &mut Client,
    to: &str,
    body: &Value,
    page: &mut WalkPage,
) -> Result<Value> {
    let path = path(client, to);
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let answer = call::post(client, &path, body, page).await?;
    page.need("the command is done", &answer, json_of(&answer))
}

/// Reads a resource until a member of it has this value, and shows it.
pub(super) async fn becomes(
    client: &mut Client,
    at: &str,
    (member, value): (&str, Value),
    page: &mut WalkPage,
) -> Result<Value> {
    let path = path(client, at);
    let found = |answer: &Response| json_of(answer).ok()?.pointer(member).cloned();
    let is_it = |answer: &Response| found(answer).as_ref() == Some(&value);
    let answer = call::get_until(client, &path, is_it).await?;
    page.request(&curl_get(client, &path))?;
    page.answer(&answer, None)?;
    let is = found(&answer).unwrap_or(json!("missing"));
    page.must_be(&format!("{member} at {path}"), value, is)?;
    Ok(json_of(&answer).unwrap_or_default())
}

fn json_of(answer: &Response) -> Result<Value, String> {
    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
}
