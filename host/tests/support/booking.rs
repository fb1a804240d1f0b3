//! The participant `booking`, as several tests use it.

use serde_json::json;

use crate::support::Host;

/// Adds a room with four seats.
pub fn add_room(host: &Host, code: &str) {
    let room = json!({"code": code, "seats": 4}).to_string();
    let put = host.send("booking", "PUT", "/rooms", &room);
    assert_eq!(put.status, 201, "{}", put.text());
}
