//! A participant that misbehaves on request, for the tests of the host.
//!
//! Written against the raw bindings, because the typed API of the SDK can't do most of this. The
//! field `do` of the body names what it does wrong; `count` is the one that behaves, so that a test
//! can see whether state, other keys and the process survived. All of it works as a command
//! (`POST /acts/{key}`, command `act`), as an event (`mischief` on `mischiefTopic`, key at `/key`)
//! and as a timer (`mischief`); `GET /acts/{key}/{do}` is a read that takes `do` from its path.
//!
//! Which words there are: see [`act`]. `size` in the body (default 1,000,000) says how many bytes
//! or items the oversized ones make.

mod acts;
mod contract;

pub use acts::act;

use saga_sdk::bindings::exports::saga::participant::rules::Guest;
use saga_sdk::bindings::saga::participant::types::{Description, Disposition, Message, Outcome};

/// The component.
pub struct Mischief;

impl Guest for Mischief {
    fn describe() -> Description {
        contract::description()
    }

    fn handle(state: Option<String>, message: Message, _: String) -> Result<Outcome, Disposition> {
        act(state, &message)
    }

    fn migrate(version: u32, state: String) -> Result<String, Disposition> {
        if version == 1 {
            return Ok(state);
        }
        Err(Disposition::Malformed(format!(
            "mischief reads no state of version {version}"
        )))
    }
}

#[cfg(target_family = "wasm")]
saga_sdk::bindings::export_component!(Mischief with_types_in saga_sdk::bindings);
