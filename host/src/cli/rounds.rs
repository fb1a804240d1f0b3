//! The rounds of `saga dev`: build, check, test, swap.
//!
//! The swap makes all checks, and takes the settings of the rules in the settings file. Components
//! of other participants are swapped when their files change; their tests are not run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::dev::{DevSession, Own, build, test, wait};
use super::{complain, reply, say, table};
use crate::app::RunningHost;
use crate::author::project::Project;
use crate::author::sources::Sources;
use crate::base::note::Note;
use crate::base::printable::escaped;
use crate::config::Config;
use crate::logging;
use crate::plugin::component;
use crate::rollout::report::{NotApplied, Refused, SwapResult, Way};
use crate::rollout::rule_settings::{CandidateSettings, RuleSettings};
use crate::rollout::{Apply, Reloader};

/// The rounds of one run.
pub(super) struct Rounds {
    session: DevSession,
    own: Own,
    reloader: Reloader,
    /// Shown at `/readyz`.
    note: Note,
    /// The settings of the host, which stay until its end.
    host: serde_json::Value,
    /// The participants and their components, the one that is developed last: it is made to fit
    /// the others.
    components: Vec<(String, PathBuf)>,
    /// The settings of the rules in the file, by participant.
    rules: BTreeMap<String, RuleSettings>,
    /// The settings that were taken from the file.
    taken: BTreeMap<String, RuleSettings>,
    /// The participants whose rules are not those of the files, and why.
    behind: BTreeMap<String, Vec<String>>,
    /// True if the project's component passed its tests.
    is_built: bool,
}

impl Rounds {
    pub(super) fn new(
        session: DevSession,
        own: Own,
        config: &Config,
        running: &RunningHost,
    ) -> Self {
        let mut components: Vec<_> = (config.participants.iter())
            .map(|(name, one)| (name.clone(), one.component.clone()))
            .collect();
        components.sort_by_key(|(name, _)| *name == own.participant);
        Self {
            session,
            own,
            reloader: running.reloader().clone(),
            note: running.build.clone(),
            host: of_host(config),
            components,
            rules: rules(config),
            taken: BTreeMap::new(),
            behind: BTreeMap::new(),
            is_built: true,
        }
    }

    /// Brings the host to what the files hold, prints that it is ready, and follows changes until
    /// the stop.
    pub(super) fn follow(&mut self, mut sources: Sources, places: &str) {
        // The host has come up with the rules of an earlier run, if there was one.
        self.swap(self.names(), self.names());
        self.tell();
        if self.session.toolchain.stop.is_cancelled() {
            return;
        }
        let rules = match self.behind.is_empty() {
            true => "",
            false => " with rules of an earlier run",
        };
        say(&format!(
            "{places}ready{rules}: the sources are watched; Ctrl-C ends\n"
        ));
        loop {
            let changed = wait(&mut sources, &self.session.toolchain.stop);
            if changed.is_empty() {
                return;
            }
            let began = Instant::now();
            self.round(&mut sources, &changed);
            if self.session.toolchain.stop.is_cancelled() {
                return;
            }
            self.tell();
            say(&format!("done in {:.1} s\n", began.elapsed().as_secs_f64()));
        }
    }

    fn round(&mut self, sources: &mut Sources, changed: &[PathBuf]) {
        let folder = self.own.project.folder.clone();
        let is_changed = |path: &Path| changed.contains(&folder.join(path));
        let of_others: Vec<_> = (self.components.iter())
            .filter(|(name, path)| *name != self.own.participant && is_changed(path))
            .collect();
        let is_own = of_others.len() < changed.len();
        let mut due: Vec<_> = of_others.iter().map(|(name, _)| name.clone()).collect();
        let mut quiet = Vec::new();
        if is_own {
            let own = self.own.participant.clone();
            match self.prepare(sources) {
                // Their settings may have changed.
                Ok(()) => due = self.names(),
                Err(lines) => drop(self.behind.insert(own.clone(), lines)),
            }
            quiet = due.iter().filter(|name| **name != own).cloned().collect();
        }
        if !self.session.toolchain.stop.is_cancelled() {
            self.swap(due, quiet);
        }
    }

    fn names(&self) -> Vec<String> {
        let components = self.components.iter();
        components.map(|(name, _)| name.clone()).collect()
    }

    /// Reads the settings, builds and tests.
    fn prepare(&mut self, sources: &mut Sources) -> Result<(), Vec<String>> {
        self.is_built = false;
        let toolchain = &self.session.toolchain;
        self.own.project =
            Project::find(&self.own.project.folder).map_err(|reason| vec![reason])?;
        let config = self
            .session
            .config(Some(&self.own))
            .map_err(|error| error.0)?;
        let host = of_host(&config);
        if std::mem::replace(&mut self.host, host.clone()) != host {
            say(
                "note: settings of the host have changed, which saga dev takes at its next start\n",
            );
        }
        self.rules = rules(&config);
        build(&self.own.project, sources, toolchain)?;
        let component = self.own.project.component.clone();
        let apply = self.candidate(&self.own.participant, &component)?;
        // Before the tests: a contract that is wrong fails each of them.
        let loaded = self.reloader.load_blocking(&apply);
        loaded.map_err(|error| self.reasons(&self.own.participant, error))?;
        let tested = test(&self.own.project, toolchain);
        if tested.is_err() {
            self.reloader.forget(&apply);
        }
        tested?;
        self.is_built = true;
        Ok(())
    }

