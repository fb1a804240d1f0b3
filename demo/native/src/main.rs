//! The host with the rules compiled in instead of loaded as components.
//!
//! For benchmarks only: everything except the component boundary is the same, so the difference
//! between this program and `saga` is the cost of components. It has the same command line and
//! ignores the paths of components.

mod convert;

use std::process::ExitCode;
use std::sync::Arc;

use customer::Customer;
use order::OrderService;
use saga_contract::description::Description;
use saga_contract::outputs::OutputSchemas;
use saga_contract::values::outputs::DeclaredOutputs;
use saga_core::message::Message;
use saga_core::rules::{Decision, Fault, FaultKind, Rules};
use saga_host::app::StartError;
use saga_host::base::generation::CompiledRules;
use saga_host::config::Config;
use saga_host::rollout::rule_settings;
use saga_sdk::{Participant, native};

/// The allocator of the host that it is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    saga_host::cli::main(saga_host::app::RuleSource::CompiledIn(load))
}

fn load(config: &Config) -> Result<Vec<Arc<dyn CompiledRules>>, StartError> {
    let known = |name: &String| -> Result<Arc<dyn CompiledRules>, StartError> {
        match name.as_str() {
            "customer" => native::<Customer>(config, name),
            "order" => native::<OrderService>(config, name),
            other => Err(StartError::Component(format!(
                "no rules of `{other}` are compiled in"
            ))),
        }
    };
    config.participants.keys().map(known).collect()
}

fn native<P: Participant>(config: &Config, name: &str) -> Result<Arc<dyn CompiledRules>, StartError>
where
    native::Rules<P>: Send,
{
    let description = convert::description(native::Rules::<P>::new().describe());
    let given = config.participants.get(name).map(|own| own.rules.clone());
    let settings = rule_settings::effective(&description, &given.unwrap_or_default().into());
    Ok(Arc::new(Native::<P> {
        settings: settings.map_err(|reasons| StartError::Component(reasons.join("; ")))?,
        schemas: DeclaredOutputs::of(&description),
        description,
        rules: std::marker::PhantomData,
    }))
}

/// Rules that are compiled in.
struct Native<P: Participant> {
    description: Description,
    schemas: DeclaredOutputs,
    settings: String,
    rules: std::marker::PhantomData<fn() -> P>,
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

    fn schemas(&self) -> Option<&dyn OutputSchemas> {
        Some(&self.schemas)
    }

    fn instance(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        Ok(Box::new(Called {
            rules: native::Rules::<P>::new(),
            settings: self.settings.clone(),
        }))
    }
}

struct Called<P: Participant> {
    rules: native::Rules<P>,
    settings: String,
}

impl<P: Participant> Rules for Called<P> {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        let state = state.map(str::to_owned);
        let settings = self.settings.clone();
        let answer = (self.rules).handle(state, convert::message(message), settings);
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
