//! The host with the rules compiled in instead of loaded as components.
//!
//! For the benchmark alone: everything but the component boundary is the same, so the difference
//! between this program and `saga` is what components cost. It takes the same command line and
//! ignores the paths of the components.

mod convert;

use std::process::ExitCode;
use std::sync::Arc;

use customer::Customer;
use order::OrderService;
use saga_core::description::Description;
use saga_core::message::Message;
use saga_core::rules::{Decision, Fault, FaultKind, Rules};
use saga_host::app::StartError;
use saga_host::base::generation::CompiledRules;
use saga_host::config::Config;
use saga_sdk::{Participant, native};

/// The one of the host that it is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    saga_host::cli::main(saga_host::app::RuleSource::CompiledIn(load))
}

fn load(config: &Config) -> Result<Vec<Arc<dyn CompiledRules>>, StartError> {
    let known = |name: &String| -> Result<Arc<dyn CompiledRules>, StartError> {
        match name.as_str() {
            "customer" => Ok(Arc::new(Native::<Customer>::new())),
            "order" => Ok(Arc::new(Native::<OrderService>::new())),
            other => Err(StartError::Component(format!(
                "no rules of `{other}` are compiled in"
            ))),
        }
    };
    config.participants.keys().map(known).collect()
}

/// Rules that are compiled in, as a build.
struct Native<P: Participant> {
    description: Description,
    rules: std::marker::PhantomData<fn() -> P>,
}

impl<P: Participant> Native<P> {
    fn new() -> Self {
        let description = convert::description(native::Rules::<P>::new().describe());
        Self {
            description,
            rules: std::marker::PhantomData,
        }
    }
}

impl<P: Participant + 'static> CompiledRules for Native<P>
where
    native::Rules<P>: Send,
{
    fn digest(&self) -> &str {
        "native"
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn instance(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        Ok(Box::new(Called(native::Rules::<P>::new())))
    }
}

struct Called<P: Participant>(native::Rules<P>);

impl<P: Participant> Rules for Called<P> {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        let answer = self
            .0
            .handle(state.map(str::to_owned), convert::message(message));
        let answer = answer.map(convert::outcome).map_err(convert::disposition);
        Ok(Decision { answer, fuel: 0 })
    }

    fn migrate(&mut self, version: u32, _: &str) -> Result<String, Fault> {
        Err(Fault::new(
            FaultKind::Migration,
            format!("no version {version}"),
        ))
    }
}
