use super::*;
use crate::config::{Config, ConfigError};

const SECRET: &str = "hunter2-hunter2";

fn load(text: &str, environment: &[(&str, &str)]) -> Result<KafkaSettings, ConfigError> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saga.toml");
    std::fs::write(&path, format!("[kafka]\nbootstrap = 'b:9092'\n{text}")).unwrap();
    Config::load(Some(&path), Vec::new(), environment).map(|config| config.kafka.unwrap())
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

fn problems(text: &str) -> Vec<String> {
    let ConfigError(problems) = load(text, &[]).unwrap_err();
    problems
}

#[test]
fn a_plain_connection_is_the_default() {
    let settings = load("", &[]).unwrap();
    assert_eq!((settings.tls, settings.sasl), (None, None));
    assert!(!settings.allow_split_state);
}

#[test]
fn naming_a_file_turns_tls_on() {
    let (_ca, path) = file("a certificate");
    let tls = load(&format!("[kafka.tls]\nca_file = '{path}'"), &[])
        .unwrap()
        .tls
        .unwrap();
    assert!(tls.enabled);
    assert_eq!(tls.ca_file, Some(path.into()));
    let tls = load("", &[("SAGA__KAFKA__TLS__ENABLED", "true")])
        .unwrap()
        .tls
        .unwrap();
    assert!(tls.enabled);
    assert_eq!(tls.ca_file, None);
    let tls = load("[kafka.tls]\nenabled = false", &[])
        .unwrap()
        .tls
        .unwrap();
    assert!(!tls.enabled);
}

#[test]
fn a_secret_comes_from_a_file_or_the_environment_and_is_not_shown() {
    let (_secret, path) = file(&format!("{SECRET}\n"));
    let login = "[kafka.sasl]\nmechanism = 'SCRAM-SHA-512'\nusername = 'ann'\n";
    let from_file = load(&format!("{login}password_file = '{path}'"), &[]).unwrap();
    let from_environment = load(login, &[("SAGA__KAFKA__SASL__PASSWORD", SECRET)]).unwrap();
    for settings in [from_file, from_environment] {
        let Some(SaslSettings::Password(login)) = &settings.sasl else {
            panic!("{settings:?}")
        };
        assert_eq!(
            (login.mechanism.as_str(), login.username.as_str()),
            ("SCRAM-SHA-512", "ann")
        );
        assert_eq!(login.password.reveal(), SECRET);
        let shown = format!("{settings:?} {}", toml::to_string(&settings).unwrap());
        assert!(!shown.contains(SECRET) && shown.contains("ann"), "{shown}");
    }
}

#[test]
fn a_token_login_needs_its_endpoint_and_its_secret() {
    let login = "[kafka.sasl]\nmechanism = 'OAUTHBEARER'\ntoken_endpoint = 'https://id/token'\nclient_id = 'saga'\n";
    let settings = load(login, &[("SAGA__KAFKA__SASL__CLIENT_SECRET", SECRET)]).unwrap();
    let Some(SaslSettings::Token(token)) = &settings.sasl else {
        panic!("{settings:?}")
    };
    assert_eq!(token.client_secret.reveal(), SECRET);
    let missing = problems(login);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(
        missing[0].starts_with("kafka.sasl.client_secret: is missing; OAUTHBEARER needs it, or give kafka.sasl.client_secret_file"),
        "{missing:?}"
    );
}

#[test]
fn all_problems_are_listed_at_once_without_the_secret() {
    let (_secret, path) = file("another");
    let said = problems(&format!(
        "[kafka.tls]\nca_file = '/nowhere/ca.pem'\ncertificate_file = '{path}'\n\
         [kafka.sasl]\nmechanism = 'PLAIN'\npassword = '{SECRET}'\npassword_file = '{path}'\nclient_id = 'x'\n"
    ));
    for expected in [
        "kafka.tls.ca_file: `\"/nowhere/ca.pem\"` can't be read",
        "kafka.tls: certificate_file and key_file belong together",
        "kafka.sasl.password: is given, and kafka.sasl.password_file too",
        "kafka.sasl.client_id: is nothing that PLAIN needs",
        "kafka.sasl.username: is missing",
    ] {
        assert!(
            said.iter().any(|problem| problem.contains(expected)),
            "{expected}: {said:#?}"
        );
    }
    assert_eq!(said.len(), 5, "{said:#?}");
    assert!(!said.concat().contains(SECRET), "{said:#?}");
}

#[test]
fn a_mechanism_that_is_not_there_is_told_which_are() {
    let said = problems("[kafka.sasl]\nmechanism = 'AWS_MSK_IAM'\n");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("is none of: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"),
        "{said:?}"
    );
    let said = problems("[kafka.sasl]\nusername = 'ann'\npassword = 'x'\n");
    assert!(
        said[0].contains("kafka.sasl.mechanism: is missing"),
        "{said:?}"
    );
}

#[test]
fn the_same_thing_cannot_be_said_twice() {
    let said = problems(
        "[kafka.tls]\nenabled = true\n[kafka.properties]\n\"security.protocol\" = 'plaintext'\n",
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("`security.protocol` follows from `[kafka.tls]`"),
        "{said:?}"
    );
    load("[kafka.properties]\n\"security.protocol\" = 'ssl'\n", &[]).unwrap();
}

#[test]
fn a_property_that_is_misspelt_is_not_quoted() {
    // Unquoted, a name with dots is a TOML table.
    let said = problems(&format!("[kafka.properties]\nsasl.password = '{SECRET}'\n"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("kafka.properties.sasl: the value is not")
            && said[0].contains("\"sasl.password\"")
            && !said[0].contains(SECRET),
        "{said:?}"
    );
    let settings = load("[kafka.properties]\n\"linger.ms\" = 5\n", &[]).unwrap();
    assert_eq!(settings.properties["linger.ms"], "5");
}

#[test]
fn printed_kafka_settings_can_be_loaded() {
    let (_secret, path) = file(SECRET);
    let text = format!(
        "[kafka.tls]\nca_file = '{path}'\n[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'ann'\npassword_file = '{path}'"
    );
    let settings = load(&text, &[]).unwrap();
    let printed = toml::to_string(&settings).unwrap();
    let nested = printed
        .replace("[properties]", "[kafka.properties]")
        .replace("[tls]", "[kafka.tls]")
        .replace("[sasl]", "[kafka.sasl]");
    let (_again, path) = file(&format!("[kafka]\n{nested}"));
    let again = Config::load(Some(Path::new(&path)), Vec::new(), std::iter::empty()).unwrap();
    assert_eq!(again.kafka, Some(settings));
}
