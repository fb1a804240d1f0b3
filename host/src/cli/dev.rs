//! `saga dev`: a host on the participant of the present folder, whose rules follow its sources.
//!
//! Each change is a round: build, test, swap. The swap makes all checks. The host reads no file by
//! itself: what cargo has built may not have passed its tests.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use clap::Args;
use parking_lot::Mutex;
use rustix::fs::Mode;
use tokio_util::sync::CancellationToken;

use super::arguments::{OverrideArguments, SettingsArguments, setting};
use super::run::{self, Beside};
use super::signals::Signals;
use super::{admin_file, author, complain, exit, probe_report, reply, say, table};
use crate::app::{self, RuleSource, RunningHost};
use crate::author::project::Project;
use crate::author::sources::Sources;
use crate::author::steps::{Cargo, Step, StepFailed};
use crate::base::note::Note;
use crate::base::printable::{Lines, escaped};
use crate::config::{Config, ConfigError};
use crate::logging;
use crate::plugin::component;
use crate::rollout::flags::Flags;
use crate::rollout::report::{NotApplied, SwapResult, Way};
use crate::rollout::rule_settings::CandidateSettings;
use crate::rollout::verify::{NotVerified, Verify};
use crate::rollout::{Apply, Reloader};

/// The data directory of a project.
const DATA: &str = ".saga";

/// The log's level, unless the settings say otherwise: what is done to the rules is printed.
const LEVEL: &str = "warn,saga_host::rollout=error";

/// What to run, and how.
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    allowed: OverrideArguments,
    /// Start without the data of earlier runs: remove .saga
    #[arg(long, conflicts_with = "data")]
    reset: bool,
}

/// Runs the project of the present folder until SIGINT or SIGTERM; gives the exit code. `usual` is
/// the user's own umask, for what cargo builds.
pub(super) fn dev(request: DevArguments, rules: RuleSource, usual: Mode) -> u8 {
    let project = match author::project() {
        Ok(project) => project,
        Err(code) => return code,
    };
    if request.reset
        && let Err(reason) = reset(Path::new(DATA))
    {
        complain(&reason);
        return exit::STORE;
    }
    let settings = author::settings_file(&project);
    let session = Session {
        settings: request.settings.of_project(settings, DATA),
        flags: request.allowed.flags(false),
        cargo: Cargo {
            umask: Some(usual.bits()),
            has_own_group: true,
            ..Cargo::default()
        },
    };
    match session.run(project, rules) {
        Ok(()) => exit::DONE,
        Err(code) => code,
    }
}

/// Removes the data of earlier runs.
fn reset(data: &Path) -> Result<(), String> {
    if let Some(host) = admin_file::read(data)? {
        return Err(format!(
            "{}: a host runs on it (process {}); end it first",
            data.display(),
            host.pid
        ));
    }
    match std::fs::remove_dir_all(data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: can't be removed: {error}", data.display()))
        }
        _ => Ok(()),
    }
}

/// One run of the command.
struct Session {
    settings: SettingsArguments,
    flags: Flags,
    cargo: Cargo,
}

impl Session {
    fn run(&self, project: Project, rules: RuleSource) -> Result<(), u8> {
        let config = self.config(None)?;
        run::start_log(&config)?;
        let runtime = run::runtime()?;
        let first = runtime.block_on(async {
            let mut signals = Signals::new().map_err(|error| {
                complain(&error.to_string());
                exit::INTERNAL
            })?;
            let cargo = self.cargo.clone();
            let build = tokio::task::spawn_blocking(move || first_build(&config, project, &cargo));
            tokio::pin!(build);
            let built = tokio::select! {
                built = &mut build => built,
                _ = signals.next() => {
                    self.cargo.stop.cancel();
                    build.await
                }
            };
            built.unwrap_or(Err(exit::INTERNAL))
        })?;
        // A stop may come while the component is checked, too.
        let Some(first) = first.filter(|_| !self.cargo.stop.is_cancelled()) else {
            return Ok(());
        };
        let config = self.config(Some(&first))?;
        let rounds = Mutex::new(None);
        let beside = Beside {
            ready: &|running| {
                announce(running, &config.data_dir);
                *rounds.lock() = self.follow(running, &first);
            },
            stopping: &|| self.cargo.stop.cancel(),
            ends_at_hangup: true,
        };
        let served = runtime.block_on(run::serve(&config, rules, &beside));
        self.cargo.stop.cancel();
        let rounds = rounds.lock().take();
        if let Some(rounds) = rounds {
            // It has ended cargo by then.
            let _ = rounds.join();
        }
        runtime.shutdown_background();
        match run::ended(served) {
            exit::DONE => Ok(()),
            code => Err(code),
        }
    }

