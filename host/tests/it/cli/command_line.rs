//! The program on itself: help, completions, exit codes, JSON, readiness.

use std::process::Command;

use serde_json::Value;

use crate::commands::call;
use crate::expect::{connect, until};
use crate::store_file::{execute, rows};
use crate::support::{Start, saga, signal};

fn said(arguments: &[&str]) -> String {
    let (code, out, err) = call(saga().args(arguments));
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    out
}

/// The commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = said(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  "));
    let names = names.filter_map(|line| line.split(' ').next());
    let names: Vec<_> = names
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(names.len() > 6, "{names:?}");
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_command_teaches_by_example() {
    for command in commands() {
        let help = said(&[&command, "--help"]);
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        let is_shown = |line: &str| {
            line.contains(&format!("saga {command} ")) || line.ends_with(&format!("saga {command}"))
        };
        assert!(examples.lines().any(is_shown), "{help}");
    }
}

#[test]
fn the_exit_codes_that_help_prints_are_those_of_the_documentation() {
    let help = said(&["--help"]);
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    let printed: Vec<_> = (codes.lines())
        .filter_map(|line| line.trim().split_once("  "))
        .map(|(code, meaning)| format!("| {code} | {meaning} |"))
        .collect();
    assert!(printed.len() > 8, "{printed:?}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once("## Exit codes\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    assert_eq!(rows.collect::<Vec<_>>(), printed);
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = said(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
        assert!(script.contains("drop-used"), "{shell}");
    }
    let (code, _, err) = call(saga().args(["completions", "tcsh"]));
    assert_eq!((code, err.contains("bash")), (64, true), "{err}");
    // Bash reads it, and completes by it.
    let complete = "source <(\"$0\" completions bash); COMP_WORDS=(saga gen); COMP_CWORD=1; _saga saga gen saga; echo \"${COMPREPLY[@]}\"";
    let program = saga().get_program().to_owned();
    let (code, out, err) = call(Command::new("bash").args(["-c", complete]).arg(program));
    assert_eq!((code, out.trim()), (0, "generations"), "{err}");
}

#[test]
fn settings_are_printed_as_json_too_and_every_one_is_explained() {
    let json: Value = serde_json::from_str(&said(&["config", "--json"])).unwrap();
    let text = said(&["config"]);
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(serde_json::to_value(&table).unwrap(), json);
    let mut before = "";
    let mut explained = 0;
    for line in text.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(before.starts_with("# "), "{line} is not explained");
            explained += 1;
        }
        before = line;
    }
    assert!(explained > 30, "{explained}");
}

#[test]
fn ready_reports_the_readiness_of_a_host() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let ready = |json: bool| {
        let further: &[&str] = if json { &["--json"] } else { &[] };
        call(saga().args(["ready", "--data", path]).args(further))
    };
    let (code, out, err) = ready(false);
    assert_eq!((code, out.as_str()), (69, ""), "{err}");
    let host = Start::new(&["customer", "order"], data.path())
        .setting("drain_seconds", 600)
        .start();
    let (code, out, err) = ready(false);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().collect();
    assert!(
        lines[0] == "ready"
            && lines[1].starts_with("customer 0.1.0 ")
            && lines[2].starts_with("order 0.1.0 "),
        "{out}"
    );
    let (code, out, _) = ready(true);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["status"]), (0, &"ready".into()));
    // A request that is not finished keeps it in its drain.
    let url = host.url("customer").to_owned();
    let mut stream = connect(&url);
    let head = format!(
        "POST {}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n",
        crate::expect::path_of(&url)
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    std::io::Read::read_exact(&mut stream, &mut [0; 25]).unwrap();
    signal(host.id(), "TERM");
    until("it drains", || ready(false).0 == 75);
    let (code, out, err) = ready(false);
    assert_eq!((code, out.lines().next()), (75, Some("draining")));
    assert!(err.contains("takes no requests at the moment"), "{err}");
    let (code, out, _) = ready(true);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["status"]), (75, &"draining".into()));
    drop(stream);
    assert!(host.wait().success());
}

#[test]
fn readiness_without_a_token_is_one_word() {
    let data = tempfile::tempdir().unwrap();
    let token = "a-token-of-24-characters";
    let host = Start::new(&["order"], data.path())
        .setting("admin.token", token)
        .start();
    let asked = ["ready", "--admin", host.admin()];
    assert_eq!(call(saga().args(asked)).1, "ready\n");
    let (_, out, _) = call(saga().args(asked).env("SAGA__ADMIN__TOKEN", token));
    assert!(out.starts_with("ready\norder 0.1.0 "), "{out}");
}

#[test]
fn colours_are_for_terminals_unless_they_are_asked_for() {
    for (name, value, is_coloured) in [("", "", false), ("CLICOLOR_FORCE", "1", true)] {
        let data = tempfile::tempdir().unwrap();
        let mut command = Start::new(&["order"], data.path()).program();
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        if !name.is_empty() {
            command.env(name, value);
        }
        let host = crate::support::Host::from_command(command, data.path());
        signal(host.id(), "TERM");
        host.log_until("draining");
        assert_eq!(host.log().contains('\u{1b}'), is_coloured, "{name}={value}");
        assert!(host.wait().success());
    }
}

#[test]
fn seek_sets_the_offset_of_a_partition_of_a_stopped_host() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let seek = |further: &[&str]| {
        let arguments = ["seek", "orderTopic", "3", "70", "--data", path];
        call(saga().args(arguments).args(further))
    };
    let fails = |further: &[&str], code: i32, words: &[&str]| {
        let (found, out, err) = seek(further);
        assert_eq!((found, out.as_str()), (code, ""), "{err}");
        words
            .iter()
            .for_each(|word| assert!(err.contains(word), "{err}"));
    };
    fails(&[], 64, &["there is no store in", path]);
    assert!(!data.path().join("saga.db").exists(), "none is made");
    let host = Start::new(&["customer", "order"], data.path()).start();
    fails(&[], 73, &["another saga process is using it"]);
    assert!(host.stop().success());
    fails(&[], 64, &["partition 3: nothing was read of it over Kafka"]);
    for group in ["first", "second"] {
        let row = format!(
            "INSERT INTO offsets (consumer, topic, partition, next_offset, last_time, last_print)
             SELECT 'kafka:customer/{group}', id, 3, 100, 5, 6 FROM topics WHERE name = 'orderTopic'"
        );
        assert_eq!(execute(data.path(), &row), 1);
    }
    let known = "topic orderTopic, partition 3, --group second, up to offset 100";
    fails(&[], 64, &["choose one by --group", known]);
    fails(
        &["--group", "third"],
        64,
        &["nothing was read of it", known],
    );

    let (code, out, err) = seek(&["--group", "second"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for expected in [
        "in group second: read on from offset 70; it was 100",
        "--as-new",
    ] {
        assert!(out.contains(expected), "{out}");
    }
    let (code, out, _) = seek(&["--group", "second", "--as-new"]);
    assert_eq!(code, 0);
    assert!(out.contains("without a ce_id are new ones"), "{out}");
    let query = "SELECT consumer, next_offset, last_print, log IS NULL FROM offsets
                 WHERE consumer GLOB 'kafka:*' ORDER BY consumer";
    assert_eq!(
        rows(data.path(), query),
        [
            ["kafka:customer/first", "100", "6", "1"],
            ["kafka:customer/second", "70", "NULL", "0"]
        ]
    );
}
