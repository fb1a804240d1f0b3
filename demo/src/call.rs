//! A request and its answer, both on the page: the request as a command that a reader can paste.
//!
//! Must not know: the calls of a walk.

use std::time::{Duration, Instant};

use anyhow::Result;
use saga_testkit::http::{Client, Response};

use crate::page::WalkPage;

/// Longest wait for a decision, which takes milliseconds.
const DECIDED_WITHIN: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// Interval at which a resource is polled: HTTP clients are not notified of decisions here.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The command that GETs a resource.
pub(crate) fn curl_get(client: &Client, path: &str) -> String {
    format!("curl -s {}", client.url().url(path))
}

/// The command that POSTs a body.
pub(crate) fn curl_post(client: &Client, path: &str, body: &str) -> String {
    let url = client.url().url(path);
    format!("curl -s {url} -H 'Content-Type: application/json' -d '{body}'")
}

/// Sends a POST.
pub(crate) async fn post(
    client: &mut Client,
    path: &str,
    body: String,
    page: &mut WalkPage,
) -> Result<Response> {
    page.request(&curl_post(client, path, &body))?;
    page.answered(client.post(path, body.into()).await)
}

/// Repeats a GET until its answer is the awaited one, or for [`DECIDED_WITHIN`]; returns the last
/// answer. Nothing of it is on the page.
pub(crate) async fn get_until(
    client: &mut Client,
    path: &str,
    is_it: impl Fn(&Response) -> bool,
) -> Result<Response> {
    let start = Instant::now();
    loop {
        let answer = client.get(path).await?;
        if is_it(&answer) || start.elapsed() > DECIDED_WITHIN {
            return Ok(answer);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