    /// The settings, with the component of the project once it is built.
    fn config(&self, first: Option<&FirstBuild>) -> Result<Config, u8> {
        let own = first.map(|first| {
            let path = first.project.component.display().to_string();
            let at = ["participants", first.participant.as_str(), "component"];
            setting(&at, &path, "the project")
        });
        let watch = setting(&["reload", "watch_ms"], "0", "saga dev");
        let config = match own {
            Some(own) => self.settings.load([own, watch]),
            // `--listen` is for a participant whose component is not known yet.
            None => self.settings.load_file(),
        };
        let mut config = config.map_err(|ConfigError(problems)| {
            problems.iter().for_each(|problem| complain(problem));
            exit::USAGE
        })?;
        if config.log.level == "info" && std::env::var_os("SAGA__LOG__LEVEL").is_none() {
            config.log.level = LEVEL.into();
        }
        Ok(config)
    }

    /// Starts the rounds on a thread of their own.
    fn follow(&self, running: &RunningHost, first: &FirstBuild) -> Option<JoinHandle<()>> {
        let mut rounds = Rounds {
            participant: first.participant.clone(),
            project: first.project.clone(),
            reloader: running.reloader().clone(),
            build: running.build.clone(),
            flags: self.flags,
            cargo: self.cargo.clone(),
        };
        let sources = first.sources.lock().take()?;
        let thread = std::thread::Builder::new().name("dev".into());
        let thread = thread.spawn(move || rounds.follow(sources));
        thread
            .map_err(|error| complain(&format!("the sources can't be watched: {error}")))
            .ok()
    }
}

/// A component that passed its tests, and the sources of which it was built.
struct FirstBuild {
    project: Project,
    participant: String,
    sources: Mutex<Option<Sources>>,
}

/// Builds until a component passes its tests and checks, at each change of the sources; `None` at a
/// stop.
fn first_build(
    config: &Config,
    mut project: Project,
    cargo: &Cargo,
) -> Result<Option<FirstBuild>, u8> {
    let mut sources = watched(&project)?;
    loop {
        let built = build(&project, &mut sources, cargo);
        let problem = match built {
            Ok(()) => match verified(config, &project.component) {
                Ok(participant) => {
                    let sources = Mutex::new(Some(sources));
                    return Ok(Some(FirstBuild {
                        project,
                        participant,
                        sources,
                    }));
                }
                Err(lines) => lines,
            },
            Err(StepFailed::Stopped) => return Ok(None),
            Err(error) => vec![error.to_string()],
        };
        problem.iter().for_each(|line| complain(line));
        complain("nothing runs yet; the next change is built");
        loop {
            if !wait(&mut sources, &cargo.stop) {
                return Ok(None);
            }
            match Project::find(&project.folder) {
                Ok(found) => break project = found,
                Err(reason) => complain(&reason),
            }
        }
    }
}

fn watched(project: &Project) -> Result<Sources, u8> {
    Sources::new(project).map_err(|reason| {
        complain(&reason);
        exit::USAGE
    })
}

/// Waits for a change and prints it; false at a stop, or if the sources can't be watched any more.
fn wait(sources: &mut Sources, stop: &CancellationToken) -> bool {
    logging::flush();
    match sources.changed(stop) {
        Ok(Some(path)) => {
            say(&format!(
                "\n{} has changed\n",
                escaped(&sources.shown(&path).to_string())
            ));
            true
        }
        Ok(None) => false,
        Err(reason) => {
            complain(&format!("the sources are not watched any more: {reason}"));
            false
        }
    }
}

