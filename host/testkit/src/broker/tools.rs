//! Kafka's own command line tools, from the same jars.
//!
//! They get the broker's address, unless the caller gives one. Each is a JVM and takes about a
//! second of processor time.
//!
//! Must not know: the callers.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::error::Error;
use crate::broker::jars::Java;
use crate::process;

/// Longest run of a tool.
const WITHIN: Duration = Duration::from_secs(60);

/// Kafka's tools by their usual names.
const TOOLS: [(&str, &str); 10] = [
    ("kafka-acls", "org.apache.kafka.tools.AclCommand"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    (
        "kafka-console-consumer",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    (
        "kafka-console-producer",
        "org.apache.kafka.tools.ConsoleProducer",
    ),
    (
        "kafka-consumer-groups",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    (
        "kafka-delete-records",
        "org.apache.kafka.tools.DeleteRecordsCommand",
    ),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("kafka-storage", STORAGE),
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
];

const STORAGE: &str = "kafka.tools.StorageTool";

/// Runs a tool on the cluster at `bootstrap` (`HOST:PORT`); returns its standard output.
///
/// # Errors
/// The tool is unknown, can't be run, failed, or did not end within a minute; with its output.
pub fn run(bootstrap: &str, name: &str, arguments: &[&str], stdin: &str) -> Result<String, Error> {
    run_with(&Java::with_jars()?, Some(bootstrap), name, arguments, stdin)
}

/// The same, with jars that are there already; without `bootstrap` for a tool that works on files.
pub(crate) fn run_with(
    java: &Java,
    bootstrap: Option<&str>,
    name: &str,
    arguments: &[&str],
    stdin: &str,
) -> Result<String, Error> {
    let (_, class) = TOOLS
        .iter()
        .find(|(tool, _)| *tool == name)
        .ok_or_else(|| Error::UnknownTool(name.to_owned()))?;
    let mut command = process::bound(&java.class(class, &["-Xmx256m".to_owned()]));
    if let Some(bootstrap) = bootstrap
        && !arguments.contains(&"--bootstrap-server")
    {
        command.args(["--bootstrap-server", bootstrap]);
    }
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let failed = |source| Error::Io {
        what: format!("can't run {name}"),
        source,
    };
    let mut child = process::spawn(command).map_err(failed)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (input, said) = (child.stdin.take(), stdin.to_owned());
    // In both directions at once: a tool may write much before it has read everything.
    std::thread::spawn(move || {
        // A tool that ends early has read enough.
        let _ = input.map(|mut input| input.write_all(said.as_bytes()));
    });
    let (give, take) = channel();
    std::thread::spawn(move || give.send(child.wait_with_output()));
    let mut is_late = false;
    let output = loop {
        match take.recv_timeout(WITHIN) {
            Ok(output) => break output.map_err(failed)?,
            Err(_) if is_late => {
                return Err(failed(std::io::Error::other("it can't be killed")));
            }
            Err(_) => {
                is_late = true;
                // It has not been reaped, so the id is still its own.
                pid.map(|pid| kill_process(pid, Signal::KILL));
            }
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(Error::Tool {
        name: name.to_owned(),
        status: if is_late {
            format!("killed after {} s", WITHIN.as_secs())
        } else {
            output.status.to_string()
        },
        said: text + &String::from_utf8_lossy(&output.stderr),
    })
}
