use super::*;
use crate::config::{Config, ConfigError};

const SECRET: &str = "a-secret-of-twenty-five-signs";

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saga.toml");
    std::fs::write(&path, text).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(&path), Vec::new(), environment)
}

fn token_file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn the_admin_interface_listens_on_loopback_without_a_token_unless_told_otherwise() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.admin.listen, "127.0.0.1:0".parse().ok());
    assert_eq!(
        (&config.admin.token, &config.admin.token_file),
        (&None, &None)
    );
    assert_eq!(config.admin.component_bytes, 128 << 20);
    assert_eq!(config.reload, ReloadSettings::default());
    let config = load("[admin]\nlisten = 'off'", &[]).unwrap();
    assert_eq!(config.admin.listen, None);
    let printed = config.to_toml().unwrap();
    assert!(printed.contains("listen = \"off\""), "{printed}");
    assert_eq!(load(&printed, &[]).unwrap().to_toml().unwrap(), printed);
}

#[test]
fn beyond_loopback_a_token_is_required() {
    for address in ["0.0.0.0:9000", "[::]:9000", "192.168.0.1:9000"] {
        let text = format!("[admin]\nlisten = '{address}'");
        let said = load(&text, &[]).unwrap_err().to_string();
        assert!(
            said.contains(&format!("admin.listen: {address}")) && said.contains("admin.token_file"),
            "{said}"
        );
        let config = load(&text, &[("SAGA__ADMIN__TOKEN", SECRET)]).unwrap();
        assert_eq!(config.admin.token.unwrap().reveal(), SECRET);
    }
    for address in ["127.0.0.1:9000", "127.9.9.9:1", "[::1]:0"] {
        load(&format!("[admin]\nlisten = '{address}'"), &[]).unwrap();
    }
}

#[test]
fn the_token_is_never_shown() {
    let config = load("", &[("SAGA__ADMIN__TOKEN", SECRET)]).unwrap();
    assert!(!format!("{config:?}").contains(SECRET));
    let printed = config.to_toml().unwrap();
    assert!(
        !printed.contains(SECRET) && !printed.contains("\ntoken"),
        "{printed}"
    );
    load(&printed, &[]).unwrap();

    let spaced = format!("{SECRET} and more");
    for (text, environment) in [
        (format!("[admin]\ntoken = '{spaced}'"), None),
        (String::new(), Some(spaced.as_str())),
    ] {
        let environment: Vec<_> = (environment.iter())
            .map(|text| ("SAGA__ADMIN__TOKEN", *text))
            .collect();
        let said = load(&text, &environment).unwrap_err().to_string();
        assert!(
            said.contains("without spaces") && !said.contains(SECRET),
            "{said}"
        );
    }
    let said = load("[admin]\ntoken = 12345", &[]).unwrap_err().to_string();
    assert_eq!(said, "admin.token: the value is not a text");
}