fn build(project: &Project, sources: &mut Sources, cargo: &Cargo) -> Result<(), StepFailed> {
    let built = author::run(Step::Build, project, cargo);
    // A build that fails may have written the lock file.
    if let Err(reason) = sources.note_built() {
        complain(&reason);
    }
    built?;
    author::run(Step::Test, project, cargo)
}

/// Checks a component, and prints the result; gives the name of its participant, or the reasons.
fn verified(config: &Config, component: &Path) -> Result<String, Vec<String>> {
    let request = Verify {
        path: component.to_owned(),
        ..Verify::default()
    };
    let verified = crate::rollout::verify::verify(&config.rollout(), &request, app::check_routes);
    match verified {
        Ok(verified) => {
            say(&table::verified(&verified));
            Ok(verified.participant)
        }
        Err(NotVerified::Refused(refused)) => Err(reply::refusal(
            refused.check,
            &refused.reasons,
            &refused.allowed_by,
        )),
        Err(NotVerified::Failed(reason)) => Err(vec![reason]),
    }
}

/// Prints where the host is.
fn announce(running: &RunningHost, data: &Path) {
    let mut text = Lines::default();
    text.space();
    for (name, url) in &running.listening {
        text.add(format_args!("{name:<12} {url}"));
        text.add(format_args!("{:<12} {url}/swagger-ui/", "Swagger UI"));
    }
    if let Some(url) = &running.admin {
        text.add(format_args!("{:<12} {url}", "admin"));
    }
    text.add(format_args!(
        "{:<12} {} (saga dev --reset starts without it)",
        "data",
        data.display()
    ));
    text.add(format_args!("ready: the sources are watched; Ctrl-C ends"));
    say(&text.text());
}

/// Rounds of build, test and swap.
struct Rounds {
    participant: String,
    project: Project,
    reloader: Reloader,
    build: Note,
    flags: Flags,
    cargo: Cargo,
}

impl Rounds {
    fn follow(&mut self, mut sources: Sources) {
        // The host may have come up with rules of an earlier run.
        match self.swap() {
            Ok(same) if !same.changed => {}
            swapped => self.tell(swapped),
        }
        while wait(&mut sources, &self.cargo.stop) {
            let began = Instant::now();
            let result = self.round(&mut sources);
            if self.cargo.stop.is_cancelled() {
                return;
            }
            self.tell(result);
            say(&format!("done in {:.1} s\n", began.elapsed().as_secs_f64()));
        }
    }

    /// One round; fails with the reasons why the active rules stay.
    fn round(&mut self, sources: &mut Sources) -> Result<SwapResult, Vec<String>> {
        let folder = self.project.folder.clone();
        self.project = Project::find(&folder).map_err(|reason| vec![reason])?;
        build(&self.project, sources, &self.cargo).map_err(|error| vec![error.to_string()])?;
        self.swap()
    }

    fn swap(&self) -> Result<SwapResult, Vec<String>> {
        let path = &self.project.component;
        let bytes = component::read(path).map_err(|error| vec![error.to_string()])?;
        let apply = Apply {
            participant: self.participant.clone(),
            bytes,
            origin: path.display().to_string(),
            way: Way::File,
            flags: self.flags,
            settings: CandidateSettings::default(),
            file: None,
        };
        self.reloader
            .apply_blocking(&apply)
            .map_err(|error| match error {
                NotApplied::Refused(refused) => {
                    reply::refusal(refused.check, &refused.reasons, &refused.allowed_by)
                }
                error => vec![error.to_string()],
            })
    }

    /// Prints the result of a round, and notes for `/readyz` if it failed.
    fn tell(&self, result: Result<SwapResult, Vec<String>>) {
        match result {
            Ok(applied) => {
                self.build.set(None);
                let differences = probe_report::differences(&applied.probe).text();
                say(&(table::applied(&applied) + &differences));
            }
            Err(lines) => {
                lines.iter().for_each(|line| complain(line));
                let reason = lines.join("; ");
                complain("the active rules stay");
                logging::flush();
                self.build.set(Some(format!(
                    "saga dev: {reason}; the active rules are not those of the sources"
                )));
            }
        }
    }
}
