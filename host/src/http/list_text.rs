//! The events of a list as text.
//!
//! Must not know: what causes an event.

/// The list begins.
pub(super) fn begin(id: &str) -> String {
    event("begin", id, "{}")
}

/// All items that were in the list at its beginning were sent.
pub(super) fn listed(id: &str) -> String {
    event("listed", id, "{}")
}

/// An item, as JSON text.
pub(super) fn item(id: &str, key: &str, item: &str) -> String {
    let key = json_text(key);
    event("item", id, &format!(r#"{{"key":{key},"item":{item}}}"#))
}

/// An item that can't be shown, with the problem as JSON text.
pub(super) fn fault(id: &str, key: &str, problem: &str) -> String {
    let key = json_text(key);
    event(
        "fault",
        id,
        &format!(r#"{{"key":{key},"problem":{problem}}}"#),
    )
}

/// An aggregate that is not in the list any more.
pub(super) fn gone(id: &str, key: &str) -> String {
    let key = json_text(key);
    event("gone", id, &format!(r#"{{"key":{key}}}"#))
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn event(name: &str, id: &str, data: &str) -> String {
    // A line end in JSON text is white space between tokens, and can't occur within one.
    let data = data.replace(['\n', '\r'], " ");
    format!("event: {name}\nid: {id}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_items_stay_on_their_line() {
        assert_eq!(
            item("7", "a\n\"b", "{\n  \"c\": 1\r\n}"),
            "event: item\nid: 7\ndata: {\"key\":\"a\\n\\\"b\",\"item\":{   \"c\": 1  }}\n\n"
        );
    }
}
