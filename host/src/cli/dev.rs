//! `saga dev`: a host on the participant of the present folder, whose rules follow its sources.
//!
//! The host reads no file by itself: what was built may not have passed its tests. `rounds`
//! swaps the rules, at the start and at each change.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use clap::Args;
use parking_lot::Mutex;
use rustix::fs::Mode;
use tokio_util::sync::CancellationToken;

use super::arguments::{OverrideArguments, SettingsArguments, setting};
use super::named_participants::NamedParticipants;
use super::rounds::Rounds;
use super::run::{self, Beside};
use super::signals::Signals;
use super::{admin_file, author, complain, exit, reply, say, table};
use crate::app::{self, RuleSource, RunningHost};
use crate::author::project::Project;
use crate::author::sources::Sources;
use crate::author::steps::{Step, StepFailed, Toolchain};
use crate::base::printable::{Lines, escaped};
use crate::config::{Config, ConfigError};
use crate::logging;
use crate::rollout::flags::Flags;
use crate::rollout::report::Verified;
use crate::rollout::verify::{NotVerified, Verify};

/// The data directory of a project.
pub(super) const DATA: &str = ".saga";

/// The log's level, unless the settings say otherwise: what is done to the rules is printed.
const LEVEL: &str = "warn,saga_host::rollout=error";

/// The options of `saga dev`.
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
/// the user's own umask, for what the toolchain builds.
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
    let session = DevSession {
        settings: request.settings.of_project(settings, DATA),
        flags: request.allowed.flags(false),
        toolchain: Toolchain {
            umask: Some(usual.bits()),
            has_own_group: true,
            ..Toolchain::default()
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
#[derive(Clone)]
pub(super) struct DevSession {
    settings: SettingsArguments,
    /// The checks that are overridden in each swap.
    pub(super) flags: Flags,
    pub(super) toolchain: Toolchain,
}

impl DevSession {
    fn run(&self, project: Project, rules: RuleSource) -> Result<(), u8> {
        let config = self.config(None).map_err(misconfigured)?;
        run::start_log(&config)?;
        let problems = NamedParticipants::new(&project, &config, &self.settings).problems();
        if !problems.is_empty() {
            problems.iter().for_each(|problem| complain(problem));
            return Err(exit::USAGE);
        }
        let runtime = run::runtime()?;
        let first = runtime.block_on(async {
            let mut signals = Signals::new().map_err(|error| {
                complain(&error.to_string());
                exit::INTERNAL
            })?;
            let session = self.clone();
            let build = tokio::task::spawn_blocking(move || session.first_build(&config, project));
            tokio::pin!(build);
            let built = tokio::select! {
                built = &mut build => built,
                _ = signals.next() => {
                    self.toolchain.stop.cancel();
                    build.await
                }
            };
            built.unwrap_or(Err(exit::INTERNAL))
        })?;
        // A stop may come while the component is checked, too.
        let Some(first) = first.filter(|_| !self.toolchain.stop.is_cancelled()) else {
            return Ok(());
        };
        let config = self.config(Some(&first.own)).map_err(misconfigured)?;
        let rounds = Mutex::new(None);
        let beside = Beside {
            ready: &|running| *rounds.lock() = self.follow(running, &config, &first),
            stopping: &|| self.toolchain.stop.cancel(),
            ends_at_hangup: true,
        };
        let served = runtime.block_on(run::serve(&config, rules, &beside));
        self.toolchain.stop.cancel();
        let rounds = rounds.lock().take();
        if let Some(rounds) = rounds {
            // It has ended the build by then.
            let _ = rounds.join();
        }
        runtime.shutdown_background();
        match run::ended(served) {
            exit::DONE => Ok(()),
            code => Err(code),
        }
    }

    /// The settings, with the component of the project once it is built.
    pub(super) fn config(&self, own: Option<&Own>) -> Result<Config, ConfigError> {
        let own = own.map(|own| {
            let path = own.project.component.display().to_string();
            let at = ["participants", own.participant.as_str(), "component"];
            setting(&at, &path, "the project")
        });
        let watch = setting(&["reload", "watch_ms"], "0", "saga dev");
        let config = match own {
            Some(own) => self.settings.load([own, watch]),
            // `--listen` is for a participant whose component is not known yet.
            None => self.settings.load_file(),
        };
        let mut config = config?;
        if config.log.level == "info" && std::env::var_os("SAGA__LOG__LEVEL").is_none() {
            config.log.level = LEVEL.into();
        }
        Ok(config)
    }

    /// The data directory.
    pub(super) fn data(&self) -> &str {
        self.settings.data().unwrap_or(DATA)
    }

    /// The path as it would be written in a command, from the present folder.
    pub(super) fn shown<'p>(&self, own: &Own, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(&own.project.folder)
            .unwrap_or(path)
            .display()
    }

    /// Starts the rounds on a thread of their own.
    fn follow(
        &self,
        running: &RunningHost,
        config: &Config,
        first: &FirstBuild,
    ) -> Option<JoinHandle<()>> {
        let sources = first.sources.lock().take()?;
        let mut rounds = Rounds::new(self.clone(), first.own.clone(), config, running);
        let places = places(running, &config.data_dir);
        let thread = std::thread::Builder::new().name("dev".into());
        let thread = thread.spawn(move || rounds.follow(sources, &places));
        thread
            .map_err(|error| complain(&format!("the sources can't be watched: {error}")))
            .ok()
    }

    /// Builds until a component passes its checks and tests, at each change of the sources; `None`
    /// at a stop.
    fn first_build(&self, config: &Config, mut project: Project) -> Result<Option<FirstBuild>, u8> {
        let files = NamedParticipants::new(&project, config, &self.settings).files();
        let mut sources = Sources::new(&project, &files).map_err(|reason| {
            complain(&reason);
            exit::USAGE
        })?;
        loop {
            let problem = match self.first_round(&project, &mut sources) {
                Ok(participant) => {
                    return Ok(Some(FirstBuild {
                        own: Own {
                            project,
                            participant,
                        },
                        sources: Mutex::new(Some(sources)),
                    }));
                }
                Err(_) if self.toolchain.stop.is_cancelled() => return Ok(None),
                Err(lines) => lines,
            };
            problem.iter().for_each(|line| complain(line));
            complain("nothing runs yet; the next change is built");
            loop {
                if wait(&mut sources, &self.toolchain.stop).is_empty() {
                    return Ok(None);
                }
                match Project::find(&project.folder) {
                    Ok(found) => break project = found,
                    Err(reason) => complain(&reason),
                }
            }
        }
    }

    /// Gives the name of the participant; or the reasons why it can't run yet.
    fn first_round(&self, project: &Project, sources: &mut Sources) -> Result<String, Vec<String>> {
        // They may be what has changed.
        let config = self.config(None).map_err(|error| error.0)?;
        build(project, sources, &self.toolchain)?;
        // Before the tests: a contract that is wrong fails each of them.
        let request = Verify {
            path: project.component.clone(),
            ..Verify::default()
        };
        let verified = verified(&config, &request)?;
        test(project, &self.toolchain)?;
        say(&table::verified(&verified));
        Ok(verified.participant)
    }
}

/// Prints the problems of the settings; gives the exit code.
fn misconfigured(ConfigError(problems): ConfigError) -> u8 {
    problems.iter().for_each(|problem| complain(problem));
    exit::USAGE
}

/// The participant that is developed.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) project: Project,
    pub(super) participant: String,
}

