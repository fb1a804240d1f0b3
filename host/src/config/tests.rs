#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use saga_core::retry::AfterDeadLetter;

use super::*;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saga.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let (_directory, path) = file(text);
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(&path), Vec::new(), environment)
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let (_directory, path) =
        file("data_dir = 'file'\n[store]\nbatch = 1\n[http]\nconnections = 1\n");
    let argument = Override {
        path: vec!["data_dir".into()],
        value: "argument".into(),
        origin: "--data".into(),
    };
    let environment = [
        ("SAGA__DATA_DIR", "environment"),
        ("SAGA__STORE__BATCH", "2"),
        ("PATH", "/bin"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(Some(&path), vec![argument], environment.into_iter()).unwrap();
    assert_eq!(config.data_dir, Path::new("argument"));
    assert_eq!(config.store.bounds.batch, 2);
    assert_eq!(config.http.connections, 1);
}

#[test]
fn a_choice_is_read_by_its_words_and_a_participant_has_that_of_all_unless_it_has_its_own() {
    let text = "[retry]
        then = 'skip'
        [participants.a]
        component = 'a.wasm'
        retry.seconds = 5
        [participants.b]
        component = 'b.wasm'
        retry.then = 'park'
    ";
    let config = load(text, &[]).unwrap();
    let then = |name: &str| config.participants[name].retry(config.retry).then;
    assert_eq!(config.retry.then, AfterDeadLetter::Skip);
    assert_eq!(then("a"), AfterDeadLetter::Skip);
    assert_eq!(then("b"), AfterDeadLetter::Park);
    let ConfigError(problems) = load("", &[("SAGA__RETRY__THEN", "wait")]).unwrap_err();
    assert_eq!(
        problems,
        ["SAGA__RETRY__THEN: `wait` is none of: park, skip"]
    );
}

#[test]
fn a_line_that_is_no_toml_is_named_and_not_quoted() {
    let text = "[kafka.sasl]\nusername = 'ann'\npassword = \"hunter2\n";
    let ConfigError(problems) = load(text, &[]).unwrap_err();
    let said = problems.join("\n");
    assert!(
        said.contains("line 3, column ") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = "
        dta_dir = 'x'
        instances = 0
        [store]
        batch = 'many'
        [kafka]
        partitions = 3
        [participants.a]
        listen = 'nowhere'
    ";
    let ConfigError(problems) = load(text, &[("SAGA__HTP__BODY_BYTES", "1")]).unwrap_err();
    let said = problems.join("\n");
    for expected in [
        "dta_dir: there is no such setting; did you mean data_dir?",
        "instances: `0` is not between 1 and 64",
        "store.batch: `\"many\"` is not a whole number",
        "kafka.bootstrap: is missing",
        "participants.a.listen: `\"nowhere\"` is not ADDRESS:PORT",
        "participants.a.component: is missing",
        "SAGA__HTP__BODY_BYTES: there is no setting htp.body_bytes; did you mean http.body_bytes?",
    ] {
        assert!(said.contains(expected), "{expected}\nis not in\n{said}");
    }
    assert_eq!(problems.len(), 7, "{said}");
}

#[test]
fn printed_settings_can_be_loaded() {
    let text = "[kafka]\nbootstrap = 'a:1'\n[participants.a-b]\ncomponent = 'x.wasm'\n[participants.a-b.topics]\nt = 'u'\n";
    let config = load(text, &[("SAGA__PARTICIPANTS__A_B__LISTEN", "127.0.0.1:1")]).unwrap();
    let printed = config.to_toml().unwrap();
    let again = load(&printed, &[]).unwrap();
    assert_eq!(again.to_toml().unwrap(), printed);
    assert_eq!(again.participants, config.participants);
    assert_eq!(config.participants.len(), 1);
}

#[test]
fn the_largest_numbers_can_be_read_back_too() {
    let most = i64::MAX.to_string();
    let config = load(
        "",
        &[
            ("SAGA__STORE__MAX_BYTES", &most),
            ("SAGA__GUEST__FUEL", &most),
        ],
    )
    .unwrap();
    let printed = config.to_toml().unwrap();
    assert_eq!(load(&printed, &[]).unwrap().to_toml().unwrap(), printed);
    let too_much = u64::MAX.to_string();
    let ConfigError(problems) = load("", &[("SAGA__STORE__MAX_BYTES", &too_much)]).unwrap_err();
    assert!(
        problems.join("\n").contains("SAGA__STORE__MAX_BYTES"),
        "{problems:?}"
    );
}

#[test]
fn a_file_that_is_no_toml_is_named_with_the_line() {
    let ConfigError(problems) = load("a = \nb = 1", &[]).unwrap_err();
    let said = problems.join("\n");
    assert!(
        said.contains("saga.toml") && said.contains("line 1"),
        "{said}"
    );
}
