//! The API as others see it: validators of its documents, a browser on its pages, a fuzzer on all that it promises.
//!
//! None of these tools is ours, and none is needed to build or use the host. `tools.sh` fetches them into
//! `target/api-tools`; where one can't be had, one line says what was left out and how to get it, and on CI that is a failure.
//!
//! `cargo test --release --workspace --test api -- FILTER` works as with any other test binary, and gets only the tools of
//! the tests that it runs. The components must have been built; `make test` does. `make fuzz-api` is the fuzzer alone,
//! with API_CALLS calls.
//!
//! # Layout
//!
//! - `tools`: where the tools are, and how they are run
//! - `documents`: the validators; `pages`: the browser; `fuzz`: schemathesis
//! - beside them, what runs in the tools: `documents.py`, `asyncapi.cjs`, `browser.cjs`, `hooks.py`

#![allow(clippy::restriction, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "all of it is for this binary")]

#[path = "../support/chameleon.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod chameleon;
#[path = "../support/host.rs"]
#[allow(dead_code, unused_imports, reason = "others use more of it")]
mod support;

mod documents;
mod fuzz;
mod pages;
mod tools;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::support::{Host, Start};
use crate::tools::{Found, Tool};

/// Tests that run at once: each keeps a core busy.
const THREADS: usize = 2;

/// A test on the host that all share: its name, the tools that it needs, and what it does.
pub type Test = (&'static str, &'static [Tool], fn(&Host, &Found));

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let filter = arguments.filter.clone().unwrap_or_default();
    // The longest first, so that none is left alone at the end.
    let tests: Vec<Test> = [fuzz::TESTS, pages::TESTS, documents::TESTS]
        .concat()
        .into_iter()
        .filter(|(name, ..)| name.contains(&filter))
        .collect();
    let found = Arc::new(Found::of(tests.iter().flat_map(|(_, needs, _)| *needs)));
    let mut all_are_there = true;
    for (name, needs, _) in &tests {
        if let Some(why) = found.lacks(needs) {
            eprintln!("the API: left out {name} ({why})");
            all_are_there = false;
        }
    }
    let must_run = std::env::var_os("CI").is_some() || fuzz::is_asked_for();
    if must_run && !all_are_there {
        return ExitCode::FAILURE;
    }
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path())
        // The fuzzer asks to wait, for as long as it likes.
        .setting("http.wait_seconds", 1)
        .setting("reload.watch_ms", 0)
        .start();
    let host = Arc::new(host);
    let trials = tests
        .into_iter()
        .filter(|(_, needs, _)| found.lacks(needs).is_none())
        .map(|(name, _, test)| {
            let (host, found) = (host.clone(), found.clone());
            Trial::test(name, move || {
                test(&host, &found);
                Ok::<_, Failed>(())
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let host = Arc::into_inner(host).expect("no test is left that uses the host");
    assert!(host.stop().success(), "the host did not end well");
    conclusion.exit_code()
}
