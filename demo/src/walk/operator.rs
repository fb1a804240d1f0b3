//! An operator's requests of the walk to swap rules, each on the page with its answer.
//!
//! Owns: showing a request as a command that a reader can paste.
//!
//! Must not know: the reason for a swap.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use bytes::Bytes;

use super::page::WalkPage;
use crate::admin::{self, Swapped};
use crate::files;
use saga_testkit::http::{Client, RequestError, Response};

/// Applies a component, with a query such as `?allow-breaking=true`. None if it was not taken.
///
/// # Errors
/// The host can't be reached, or the component can't be read.
pub(super) async fn apply<W: Write>(
    operator: &mut Client,
    participant: &str,
    component: &Path,
    query: &str,
    page: &mut WalkPage<W>,
) -> Result<Option<Swapped>> {
    let bytes = files::read(component)?;
    let path = admin::component_path(operator.url(), participant) + query;
    let (file, url) = (component.display(), operator.url().url(&path));
    page.request(&format!("curl -s -T {file} '{url}'"))?;
    let answer = operator.put(&path, bytes).await;
    swapped("the rules are swapped", answer, page)
}

/// Rolls back by one generation. None if that was refused.
///
/// # Errors
/// The host can't be reached.
pub(super) async fn roll_back<W: Write>(
    operator: &mut Client,
    participant: &str,
    page: &mut WalkPage<W>,
) -> Result<Option<Swapped>> {
    let path = admin::rollback_path(operator.url(), participant);
    page.request(&format!("curl -s -X POST {}", operator.url().url(&path)))?;
    let answer = operator.post(&path, Bytes::new()).await;
    swapped("the rules are those of before", answer, page)
}

/// Changes settings of rules. None if that was refused.
///
/// # Errors
/// The host can't be reached.
pub(super) async fn configure<W: Write>(
    operator: &mut Client,
    participant: &str,
    settings: String,
    page: &mut WalkPage<W>,
) -> Result<Option<Swapped>> {
    let path = admin::settings_path(operator.url(), participant);
    let url = operator.url().url(&path);
    page.request(&format!("curl -s -X PATCH {url} -d '{settings}'"))?;
    let answer = operator.patch(&path, settings.into()).await;
    swapped("the setting is changed", answer, page)
}

fn swapped<W: Write>(
    what: &str,
    answer: Result<Response, RequestError>,
    page: &mut WalkPage<W>,
) -> Result<Option<Swapped>> {
    let answer = page.answered(answer)?;
    let swapped = admin::read_swapped(&answer.body);
    Ok(page.check(what, &answer, swapped)?)
}
