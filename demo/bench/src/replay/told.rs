//! What `saga replay` and `saga repair` tell of a store.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::replay::model::Predicted;
use saga_testkit::host::launch::program;

/// Exit code of a replay or repair that found changes.
const FOUND: i32 = 1;

/// A store, and the build that is asked.
pub(crate) struct Told<'t> {
    pub(crate) saga: &'t Path,
    pub(crate) data: &'t Path,
    pub(crate) cautious: &'t Path,
}

/// A report of `saga replay`.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    mode: String,
    replayed: usize,
    changed: usize,
    faults: usize,
    changes: Vec<Group>,
    /// Its duration in milliseconds.
    pub(crate) elapsed_ms: u64,
}

/// Decisions with the same change.
#[derive(Debug, Deserialize)]
struct Group {
    what: String,
    from: Option<String>,
    to: Option<String>,
    count: usize,
}

#[derive(Deserialize)]
struct Generations {
    active: String,
}

#[derive(Deserialize)]
struct RepairList {
    affected: Vec<Affected>,
    not_listed: usize,
}

#[derive(Deserialize)]
struct Affected {
    body: Order,
}

#[derive(Deserialize)]
struct Order {
    id: i64,
}

impl Told<'_> {
    /// Replays the customer's decisions.
    ///
    /// # Errors
    /// There is no report.
    pub(crate) fn replay(&self, more: &[&str]) -> Result<Report> {
        self.asked("replay", "--candidate", more)
    }

    /// The orders on which the cautious build decides otherwise, and the number of those that are
    /// not listed.
    ///
    /// # Errors
    /// There is no list.
    pub(crate) fn repair(&self) -> Result<(BTreeSet<i64>, usize)> {
        let generations: Generations = self.printed(&["generations", "customer"])?;
        let of_active = ["--generation", &generations.active];
        let list: RepairList = self.asked("repair", "--with", &of_active)?;
        let ids = list.affected.into_iter().map(|one| one.body.id);
        Ok((ids.collect(), list.not_listed))
    }

    fn asked<T: DeserializeOwned>(&self, command: &str, build: &str, more: &[&str]) -> Result<T> {
        let cautious = self.cautious.to_str().context("a path is no text")?;
        self.printed(&[&[command, "customer", build, cautious], more].concat())
    }

    /// What `saga` prints as JSON.
    fn printed<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let mut saga = program(self.saga);
        saga.args(arguments)
            .arg("--json")
            .arg("--data")
            .arg(self.data);
        let output = saga.output().context("saga does not start")?;
        let is_told = output.status.success() || output.status.code() == Some(FOUND);
        ensure!(
            is_told,
            "saga {} ended with {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let what = || format!("saga {} printed something else", arguments.join(" "));
        serde_json::from_slice(&output.stdout).with_context(what)
    }
}

impl Report {
    /// The ways in which the report differs from the calculation.
    pub(crate) fn differences(&self, decisions: usize, predicted: &Predicted) -> Vec<String> {
        let rows = [
            ("decisions replayed", self.replayed, decisions),
            ("decisions changed", self.changed, predicted.changed()),
            ("faults", self.faults, 0),
            (
                "answers from APPROVED to REJECTED",
                self.answers("APPROVED", "REJECTED"),
                predicted.rejected.len(),
            ),
            (
                "answers from REJECTED to APPROVED",
                self.answers("REJECTED", "APPROVED"),
                predicted.approved.len(),
            ),
        ];
        let others = rows
            .into_iter()
            .filter(|(_, found, expected)| found != expected);
        let in_words = |(what, found, expected)| {
            format!("{}: {what}: {found}, calculated are {expected}", self.mode)
        };
        others.map(in_words).collect()
    }

    /// Number of decisions with this change of the answer to an order.
    fn answers(&self, from: &str, to: &str) -> usize {
        let [from, to] = [from, to].map(|state| Some(format!("\"{state}\"")));
        let groups = self.changes.iter();
        let of_it = groups.filter(|group| {
            group.what.starts_with("event ") && group.from == from && group.to == to
        });
        of_it.map(|group| group.count).sum()
    }
}
