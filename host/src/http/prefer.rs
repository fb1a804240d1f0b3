//! `Prefer: wait=N` (RFC 7240): a command is answered once the saga has decided.
//!
//! The client then gets the answer of a read of the aggregate, since the command's own reply was
//! made before the decision. If the wait fails for any reason, the command took place all the same
//! and is answered as pending.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::answer::Answered;
use super::waiting::WatchedRead;

/// The client's preferences.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The preference that was applied.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The seconds that a client is ready to wait. Unknown or malformed preferences are ignored, as the
/// RFC demands; of several waits the first counts.
pub(super) fn wait(headers: &HeaderMap) -> Option<u64> {
    let lists = headers.get_all(PREFER).iter();
    let lists = lists.filter_map(|list| list.to_str().ok());
    let first = lists.flat_map(preferences).find_map(|preference| {
        // Parameters follow a `;`; `wait` has none that is known.
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').to_owned())
    })?;
    let is_number = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    // A number that overflows stands for the longest wait.
    is_number.then(|| first.parse().unwrap_or(u64::MAX))
}

/// The preferences of one list; commas in quoted values don't separate.
fn preferences(list: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '\\' if is_quoted => is_escaped = !was_escaped,
            '"' if !was_escaped => is_quoted = !is_quoted,
            ',' => return !is_quoted,
            _ => {}
        }
        false
    })
}

/// Reports the wait that was granted.
pub(super) fn applied(response: &mut Answered, seconds: u64) {
    if let Ok(value) = HeaderValue::from_str(&format!("wait={seconds}")) {
        response.headers_mut().insert(PREFERENCE_APPLIED, value);
    }
}

/// Result of a wait.
pub(super) enum Waited {
    /// The saga has decided; the answer of the read.
    Decided(String),
    /// The time is up, or the host drains.
    Undecided,
    /// The aggregate can't be read, so there is nothing to wait for.
    Unreadable,
}

/// Waits for at most `seconds` until a read shows that the saga has decided.
pub(super) async fn decided(mut reading: WatchedRead, seconds: u64) -> Waited {
    let read = async {
        loop {
            match reading.ask().await {
                Ok(seen) if !seen.is_pending => return Waited::Decided(seen.body),
                Ok(_) => {}
                Err(_) => return Waited::Unreadable,
            }
            if !reading.changed().await {
                return Waited::Undecided;
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(seconds), read).await;
    waited.unwrap_or(Waited::Undecided)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn waits(lists: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(PREFER, list.parse().unwrap());
        }
        wait(&headers)
    }

    #[test]
    fn a_wait_is_found_wherever_it_stands() {
        for lists in [
            vec!["wait=5"],
            vec!["Wait = 5"],
            vec!["wait=\"5\""],
            vec!["respond-async, wait=5"],
            vec!["respond-async", "wait=5"],
            vec!["wait=5; foo=bar"],
            vec!["wait=5, wait=9"],
            vec!["wait=5", "wait=9"],
            vec!["a=\"x, wait=9\", wait=5"],
            vec!["a=\"\\\", wait=9\", wait=5"],
            vec![" , ,wait=5,"],
        ] {
            assert_eq!(waits(&lists), Some(5), "{lists:?}");
        }
        assert_eq!(waits(&["wait=99999999999999999999999"]), Some(u64::MAX));
        assert_eq!(waits(&["wait=0"]), Some(0));
    }

    #[test]
    fn unknown_and_invalid_preferences_are_ignored() {
        for list in [
            "",
            "wait",
            "wait=",
            "wait=-1",
            "wait=+1",
            "wait=1.5",
            "wait=5s",
            "wait=\"\"",
            "await=5",
            "waiting=5",
            "respond-async",
            "return=minimal",
            "handling=strict; wait=5",
            "a=\"wait=5\"",
            "=5",
            "wait=x, wait=5",
        ] {
            assert_eq!(waits(&[list]), None, "{list}");
        }
        assert_eq!(waits(&[]), None);
    }
}
