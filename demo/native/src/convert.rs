//! Converts the core's values to the SDK's, and back.

use saga_core::message::{Message, Origin};
use saga_sdk::native;

saga_contract::description_from_generated!(saga_sdk::native);
saga_core::outcome_from_generated!();

/// A message as the rules take it.
pub(crate) fn message(message: &Message) -> native::Message {
    native::Message {
        id: message.id.clone(),
        source: message.source.clone(),
        origin: match message.origin {
            Origin::Command => native::Origin::Command,
            Origin::Event => native::Origin::Event,
            Origin::Timer => native::Origin::Timer,
        },
        name: message.name.clone(),
        key: message.key.clone(),
        time: message.time,
        correlation: message.correlation.clone(),
        causation: message.causation.clone(),
        caller: message.caller.as_ref().map(|caller| native::Caller {
            subject: caller.subject.clone(),
            claims: caller.claims.clone(),
        }),
        metadata: (message.metadata.iter())
            .map(|(name, value)| native::Header {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        version: message.version,
        parameters: message
            .parameters
            .iter()
            .map(|(name, value)| native::Parameter {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        body: message.body.clone(),
    }
}
