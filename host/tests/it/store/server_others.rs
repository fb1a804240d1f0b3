//! What another host commits on the same PostgreSQL server, as far as it concerns this one: here the
//! server is changed directly, as another host would.

use saga_testkit::postgres::can_start;
use serde_json::{Value, json};

use crate::server_store::ServerStore;

/// Writes this state of a room, as the next revision.
fn decided_elsewhere(store: &ServerStore, room: &str, state: &str) {
    let state = state.replace('\'', "''");
    store.rows(&format!(
        "UPDATE aggregates SET revision = revision + 1, state = '{state}' WHERE key = '{room}'"
    ));
}

fn state(store: &ServerStore, room: &str) -> String {
    let query = format!("SELECT state FROM aggregates WHERE key = '{room}'");
    store.rows(&query)[0][0].clone()
}

#[test]
fn invariant_4_a_command_is_decided_on_the_state_that_another_host_has_left() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let data = tempfile::tempdir().unwrap();
    let host = store.host(&["booking"], data.path()).start();
    let add = |code: &str| {
        let room = json!({"code": code, "seats": 4});
        let added = host.send("booking", "PUT", "/rooms", &room.to_string());
        assert!(added.status < 300, "{}", added.text());
    };
    let hold = |code: &str, who: &str| {
        let by = json!({"by": who, "ttlMillis": 3_600_000});
        host.post("booking", &format!("/rooms/{code}/hold"), &by)
    };
    for code in ["A", "B"] {
        add(code);
    }
    let free = state(&store, "A");
    assert_eq!(hold("B", "Ann").status, 202);
    let held = state(&store, "B");

    // This host knows A as free.
    decided_elsewhere(&store, "A", &held);
    let refused = hold("A", "Bob");
    assert_eq!(refused.status, 409, "{}", refused.text());
    // It knows A as held by now.
    decided_elsewhere(&store, "A", &free);
    let taken = hold("A", "Bob");
    assert_eq!(taken.status, 202, "{}", taken.text());
    let status: Value = serde_json::from_str(&state(&store, "A")).unwrap();
    assert_eq!(status["status"]["held"]["by"], "Bob", "{status}");
    // A refusal on a state that was replaced is no decision: it left no trace.
    let query = "SELECT count(*) FROM journal WHERE key = 'A'";
    assert_eq!(store.number(query), 3, "added, refused, held");
    assert!(host.stop().success());
}
