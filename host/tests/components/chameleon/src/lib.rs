//! A participant whose description and behaviour are settings that stand in its own bytes, for the tests
//! of the host: a test makes any number of builds by patching them, without compiling Rust.
//!
//! In the data section there is a blob of [`LENGTH`] bytes that begins with a marker; JSON text follows,
//! a line end, and spaces. What the settings may say: see [`Settings`]. With `{}` it is the participant
//! `chameleon`: `POST /chameleon/counters/{key}` (command `count`) and the event `counted` on
//! `chameleonTopic` (group and key: `chameleon`, `/key`) count, and `GET /chameleon/counters/{key}` (command
//! `look`) shows the state, which says which version of the rules wrote it: `{"count":2,"by":"1.0.0"}`.
//!
//! Written against the raw bindings, because the typed API of the SDK can't do most of this.

mod acts;
mod description;
mod migration;
mod settings;

pub use acts::{Act, act};
pub use description::describe;
pub use migration::migrate;
pub use settings::{LENGTH, Settings};

use saga_sdk::bindings::exports::saga::participant::rules::Guest;
use saga_sdk::bindings::saga::participant::types::{Description, Disposition, Message, Outcome};

/// The component.
pub struct Chameleon;

impl Guest for Chameleon {
    fn describe() -> Description {
        leak();
        describe(Settings::own())
    }

    fn handle(
        state: Option<String>,
        message: Message,
        given: String,
    ) -> Result<Outcome, Disposition> {
        leak();
        act(Settings::own(), state.as_deref(), &message, &given)
    }

    fn migrate(version: u32, state: String) -> Result<String, Disposition> {
        leak();
        migrate(Settings::own(), version, &state)
    }
}

fn leak() {
    let left = vec![1_u8; Settings::own().leak];
    std::mem::forget(std::hint::black_box(left));
}

#[cfg(target_family = "wasm")]
saga_sdk::bindings::export_component!(Chameleon with_types_in saga_sdk::bindings);