/// A component that passed its tests, and the sources of which it was built.
struct FirstBuild {
    own: Own,
    sources: Mutex<Option<Sources>>,
}

/// Waits for changes and prints one; none at a stop, or if the sources can't be watched any more.
pub(super) fn wait(sources: &mut Sources, stop: &CancellationToken) -> Vec<PathBuf> {
    logging::flush();
    match sources.changed(stop) {
        Ok(changed) => {
            if let Some(path) = changed.first() {
                say(&format!(
                    "\n{} has changed\n",
                    escaped(&sources.shown(path).to_string())
                ));
            }
            changed
        }
        Err(reason) => {
            complain(&format!("the sources are not watched any more: {reason}"));
            Vec::new()
        }
    }
}

/// Builds the component; fails with the reasons why there is none.
pub(super) fn build(
    project: &Project,
    sources: &mut Sources,
    toolchain: &Toolchain,
) -> Result<(), Vec<String>> {
    let followed = sources.follow(project);
    let built = author::run(Step::Build, project, toolchain);
    // A build that fails may have written the lock file.
    for reason in [followed, sources.note_built()]
        .into_iter()
        .filter_map(Result::err)
    {
        complain(&reason);
    }
    built.map_err(failed)
}

/// Tests the project; fails with the reason.
pub(super) fn test(project: &Project, toolchain: &Toolchain) -> Result<(), Vec<String>> {
    author::run(Step::Test, project, toolchain).map_err(failed)
}

fn failed(error: StepFailed) -> Vec<String> {
    vec![error.to_string()]
}

/// Checks a component by itself; fails with the reasons why it is refused.
pub(super) fn verified(config: &Config, request: &Verify) -> Result<Verified, Vec<String>> {
    let verified = crate::rollout::verify::verify(&config.rollout(), request, app::check_routes);
    verified.map_err(|error| match error {
        NotVerified::Refused(refused) => {
            reply::refusal(refused.check, &refused.reasons, &refused.allowed_by)
        }
        NotVerified::Failed(reason) => vec![reason],
    })
}

/// Where the host is.
fn places(running: &RunningHost, data: &Path) -> String {
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
    text.text()
}
