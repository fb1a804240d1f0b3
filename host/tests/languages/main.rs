//! Rules in other languages than Rust: built by their SDKs and toolchains, and run by the host.
//!
//! `make languages` installs what the SDKs need, from the registries of their languages. Where a toolchain can't be had, one
//! line says what was left out and how to get it; on CI that is a failure.
//!
//! `cargo test --release --workspace --test languages -- FILTER` works as with any other test binary. The components in Rust
//! must have been built; `make test` does.
//!
//! # Layout
//!
//! - `components`: a component, called without a host; the vectors that rules in every language run
//! - `orders`: the order service with rules in another language
//! - `fulfilment`: a saga with rules in three languages at once, and swaps between them under load
//! - `python`: tests of rules in Python, most of which are in `sdk/python`
//! - `typescript`: tests of rules in TypeScript
//!
//! What these two run is in the folders beside them.

#![allow(clippy::restriction, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "all of it is for this binary")]

#[path = "../support/commands.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod commands;
#[path = "../support/dev.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod dev;
#[path = "../support/store_file.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod store_file;
#[path = "../support/host.rs"]
#[allow(dead_code, unused_imports, reason = "others use more of it")]
mod support;

use saga_testkit::expect;

mod components;
mod fulfilment;
mod orders;
mod python;
mod typescript;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// Tests that run at once: each keeps a core busy.
const THREADS: usize = 2;

/// A test: its name, and what it does.
pub type Test = (&'static str, fn());

/// Tests by their functions: `tests![first, second]`.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        &[$((stringify!($test), $test)),+]
    };
}
pub(crate) use tests;

/// The tests of a language, or why they can't be run.
type Tests = Result<&'static [Test], String>;

/// A language, or a saga with rules in several: its name, and its tests.
type Language = (&'static str, fn() -> Tests);

const LANGUAGES: &[Language] = &[
    ("fulfilment", fulfilment::tests),
    ("typescript", typescript::tests),
    ("python", python::tests),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let mut all_are_there = true;
    let mut trials = Vec::new();
    for (language, tests) in LANGUAGES {
        match tests() {
            Ok(tests) => trials.extend(tests.iter().map(|(name, test)| {
                Trial::test(format!("{language}::{name}"), move || {
                    test();
                    Ok::<_, Failed>(())
                })
            })),
            Err(why) => {
                eprintln!("tests of {language}: left out ({why})");
                all_are_there = false;
            }
        }
    }
    if std::env::var_os("CI").is_some() && !all_are_there {
        return ExitCode::FAILURE;
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
