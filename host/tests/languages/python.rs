//! Rules in Python: the SDK and its builds, the traps of the language, projects of authors, and swaps with rules in Rust.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::commands::{asks, call};
use crate::components::{decides_as_the_vectors_say, message, rules};
use crate::dev::{Dev, edit};
use crate::store_file::{publish, record, rows, until_consumed};
use crate::support::{Host, Start, saga};
use crate::{Test, orders, tests};

/// The longest first, so that none is left alone at the end.
const TESTS: &[Test] = tests![
    a_new_project_is_tested_served_and_follows_its_sources,
    rules_are_swapped_between_languages_and_replayed_in_the_other,
    what_rules_raise_is_told_with_message_file_and_line,
    what_is_no_input_of_a_rule_is_the_turns_or_a_clear_error,
    no_digit_of_a_number_is_lost,
    recursion_of_2000_levels_is_decided_and_without_end_is_a_fault,
    what_a_module_keeps_between_turns_is_found,
    the_component_decides_as_the_vectors_say,
    the_tests_of_the_sdk_and_of_the_order_rules_pass,
    a_build_of_the_toolchain_alone_runs_and_its_faults_have_file_and_line,
    a_component_whose_sources_have_not_changed_is_kept,
];

/// The tests, or why they can't be run.
pub fn tests() -> Result<&'static [Test], String> {
    if !python().exists() || !sdk().join(".venv/.saga-installed").exists() {
        return Err(
            "the packages of its SDK are not installed; install Python 3.10 or later with venv, and run `make languages`"
                .into(),
        );
    }
    Ok(TESTS)
}

fn sdk() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python");
    folder.canonicalize().unwrap()
}

/// Python with the packages of the SDK.
fn python() -> PathBuf {
    sdk().join(".venv/bin/python")
}

/// Builds a project into the folder of this test run; gives the component.
pub fn built(folder: &str, name: &str) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}.wasm"));
    let mut build = Command::new(python());
    build
        .args(["-B", "-m", "saga_sdk", "build", "-C", folder, "-o"])
        .arg(&out);
    let (code, said, err) = call(build.current_dir(sdk()));
    assert_eq!(code, 0, "{said}{err}");
    out
}

/// The order rules.
fn order() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("examples/order", "order"))
}

/// The rules that fall into traps.
fn traps() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("tests/traps", "traps"))
}

/// The line of `traps.py` with this text, which is there once.
fn line(text: &str) -> usize {
    let source = std::fs::read_to_string(sdk().join("tests/traps/traps.py")).unwrap();
    let found: Vec<_> = (1..)
        .zip(source.lines())
        .filter(|(_, line)| line.contains(text))
        .collect();
    assert_eq!(found.len(), 1, "{text}");
    found[0].0
}

/// A host on the rules that fall into traps.
fn trapped(data: &Path) -> Start {
    let plugin = format!("traps={}", traps().display());
    Start::new(&[], data).arguments(&["--plugin", &plugin, "--listen", "traps=127.0.0.1:0"])
}

