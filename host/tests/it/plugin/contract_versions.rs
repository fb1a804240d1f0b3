//! Versions of the contract: released ones never change, and their components run.

use saga_host::plugin::bindings::ContractVersion;
use saga_host::plugin::{compile, world};
use serde_json::json;

use crate::support::{Start, component};

/// SHA-256 of the WIT of each frozen version.
const FROZEN: [(&str, &str); 1] = [(
    include_str!("../../../../wit/0.1/participant.wit"),
    "4e6254a3fd0903b4961d14ec6645dbc42497e8ffeae2d461ad2e225f3b3e0e29",
)];

#[test]
fn a_released_contract_never_changes() {
    for (wit, digest) in FROZEN {
        assert_eq!(compile::digest(wit.as_bytes()), digest, "{wit}");
    }
}

#[test]
fn the_contracts_that_a_host_takes_are_those_of_the_wit() {
    for (name, version) in [
        ("veteran", ContractVersion::V0_1),
        ("customer", ContractVersion::V0_2),
    ] {
        let built = std::fs::read(component(name)).unwrap();
        let built = world::contract_of(&built).unwrap();
        assert_eq!(built, version.types(), "of {name}:\n{built}");
    }
}

#[test]
fn a_component_of_an_older_contract_decides_commands_events_and_timers() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["veteran"], data.path()).start();
    let counted = host.post("veteran", "/counters/a", &json!(null));
    assert_eq!((counted.status, counted.json()), (200, json!({"count": 1})));
    // Its event and its timer are on their way.
    host.get_until("veteran", "/counters/a", |seen| {
        seen.json() == json!({"count": 3})
    });
    assert!(host.stop().success());
}
