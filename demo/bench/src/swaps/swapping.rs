//! Swaps of the customer's rules, to and fro between two builds.
//!
//! Owns: the requests, their times, and what their answers must say.
//!
//! Must not know: the sagas meanwhile.

use std::time::Duration;

use bytes::Bytes;
use saga_demo_client::admin::{AdminService, Swapped};

use crate::load::ledger::Ledger;
use crate::swaps::PARTICIPANT;
use crate::swaps::overlap::Swap;
use crate::swaps::traffic::Traffic;

/// Number of wrong swaps that ends a run.
const WRONG_MAX: usize = 20;

/// The swaps of a run, at one host.
pub(super) struct Swapping<'a> {
    pub(super) admin: AdminService,
    /// The build that the host was started with, and the other.
    pub(super) builds: [Bytes; 2],
    pub(super) every: Duration,
    pub(super) done: Vec<(Swap, Swapped)>,
    pub(super) wrong: Vec<String>,
    pub(super) traffic: &'a Traffic,
    pub(super) ledger: &'a Ledger,
}

impl Swapping<'_> {
    /// Makes this many swaps, each to the build that is not active.
    pub(super) async fn repeat(&mut self, times: usize) {
        for _ in 0..times {
            if self.wrong.len() >= WRONG_MAX || self.ledger.hopeless() {
                return;
            }
            self.once().await;
            tokio::time::sleep(self.every).await;
        }
    }

    /// The median time of a swap so far, from request to answer.
    pub(super) fn typical(&self) -> Duration {
        let took = |(moment, _): &(Swap, Swapped)| moment.answered.saturating_sub(moment.sent);
        let mut times: Vec<u64> = self.done.iter().map(took).collect();
        times.sort_unstable();
        Duration::from_micros(times.get(times.len() / 2).copied().unwrap_or(0))
    }

    async fn once(&mut self) {
        let number = self.done.len() + 1;
        let [first, other] = &self.builds;
        let build = if number.is_multiple_of(2) {
            first
        } else {
            other
        };
        let sent = self.traffic.now();
        let answer = self.admin.swap(PARTICIPANT, build.clone()).await;
        let answered = self.traffic.now();
        let swapped = match answer {
            Ok(swapped) => swapped,
            Err(error) => {
                self.wrong.push(format!("swap {number}: {error}"));
                return;
            }
        };
        if !swapped.changed {
            self.wrong
                .push(format!("swap {number} is said to have changed nothing"));
        }
        let last = self.done.last().map(|(_, last)| &last.digest);
        if last.is_some_and(|last| *last != swapped.previous) {
            self.wrong.push(format!(
                "swap {number} replaced {}, not the build of the swap before",
                swapped.previous
            ));
        }
        let checked = answered.saturating_sub(swapped.swapped_us).max(sent);
        let moment = Swap {
            sent,
            checked,
            answered,
        };
        self.done.push((moment, swapped));
    }
}
