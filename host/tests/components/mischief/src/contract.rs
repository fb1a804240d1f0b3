//! The description of mischief. It is in order: only its acts are not.

use saga_sdk::bindings::saga::participant::types::{
    Command, CommandKind, Description, Endpoint, KeySource, Method, Publication,
    RefusalDescription, RefusalKind, StateDescription, Subscription, TimerDescription,
};

const REQUEST: &str = r#"{"type":"object","properties":{"do":{"type":"string"},"size":{"type":"integer","minimum":0},"then":{"type":"string"}},"required":["do"]}"#;
const EVENT: &str = r#"{"type":"object","properties":{"key":{"type":"string"},"do":{"type":"string"},"size":{"type":"integer","minimum":0},"then":{"type":"string"}},"required":["key","do"]}"#;
/// A count, or anything that is no object: the acts that are too large make texts.
const COUNTED: &str = r#"{"properties":{"count":{"type":"integer"}},"required":["count"]}"#;
const NOISE: &str = r#"{"properties":{"count":{"type":"integer"}}}"#;
const TIMER: &str = r#"{"properties":{"do":{"type":"string"}},"required":["do"]}"#;

/// The description.
pub(crate) fn description() -> Description {
    Description {
        name: "mischief".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "Misbehaves on request.".to_owned(),
        state: StateDescription {
            version: 1,
            oldest_readable: 1,
            schema: COUNTED.to_owned(),
        },
        endpoint: Endpoint {
            base_path: "/mischief".to_owned(),
            port: 0,
        },
        commands: vec![
            Command {
                requires: Vec::new(),
                name: "act".to_owned(),
                summary: "Does what the body says.".to_owned(),
                method: Method::Post,
                path: "/acts/{key}".to_owned(),
                kind: CommandKind::Change,
                key: KeySource::PathParameter("key".to_owned()),
                request: Some(REQUEST.to_owned()),
                reply: COUNTED.to_owned(),
                refusals: vec![RefusalDescription {
                    kind: RefusalKind::Conflict,
                    code: "no".to_owned(),
                    summary: "It was asked to refuse.".to_owned(),
                }],
            },
            Command {
                name: "look".to_owned(),
                summary: "A read that does what the path says.".to_owned(),
                method: Method::Get,
                path: "/acts/{key}/{do}".to_owned(),
                kind: CommandKind::Read,
                key: KeySource::PathParameter("key".to_owned()),
                request: None,
                reply: COUNTED.to_owned(),
                refusals: vec![],
                requires: Vec::new(),
            },
        ],
        subscriptions: vec![Subscription {
            version: 1,
            older: Vec::new(),
            event_type: "mischief".to_owned(),
            topic: "mischiefTopic".to_owned(),
            group: "mischief".to_owned(),
            key: "/key".to_owned(),
            untyped: true,
            schema: EVENT.to_owned(),
        }],
        publications: vec![Publication {
            version: 1,
            event_type: "noise".to_owned(),
            topic: "noiseTopic".to_owned(),
            schema: NOISE.to_owned(),
        }],
        timers: vec![TimerDescription {
            name: "mischief".to_owned(),
            schema: TIMER.to_owned(),
        }],
        listings: Vec::new(),
        settings: None,
        metadata: Vec::new(),
        claims: Vec::new(),
    }
}
