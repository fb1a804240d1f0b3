//! A mistake of the rules is reported at the author's line, not at one of the SDK.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{UnwindSafe, catch_unwind, set_hook};

use saga_sdk::testing::{Scenario, given_nothing};
use saga_sdk::{Command, Contract, Decision, Method, Participant, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

thread_local! {
    static FILE: RefCell<String> = RefCell::default();
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Settings {
    #[allow(dead_code, reason = "only its absence matters")]
    limit: u64,
}

struct Clerks;

impl Participant for Clerks {
    type State = u64;
    type Key = u64;

    fn contract() -> Contract<u64, u64> {
        let ask = |(): (), turn: &Turn<u64>| -> Decision<u64, u64> {
            Decision::put(turn.settings::<Settings>().limit).reply(1)
        };
        // A map whose keys are no text can't be written as JSON.
        let misspell = |(): (), _: &Turn<u64>| -> Decision<u64, BTreeMap<Vec<u8>, u64>> {
            Decision::put(1).reply(BTreeMap::from([(vec![1], 1)]))
        };
        Contract::new("clerks", "1.0.0", "Forgets to declare its settings.")
            .endpoint("/clerks", 9000)
            .command(Command::create("ask", Method::Post, "/asked", ask).summary("Asks."))
            .command(
                Command::create("misspell", Method::Post, "/misspelt", misspell)
                    .summary("Misspells."),
            )
    }
}

/// The file whose line a panic names.
fn blamed(fails: impl FnOnce() + UnwindSafe) -> String {
    set_hook(Box::new(|panic| {
        let file = panic.location().unwrap().file().to_owned();
        FILE.with_borrow_mut(|last| *last = file);
    }));
    assert!(catch_unwind(fails).is_err());
    FILE.with_borrow(Clone::clone)
}

#[test]
fn the_line_that_asks_for_settings_or_replies_is_named() {
    let call = |name: &'static str| {
        blamed(move || {
            let scenario: Scenario<Clerks> = given_nothing();
            scenario.when_command(name, &());
        })
    };
    assert_eq!(call("ask"), file!());
    assert_eq!(call("misspell"), file!());
}
