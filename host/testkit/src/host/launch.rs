//! How to start a host: its program, participants, data directory, settings.
//!
//! Owns: the command line and the environment of the process. A host has one participant or several.
//!
//! Must not know: processes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// How to start one host.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The host's program.
    pub program: PathBuf,
    /// The participants that it serves.
    pub participants: Vec<Participant>,
    /// Directory for the state and the log; made if missing.
    pub data: PathBuf,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Settings in the environment: name and value.
    pub environment: Vec<(String, String)>,
    /// Further settings, as the text of a settings file; empty for none.
    pub settings: String,
    /// The process gets a process group of its own. Ctrl-C in a terminal goes to a whole
    /// group, so a program that drains its hosts by itself keeps them apart.
    pub own_group: bool,
}

/// A participant of a host.
#[derive(Debug, Clone)]
pub struct Participant {
    /// Its name.
    pub name: String,
    /// The component with its rules.
    pub component: PathBuf,
    /// Where it listens on 127.0.0.1; 0 takes a free port.
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

    /// With one participant more, on this port of 127.0.0.1; 0 takes a free one.
    pub fn participant(mut self, name: &str, component: &Path, port: u16) -> Self {
        self.participants.push(Participant {
            name: name.to_owned(),
            component: component.to_owned(),
            port,
        });
        self
    }

    /// With further arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// With a setting in the environment: `store.max_bytes`.
    pub fn setting(mut self, path: &str, value: impl ToString) -> Self {
        let name = format!("SAGA__{}", path.to_uppercase().replace('.', "__"));
        self.environment.push((name, value.to_string()));
        self
    }

    /// The same over the Kafka at `HOST:PORT`.
    pub fn over(self, kafka: &str) -> Self {
        self.arguments(&["--kafka", kafka])
    }

    /// The name of the host for people: after its participant, where it has only one.
    pub fn title(&self) -> String {
        match self.participants.as_slice() {
            [only] => format!("the {} host", only.name),
            _ => "the host".to_owned(),
        }
    }

    /// The command line, for people.
    pub fn command_line(&self) -> String {
        let mut words = vec![self.program.display().to_string()];
        words.extend(self.words());
        words.join(" ")
    }

    /// The process to start. Settings in the environment of the caller are not its.
    pub fn command(&self) -> Command {
        let mut command = program(&self.program);
        command.args(self.words()).envs(self.environment.clone());
        command
    }

    /// Where [`Launch::settings`] go.
    pub fn settings_file(&self) -> PathBuf {
        self.data.join("settings.toml")
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec!["run".to_owned()];
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        add("--data", self.data.display().to_string());
        for Participant {
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

/// The host's program, to be given arguments. Settings in the environment of the caller are not its.
pub fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SAGA__") {
            command.env_remove(name);
        }
    }
    command
}
