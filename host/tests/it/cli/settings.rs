//! Settings from the file, the environment and the command line, as the program takes them.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::commands::call;
use crate::store_file;
use crate::support::{Host, component, output, saga};

/// Exit code for bad settings.
const USAGE: i32 = 64;

/// The settings that are printed.
fn printed(command: &mut Command) -> toml::Table {
    let (code, out, err) = call(command);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out.parse().unwrap()
}

fn write(directory: &Path, text: &str) -> String {
    let path = directory.join("saga.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn printed_settings_can_be_used_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let (code, first, err) = call(
        saga()
            .args([
                "config",
                "--plugin",
                "customer=c.wasm",
                "--plugin",
                "my-order=o.wasm",
                "--kafka",
                "one:9092,two:9092",
            ])
            .args([
                "--listen",
                "customer=[::1]:8081",
                "--data",
                "/var/lib/with space \"quoted\" \\ and \u{fc}",
            ])
            .env("SAGA__PARTICIPANTS__MY_ORDER__BASE_PATH", "/orders")
            .env(
                "SAGA__PARTICIPANTS__MY_ORDER__TOPICS__ORDERS",
                "theirs.orders",
            )
            .env("SAGA__STORE__MAX_BYTES", i64::MAX.to_string())
            .env("SAGA__GUEST__FUEL", i64::MAX.to_string())
            .env("SAGA__LOG__LEVEL", "info,saga_host::store=debug"),
    );
    assert_eq!((code, err.as_str()), (0, ""));
    let path = write(directory.path(), &first);
    let (code, second, err) = call(saga().args(["config", "--config", &path]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(second, first);
    for expected in [
        "one:9092,two:9092",
        "[participants.my-order]",
        "base_path = \"/orders\"",
        "theirs.orders",
        "[::1]:8081",
    ] {
        assert!(first.contains(expected), "{expected} is not in\n{first}");
    }
}

/// The settings in this value, by their paths.
fn settings<'v>(path: &str, value: &'v toml::Value) -> Vec<(String, &'v toml::Value)> {
    match value {
        toml::Value::Table(table) => (table.iter())
            .flat_map(|(key, value)| settings(&format!("{path}.{key}"), value))
            .collect(),
        value => vec![(path.to_owned(), value)],
    }
}

#[test]
fn every_setting_that_is_printed_can_be_given_in_the_environment() {
    let first = printed(saga().arg("config"));
    let mut changed = 0;
    for (section, value) in &first {
        for (path, value) in settings(section, value) {
            let other = match value {
                toml::Value::Boolean(is_so) => (!is_so).to_string(),
                // Its default is the most that it can be.
                toml::Value::Integer(number) if path == "admin.component_bytes" => {
                    (number - 1).to_string()
                }
                toml::Value::Integer(number) => (number + 1).to_string(),
                toml::Value::String(text) if text == "127.0.0.1:0" => "off".to_owned(),
                toml::Value::String(text) if text == "text" => "json".to_owned(),
                toml::Value::String(text) if text == "info" => "debug".to_owned(),
                toml::Value::String(text) if text == "park" => "skip".to_owned(),
                toml::Value::String(text) if text == "none" => "replay".to_owned(),
                toml::Value::String(text) if text == "off" => "headers".to_owned(),
                toml::Value::String(text) if text == "nothing" => "reads".to_owned(),
                toml::Value::String(_) if path == "http.auth.keys_url" => {
                    "https://id.example/keys".to_owned()
                }
                toml::Value::String(text) => format!("{text}-2"),
                toml::Value::Array(_) if path == "http.hosts" => "shop.example".to_owned(),
                toml::Value::Array(_) if path == "http.auth.algorithms" => "ES384".to_owned(),
                toml::Value::Array(_) if path == "http.auth.trusted_proxies" => {
                    "10.0.0.0/8".to_owned()
                }
                toml::Value::Array(_) => "https://shop.example".to_owned(),
                other => panic!("{path} is {other}"),
            };
            let variable = format!("SAGA__{}", path.to_uppercase().replace('.', "__"));
            // An issuer without a mode is refused, so the mode is given too.
            let mode = ("SAGA__HTTP__AUTH__MODE", "off");
            let now = printed(
                saga()
                    .arg("config")
                    .env(mode.0, mode.1)
                    .env(&variable, &other),
            );
            let found = path
                .split('.')
                .fold(&toml::Value::Table(now), |value, key| &value[key])
                .clone();
            // A list of one is given as that one.
            let found = match &found {
                toml::Value::Array(list) => list.first().cloned().unwrap(),
                found => found.clone(),
            };
            let found = found
                .as_str()
                .map_or_else(|| found.to_string(), str::to_owned);
            assert_eq!(found, other, "{variable}");
            changed += 1;
        }
    }
    assert!(changed > 20, "{changed} settings");
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(
        directory.path(),
        "data_dir = 'file'\ninstances = 3\ndrain_seconds = 4\n[log]\nformat = 'json'\n",
    );
    let settings = printed(
        saga()
            .args(["config", "--config", &path, "--data", "argument"])
            .env("SAGA__DATA_DIR", "environment")
            .env("SAGA__INSTANCES", "5"),
    );
    assert_eq!(settings["data_dir"].as_str(), Some("argument"));
    assert_eq!(settings["instances"].as_integer(), Some(5));
    assert_eq!(settings["drain_seconds"].as_integer(), Some(4));
    assert_eq!(settings["log"]["format"].as_str(), Some("json"));
}

#[test]
fn everything_that_is_wrong_is_named_at_once_and_nothing_is_started() {
    let directory = tempfile::tempdir().unwrap();
    let text = "
        instnces = 2
        [store]
        batch = 0
        [turn]
        events = 'many'
        [participants.order]
        base_path = 'orders/'
        listen = 'somewhere'
    ";
    let path = write(directory.path(), text);
    let data = directory.path().join("data");
    for action in ["run", "config"] {
        let (code, out, err) = call(
            saga()
                .args([action, "--config", &path, "--data", data.to_str().unwrap()])
                .env("SAGA__HTTP__BODY_BYTES", "-1")
                .env("SAGA__NO__SUCH", "1"),
        );
        assert_eq!(code, USAGE, "{err}");
        assert_eq!(out, "");
        for expected in [
            "instnces: there is no such setting",
            "store.batch: `0` is not between",
            "turn.events: `\"many\"` is not a whole number",
            "participants.order.base_path: `\"orders/\"` must",
            "participants.order.listen: `\"somewhere\"` is not ADDRESS:PORT",
            "participants.order.component: is missing",
            "SAGA__HTTP__BODY_BYTES: `-1` is not a whole number",
            "SAGA__NO__SUCH: there is no setting no.such",
        ] {
            assert!(err.contains(expected), "{expected}\nis not in\n{err}");
        }
        assert_eq!(err.lines().count(), 8, "one line for each:\n{err}");
    }
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_bad_value_is_refused_whichever_way_it_is_given() {
    for (arguments, expected) in [
        (
            vec!["run", "--plugin", "customer"],
            "is not of the form NAME=PATH",
        ),
        (
            vec!["run", "--plugin", "=x.wasm"],
            "is not of the form NAME=PATH",
        ),
        (
            vec!["run", "--plugin", "customer="],
            "is not of the form NAME=PATH",
        ),
        (
            vec![
                "run",
                "--plugin",
                "customer=x.wasm",
                "--listen",
                "customer=8081",
            ],
            "--listen customer: `8081` is not ADDRESS:PORT",
        ),
        (
            vec!["run", "--listen", "order=127.0.0.1:1"],
            "participants.order.component: is missing",
        ),
        (
            vec!["run", "--plugin", "customer=x.wasm", "--kafka", ""],
            "kafka",
        ),
        (
            vec!["run", "--plugin", "a=x.wasm", "--plugin", "a=y.wasm"],
            "--plugin a: is given twice",
        ),
        (vec!["run", "--data", ""], "--data: `` is empty"),
        (vec!["run", "--no-such-option"], "--no-such-option"),
        (vec!["walk"], "walk"),
        (vec![], "Usage"),
    ] {
        let (code, out, err) = call(saga().args(&arguments));
        assert_eq!(code, USAGE, "{arguments:?}: {err}");
        assert_eq!(out, "", "{arguments:?}");
        assert!(
            err.contains(expected),
            "{arguments:?}: `{expected}` is not in\n{err}"
        );
    }
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.toml");
    let (code, _, err) = call(saga().args(["run", "--config", missing.to_str().unwrap()]));
    assert_eq!(code, USAGE);
    assert!(
        err.contains("none.toml") && err.contains("No such file"),
        "{err}"
    );
    let path = write(directory.path(), "[store]\nbatch = = 1\n");
    let (code, _, err) = call(saga().args(["run", "--config", &path]));
    assert_eq!(code, USAGE);
    assert!(err.contains("saga.toml") && err.contains("line 2"), "{err}");
    let (code, _, err) = call(saga().args(["run", "--config", directory.path().to_str().unwrap()]));
    assert_eq!(code, USAGE);
    assert!(err.contains("directory"), "{err}");
}

#[test]
fn without_a_participant_there_is_nothing_to_run() {
    let directory = tempfile::tempdir().unwrap();
    let (code, out, err) = call(saga().args([
        "run",
        "--data",
        directory.path().join("data").to_str().unwrap(),
    ]));
    assert_eq!((code, out.as_str()), (USAGE, ""));
    assert!(
        err.contains("no participant is configured") && err.contains("--plugin NAME=PATH"),
        "{err}"
    );
    assert!(!directory.path().join("data").exists());
}

#[test]
fn help_and_version_go_to_standard_output() {
    let (code, out, err) = call(saga().arg("--help"));
    assert_eq!((code, err.as_str()), (0, ""));
    for expected in [
        "run",
        "config",
        "apply",
        "rollback",
        "generations",
        "Exit codes",
        "73",
        "SAGA__SECTION__KEY",
    ] {
        assert!(out.contains(expected), "{expected} is not in\n{out}");
    }
    let of_a_host = [
        "--data <DIR|URL>",
        "--admin <URL>",
        "--token-file <FILE>",
        "--json",
        "Examples",
    ];
    for (command, expected) in [
        (
            "run",
            &[
                "--plugin <NAME=PATH>",
                "--listen",
                "--data",
                "--kafka",
                "--config",
                "--apply",
            ][..],
        ),
        (
            "apply",
            &["<NAME>", "[PATH]", "--set <NAME=VALUE>", "--drop-used"],
        ),
        ("rollback", &["<NAME>", "[DIGEST]"]),
        ("generations", &["[NAME]"]),
    ] {
        let (code, out, err) = call(saga().args([command, "--help"]));
        assert_eq!((code, err.as_str()), (0, ""));
        let of_all: &[&str] = if command == "run" { &[] } else { &of_a_host };
        for expected in expected.iter().chain(of_all) {
            assert!(out.contains(expected), "{expected} is not in\n{out}");
        }
    }
    let (code, out, err) = call(saga().arg("--version"));
    assert_eq!(
        (code, err.as_str(), out.trim()),
        (0, "", concat!("saga ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn an_admin_interface_that_others_can_reach_needs_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let run = |address: &str| {
        let mut command = saga();
        let component = component("customer");
        command
            .args([
                "run",
                "--plugin",
                &format!("customer={}", component.display()),
            ])
            .args(["--data", directory.path().join("data").to_str().unwrap()])
            .env("SAGA__ADMIN__LISTEN", address);
        command
    };
    let (code, out, err) = call(&mut run("0.0.0.0:0"));
    assert_eq!((code, out.as_str()), (USAGE, ""), "{err}");
    assert!(
        err.contains("admin.listen: 0.0.0.0:0") && err.contains("admin.token_file"),
        "{err}"
    );
    let secret = "guessed by nobody";
    let (code, out, err) = call(run("0.0.0.0:0").env("SAGA__ADMIN__TOKEN", secret));
    assert_eq!((code, out.as_str()), (USAGE, ""), "{err}");
    assert!(
        err.contains("SAGA__ADMIN__TOKEN")
            && err.contains("without spaces")
            && !err.contains(secret),
        "{err}"
    );
    assert!(!directory.path().join("data").exists(), "nothing was made");
}

#[test]
fn a_token_is_not_among_the_settings_that_are_printed() {
    let secret = "a-secret-of-some-length";
    let (code, out, err) = call(saga().arg("config").env("SAGA__ADMIN__TOKEN", secret));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("[admin]") && !out.contains(secret), "{out}");
    assert!(!out.contains("\ntoken"), "{out}");
}

#[test]
fn a_relative_path_is_taken_from_where_the_program_was_started() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(component("customer"), directory.path().join("rules.wasm")).unwrap();
    std::fs::create_dir(directory.path().join("etc")).unwrap();
    let text = "data_dir = 'state'\n[participants.customer]\ncomponent = 'rules.wasm'\nlisten = '127.0.0.1:0'\n";
    write(&directory.path().join("etc"), text);
    let mut run = saga();
    run.args(["run", "--config", "etc/saga.toml"])
        .current_dir(directory.path());
    let host = Host::from_command(run, directory.path());
    assert_eq!(
        host.post(
            "customer",
            "/customers",
            &json!({"name": "Ann", "creditLimit": {"amount": 1}})
        )
        .status,
        201
    );
    assert!(host.stop().success());
    assert!(directory.path().join("state/saga.db").exists());
}

#[test]
fn two_participants_cannot_share_a_port() {
    let directory = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let child = saga()
        .args(["run", "--data", directory.path().to_str().unwrap()])
        .args(
            ["customer", "order"]
                .map(|name| format!("--plugin={name}={}", component(name).display())),
        )
        .args(["customer", "order"].map(|name| format!("--listen={name}={free}")))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (status, said) = output(child);
    assert_eq!(status.code(), Some(69), "{said}");
    let port = free.port().to_string();
    assert!(
        said.contains("order") && said.contains(&port) && said.contains("--listen order="),
        "{said}"
    );
}

#[test]
fn base_path_topics_and_groups_can_be_renamed() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let participant = |name: &str, more: &str| {
        format!(
            "[participants.{name}]\ncomponent = '{}'\nlisten = '127.0.0.1:0'\n{more}\n",
            component(name).display()
        )
    };
    let topics = "topics = { orderTopic = 'shop.orders', customerTopic = 'shop.credit' }\n";
    let text = format!(
        "data_dir = '{}'\n{}{}",
        data.display(),
        participant(
            "customer",
            &format!("base_path = ''\n{topics}groups = {{ order = 'credit-desk' }}")
        ),
        participant("order", &format!("base_path = '/v2/shop'\n{topics}")),
    );
    let path = write(directory.path(), &text);
    let mut run = saga();
    run.args(["run", "--config", &path]);
    let host = Host::from_command(run, directory.path());
    assert!(
        host.url("order").ends_with("/v2/shop"),
        "{}",
        host.url("order")
    );

    let registered = host.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": 10}}),
    );
    assert_eq!(
        (registered.status, registered.header("location")),
        (201, Some("/customer/1"))
    );
    let placed = host.post(
        "order",
        "/orders",
        &json!({"customerId": 1, "orderTotal": {"amount": 10}}),
    );
    assert_eq!(
        (placed.status, placed.header("location")),
        (201, Some("/v2/shop/orders/1"))
    );
    host.get_until("order", "/orders/1", |response| {
        response.json()["orderState"] == "APPROVED"
    });
    assert!(host.stop().success());

    assert_eq!(
        (
            store_file::published(&data, "shop.orders"),
            store_file::published(&data, "shop.credit")
        ),
        (1, 1)
    );
    let topics: Vec<String> = store_file::rows(&data, "SELECT name FROM topics ORDER BY name")
        .into_iter()
        .map(|mut row| row.remove(0))
        .collect();
    assert_eq!(
        topics,
        [
            "cancellationTopic",
            "cancellationTopic.cancellation.dlq",
            "shop.credit",
            "shop.credit.customer.dlq",
            "shop.orders",
            "shop.orders.credit-desk.dlq"
        ]
    );
    let consumers: Vec<String> = store_file::rows(
        &data,
        "SELECT consumer FROM offsets WHERE next_offset = 1 ORDER BY consumer",
    )
    .into_iter()
    .map(|mut row| row.remove(0))
    .collect();
    assert_eq!(
        consumers,
        ["log:customer/credit-desk", "log:order/customer"]
    );
}

