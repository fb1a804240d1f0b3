//! The raw call rate of a component: what `saga replay` would do if the journal cost nothing.
//!
//! Recorded decisions of a store are read and decoded once. Then each thread has an instance of its
//! own, as a replay gives it, and makes their calls again and again; answers are dropped.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use saga_host::app;
use saga_host::base::generation::CompiledRules;
use saga_host::config::Config;
use saga_host::plugin::compiler::child;
use saga_host::rollout::given_settings::GivenSettings;
use saga_host::rollout::loader::Loader;
use saga_host::store::{DecisionRange, JournalRow, StoreLocation, decisions};

/// The allocator of the host that it is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Recorded decisions whose calls are repeated: the last ones.
const DECISIONS: u64 = 10_000;

/// Time between two looks at the clock, in calls.
const CALLS: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // As with the host, the compiler is a process of this program.
    if let Some((child::COMMAND, rest)) = arguments
        .split_first()
        .map(|(first, rest)| (&**first, rest))
    {
        return child::run(rest);
    }
    let [data, participant, component, seconds] = arguments.as_slice() else {
        eprintln!("usage: saga-calls DATA PARTICIPANT COMPONENT SECONDS");
        return ExitCode::from(64);
    };
    match measured(data, participant, component, seconds) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("saga-calls: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measured(data: &str, participant: &str, component: &str, seconds: &str) -> Result<String> {
    let window = Duration::from_secs(seconds.parse().context("SECONDS is no number")?);
    let store = StoreLocation::Directory(data.into());
    let rows = recorded(&store, participant)?;
    let settings = Config::load(None, Vec::new(), std::env::vars())?
        .rollout()
        .on(store.clone());
    let loader = Loader::offline(&settings, &store, app::check_routes)?;
    let bytes = std::fs::read(Path::new(component)).with_context(|| component.to_owned())?;
    let build = loader.load(&bytes, component, GivenSettings::default());
    let build = build.map_err(|refused| anyhow!("{refused}"))?;
    let threads = thread::available_parallelism()?.get();
    let began = Instant::now();
    let calls = thread::scope(|scope| {
        let calling: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| called(&build, &rows, began + window)))
            .collect();
        let mut calls = 0;
        for one in calling {
            calls += one.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        anyhow::Ok(calls)
    })?;
    let elapsed = began.elapsed();
    let rate = calls as f64 / elapsed.as_secs_f64();
    Ok(format!(
        "{calls} calls in {:.2} s on {threads} threads: {rate:.0} calls/s",
        elapsed.as_secs_f64()
    ))
}

/// The last recorded decisions of a participant.
fn recorded(store: &StoreLocation, participant: &str) -> Result<Vec<JournalRow>> {
    let reading = store.look()?.context("there is no store")?;
    let row = reading.participant(participant)?;
    let wanted = DecisionRange {
        participant: row.with_context(|| format!("there is no participant {participant}"))?,
        last: Some(DECISIONS),
        ..DecisionRange::default()
    };
    let mut rows = Vec::new();
    let _all = decisions::each(&*reading, &wanted, |row| {
        rows.push(row);
        std::ops::ControlFlow::<()>::Continue(())
    })?;
    ensure!(!rows.is_empty(), "{participant} has no recorded decisions");
    Ok(rows)
}

/// Makes calls until this time, and counts them.
fn called(build: &Arc<dyn CompiledRules>, rows: &[JournalRow], until: Instant) -> Result<u64> {
    let mut rules = build.instance()?;
    let mut calls = 0;
    for (number, row) in rows.iter().cycle().enumerate() {
        if number % CALLS == 0 && Instant::now() >= until {
            break;
        }
        let Ok(recorded) = &row.recorded else {
            bail!("the decision {} can't be read", row.seq);
        };
        let decision = rules.handle(recorded.state.as_deref(), &recorded.message)?;
        std::hint::black_box(decision);
        calls += 1;
    }
    Ok(calls)
}
