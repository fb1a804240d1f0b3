//! Reports that a host makes in its log and in `/readyz` at the same time.
//!
//! Must not know: what is wrong, or why.

use crate::expect::until;
use crate::health::health;
use crate::support::Host;

/// Waits until `/readyz` and the log say all of these words; gives what `/readyz` says then.
pub fn until_said(host: &Host, words: &[&str]) -> String {
    let mut said = String::new();
    until(&format!("/readyz and the log say {words:?}"), || {
        said = health(host).transport;
        let log = host.log();
        words
            .iter()
            .all(|word| said.contains(word) && log.contains(word))
    });
    said
}

/// Lines of the log that hold this.
pub fn lines(host: &Host, text: &str) -> Vec<String> {
    let log = host.log();
    let found = log.lines().filter(|line| line.contains(text));
    found.map(str::to_owned).collect()
}
