//! Commands of the program, run to their end.
//!
//! Must not know: what is asked.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::saga;

/// Exit code, standard output and standard error of a command.
pub fn call(command: &mut Command) -> (i32, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("no signal ended it");
    (code, text(output.stdout), text(output.stderr))
}

/// A command that asks the host on this data directory.
pub fn asks(data: &Path, arguments: &[&str]) -> Command {
    let mut command = saga();
    command.args(arguments).arg("--data").arg(data);
    command
}

/// Exit code and standard error of what is not done; it prints nothing else.
pub fn fails(command: &mut Command) -> (i32, String) {
    let (code, out, err) = call(command);
    assert_eq!(out, "", "{err}");
    (code, err)
}

/// The output of a command with `--json`; it must succeed.
pub fn json_of(command: &mut Command) -> Value {
    let (code, out, err) = call(command.arg("--json"));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    serde_json::from_str(&out).unwrap()
}