#[test]
fn settings_that_would_split_the_records_between_two_participants_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let both = |name: &str, topic: &str, group: &str| {
        format!(
            "[participants.{name}]\ncomponent = '{}'\nlisten = '127.0.0.1:0'\ntopics = {{ {topic} = 'same' }}\ngroups = {{ {group} = 'same' }}\n",
            component(name).display()
        )
    };
    let path = write(
        directory.path(),
        &format!(
            "{}{}",
            both("customer", "orderTopic", "order"),
            both("order", "customerTopic", "customer")
        ),
    );
    let data = directory.path().join("data");
    let (code, _, err) =
        call(saga().args(["run", "--config", &path, "--data", data.to_str().unwrap()]));
    assert_eq!(code, USAGE, "{err}");
    assert!(
        err.contains("share the group same on topic same") && err.contains("another group"),
        "{err}"
    );
}

#[test]
fn names_that_the_component_does_not_know_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for (more, expected) in [
        (
            "topics = { ordertopic = 'x' }",
            "participants.customer.topics.ordertopic: the component has no such name",
        ),
        (
            "groups = { customer = 'x' }",
            "participants.customer.groups.customer: the component has no such name",
        ),
        (
            "topics = { orderTopic = 'customerTopic' }",
            "would both be customerTopic",
        ),
    ] {
        let text = format!(
            "[participants.customer]\ncomponent = '{}'\n{more}\n",
            component("customer").display()
        );
        let path = write(directory.path(), &text);
        let (code, out, err) =
            call(saga().args(["run", "--config", &path, "--data", data.to_str().unwrap()]));
        assert_eq!((code, out.as_str()), (USAGE, ""), "{err}");
        assert!(err.contains(expected), "`{expected}` is not in\n{err}");
    }
}
