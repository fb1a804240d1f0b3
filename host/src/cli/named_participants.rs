//! The participants named on the command line of `saga dev`, checked before anything is built.
//!
//! The name of the project's own participant is known for sure only once its component is built.

use std::path::{Path, PathBuf};

use super::arguments::SettingsArguments;
use super::dev::verified;
use crate::author::project::Project;
use crate::config::Config;
use crate::rollout::verify::Verify;

/// The participants of the settings file and the command line.
pub(super) struct NamedParticipants<'n> {
    project: &'n Project,
    config: &'n Config,
    arguments: &'n SettingsArguments,
}

impl<'n> NamedParticipants<'n> {
    pub(super) fn new(
        project: &'n Project,
        config: &'n Config,
        arguments: &'n SettingsArguments,
    ) -> Self {
        Self {
            project,
            config,
            arguments,
        }
    }

    /// The files of the settings, and of the components of the others.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let own = self.own();
        let configured = self.config.participants.iter();
        let others = configured.filter(|(name, _)| Some(name.as_str()) != own);
        let of_others = others.map(|(_, one)| one.component.clone());
        self.arguments
            .files()
            .into_iter()
            .chain(of_others)
            .collect()
    }

    /// The reasons why these arguments can't be meant.
    pub(super) fn problems(&self) -> Vec<String> {
        let plugins = self.arguments.plugin.iter();
        let of_plugins =
            plugins.filter_map(|(name, path)| self.plugin(name, Path::new(path)).err());
        let addresses = self.arguments.listen.iter();
        let of_addresses = addresses.filter_map(|(name, _)| self.address(name).err());
        of_plugins.flatten().chain(of_addresses).collect()
    }

    /// The name of the project's own participant, if the settings file names it.
    fn own(&self) -> Option<&'n str> {
        let mut configured = self.config.participants.iter();
        let component = &self.project.component;
        let is_own = |path: &Path| self.project.folder.join(path) == *component;
        let by_path = configured.find(|(_, one)| is_own(&one.component));
        let by_name = || {
            self.config
                .participants
                .get_key_value(&self.project.package)
        };
        by_path.or_else(by_name).map(|(name, _)| name.as_str())
    }

    fn plugin(&self, name: &str, path: &Path) -> Result<(), Vec<String>> {
        let at = |reason: &str| format!("--plugin {name}={}: {reason}", path.display());
        if self.own() == Some(name) {
            let reason = "is the participant of this folder, whose component saga dev builds; name others only";
            return Err(vec![at(reason)]);
        }
        let request = Verify {
            path: path.to_owned(),
            participant: Some(name.to_owned()),
            ..Verify::default()
        };
        let verified = verified(self.config, &request);
        verified
            .map(drop)
            .map_err(|lines| lines.iter().map(|line| at(line)).collect())
    }

    fn address(&self, name: &str) -> Result<(), String> {
        let Some(own) = self.own() else {
            return Ok(());
        };
        let others = self.config.participants.keys().map(String::as_str);
        let others = others.chain(self.arguments.plugin.iter().map(|(name, _)| name.as_str()));
        let mut names = vec![own];
        for other in others {
            if !names.contains(&other) {
                names.push(other);
            }
        }
        match names.contains(&name) {
            true => Ok(()),
            false => Err(format!(
                "--listen {name}: there is no participant `{name}`; there are: {}",
                names.join(", ")
            )),
        }
    }
}
