//! A participant that decides on orders when a test wants it, in the place of the customer service.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::chameleon::Chameleon;
use crate::support::{Host, Start};

/// The event by which the order service hears of decisions.
const ANSWERED: &str = "saga.customer.credit-answered";

/// The orders that can be decided on: 1 to this.
const ORDERS: u64 = 4;

/// A host with the order service and the decider.
pub fn start(data: &Path) -> Start {
    let (mut commands, mut handle) = (Vec::new(), Map::new());
    for order in 1..=ORDERS {
        for state in ["APPROVED", "REJECTED"] {
            let name = format!("{state}-{order}").to_lowercase();
            commands
                .push(json!({"name": name, "method": "POST", "path": format!("/{name}/{{key}}")}));
            let details = json!({"customerId": 1, "orderTotal": {"amount": 300}});
            let body = json!({"id": order, "state": state, "orderDetails": details});
            let publish = json!({"event_type": ANSWERED, "key": "1", "body": body});
            handle.insert(name, json!({"publish": publish}));
        }
    }
    let decider = Chameleon::new().with(json!({
        "name": "decider",
        "base_path": "/decider",
        "commands": commands,
        "subscriptions": [],
        "publications": [{"event_type": ANSWERED, "topic": "customerTopic"}],
        "timers": [],
        "handle": Value::from(handle),
    }));
    let path = data.join("decider.wasm");
    decider.write(&path);
    let plugin = format!("decider={}", path.display());
    Start::new(&["order"], data).arguments(&[
        "--plugin",
        &plugin,
        "--listen",
        "decider=127.0.0.1:0",
    ])
}

/// Decides on an order.
pub fn decide(host: &Host, order: u64, state: &str) {
    let path = format!("/{}-{order}/k", state.to_lowercase());
    let decided = host.post("decider", &path, &json!({}));
    assert_eq!(decided.status, 200, "{}", decided.text());
}
