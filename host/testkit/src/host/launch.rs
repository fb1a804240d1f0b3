//! The command line of a host: its program, participants, data directory, settings.
//!
//! Owns: the command line and the environment of the process. A host has one participant or several.
//!
//! Must not know: processes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A host to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The host's program.
    pub program: PathBuf,
    /// The participants that it serves.
    pub participants: Vec<LaunchedParticipant>,
    /// Directory for state and log; created if missing.
    pub data: PathBuf,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Settings in the environment: name and value.
    pub environment: Vec<(String, String)>,
    /// Further settings, as the text of a settings file; may be empty.
    pub settings: String,
    /// True to give the process a process group of its own. Ctrl-C in a terminal is sent to a whole
    /// group, so a program that drains its hosts by itself keeps them apart.
    pub own_group: bool,
}

/// A participant of a host.
#[derive(Debug, Clone)]
pub struct LaunchedParticipant {
    /// Its name.
    pub name: String,
    /// The component with its rules.
    pub component: PathBuf,
    /// Its port on 127.0.0.1; 0 for a free one.
    pub port: u16,
}

impl Launch {
    /// A host without participants.
    pub fn new(program: &Path, data: &Path) -> Self {
        Self {
            program: program.to_owned(),
            participants: Vec::new(),
            data: data.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            settings: String::new(),
            own_group: false,
        }
    }

    /// Adds a participant, on this port of 127.0.0.1; 0 for a free one.
    pub fn participant(mut self, name: &str, component: &Path, port: u16) -> Self {
        self.participants.push(LaunchedParticipant {
            name: name.to_owned(),
            component: component.to_owned(),
            port,
        });
        self
    }

    /// Adds arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Adds a setting in the environment: `store.max_bytes`.
    pub fn setting(mut self, path: &str, value: impl ToString) -> Self {
        let name = format!("SAGA__{}", path.to_uppercase().replace('.', "__"));
        self.environment.push((name, value.to_string()));
        self
    }

    /// Uses the Kafka at `HOST:PORT`.
    pub fn over(self, kafka: &str) -> Self {
        self.arguments(&["--kafka", kafka])
    }

    /// The name of the host in messages: that of its participant, if it has only one.
    pub fn title(&self) -> String {
        match self.participants.as_slice() {
            [only] => format!("the {} host", only.name),
            _ => "the host".to_owned(),
        }
    }

    /// The command line as text.
    pub fn command_line(&self) -> String {
        let mut words = vec![self.program.display().to_string()];
        words.extend(self.words());
        words.join(" ")
    }

    /// The command that starts it, without the caller's `SAGA__` environment.
    pub fn command(&self) -> Command {
        let mut command = program(&self.program);
        command.args(self.words()).envs(self.environment.clone());
        command
    }

    /// The file for [`Launch::settings`].
    pub fn settings_file(&self) -> PathBuf {
        self.data.join("settings.toml")
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec!["run".to_owned()];
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        add("--data", self.data.display().to_string());
        for LaunchedParticipant {
            name,
            component,
            port,
        } in &self.participants
        {
            add("--plugin", format!("{name}={}", component.display()));
            add("--listen", format!("{name}=127.0.0.1:{port}"));
        }
        if !self.settings.is_empty() {
            add("--config", self.settings_file().display().to_string());
        }
        words.extend(self.arguments.iter().cloned());
        words
    }
}

/// The host's program without arguments and without the caller's `SAGA__` environment.
pub fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SAGA__") {
            command.env_remove(name);
        }
    }
    command
}
