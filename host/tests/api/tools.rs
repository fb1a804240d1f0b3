//! The tools: where they are, and how they are run.
//!
//! Must not know any test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A tool that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// Programs of Python: schemathesis, the validator of OpenAPI documents.
    Python,
    /// Packages of Node.js: the parser of AsyncAPI documents, what drives a browser.
    Node,
    /// The browser.
    Chromium,
}

/// The tools that were looked for, each with where it is, or why it is not there.
pub struct Found(BTreeMap<Tool, Result<PathBuf, String>>);

impl Found {
    /// Looks for these, and fetches them where they are not there yet.
    pub fn of<'t>(tools: impl Iterator<Item = &'t Tool>) -> Self {
        let mut found = BTreeMap::new();
        for tool in tools {
            found.entry(*tool).or_insert_with(|| find(*tool));
        }
        Self(found)
    }

    /// Why a test that needs these can't run here; none where it can.
    pub fn lacks(&self, needs: &[Tool]) -> Option<&str> {
        needs
            .iter()
            .find_map(|tool| self.0[tool].as_ref().err().map(String::as_str))
    }

    fn place(&self, tool: Tool) -> &Path {
        self.0[&tool].as_ref().expect("the test has what it needs")
    }

    /// A program of the Python environment.
    pub fn python(&self, program: &str) -> Command {
        Command::new(self.place(Tool::Python).join(program))
    }

    /// A script of this folder in Node.js.
    pub fn node(&self, script: &str) -> Command {
        let mut command = Command::new("node");
        command
            .env("NODE_PATH", self.place(Tool::Node))
            .arg(folder().join(script));
        command
    }

    /// The same, for a script that drives the browser.
    pub fn browser(&self, script: &str) -> Command {
        let mut command = self.node(script);
        command.env("CHROMIUM", self.place(Tool::Chromium));
        command
    }
}

/// This folder.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api")
}

/// A folder for what people may want to look at afterwards.
pub fn kept(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let folder = target.join("api-tools").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

fn find(tool: Tool) -> Result<PathBuf, String> {
    let name = match tool {
        Tool::Python => "python",
        Tool::Node => "node",
        Tool::Chromium => "chromium",
    };
    let output = Command::new(folder().join("tools.sh"))
        .arg(name)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("tools.sh can't be run: {error}; install bash"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        let place = String::from_utf8(output.stdout).unwrap();
        return Ok(place.trim_end().into());
    }
    Err(said.lines().last().unwrap_or("no reason is given").into())
}

/// Runs a tool that must succeed; gives all that it said.
pub fn run(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}