#[test]
fn a_token_has_to_be_long_enough_and_fit_into_a_header() {
    for (text, expected) in [
        ("", "not 0"),
        ("fifteen-signs-.", "not 15"),
        ("sixteen signs-..", "without spaces"),
        ("sixteen-signs-\t.", "without spaces"),
        ("sixteen-signs-\u{fc}.", "ASCII"),
        (&"x".repeat(4_097), "not 4097"),
    ] {
        let said = Token::new(text).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    Token::new("sixteen-signs-..").unwrap();
}

#[test]
fn a_token_can_be_read_from_a_file() {
    for end in ["", "\n", "\r\n"] {
        let (_directory, path) = token_file(&format!("{SECRET}{end}"));
        let config = load(&format!("[admin]\ntoken_file = '{path}'"), &[]).unwrap();
        assert_eq!(config.admin.token.as_ref().unwrap().reveal(), SECRET);
        let printed = config.to_toml().unwrap();
        assert!(printed.contains(&path) && !printed.contains(SECRET));
        assert_eq!(load(&printed, &[]).unwrap().admin, config.admin);
    }
    for (content, expected) in [
        ("\n", "is empty"),
        ("short", "not 5"),
        ("two lines of\nthe file", "without spaces"),
    ] {
        let (_directory, path) = token_file(content);
        let said = load(
            &format!("[admin]\nlisten = '0.0.0.0:1'\ntoken_file = '{path}'"),
            &[],
        )
        .unwrap_err()
        .to_string();
        assert!(
            said.starts_with("admin.token_file: ")
                && said.contains(&path)
                && said.contains(expected),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = load("[admin]\ntoken_file = '/none/such'", &[])
        .unwrap_err()
        .to_string();
    assert!(said.contains("/none/such can't be read"), "{said}");
}

#[test]
fn operators_have_tokens_of_their_own() {
    let (_alices, alice) = token_file("the-token-of-alice");
    let (_bobs, bob) = token_file("the-token-of-bob\n");
    let text = format!(
        "[admin]\nlisten = '0.0.0.0:1'\ntokens = {{ alice = '{alice}', 'bob@x' = '{bob}' }}"
    );
    let config = load(&text, &[]).unwrap();
    let accepted: Vec<_> = config.admin.accepted().collect();
    assert_eq!(
        accepted,
        [
            (Some("alice"), "the-token-of-alice"),
            (Some("bob@x"), "the-token-of-bob")
        ]
    );
    let printed = config.to_toml().unwrap();
    assert!(
        printed.contains(&alice) && !printed.contains("the-token-of"),
        "{printed}"
    );
    assert_eq!(load(&printed, &[]).unwrap().admin, config.admin);
    let by_environment = [("SAGA__ADMIN__TOKENS__ALICE", alice.as_str())];
    let config = load("", &by_environment).unwrap();
    assert!(config.admin.tokens.contains_key("alice"));

    let (_shorts, short) = token_file("short");
    for (tokens, expected) in [
        (
            format!("alice = '{short}'"),
            "admin.tokens.alice: the token in ",
        ),
        (
            "alice = '/none/such'".into(),
            "admin.tokens.alice: /none/such can't be read",
        ),
        (
            format!("host = '{alice}'"),
            "admin.tokens.host: `host` is the name",
        ),
        (
            format!("'a b' = '{alice}'"),
            "admin.tokens.a b: the name of an operator has",
        ),
        (
            format!("alice = '{alice}', eve = '{alice}'"),
            "admin.tokens.eve: is the same token as admin.tokens.alice",
        ),
    ] {
        let said = load(&format!("[admin]\ntokens = {{ {tokens} }}"), &[]);
        let said = said.unwrap_err().to_string();
        assert!(
            said.starts_with(expected) && said.lines().count() == 1,
            "{said}"
        );
    }
    let text = format!("[admin]\ntokens = {{ alice = '{alice}' }}");
    let said = load(&text, &[("SAGA__ADMIN__TOKEN", "the-token-of-alice")]);
    let said = said.unwrap_err().to_string();
    assert!(said.contains("is the same token as admin.token,"), "{said}");
}

#[test]
fn a_token_is_given_in_one_way_only() {
    let (_directory, path) = token_file(SECRET);
    let said = load(
        &format!("[admin]\ntoken_file = '{path}'"),
        &[("SAGA__ADMIN__TOKEN", SECRET)],
    )
    .unwrap_err()
    .to_string();
    assert!(
        said.contains("give one of them") && !said.contains(SECRET),
        "{said}"
    );
}

#[test]
fn the_settings_of_swaps_have_their_bounds() {
    for (key, least, most) in [
        ("watch_ms", 50, 60_000),
        ("probe_inputs", 0, 10_000),
        ("keep", 1, 1_000),
    ] {
        for (value, is_right) in [
            (least, true),
            (most, true),
            (least - 1, false),
            (most + 1, false),
        ] {
            let loaded = load(&format!("[reload]\n{key} = {value}"), &[]);
            assert_eq!(loaded.is_ok(), is_right, "{key} = {value}: {loaded:?}");
        }
    }
    assert_eq!(
        load("[reload]\nwatch_ms = 0", &[]).unwrap().reload.watch_ms,
        0
    );
    let config = load("[reload]\napply_at_start = true", &[]).unwrap();
    assert!(config.reload.apply_at_start);
    let said = load("", &[("SAGA__RELOAD__APPLY_AT_START", "yes")])
        .unwrap_err()
        .to_string();
    assert!(said.contains("`yes` is not true or false"), "{said}");
    let said = load("[admin]\nlisten = '8081'", &[])
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("is not ADDRESS:PORT") && said.contains("nor `off`"),
        "{said}"
    );
}
