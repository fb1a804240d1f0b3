//! [`Participant`], the trait an author implements, and [`export!`](crate::export), which makes a
//! component of it.

use crate::contract::Contract;
use crate::key::Key;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One participant of a saga. See the crate's documentation for an example.
pub trait Participant: 'static {
    /// The state that the host keeps for each aggregate, as JSON.
    type State: Serialize + DeserializeOwned + JsonSchema + 'static;

    /// The type of the aggregates' keys: `String`, `u64` for numbers that the host gives, or any type that
    /// is read from text and written as the same text.
    type Key: Key;

    /// The description of the participant, with the functions that decide.
    fn contract() -> Contract<Self::State, Self::Key>;
}

/// Exports a [`Participant`](crate::Participant) as the component of this crate.
///
/// Once per crate, at its root. The crate needs `crate-type = ["cdylib", "rlib"]`, and
/// `cargo build --release --target wasm32-wasip2` makes the component. In native builds, such as
/// `cargo test`, it only checks that the type is a participant.
#[macro_export]
macro_rules! export {
    ($participant:ty) => {
        const _: () = {
            const fn is_participant<P: $crate::Participant>() {}
            is_participant::<$participant>();
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::exports::saga::participant::rules::Guest;
            use $crate::bindings::saga::participant::types;

            std::thread_local! {
                // An instance has one thread: this is built once per instance.
                static RULES: $crate::native::Rules<$participant> =
                    $crate::native::Rules::new();
            }

            struct Component;

            impl Guest for Component {
                fn describe() -> types::Description {
                    // The sum is compiled as the rest of the author's crate is.
                    $crate::native::show_overflow_checks(|a, b| a + b);
                    RULES.with($crate::native::Rules::describe)
                }

                fn handle(
                    state: Option<String>,
                    message: types::Message,
                    settings: String,
                ) -> Result<types::Outcome, types::Disposition> {
                    RULES.with(|rules| rules.handle(state, message, settings))
                }

                fn migrate(version: u32, state: String) -> Result<String, types::Disposition> {
                    RULES.with(|rules| rules.migrate(version, state))
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}