fn trap(host: &Host, command: &str, body: &Value) -> Value {
    let answer = host.post("traps", &format!("/notes/n1/{command}"), body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

fn the_tests_of_the_sdk_and_of_the_order_rules_pass() {
    let mut pytest = Command::new(python());
    pytest.args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    let (code, out, err) = call(pytest.current_dir(sdk()));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(" passed") && !out.contains("skipped"), "{out}");
}

fn the_component_decides_as_the_vectors_say() {
    assert!(decides_as_the_vectors_say("order", order()) > 40);
}

fn a_component_whose_sources_have_not_changed_is_kept() {
    let before = std::fs::metadata(order()).unwrap().modified().unwrap();
    let again = built("examples/order", "order");
    let after = std::fs::metadata(again).unwrap().modified().unwrap();
    assert_eq!(before, after);
}

fn what_rules_raise_is_told_with_message_file_and_line() {
    let data = tempfile::tempdir().unwrap();
    trapped(data.path()).run_once();
    let cases = [
        ("key", "KeyError: 'totals'", "{}[\"totals\"]"),
        ("zero", "ZeroDivisionError: division by zero", "1 / 0"),
        (
            "value",
            "ValueError: the price is no number",
            "\"the price is no number\"",
        ),
        (
            "own",
            "OutOfStock: nothing left of C7",
            "nothing left of C7",
        ),
        ("type", "TypeError: unsupported operand", "1 + \"1\""),
        ("attribute", "AttributeError: 'NoneType'", "None.price"),
        (
            "assert",
            "AssertionError: an amount above zero",
            "an amount above zero",
        ),
        ("exit", "SystemExit: the rules give up", "the rules give up"),
        ("chained", "OutOfStock: no such seat", "\"no such seat\""),
        ("long", "ValueError: xxxxx", "\"x\" * 5_000"),
        ("unicode", "ValueError: the price is ¥10 ☃", "SNOWMAN"),
    ];
    let records: Vec<_> = cases
        .iter()
        .zip(1..)
        .map(|((what, ..), customer)| {
            // A dead letter holds back what follows it under its key.
            let body = json!({"customerId": customer, "what": what}).to_string();
            record(body).of_type("elsewhere.asked")
        })
        .collect();
    publish(data.path(), "elsewhere", &records);
    let host = trapped(data.path()).setting("retry.attempts", 1).start();
    until_consumed(data.path(), "elsewhere");
    let told = rows(
        data.path(),
        "SELECT detail FROM dead_letters ORDER BY offset",
    );
    assert_eq!(told.len(), cases.len(), "{told:?}");
    for ((what, message, text), told) in cases.iter().zip(&told) {
        let place = format!("at traps.py:{}, in fail: ", line(text));
        assert!(
            told[0].contains(message) && told[0].contains(&place),
            "{what}: {place}: {}",
            told[0]
        );
        assert!(!told[0].contains("saga_sdk"), "{what}: {}", told[0]);
    }
    // What an operator is shown.
    let id = "SELECT id FROM dead_letters WHERE detail LIKE '%nothing left of C7%'";
    let id = rows(data.path(), id)[0][0].clone();
    let (code, out, err) = call(&mut asks(
        data.path(),
        &["dead-letters", "show", "traps", &id],
    ));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let place = format!("traps.py:{}", line("nothing left of C7"));
    assert!(
        out.contains("OutOfStock: nothing left of C7") && out.contains(&place),
        "{out}"
    );
    assert!(host.stop().success());
}

/// How the set of `word 0` to `word 19` begins in any build of this version of componentize-py.
const ORDER_OF_SET: &str = r#"[\"word 19\",\"word 18\",\"word 15\",\"word 14\",\"word 17\","#;

fn what_is_no_input_of_a_rule_is_the_turns_or_a_clear_error() {
    let turn = |id: &str, name: &str, what: &str| {
        let body = json!({"what": what}).to_string();
        message(
            &json!({"id": id, "source": "/s", "origin": "command", "name": name, "key": "k",
            "time": 1_796_194_399_253_u64, "correlation": "c", "body": body}),
        )
    };
    let (mut used, mut fresh) = (rules(traps(), "{}"), rules(traps(), "{}"));
    let mut value = |rules: usize, id: &str, name: &str, what: &str| -> String {
        let rules = [&mut used, &mut fresh].into_iter().nth(rules).unwrap();
        let decided = rules.handle(None, &turn(id, name, what)).unwrap();
        format!("{:?}", decided.answer.unwrap().reply)
    };
    for what in ["random", "shuffle", "uuid4", "urandom", "secrets"] {
        let first = value(0, "m-1", "chance", what);
        assert_ne!(value(0, "m-2", "chance", what), first, "{what}");
        assert_eq!(value(0, "m-1", "chance", what), first, "{what} again");
        assert_eq!(value(1, "m-1", "chance", what), first, "{what} elsewhere");
    }
    for (what, expected) in [
        ("time", "1796194399253"),
        ("time_ns", "1796194399253000000"),
        ("now", "2026-12-02T06:53:19.253000+00:00"),
        ("today", "2026-12-02"),
        ("turn", "2026-12-02T06:53:19.253000+00:00"),
    ] {
        let found = value(0, "m-1", "clock", what);
        assert!(found.contains(expected), "{what}: {found}");
    }
    // Texts have the same hash in each build.
    let order = value(0, "m-1", "order-of-set", "");
    assert!(order.contains(ORDER_OF_SET), "{order}");
    assert_eq!(value(1, "m-2", "order-of-set", ""), order);

    let data = tempfile::tempdir().unwrap();
    let host = trapped(data.path()).start();
    for (command, what, reason) in [
        (
            "late",
            "statement",
            "'colorsys' can't be imported in a turn: import it at the top",
        ),
        (
            "late",
            "strptime",
            "'_strptime' can't be imported in a turn: import it at the top",
        ),
        ("chance", "uuid1", "a rule can't use uuid1"),
        (
            "clock",
            "monotonic",
            "a rule can't use time.monotonic: use turn.time",
        ),
        ("clock", "sleep", "a rule can't use time.sleep: set a timer"),
        (
            "naive",
            "10.10",
            "10.1 is a float, which loses digits: use Decimal or int",
        ),
        ("read-file", "/etc/passwd", "No such file or directory"),
    ] {
        let path = format!("/notes/n1/{command}");
        assert_eq!(
            host.post("traps", &path, &json!({"what": what})).status,
            500
        );
        host.log_until(reason);
    }
    let exact = host.send(
        "traps",
        "POST",
        "/notes/n1/naive",
        r#"{"what":"[9007199254740993]"}"#,
    );
    assert_eq!(exact.text(), "[9007199254740993]");
    assert!(host.stop().success());
}

fn no_digit_of_a_number_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let host = trapped(data.path()).start();
    let kept = |body: &str| {
        let answer = host.send("traps", "POST", "/notes/n1/keep", body);
        let shown = host.get("traps", "/notes/n1").text();
        (answer.status, answer.text(), shown)
    };
    for (customer, read) in [
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.0", "1"),
        ("1e3", "1000"),
    ] {
        for amount in ["10.10", "3e+2", "123456789012345678901234567890.00100"] {
            let written = format!(r#"{{"customerId":{read},"amount":{amount},"what":""}}"#);
            let shown = format!(r#"{{"asked":{written},"turns":0}}"#);
            let body = format!(r#"{{"customerId":{customer},"amount":{amount}}}"#);
            assert_eq!(kept(&body), (200, written, shown));
        }
    }
    assert_eq!(kept(r#"{"customerId":9223372036854775808}"#).0, 422);
    assert!(host.stop().success());
}

fn recursion_of_2000_levels_is_decided_and_without_end_is_a_fault() {
    let data = tempfile::tempdir().unwrap();
    let host = trapped(data.path()).start();
    assert_eq!(trap(&host, "deep", &json!({"amount": 2_000})), 2_000);
    let endless = host.post("traps", "/notes/n1/deep", &json!({"amount": 6_000}));
    assert_eq!(endless.status, 500);
    host.log_until("RecursionError: maximum recursion depth exceeded");
    assert_eq!(trap(&host, "deep", &json!({"amount": 2_000})), 2_000);
    assert!(host.stop().success());
}

fn what_a_module_keeps_between_turns_is_found() {
    let data = tempfile::tempdir().unwrap();
    let host = trapped(data.path()).start();
    for (what, name) in [
        ("rebound", "the global 'total' of traps"),
        ("list", "the global 'seen' of traps"),
        ("class", "the global 'kept' of Tally of traps"),
        ("iterator", "the global 'numbers' of traps"),
        ("new", "the global 'fresh' of traps"),
        ("default", "a variable around _with_default"),
    ] {
        let answer = host.post("traps", "/notes/n1/remember", &json!({"what": what}));
        assert_eq!(answer.status, 500, "{what}");
        host.log_until(&format!("{name}: an instance decides on many messages"));
        // The instance is gone, and what it kept with it.
        assert_eq!(trap(&host, "remember", &json!({})), 0, "after {what}");
    }
    assert!(host.stop().success());
}

fn rules_are_swapped_between_languages_and_replayed_in_the_other() {
    orders::are_swapped_and_replayed(order());
}

/// A project of an author, with the environment of the SDK's own folder.
fn project(folder: &Path) -> PathBuf {
    let mut new = saga();
    new.args(["new", "loan", "--lang", "python"]);
    let (code, _, err) = call(new.current_dir(folder));
    assert_eq!((code, err.as_str()), (0, ""));
    let project = folder.join("loan");
    let environment = project.join(".venv");
    std::fs::create_dir(&environment).unwrap();
    for part in ["bin", "lib", "pyvenv.cfg"] {
        std::os::unix::fs::symlink(sdk().join(".venv").join(part), environment.join(part)).unwrap();
    }
    std::fs::write(environment.join(".saga-installed"), "").unwrap();
    project
}

fn a_new_project_is_tested_served_and_follows_its_sources() {
    let directory = tempfile::tempdir().unwrap();
    let folder = project(directory.path());
    let (code, out, err) = call(saga().arg("doctor").current_dir(&folder));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("python3") && out.contains("venv"), "{out}");
    let test = || call(saga().arg("test").current_dir(&folder));
    let (code, out, err) = test();
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        !out.contains("pip") && out.contains("\nok loan 0.1.0 "),
        "{out}"
    );

    let (source, tests) = (
        folder.join("src/rules.py"),
        folder.join("tests/test_rules.py"),
    );
    let mut command = saga();
    command.arg("dev").current_dir(&folder);
    let mut dev = Dev::start(&command, &[]);
    dev.until("ready: the sources are watched");
    let seat = json!({"seat": "C7", "guest": "Ann", "priceCents": 2500});
    assert_eq!(dev.post("/reservations", &seat).status, 201);
    edit(&source, "TimeSpan.minutes(15)", "TimeSpan.minutes(1)");
    dev.until("src/rules.py has changed");
    let said = dev.until("done in");
    assert!(
        said.contains("is active, was") && said.contains("1 of 1 recorded inputs"),
        "{said}"
    );
    assert_eq!(dev.post("/reservations", &seat).status, 201);
    assert_eq!(dev.end("INT"), Some(0));

    // A failing test, a wrong contract and a missing module are told, each by who finds it.
    edit(&tests, "2500 cents", "9 cents");
    let (code, out, err) = test();
    assert_eq!(code, 65, "{out}");
    assert!(err.contains("a test fails"), "{out}{err}");
    edit(
        &source,
        ".filter(\"guest\", \"/guest\")",
        ".filter(\"guest\", \"/gast\")",
    );
    let (code, out, err) = test();
    assert_eq!(code, 65, "{out}{err}");
    assert!(
        err.contains("the component does not build")
            && err.contains("the state has nothing at '/gast'"),
        "{out}{err}"
    );
    edit(&source, "from dataclasses import replace", "import missing");
    let (code, out, err) = test();
    assert_eq!(code, 65, "{out}{err}");
    assert!(err.contains("No module named 'missing'"), "{out}{err}");
}

/// Builds with componentize-py alone, as its documentation says.
fn bare(directory: &Path) -> PathBuf {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages/python");
    let out = directory.join("bare.wasm");
    let mut build = Command::new(sdk().join(".venv/bin/componentize-py"));
    build
        .arg("-d")
        .arg(sdk().join("src/saga_sdk/wit"))
        .args(["-w", "participant", "componentize", "bare", "-p"])
        .arg(rules)
        .arg("-o")
        .arg(&out)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let (code, said, err) = call(&mut build);
    assert_eq!(code, 0, "{said}{err}");
    out
}

fn a_build_of_the_toolchain_alone_runs_and_its_faults_have_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let plugin = format!("bare={}", bare(directory).display());
    let host = Start::new(&[], &directory.join("data"))
        .arguments(&["--plugin", &plugin, "--listen", "bare=127.0.0.1:0"])
        .start();
    let answer = host.post("bare", "/things/k", &json!({}));
    assert_eq!((answer.status, answer.text().as_str()), (200, "\"done\""));
    let odd = host.post("bare", "/things/odd", &json!({}));
    assert_eq!(odd.status, 500);
    host.log_until("line 42, in handle | ValueError: the thing is odd");
    assert!(host.stop().success());
}