    /// Swaps the rules of these participants, and of those that are behind as long as others have
    /// changed: two may fit together only with both changes. Nothing is said of `quiet` ones that
    /// are active already.
    fn swap(&mut self, mut due: Vec<String>, mut quiet: Vec<String>) {
        for _ in 0..=self.components.len() {
            let mut has_changed = false;
            for (name, path) in self.components.clone() {
                let is_ready = name != self.own.participant || self.is_built;
                if !due.contains(&name) || !is_ready {
                    continue;
                }
                match self.swap_one(&name, &path) {
                    Ok(applied) => {
                        self.behind.remove(&name);
                        has_changed |= applied.changed;
                        if applied.changed || !quiet.contains(&name) {
                            say(&table::applied(&applied));
                        }
                    }
                    Err(lines) => drop(self.behind.insert(name, lines)),
                }
            }
            if !has_changed {
                return;
            }
            due = self.behind.keys().cloned().collect();
            quiet.clone_from(&due);
        }
    }

    fn swap_one(&mut self, name: &str, path: &Path) -> Result<SwapResult, Vec<String>> {
        let apply = self.candidate(name, path)?;
        let applied = self.reloader.apply_blocking(&apply);
        let applied = applied.map_err(|error| self.reasons(name, error))?;
        let rules = self.rules.get(name).cloned().unwrap_or_default();
        self.taken.insert(name.to_owned(), rules);
        Ok(applied)
    }

    fn candidate(&self, name: &str, path: &Path) -> Result<Apply, Vec<String>> {
        let bytes = component::read(path).map_err(|error| vec![error.to_string()])?;
        let rules = self.rules.get(name).cloned().unwrap_or_default();
        // What `saga apply --set` has changed stays until the file changes.
        let settings = match self.taken.get(name) == Some(&rules) {
            true => CandidateSettings::default(),
            false => CandidateSettings::Configured(rules),
        };
        Ok(Apply {
            participant: name.to_owned(),
            bytes,
            origin: path.display().to_string(),
            way: Way::File,
            flags: self.session.flags,
            acknowledged: None,
            settings,
            file: None,
        })
    }

    fn reasons(&self, name: &str, error: NotApplied) -> Vec<String> {
        match error {
            NotApplied::Refused(refused) => self.refusal(name, &refused),
            error => vec![error.to_string()],
        }
    }

    /// One line for each reason, and one for the ways to take it all the same.
    fn refusal(&self, name: &str, refused: &Refused) -> Vec<String> {
        let mut lines = reply::refusal(refused.check, &refused.reasons, &[]);
        if refused.allowed_by.is_empty() {
            return lines;
        }
        let given = self.session.flags.names().map(str::to_owned);
        let flags = given.chain(refused.allowed_by.iter().cloned());
        let flags: String = flags.map(|flag| format!(" --{flag}")).collect();
        let path = self.components.iter().find(|(one, _)| one == name);
        let path = path.map_or(Path::new("PATH"), |(_, path)| path);
        let path = self.session.shown(&self.own, path);
        let data = self.session.data();
        lines.push(
            escaped(&format!(
                "to take it all the same: saga apply {name} {path} --data {data}{flags}; or restart with saga dev{flags}"
            ))
            .into_owned(),
        );
        lines
    }

    /// Prints why rules are not those of the files, and notes it for `/readyz`.
    fn tell(&self) {
        if self.session.toolchain.stop.is_cancelled() {
            return;
        }
        if self.behind.is_empty() {
            return self.note.set(None);
        }
        self.behind
            .values()
            .flatten()
            .for_each(|line| complain(line));
        complain("the active rules stay");
        logging::flush();
        let reasons: Vec<_> = self.behind.values().map(|lines| lines.join("; ")).collect();
        self.note.set(Some(format!(
            "saga dev: {}; the active rules are not those of the sources",
            reasons.join("; ")
        )));
    }
}

/// The settings of all rules.
fn rules(config: &Config) -> BTreeMap<String, RuleSettings> {
    let participants = config.participants.iter();
    participants
        .map(|(name, one)| (name.clone(), one.rules.clone()))
        .collect()
}

/// All other settings.
fn of_host(config: &Config) -> serde_json::Value {
    let mut config = config.clone();
    for one in config.participants.values_mut() {
        one.rules = RuleSettings::new();
    }
    serde_json::to_value(config).unwrap_or_default()
}
